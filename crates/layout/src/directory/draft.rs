//! The file that a blob is written to before it has its name: a temporary one, or for large blobs one that the next run finds.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dhow_base::fs::{AtomicFile, Durability, FileLock, LockMode};
use dhow_base::{Error, Result, fs};
use dhow_content::{LocalBlob, Origin, Verifier};

use crate::local::hash;

/// From so many bytes on, what arrived is kept for the next run; below, it is fetched anew as quickly.
const KEPT_BYTES_MIN: u64 = 1 << 20;

/// What the name of a file with a part of a blob ends with; it begins with a dot and the blob's own name.
const SUFFIX: &str = ".partial";

/// What the name of the file ends with that says where such a part comes from.
const ORIGIN_SUFFIX: &str = ".origin";

/// How long a part is kept that nobody goes on with.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Mode of the files of a directory, before the umask.
const MODE: u32 = 0o644;

/// The file of a blob that is under way.
#[derive(Debug)]
pub(super) enum Draft {
    /// Gone when dropped.
    Temporary(AtomicFile),
    /// Kept when dropped, if that is worth it.
    Partial(Partial),
}

/// A part of a blob, this process's alone. Bytes come strictly ascending.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    target: PathBuf,
    lock: FileLock,
    written: u64,
    /// Where it comes from, as its file says.
    origin: Option<Origin>,
    /// Whether nothing of it is left to be kept.
    is_done: bool,
}

impl Draft {
    /// Opens the file for a blob that is to be `target`, and shows the verifier what an earlier run left of it.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn open(target: &Path, size: u64, verifier: &mut Verifier) -> Result<Self> {
        if size > KEPT_BYTES_MIN
            && let Some(partial) = Partial::open(target, size, verifier)?
        {
            return Ok(Self::Partial(partial));
        }
        Ok(Self::Temporary(AtomicFile::create(target, MODE)?))
    }

    /// Where the bytes come from that an earlier run left.
    pub(super) fn origin(&self) -> Option<Origin> {
        match self {
            Self::Temporary(_) => None,
            Self::Partial(partial) => partial.origin.clone(),
        }
    }

    /// Notes where the bytes come from.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn note_origin(&mut self, origin: Option<&Origin>) -> Result<()> {
        match self {
            Self::Partial(partial) if partial.origin.as_ref() != origin => partial.note_origin(origin),
            _ => Ok(()),
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Temporary(file) => file.write_all(bytes),
            Self::Partial(partial) => {
                fs::write_at(partial.lock.file(), &partial.path, bytes, partial.written)?;
                partial.written += bytes.len() as u64;
                Ok(())
            }
        }
    }

    /// Writes all of a local file into one that is empty yet.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn copy(&mut self, blob: &LocalBlob) -> Result<()> {
        match self {
            Self::Temporary(file) => file.copy(blob.bytes()),
            Self::Partial(partial) => {
                let failed = |error| Error::io(format_args!("cannot write {:?}", partial.path), error);
                let mut file = partial.lock.file().try_clone().map_err(failed)?;
                fs::copy_range(blob.bytes(), &mut file, &format_args!("{:?}", partial.target))?;
                partial.written = blob.length;
                Ok(())
            }
        }
    }

    /// Gives the file the blob's name.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn commit(self) -> Result<()> {
        match self {
            Self::Temporary(file) => file.commit(Durability::Cached),
            Self::Partial(mut partial) => {
                fs::rename(&partial.path, &partial.target)?;
                partial.is_done = true;
                partial.note_origin(None)
            }
        }
    }

    /// The bytes were not those of the blob: the next attempt begins with none.
    pub(super) fn discard(self) {
        if let Self::Partial(mut partial) = self {
            partial.written = 0;
        }
    }
}

