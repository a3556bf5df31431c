//! Storing what was made here.

use bytes::Bytes;
use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Begin, Ingest, LocalBlob, Sink};
use dhow_spec::Descriptor;
use dhow_store::Session;

/// The bytes of a blob.
pub(crate) enum Content<'a> {
    Local(&'a LocalBlob),
    Bytes(Bytes),
}

/// Stores a blob, unless it is there.
///
/// # Errors
/// Those of the store, and of reading the file.
pub(crate) async fn put(session: &Session, descriptor: &Descriptor, content: Content<'_>) -> Result<()> {
    loop {
        let Begin::Write(ingest) = session.ingest(descriptor, &Silent).await? else { return Ok(()) };
        let missing: u64 = ingest.missing().iter().map(|range| range.end - range.start).sum();
        if missing < descriptor.size {
            // What a run that was killed left. All of it is at hand, so going on from there would save nothing.
            ingest.discard()?;
            continue;
        }
        match &content {
            Content::Bytes(bytes) => ingest.write(0, bytes.clone()).await?,
            Content::Local(blob) => {
                if !ingest.write_local(blob).await? {
                    return Err(Error::new(Kind::Internal, "the store does not take local files"));
                }
            }
        }
        return ingest.commit().await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use dhow_base::fs::{Durability, write_atomic};
    use dhow_spec::{Digest, MediaType};
    use dhow_store::{OpenOptions, Store};
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn what_a_killed_run_left_is_in_nobodys_way() {
        let scratch = dhow_testkit::peers::scratch().unwrap();
        let session =
            Store::open(&scratch.path().join("store"), &OpenOptions::default()).unwrap().begin("test").unwrap();
        let (path, bytes) = (scratch.path().join("layer"), Bytes::from(vec![7; 1 << 20]));
        write_atomic(&path, &bytes, 0o600, Durability::Cached).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        let local = LocalBlob { file, path, offset: 0, length: bytes.len() as u64 };
        let other = Bytes::from(vec![8; 1 << 20]);
        let cases: [(&Bytes, Content<'_>); 2] =
            [(&bytes, Content::Local(&local)), (&other, Content::Bytes(other.clone()))];
        for (bytes, content) in cases {
            let blob = Descriptor::new(MediaType::OciLayer, Digest::sha256(bytes), bytes.len() as u64);
            let Begin::Write(ingest) = block_on(session.ingest(&blob, &Silent)).unwrap() else { panic!("it is there") };
            block_on(ingest.write(0, bytes.slice(..1 << 16))).unwrap();
            drop(ingest);
            block_on(put(&session, &blob, content)).unwrap();
            assert!(matches!(block_on(session.ingest(&blob, &Silent)).unwrap(), Begin::Present));
        }
    }
}
