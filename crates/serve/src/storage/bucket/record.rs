//! Objects that begin with a line of JSON, with bytes behind it.

use bytes::{BufMut as _, Bytes, BytesMut};
use dhow_base::{Error, Kind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest line at the beginning.
pub(super) const HEAD_BYTES_MAX: u64 = 64 << 10;

/// Blobs up to this length lie in the links to them, so that a config is there with one request.
pub(super) const INLINE_BYTES: u64 = 128 << 10;

/// Says that a repository has a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    /// Length in bytes.
    pub(super) size: u64,
    /// Key of the bytes; nothing when they follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
}

/// A manifest's bytes follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestHead {
    /// What it was pushed as; nothing when the push failed after this was written: then there is no manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    /// Differs from push to push, so that one can be told from another by its entity tag.
    pub(super) push: String,
    /// Set while the manifest is being deleted; differs from deletion to deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) going: Option<String>,
}

/// Puts a head before bytes.
pub(super) fn write(head: &impl Serialize, bytes: &[u8]) -> Result<Bytes> {
    let head = serde_json::to_vec(head)
        .map_err(|error| Error::new(Kind::Internal, "cannot write a record").with_source(error))?;
    let mut record = BytesMut::with_capacity(head.len() + 1 + bytes.len());
    record.put_slice(&head);
    record.put_u8(b'\n');
    record.put_slice(bytes);
    Ok(record.freeze())
}

/// The length of a blob that lies in its link, from that of the link: `{"size":<bytes>}`, a line break, the bytes.
pub(super) fn inline_bytes(record_bytes: u64) -> Option<u64> {
    const AROUND: u64 = 10;
    (1..=6).find_map(|digits: u32| {
        let bytes = record_bytes.checked_sub(AROUND + u64::from(digits))?;
        (bytes.checked_ilog10().unwrap_or(0) + 1 == digits).then_some(bytes)
    })
}

/// Takes a record apart.
///
/// # Errors
/// [`Kind::Corrupt`] when `key`'s object is none.
pub(super) fn read<T: DeserializeOwned>(key: &str, record: &Bytes) -> Result<(T, Bytes)> {
    let corrupt = || Error::new(Kind::Corrupt, format!("the object {key:?} is not what its name says"));
    let end = record.iter().position(|byte| *byte == b'\n').ok_or_else(corrupt)?;
    let head = serde_json::from_slice(&record[..end]).map_err(|error| corrupt().with_source(error))?;
    Ok((head, record.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_come_back() {
        let link = Link { size: 3, at: None };
        let record = write(&link, b"a\nb").expect("a record");
        assert_eq!(&record[..], b"{\"size\":3}\na\nb");
        assert_eq!(read::<Link>("x", &record).expect("a link"), (link, Bytes::from_static(b"a\nb")));
    }

    #[test]
    fn the_length_of_a_link_tells_that_of_the_blob() {
        for size in (0..1200).chain([9_999, 10_000, 99_999, 100_000, INLINE_BYTES]) {
            let record = write(&Link { size, at: None }, &vec![0; size as usize]).expect("a record");
            assert_eq!(inline_bytes(record.len() as u64), Some(size));
        }
        assert_eq!(inline_bytes(0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read::<Link>("x", &Bytes::from(bytes.clone()));
            let _ = read::<ManifestHead>("x", &Bytes::from(bytes));
        }
    }
}