impl Partial {
    /// `None` when another process is at it, or the file system has no locks to tell.
    fn open(target: &Path, size: u64, verifier: &mut Verifier) -> Result<Option<Self>> {
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = target.with_file_name(format!(".{name}{SUFFIX}"));
        let file = fs::open_or_create_with(&path, MODE)?;
        let lock = match FileLock::try_lock(file, &path, LockMode::Exclusive) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(None),
            Err(error) => {
                tracing::debug!(%error, "what comes of the blob is not kept");
                fs::remove_file(&path)?;
                return Ok(None);
            }
        };
        let failed = |error| Error::io(format_args!("cannot read {path:?}"), error);
        let found = lock.file().metadata().map_err(failed)?;
        // Whoever had the lock before may have made it the blob meanwhile.
        if !std::fs::symlink_metadata(&path).is_ok_and(|named| is_same(&named, &found)) {
            return Ok(None);
        }
        let mut written = found.len();
        if written > size {
            fs::set_length(lock.file(), &path, 0)?;
            written = 0;
        }
        if written > 0 {
            let file = Arc::new(lock.file().try_clone().map_err(failed)?);
            hash(&LocalBlob { file, path: path.clone(), offset: 0, length: written }, verifier)?;
        }
        let mut partial = Self { path, target: target.to_owned(), lock, written, origin: None, is_done: false };
        let said = fs::read_limited(&partial.origin_path(), Origin::BYTES_MAX as u64);
        partial.origin = said.ok().and_then(|bytes| String::from_utf8(bytes).ok()).and_then(Origin::new);
        if written == 0 {
            partial.note_origin(None)?;
        }
        Ok(Some(partial))
    }

    /// The file that says where the part comes from.
    fn origin_path(&self) -> PathBuf {
        origin_path(&self.path)
    }

    fn note_origin(&mut self, origin: Option<&Origin>) -> Result<()> {
        match origin {
            Some(origin) => {
                fs::write_atomic(&self.origin_path(), origin.as_str().as_bytes(), MODE, Durability::Cached)?;
            }
            None if self.origin.is_some() => drop(fs::remove_file(&self.origin_path())?),
            None => {}
        }
        self.origin = origin.cloned();
        Ok(())
    }
}

