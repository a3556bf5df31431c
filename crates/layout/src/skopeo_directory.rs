//! skopeo's `dir:` folder: one image or index as plain files (containers-transports(5), "dir:path").
//!
//! `manifest.json` is what the folder is about, `<hex>.manifest.json` a manifest below it, `<hex>` a blob, `version` the
//! format. Digests are written without their algorithm.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_base::fs::{Durability, FileLock, LockMode};
use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result, fs, limits};
use dhow_content::{Begin, ByteStream, LocalBlob, Sink, Source, VerifiedDocument, verify_document};
use dhow_spec::{Descriptor, Digest, Document};

use crate::directory::{DirectoryIngest, LOCK_PATIENCE, Unflushed, sweep};
use crate::local::{check_length, open_file, read_local};

const MANIFEST_FILE: &str = "manifest.json";
const VERSION_FILE: &str = "version";

/// What skopeo writes into `version`.
const VERSION: &[u8] = b"Directory Transport Version: 1.1\n";

/// What follows the digest in the name of a manifest below the root.
const DOCUMENT_SUFFIX: &str = ".manifest.json";

/// A folder in the format of skopeo's `dir:` transport, to read from and to write to.
///
/// Files appear complete or not at all, and `manifest.json` is replaced last: an image that is overwritten stays readable
/// until the new one is complete.
#[derive(Clone, Debug)]
pub struct SkopeoDirectory {
    root: PathBuf,
    unflushed: Unflushed,
    /// Held by who writes.
    _lock: Option<Arc<FileLock>>,
}

impl SkopeoDirectory {
    /// Opens a folder for reading.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none, [`Kind::Invalid`] when it has no `manifest.json`.
    pub fn open(root: &Path) -> Result<Self> {
        if root.is_dir() && !root.join(MANIFEST_FILE).is_file() {
            let message = format!("{root:?} holds no image: it has no file {MANIFEST_FILE:?}");
            return Err(Error::new(Kind::Invalid, message));
        }
        root.metadata().map_err(|error| Error::io(format_args!("cannot read {root:?}"), error))?;
        Ok(Self { root: root.to_owned(), unflushed: Unflushed::default(), _lock: None })
    }

