//! The files behind keys, and what was lately read of them.

use std::fs::{DirEntry, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, fs};

use super::folder::{found, parent};
use super::journal::Step;
use super::recent::Recent;
use super::{Content, Key, Object};

/// A registry's files. Nothing that is written here is durable by itself: the journal sees to that.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// Nothing where another process may write.
    recent: Option<Recent>,
}

/// How [`Files::renew`] found a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// With these bytes.
    Done,
    /// With others.
    Differs,
    /// Not at all.
    Missing,
}

impl Files {
    /// The files in `root`. Only whoever alone writes there may remember what it has read.
    pub(super) fn new(root: &Path, is_alone: bool) -> Self {
        Self { root: root.to_owned(), recent: is_alone.then(Recent::default) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// A name for a file on its way to its place. Unique as long as the folder is locked.
    pub(super) fn temporary(&self) -> PathBuf {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        self.uploads().join(format!("{}.tmp", SERIAL.fetch_add(1, Ordering::Relaxed)))
    }

    /// Removes what a process that was killed had not brought to its place. The caller alone writes to the folder.
    pub(super) fn remove_temporaries(&self) -> Result<()> {
        self.upload_entries()?
            .iter()
            .map(DirEntry::path)
            .filter(|path| path.extension().is_some_and(|extension| extension == "tmp"))
            .try_for_each(|path| fs::remove_file(&path).map(drop))
    }

    pub(super) fn upload_entries(&self) -> Result<Vec<DirEntry>> {
        let path = self.uploads();
        std::fs::read_dir(&path)
            .and_then(Iterator::collect)
            .map_err(|error| Error::io(format_args!("cannot list {path:?}"), error))
    }

    /// The length of a file in bytes.
    pub(super) fn size(&self, key: &Key) -> Result<Option<u64>> {
        let path = self.path(key);
        found(&path, path.metadata()).map(|metadata| metadata.filter(std::fs::Metadata::is_file).map(|file| file.len()))
    }

    /// A whole file of at most `bytes_max` bytes.
    pub(super) fn get(&self, key: &Key, bytes_max: u64) -> Result<Option<Bytes>> {
        let Some(recent) = &self.recent else { return self.read(key, bytes_max) };
        let remembered = match recent.get(key) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(remembered) => remembered,
        };
        let bytes = self.read(key, bytes_max)?;
        if let Some(bytes) = &bytes {
            recent.remember(key, bytes, remembered);
        }
        Ok(bytes)
    }

    fn read(&self, key: &Key, bytes_max: u64) -> Result<Option<Bytes>> {
        match fs::read_limited(&self.path(key), bytes_max) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file to be streamed.
    pub(super) fn open(&self, key: &Key) -> Result<Option<Object>> {
        let path = self.path(key);
        let Some(file) = found(&path, File::open(&path))? else { return Ok(None) };
        let size = file.metadata().map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?.len();
        Ok(Some(Object { size, content: Content::File(Arc::new(file)) }))
    }

    /// As [`Files::open`], for content that is likely to be asked for again: short one is kept in memory.
    pub(super) fn open_again(&self, key: &Key) -> Result<Option<Object>> {
        let Some(recent) = &self.recent else { return self.open(key) };
        let of_bytes = |bytes: Bytes| Object { size: bytes.len() as u64, content: Content::Bytes(bytes) };
        let remembered = match recent.get(key) {
            Ok(bytes) => return Ok(Some(of_bytes(bytes))),
            Err(remembered) => remembered,
        };
        let object = self.open(key)?;
        let Some(Object { size, content: Content::File(file) }) = &object else { return Ok(object) };
        if *size > Recent::BYTES_MAX {
            return Ok(object);
        }
        let mut bytes = Vec::new();
        (&**file)
            .take(*size)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io(format_args!("cannot read {:?}", self.path(key)), error))?;
        let bytes = Bytes::from(bytes);
        recent.remember(key, &bytes, remembered);
        Ok(Some(of_bytes(bytes)))
    }

    /// Takes steps, in order. Returns whether the last one found a file there.
    pub(super) fn take(&self, steps: &[Step]) -> Result<bool> {
        let mut was_there = false;
        for step in steps {
            was_there = match step {
                Step::Put(key, bytes) => self.put(key, bytes).map(|()| false),
                Step::Delete(key) => fs::remove_file(&self.path(key)),
            }?;
            if let Some(recent) = &self.recent {
                recent.forget(step.key());
            }
        }
        Ok(was_there)
    }

    /// Writes the bytes of a file that has them in memory to it again, and so to the disk, which may not have them. That takes
    /// no room, and nobody sees a difference.
    pub(super) fn renew(&self, key: &Key, bytes: &[u8]) -> Result<Renewed> {
        let path = self.path(key);
        let Some(file) = found(&path, OpenOptions::new().read(true).write(true).open(&path))? else {
            return Ok(Renewed::Missing);
        };
        let mut held = Vec::with_capacity(bytes.len() + 1);
        // What cannot be read any more is other bytes, too.
        let read = (&file).take(bytes.len() as u64 + 1).read_to_end(&mut held);
        if read.is_err() || held != bytes {
            return Ok(Renewed::Differs);
        }
        fs::write_at(&file, &path, bytes, 0)?;
        fs::touch(&file);
        Ok(Renewed::Done)
    }

    /// Writes a file in one step, as new as if it had not been there.
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<()> {
        let path = self.path(key);
        if bytes.is_empty() {
            // All name: there is nothing of it that could be seen by halves.
            let file = in_directory(&path, || fs::open_or_create(&path))?;
            fs::touch(&file);
            return Ok(());
        }
        let temporary = self.temporary();
        let file = fs::open_or_create(&temporary)?;
        let placed = fs::write_at(&file, &temporary, bytes, 0)
            .and_then(|()| in_directory(&path, || fs::rename(&temporary, &path)));
        if placed.is_err() {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&temporary);
        }
        placed
    }
}

/// Makes a name; where its directory is missing, that first.
fn in_directory<T>(path: &Path, make: impl Fn() -> Result<T>) -> Result<T> {
    match make() {
        Err(error) if error.kind() == Kind::NotFound => {
            fs::create_dir_all(parent(path))?;
            make()
        }
        made => made,
    }
}
