//! The names of objects in a bucket (`docs/formats/bucket.md`). They are made of parsed values only.
//!
//! What belongs to one digest lies together, so that one list shows the content and every repository that has it.
//! Stores that are file systems underneath cannot hold both `a` and `a/b`, hence `:` for `/` in a repository's name.

use dhow_spec::digest::{Algorithm, Digest};

use crate::name::{RepositoryName, UploadId};

pub(super) const MARKER: &str = "registry.json";
pub(super) const BLOBS: &str = "blobs";
pub(super) const REPOSITORIES: &str = "repositories";
pub(super) const UPLOADS: &str = "uploads";
pub(super) const DATA: &str = "data";
/// Locked by the collector.
pub(super) const LOCK: &str = "gc/lock";
/// What the collector is about to remove.
pub(super) const SWEEP: &str = "gc/sweep";

/// All that belongs to a digest.
pub(super) fn group(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm(), digest.hex())
}

/// Says that a repository has a blob, and where it is.
pub(super) fn link(repository: &RepositoryName, digest: &Digest) -> String {
    format!("{}/in.{}", group(digest), repository.as_str().replace('/', ":"))
}

/// The bytes of a blob whose digest was known before they were written.
pub(super) fn content(digest: &Digest, serial: &str) -> String {
    format!("{}/data.{serial}", group(digest))
}

/// The bytes of a blob whose digest was not known then.
pub(super) fn data(serial: &str) -> String {
    format!("{DATA}/{serial}")
}

/// Says that [`data`] is this digest's.
pub(super) fn mark(digest: &Digest, serial: &str) -> String {
    format!("{}/at.{serial}", group(digest))
}

/// An upload under way.
pub(super) fn upload(id: &UploadId) -> String {
    format!("{UPLOADS}/{id}")
}

/// What lies in the group of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// A repository has it.
    Link(RepositoryName),
    /// Its bytes.
    Content,
    /// The serial of its bytes, which lie under [`data`].
    Mark(String),
}

/// Reads the key of something in a group.
pub(super) fn member(key: &str) -> Option<(Digest, Member)> {
    let rest = key.strip_prefix(BLOBS)?.strip_prefix('/')?;
    let (algorithm, rest) = rest.split_once('/')?;
    let (hex, name) = rest.split_once('/')?;
    let digest = Digest::parse(&format!("{}:{hex}", Algorithm::from_name(algorithm)?)).ok()?;
    let member = match name.split_once('.')? {
        ("in", repository) => Member::Link(RepositoryName::parse(&repository.replace(':', "/"))?),
        ("data", _) => Member::Content,
        ("at", serial) => Member::Mark(serial.to_owned()),
        _ => return None,
    };
    Some((digest, member))
}

/// Reads the key of a manifest.
pub(super) fn manifest(key: &str) -> Option<(RepositoryName, Digest)> {
    let (repository, rest) = key.strip_prefix(REPOSITORIES)?.strip_prefix('/')?.split_once("/_manifests/")?;
    let (algorithm, hex) = rest.split_once('/')?;
    let digest = Digest::parse(&format!("{algorithm}:{hex}")).ok()?;
    Some((RepositoryName::parse(repository)?, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Key;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let digest = Digest::sha256(b"content");
        for name in ["a", "a/b", "library/a-b.c"] {
            let repository = RepositoryName::parse(name).expect("a name");
            assert_eq!(member(&link(&repository, &digest)), Some((digest.clone(), Member::Link(repository.clone()))));
            let key = Key::manifest(&repository, &digest);
            assert_eq!(manifest(key.as_str()), Some((repository, digest.clone())));
        }
        assert_eq!(member(&mark(&digest, "7")), Some((digest.clone(), Member::Mark("7".to_owned()))));
        assert_eq!(member(&content(&digest, "7")), Some((digest, Member::Content)));
        for text in ["", "blobs", "blobs/sha256/00/in.a", "repositories/a/_tags/v1", "blobs/md5/x/data.1"] {
            assert!(member(text).is_none() && manifest(text).is_none(), "{text}");
        }
    }
}