    /// Opens a folder for writing, making it when it is not there. Nobody else can until it is dropped: whoever finishes removes
    /// all that is no part of his image.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the folder holds other things, [`Kind::Unavailable`] when another process writes for too long, and
    /// those of the file system.
    pub fn create(root: &Path) -> Result<Self> {
        let version = root.join(VERSION_FILE);
        if !version.exists() {
            if std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) {
                let message = format!("{root:?} is not empty and holds no image of this format");
                return Err(Error::new(Kind::Invalid, message).with_hint("choose an empty or new directory"));
            }
            fs::create_dir_all_by_umask(root)?;
            // Not replaced by another file: the lock of whoever comes at the same time is on this one.
            fs::open_or_create_with(&version, 0o644)?;
        }
        let lock = match FileLock::acquire(&version, LockMode::Exclusive, LOCK_PATIENCE) {
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            // A file system without locks, or a file that only its owner may open.
            Err(error) => {
                tracing::debug!(%error, "others may write to the folder");
                None
            }
            Ok(lock) => Some(Arc::new(lock)),
        };
        if version.metadata().is_ok_and(|found| found.len() == 0) {
            fs::write_at(&fs::open_or_create(&version)?, &version, VERSION, 0)?;
        }
        Ok(Self { root: root.to_owned(), unflushed: Unflushed::default(), _lock: lock })
    }

    /// What the folder is about.
    ///
    /// # Errors
    /// Those of reading and parsing `manifest.json`.
    pub fn root(&self) -> Result<VerifiedDocument> {
        let path = self.root.join(MANIFEST_FILE);
        let bytes = fs::read_limited(&path, limits::MANIFEST_BYTES_MAX)?;
        let document = Document::parse(bytes, None);
        let document = document.map_err(|error| Error::from(error).context(format_args!("{path:?}")))?;
        verify_document(document.bytes().to_vec(), &document.descriptor())
    }

    /// Makes the folder be about `root`, which was copied into it with `documents` below it, and removes what an image that
    /// was here before has left.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(&self, root: &VerifiedDocument, documents: &[VerifiedDocument]) -> Result<()> {
        self.unflushed.flush()?;
        fs::write_atomic(&self.root.join(MANIFEST_FILE), root.bytes(), 0o644, Durability::Durable)?;
        // Parts of blobs that another image has.
        sweep(&self.root, true);
        let mut kept = HashSet::new();
        for document in documents {
            kept.extend(document.document().children().into_iter().map(file_name));
        }
        kept.extend(root.document().children().into_iter().map(file_name));
        let failed = |error| Error::io(format_args!("cannot read {:?}", self.root), error);
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let is_stale = name.to_str().is_some_and(|name| is_ours(name) && !kept.contains(name));
            if is_stale {
                fs::remove_file(&self.root.join(name))?;
            }
        }
        Ok(())
    }

    fn find(&self, descriptor: &Descriptor) -> Result<Option<LocalBlob>> {
        let found = open_file(self.root.join(file_name(descriptor)))?;
        if found.is_some() || !descriptor.media_type.is_document() {
            return Ok(found);
        }
        // The root has no other name; it is small.
        let root = self.root.join(MANIFEST_FILE);
        match fs::read_limited(&root, limits::MANIFEST_BYTES_MAX) {
            Ok(bytes) if Digest::of(descriptor.digest.algorithm(), &bytes) == descriptor.digest => open_file(root),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn file_name(descriptor: &Descriptor) -> String {
    let suffix = if descriptor.media_type.is_document() { DOCUMENT_SUFFIX } else { "" };
    format!("{}{suffix}", descriptor.digest.hex())
}

/// Whether a file is one that this format names by a digest, or a signature of an earlier image.
fn is_ours(name: &str) -> bool {
    let stem = name.strip_suffix(DOCUMENT_SUFFIX).unwrap_or(name);
    let is_digest = matches!(stem.len(), 64 | 96 | 128) && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = name.strip_prefix("signature-").or_else(|| stem.split_once(".signature-").map(|(_, number)| number));
    is_digest || number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Source for SkopeoDirectory {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        match self.find(descriptor)? {
            Some(blob) => read_local(blob, descriptor, range),
            None => {
                let message = format!("{} not found in {:?}", descriptor.digest, self.root);
                Err(Error::new(Kind::NotFound, message))
            }
        }
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        self.find(descriptor).ok().flatten().filter(|blob| check_length(blob, descriptor).is_ok())
    }
}

impl Sink for SkopeoDirectory {
    type Ingest = DirectoryIngest;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        self.unflushed.covers(document, |descriptor| self.find(descriptor))
    }

    async fn ingest(&self, blob: &Descriptor, _: &dyn Observer) -> Result<Begin<DirectoryIngest>> {
        match self.find(blob)? {
            Some(found) if found.length == blob.size => {
                self.unflushed.add(found.path);
                Ok(Begin::Present)
            }
            _ => {
                let path = self.root.join(file_name(blob));
                Ok(Begin::Write(DirectoryIngest::new(path, &self.unflushed, blob)?))
            }
        }
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        self.unflushed.put(self.root.join(file_name(document.descriptor())), document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_format_are_ever_removed() {
        let hex = "ab".repeat(32);
        for ours in
            [hex.clone(), format!("{hex}.manifest.json"), "signature-1".to_owned(), format!("{hex}.signature-12")]
        {
            assert!(is_ours(&ours), "{ours}");
        }
        for other in ["manifest.json", "version", "notes", "signature-", "signature-x", &hex[1..], ".manifest.json"] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
