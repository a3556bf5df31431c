//! What a registry writes down beside its content, and reads again: files of a folder, objects of a bucket. Others may have
//! written to either.

use bytes::Bytes;

use crate::storage::{bucket, keys_of};

/// The keys of the files that a whole record of these steps in the journal changes; nothing when they are no steps.
pub fn journal_keys(steps: &[u8]) -> Option<Vec<String>> {
    keys_of(steps)
}

/// Which records an object of a bucket can be read as: `link`, `manifest`, `upload`, `sweep`.
pub fn object_kinds(object: &[u8]) -> Vec<&'static str> {
    bucket::kinds(&Bytes::copy_from_slice(object))
}

/// The key that says the same as this one and is written as keys are; nothing when it says nothing.
pub fn respelled_key(key: &str) -> Option<String> {
    bucket::respelled(key)
}
