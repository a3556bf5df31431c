//! How a change is written down (`docs/formats/registry.md`).

use bytes::Bytes;
use dhow_spec::digest::{Algorithm, Hasher};

use super::super::Key;

/// Length of what stands before a record's changes: generation, length, proof.
const HEAD_BYTES: usize = 8 + 4 + PROOF_BYTES;
const PROOF_BYTES: usize = 32;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One file that is written or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Put(Key, Bytes),
    Delete(Key),
}

impl Step {
    pub(crate) fn key(&self) -> &Key {
        match self {
            Step::Put(key, _) | Step::Delete(key) => key,
        }
    }
}

/// Appends the record of `steps` to `target`; nothing, and nothing written, when it is longer than can be said.
pub(super) fn encode(generation: u64, steps: &[Step], target: &mut Vec<u8>) -> Option<()> {
    let start = target.len();
    target.extend_from_slice(&generation.to_le_bytes());
    target.extend_from_slice(&[0; HEAD_BYTES - 8]);
    let written = steps.iter().try_for_each(|step| {
        let (kind, bytes): (u8, &[u8]) = match step {
            Step::Put(_, bytes) => (PUT, bytes),
            Step::Delete(_) => (DELETE, b""),
        };
        let key = step.key().as_str();
        target.push(kind);
        target.extend_from_slice(&u16::try_from(key.len()).ok()?.to_le_bytes());
        target.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
        target.extend_from_slice(key.as_bytes());
        target.extend_from_slice(bytes);
        Some(())
    });
    let length = written.and_then(|()| u32::try_from(target.len() - start - HEAD_BYTES).ok());
    let Some(length) = length else {
        target.truncate(start);
        return None;
    };
    target[start + 8..start + 12].copy_from_slice(&length.to_le_bytes());
    let proof = prove(generation, &target[start + HEAD_BYTES..]);
    target[start + 12..start + HEAD_BYTES].copy_from_slice(&proof);
    Some(())
}

/// Whom a record belongs to and that it is whole: SHA-256 of its generation, length and steps.
fn prove(generation: u64, steps: &[u8]) -> [u8; PROOF_BYTES] {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&generation.to_le_bytes());
    hasher.update(&(steps.len() as u64).to_le_bytes());
    hasher.update(steps);
    let digest = hasher.finish();
    let mut proof = [0; PROOF_BYTES];
    for (byte, digits) in proof.iter_mut().zip(digest.hex().as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
        *byte = digit(digits[0]) << 4 | digit(digits[1]);
    }
    proof
}

/// What a file of the journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// Nothing where there is no record.
    pub(crate) generation: Option<u64>,
    /// The steps of each record, in order.
    pub(crate) records: Vec<Vec<Step>>,
}

/// Reads the records at the beginning of a file. They end at the first that is not whole or is of an earlier generation:
/// the file was written from the beginning again, and what is behind is left from before.
pub(crate) fn decode(file: &Bytes) -> Records {
    let (mut decoded, mut position) = (Records::default(), 0);
    while let Some((generation, steps, length)) = decode_one(file, position) {
        if *decoded.generation.get_or_insert(generation) != generation {
            break;
        }
        decoded.records.push(steps);
        position += length;
    }
    decoded
}

/// A record's generation, its steps and its length.
fn decode_one(file: &Bytes, position: usize) -> Option<(u64, Vec<Step>, usize)> {
    let head = file.get(position..position.checked_add(HEAD_BYTES)?)?;
    let generation = u64::from_le_bytes(head[..8].try_into().ok()?);
    let length = u32::from_le_bytes(head[8..12].try_into().ok()?) as usize;
    let start = position + HEAD_BYTES;
    let end = start.checked_add(length)?;
    if prove(generation, file.get(start..end)?) != head[12..] {
        return None;
    }
    let (mut steps, mut at) = (Vec::new(), start);
    while at < end {
        let fixed = file.get(at..at + 7).filter(|_| at + 7 <= end)?;
        let key_length = u16::from_le_bytes(fixed[1..3].try_into().ok()?) as usize;
        let bytes_length = u32::from_le_bytes(fixed[3..7].try_into().ok()?) as usize;
        let (key_start, kind) = (at + 7, fixed[0]);
        let key_end = key_start + key_length;
        at = key_end.checked_add(bytes_length).filter(|after| *after <= end)?;
        let key = Key::from_text(std::str::from_utf8(&file[key_start..key_end]).ok()?)?;
        steps.push(match kind {
            PUT => Step::Put(key, file.slice(key_end..at)),
            DELETE => Step::Delete(key),
            _ => return None,
        });
    }
    Some((generation, steps, HEAD_BYTES + length))
}

/// The keys that a whole record of these steps changes; nothing when they are none.
pub(crate) fn keys_of(steps: &[u8]) -> Option<Vec<String>> {
    let length = u32::try_from(steps.len()).ok()?;
    let record = [&[0; 8][..], &length.to_le_bytes(), &prove(0, steps), steps].concat();
    let (_, steps, _) = decode_one(&record.into(), 0)?;
    Some(steps.iter().map(|step| step.key().as_str().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::from_text(text).expect("a key")
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = "(blobs|repositories)(/[a-z0-9_:-][a-z0-9._:-]{0,12}){1,4}";
        let step = (key, proptest::collection::vec(any::<u8>(), 0..200), any::<bool>());
        let step = step.prop_map(|(text, bytes, is_put)| match is_put {
            true => Step::Put(self::key(&text), bytes.into()),
            false => Step::Delete(self::key(&text)),
        });
        proptest::collection::vec(step, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in proptest::collection::vec(steps(), 1..6), generation: u64) {
            let mut bytes = Vec::new();
            records.iter().for_each(|steps| encode(generation, steps, &mut bytes).expect("short"));
            bytes.extend_from_slice(&[0; 100]);
            prop_assert_eq!(decode(&bytes.into()), Records { generation: Some(generation), records });
        }

        #[test]
        fn a_file_cut_or_spoilt_anywhere_gives_the_records_before(
            records in proptest::collection::vec(steps(), 1..6), at: proptest::sample::Index, flip: u8, cut: bool,
        ) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for steps in &records {
                encode(7, steps, &mut bytes).expect("short");
                ends.push(bytes.len());
            }
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip.max(1) }
            let whole = ends.iter().filter(|end| **end <= at).count() - 1;
            prop_assert_eq!(decode(&bytes.into()).records, records[..whole].to_vec());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes.into());
        }
    }

    #[test]
    fn records_of_an_earlier_generation_are_not_read() {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let put = |text: &str| vec![Step::Put(key(text), Bytes::from_static(b"x"))];
        (0..3).for_each(|_| encode(1, &put("blobs/old"), &mut old).expect("short"));
        encode(3, &put("blobs/new"), &mut new).expect("short");
        let length = new.len();
        old[..length].copy_from_slice(&new);
        let decoded = decode(&old.into());
        assert_eq!((decoded.generation, decoded.records), (Some(3), vec![put("blobs/new")]));
    }

    #[test]
    fn keys_stay_inside_the_folder() {
        for text in ["blobs/../x", "/blobs/x", "blobs//x", "blobs/", "lock", "repositories/.", "blobs/a b", "blobs/.x"]
        {
            assert_eq!(Key::from_text(text), None, "{text}");
        }
        for text in
            ["blobs/sha256/ab", "repositories/a/b/_tags/v1.0_x-Y", "repositories/a/_referrers/sha256/ab/sha256:cd"]
        {
            assert!(Key::from_text(text).is_some(), "{text}");
        }
    }
}