/// The file that says where a part comes from.
fn origin_path(part: &Path) -> PathBuf {
    part.with_extension(&ORIGIN_SUFFIX[1..])
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_done && self.written < KEPT_BYTES_MIN {
            // Nothing useful can be done about a failure: the next run writes over it.
            let _ = self.note_origin(None);
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether a file holds a part of a blob, or says where one comes from.
fn is_partial(name: &str) -> bool {
    let stem = name.strip_prefix('.');
    let stem = stem.and_then(|name| name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(ORIGIN_SUFFIX)));
    stem.is_some_and(|stem| matches!(stem.len(), 64 | 96 | 128) && stem.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes parts that nobody is at: those that are too old to be gone on with, or `all`.
pub(crate) fn sweep(folder: &Path, all: bool) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_partial)) {
        let path = entry.path();
        let part = path.with_extension(&SUFFIX[1..]);
        // What says where a part comes from goes with the part.
        if path != part && part.exists() {
            continue;
        }
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if (all || age.is_some_and(|age| age > KEPT))
            && let Ok(Some(_lock)) = FileLock::try_acquire(&path, LockMode::Exclusive)
        {
            let _ = fs::remove_file(&origin_path(&path));
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use dhow_spec::{Descriptor, Digest, MediaType};

    use super::*;

    const SIZE: usize = 3 << 20;

    fn bytes() -> Vec<u8> {
        (0..SIZE).map(|index| (index * 31 / 7) as u8).collect()
    }

    /// A folder, where the blob of `bytes` is to be, and its descriptor.
    fn place() -> (tempfile::TempDir, PathBuf, Descriptor) {
        let folder = tempfile::tempdir().expect("a folder");
        let digest = Digest::sha256(&bytes());
        let target = folder.path().join(digest.hex());
        (folder, target, Descriptor::new(MediaType::OciLayer, digest, SIZE as u64))
    }

    fn open(target: &Path, blob: &Descriptor) -> (Draft, Verifier) {
        let mut verifier = Verifier::new(blob);
        let draft = Draft::open(target, blob.size, &mut verifier).expect("a file");
        (draft, verifier)
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_next_run_finds_what_arrived() {
        let (folder, target, blob) = place();
        let (mut draft, verifier) = open(&target, &blob);
        assert_eq!(verifier.seen(), 0);
        draft.write_all(&bytes()[..2_000_000]).expect("written");
        assert!(matches!(open(&target, &blob).0, Draft::Temporary(_)), "the part is one writer's alone");
        drop(draft);
        let (mut draft, mut verifier) = open(&target, &blob);
        assert_eq!(verifier.seen(), 2_000_000);
        verifier.update(&bytes()[2_000_000..]).expect("no more than announced");
        draft.write_all(&bytes()[2_000_000..]).expect("written");
        verifier.finish().expect("the blob");
        draft.commit().expect("a name");
        assert_eq!(std::fs::read(&target).expect("the blob"), bytes());
        assert_eq!(names(&folder), [blob.digest.hex()]);
    }

    #[test]
    fn where_a_part_comes_from_goes_with_it() {
        let origin = |text: &str| Origin::new(text.to_owned()).expect("an origin");
        let (folder, target, blob) = place();
        let named = || {
            let mut names = names(&folder);
            names.sort();
            names
        };
        let (part, note) = (format!(".{}.partial", blob.digest.hex()), format!(".{}.origin", blob.digest.hex()));
        let (mut draft, _) = open(&target, &blob);
        draft.note_origin(Some(&origin("one"))).expect("noted");
        draft.note_origin(Some(&origin("other"))).expect("noted");
        draft.write_all(&bytes()[..2_000_000]).expect("written");
        drop(draft);
        assert_eq!(named(), [note.clone(), part.clone()]);
        let (draft, _) = open(&target, &blob);
        assert_eq!(draft.origin(), Some(origin("other")));
        draft.discard();
        assert_eq!(named(), Vec::<String>::new());
        let (mut draft, _) = open(&target, &blob);
        assert_eq!(draft.origin(), None);
        draft.note_origin(Some(&origin("one"))).expect("noted");
        draft.write_all(&bytes()).expect("written");
        draft.commit().expect("a name");
        assert_eq!(named(), [blob.digest.hex()]);
        let (mut draft, _) = open(&target, &blob);
        draft.note_origin(Some(&origin("one"))).expect("noted");
        draft.write_all(&bytes()[..2_000_000]).expect("written");
        drop(draft);
        sweep(folder.path(), false);
        assert_eq!(named(), [note, part, blob.digest.hex().to_owned()], "it may be gone on with");
        sweep(folder.path(), true);
        assert_eq!(named(), [blob.digest.hex()]);
    }

    #[test]
    fn little_is_not_kept_and_wrong_bytes_are_not_either() {
        let (folder, target, blob) = place();
        let (mut draft, _) = open(&target, &blob);
        draft.write_all(&bytes()[..1000]).expect("written");
        drop(draft);
        assert_eq!(names(&folder), Vec::<String>::new());
        let (mut draft, _) = open(&target, &blob);
        draft.write_all(&bytes()[1..]).expect("written");
        draft.discard();
        assert_eq!(names(&folder), Vec::<String>::new());
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
    fn parts_are_swept_when_they_are_old_and_nobody_is_at_them() {
        let (folder, target, blob) = place();
        let (mut draft, _) = open(&target, &blob);
        draft.write_all(&bytes()[..2_000_000]).expect("written");
        std::fs::write(folder.path().join(".notes.partial"), "somebody's own").expect("a file");
        sweep(folder.path(), true);
        assert_eq!(names(&folder).len(), 2, "somebody is at it");
        drop(draft);
        sweep(folder.path(), false);
        assert_eq!(names(&folder).len(), 2, "it may be gone on with");
        let path = folder.path().join(format!(".{}.partial", blob.digest.hex()));
        let old = SystemTime::now() - KEPT - Duration::from_secs(60);
        File::options().write(true).open(&path).expect("the part").set_modified(old).expect("a time");
        sweep(folder.path(), false);
        assert_eq!(names(&folder), [".notes.partial"]);
        // Longer than the blob: not a part of it.
        std::fs::write(&path, vec![0; SIZE + 1]).expect("a file");
        assert_eq!(open(&target, &blob).1.seen(), 0);
    }
}
