//! Uploads to registries that another run may go on with. Each is a file of its own, which says where the registry takes the
//! rest; it is a hint and no more: the registry is asked what it has, and the digest is proven there.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dhow_base::fs::{self as durable, FileLock};
use dhow_base::{Result, limits};
use dhow_spec::json::parse_strict;
use dhow_spec::{Digest, Repository};
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::wait;

/// How long an upload is worth asking for. Registries forget them after a day to a week.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest location that is kept, in bytes: longer ones are no URL that a server takes.
const LOCATION_BYTES_MAX: usize = 16 << 10;

/// Where the upload of one blob to one repository goes on, for this process alone until it is dropped.
#[derive(Debug)]
pub struct UploadRecord {
    path: PathBuf,
    lock: FileLock,
    file: File,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    repository: String,
    digest: String,
    location: String,
}

impl Store {
    /// The record of the upload of a blob to a repository; `None` when another process has it, or nothing may be written.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn upload_record(&self, repository: &Repository, digest: &Digest) -> Result<Option<UploadRecord>> {
        if !self.is_writable() {
            return Ok(None);
        }
        let folder = self.paths().uploads();
        durable::create_dir_all(&folder)?;
        sweep(&folder);
        let file =
            File { repository: repository.name().to_owned(), digest: digest.to_string(), location: String::new() };
        let path = folder.join(file_name(&file));
        let Some(lock) = wait::try_lock(&path)? else { return Ok(None) };
        let mut record = UploadRecord { path, lock, file };
        if let Some(left) = read(&record.path).filter(|left| record.is_of(left)) {
            record.file = left;
        }
        Ok(Some(record))
    }
}

impl UploadRecord {
    /// Where an earlier run left the upload.
    pub fn location(&self) -> Option<&str> {
        Some(self.file.location.as_str()).filter(|location| !location.is_empty())
    }

    /// Notes where the upload goes on. Not durable: what a power cut takes costs a few bytes sent again.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep(&mut self, location: &str) -> Result<()> {
        if location.len() > LOCATION_BYTES_MAX {
            return self.forget();
        }
        location.clone_into(&mut self.file.location);
        let bytes = serde_json::to_vec(&self.file).unwrap_or_default();
        // In place, since the lock is on this very file. What is torn is read as nothing.
        durable::set_length(self.lock.file(), &self.path, 0)?;
        durable::write_at(self.lock.file(), &self.path, &bytes, 0)
    }

    /// Notes that there is nothing to go on with.
    ///
    /// # Errors
    /// Those of removing the file.
    pub fn forget(&mut self) -> Result<()> {
        self.file.location.clear();
        durable::set_length(self.lock.file(), &self.path, 0)
    }

    fn is_of(&self, other: &File) -> bool {
        (&self.file.repository, &self.file.digest) == (&other.repository, &other.digest)
    }
}

impl Drop for UploadRecord {
    fn drop(&mut self) {
        if self.location().is_none() {
            // Whoever opened it meanwhile finds that it has no name any more, and goes without.
            let _ = durable::remove_file(&self.path);
        }
    }
}

/// The file's name: repositories have slashes in theirs.
fn file_name(file: &File) -> String {
    format!("{}.json", Digest::sha256(format!("{}@{}", file.repository, file.digest).as_bytes()).hex())
}

fn read(path: &Path) -> Option<File> {
    let bytes = durable::read_limited(path, limits::API_BODY_BYTES_MAX).ok()?;
    serde_json::from_value(parse_strict(&bytes).ok()?).ok()
}

/// Removes what is too old to be gone on with, unless somebody is just doing that.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let changed = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > KEPT)
            && let Ok(Some(_lock)) = wait::try_lock(&path)
        {
            let _ = durable::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::OpenOptions;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
    fn records_are_kept_for_their_blob_and_repository() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &OpenOptions::default()).unwrap();
        let repository = Repository::parse("registry.example/team/app").unwrap();
        let other = Repository::parse("registry.example/team/other").unwrap();
        let digest = Digest::sha256(b"a");
        let open = |repository: &Repository| store.upload_record(repository, &digest).unwrap();
        let mut record = open(&repository).unwrap();
        assert_eq!(record.location(), None);
        record.keep("https://registry.example/v2/upload?state=a%22b").unwrap();
        record.keep("https://registry.example/v2/upload?s").unwrap();
        assert!(open(&repository).is_none(), "one process at a time");
        assert_eq!(open(&other).unwrap().location(), None);
        drop(record);
        let mut record = open(&repository).unwrap();
        assert_eq!(record.location(), Some("https://registry.example/v2/upload?s"));
        record.forget().unwrap();
        drop(record);
        let files = || std::fs::read_dir(store.paths().uploads()).unwrap().count();
        assert_eq!(files(), 0, "what has nothing to say is not left lying");

        let mut record = open(&repository).unwrap();
        record.keep(&"x".repeat(LOCATION_BYTES_MAX + 1)).unwrap();
        assert_eq!(record.location(), None);
        record.keep("https://registry.example/old").unwrap();
        let path = record.path.clone();
        drop(record);
        // Torn, of something else, and too old.
        let text = std::fs::read_to_string(&path).unwrap();
        for wrong in [&text[..20], &text.replace("team/app", "team/elsewhere"), "[]"] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(open(&repository).unwrap().location(), None, "{wrong}");
        }
        std::fs::write(&path, &text).unwrap();
        let old = SystemTime::now() - KEPT - Duration::from_secs(60);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert_eq!(open(&repository).unwrap().location(), None);
    }
}
