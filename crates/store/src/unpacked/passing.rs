//! Layers that become files, or outlines, while they arrive, or several at once: each without knowing what lies below it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dhow_base::fs::{self as durable, FileLock};
use dhow_base::{Error, Result, threads};
use dhow_layer::erofs::{FileStorage, Form, Image, ReadAt, Storage, Union, Workspace, convert_kept, convert_passing};
use dhow_layer::{Decoder, Limits, Uncompressed, decode_error, uncompressed_digest};
use dhow_spec::Digest;
use dhow_spec::digest::Algorithm;

use super::UnpackedLayer;
use crate::facts::Facts;
use crate::read::Layer;
use crate::store::Store;
use crate::wait;

/// How much is written before the disk is asked to take it.
const WRITEBACK_BYTES: u64 = 16 << 20;

/// Most layers that are unpacked, or looked into, at once.
pub(super) const THREADS_MAX: usize = 4;

/// A layer's file, or its outline, that has no name yet, because it may not be on the disk; dropped like that, it is removed.
#[derive(Debug)]
pub(crate) struct Unnamed {
    part: PathBuf,
    diff_id: Digest,
    lock: FileLock,
    /// Length of the tar in it.
    tar_bytes: u64,
    form: Form,
    /// Whether the file only lacks a name. If not there is the tar alone: the layer needs those below it.
    is_whole: bool,
    is_named: bool,
}

/// What is made of layers while they arrive.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    pub(crate) store: Store,
    pub(crate) form: Form,
}

impl Unnamed {
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn is_of(&self, layer: &Layer) -> bool {
        self.diff_id == layer.diff_id
    }

    /// Takes an outline.
    pub(super) fn outline(part: PathBuf, diff_id: Digest, lock: FileLock, tar_bytes: u64) -> Self {
        Self { part, diff_id, lock, tar_bytes, form: Form::Outline, is_whole: true, is_named: false }
    }

    pub(super) fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Gives it its name, once it is on the disk.
    pub(super) fn give_name(&mut self, path: &Path) -> Result<()> {
        durable::rename(&self.part, path)?;
        self.is_named = true;
        Ok(())
    }

    fn named(&self) -> Result<(PathBuf, File)> {
        let file = self.lock.file().try_clone();
        let file = file.map_err(|error| Error::io(format_args!("cannot open {:?}", self.part), error))?;
        Ok((self.part.clone(), file))
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.is_named {
            remove_part(&self.part, &self.lock);
        }
    }
}

/// A layer file that is whole, and can be read, but has no name yet.
pub(super) struct Finished {
    pub(super) layer: UnpackedLayer,
    unnamed: Unnamed,
}

/// What there is of a layer's file when its stream has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// All of it.
    Whole,
    /// The tar: what it takes from the layers below is not known yet.
    Tar,
    /// Nothing of use.
    Nothing,
}

/// Brings files to the disk, all together.
pub(super) fn flush(unnamed: &[Unnamed]) -> Result<()> {
    let files = unnamed.iter().map(Unnamed::named).collect::<Result<Vec<_>>>()?;
    if files.is_empty() { Ok(()) } else { durable::flush(&files, &[]) }
}

/// Removes a file that came to nothing, unless it has its name by now.
pub(super) fn remove_part(part: &Path, lock: &FileLock) {
    if wait::is_at(lock.file(), part)
        && let Err(error) = durable::remove_file(part)
    {
        tracing::debug!(?part, %error, "cannot remove the beginning of an unpacked layer");
    }
}

impl Passing {
    /// Works out what a blob inflates to, and on the way writes the layer's file, where it says everything itself, else its tar; or its
    /// outline, if it can have one.
    ///
    /// # Errors
    /// Those of inflating. That there is no file is none: it is made when all layers are here, and then says why not.
    pub(crate) fn pass(&self, blob: &Digest, stream: impl Read) -> Result<(Uncompressed, Option<Unnamed>)> {
        let Some((part, lock)) = self.store.begin_passing(blob, self.form) else {
            return Ok((uncompressed_digest(stream, Limits::LAYER)?, None));
        };
        let made = self.convert(stream, &part, &lock);
        match made {
            Ok((uncompressed, Left::Nothing)) => {
                remove_part(&part, &lock);
                Ok((uncompressed, None))
            }
            Ok((uncompressed, passed)) => {
                let is_whole = passed == Left::Whole;
                let (tar_bytes, diff_id) = (uncompressed.size, uncompressed.diff_id.clone());
                let form = self.form;
                Ok((uncompressed, Some(Unnamed { part, diff_id, lock, tar_bytes, form, is_whole, is_named: false })))
            }
            Err(error) => {
                remove_part(&part, &lock);
                Err(error)
            }
        }
    }

    fn convert(&self, stream: impl Read, part: &Path, lock: &FileLock) -> Result<(Uncompressed, Left)> {
        let file = lock.file().try_clone();
        let file = file.map_err(|error| Error::io(format_args!("cannot open {part:?}"), error))?;
        let failed = |error| decode_error("cannot inflate layer", error);
        // The digest of the content proves it.
        let mut decoder = Decoder::new(stream, Limits::LAYER).map_err(failed)?.ignoring_checksums();
        let mut target = Target::Part(WritingBack::new(file, part)?);
        let scratch = || self.store.scratch_file().map(Target::Scratch);
        let passed = convert_passing(&mut decoder, Algorithm::Sha256, self.form, &mut target, &scratch)?;
        let left = match &passed.made {
            Ok(()) => Left::Whole,
            Err(_) if passed.needs_below && self.form == Form::File => Left::Tar,
            Err(error) => {
                tracing::debug!(diff_id = %passed.diff_id, form = ?self.form, %error, "nothing was made of a layer on its way in");
                Left::Nothing
            }
        };
        let compression = decoder.compression();
        Ok((Uncompressed { compression, diff_id: passed.diff_id, size: passed.tar_bytes }, left))
    }
}

impl Store {
    /// Opens the file in which a layer comes into being; nothing when it is not needed or cannot be had.
    fn begin_passing(&self, blob: &Digest, form: Form) -> Option<(PathBuf, FileLock)> {
        let is_known = self.facts(blob).is_some_and(|facts| self.has_passed(&facts.diff_id, form));
        if !self.is_writable() || is_known {
            return None;
        }
        durable::create_dir_all(&self.paths().unpacked_directory()).ok()?;
        let part = self.paths().passing_part(blob);
        let lock = wait::try_lock(&part).ok().flatten()?;
        durable::set_length(lock.file(), &part, 0).ok()?;
        Some((part, lock))
    }

    /// Whether what would be made of a layer as it passes is there: its file, or, where an outline is wanted, one of both.
    fn has_passed(&self, diff_id: &Digest, form: Form) -> bool {
        self.paths().unpacked(diff_id, false).exists()
            || form == Form::Outline && self.paths().outline(diff_id).exists()
    }

    /// Gives files that are on the disk now their names. They are a cache: what cannot be named is made anew.
    pub(crate) fn name_passed(&self, unnamed: Vec<Unnamed>) {
        for mut layer in unnamed {
            let named = match layer.form {
                Form::File => layer
                    .give_name(&self.paths().unpacked(&layer.diff_id, false))
                    .inspect(|()| self.drop_outline(&layer.diff_id)),
                // One that is there may have content.
                Form::Outline if self.has_passed(&layer.diff_id, Form::Outline) => Ok(()),
                Form::Outline => layer.give_name(&self.paths().outline(&layer.diff_id)),
            };
            if let Err(error) = named {
                tracing::warn!(part = ?layer.part, %error, "cannot name what was made of a layer");
            }
        }
    }

    /// Unpacks layers, several at once, as far as they need nothing of each other; with one flush for all. Those that do are left
    /// in `tars`. Returns whether any got its name. What fails here is tried again by who needs it.
    pub(super) fn unpack_together(&self, missing: &[&Layer], tars: &mut Vec<Unnamed>) -> bool {
        if missing.is_empty() || !self.is_writable() {
            return false;
        }
        self.sweep_parts();
        let is_kept = |layer: &&&Layer| tars.iter().any(|tar| tar.is_of(layer));
        let missing: Vec<&Layer> = missing.iter().filter(|layer| !is_kept(layer)).copied().collect();
        if missing.len() < 2 {
            return false;
        }
        let next = AtomicUsize::new(0);
        let work = || -> Vec<Unnamed> {
            std::iter::from_fn(|| missing.get(next.fetch_add(1, Ordering::Relaxed)))
                .filter_map(|layer| self.unpack_alone(layer))
                .collect()
        };
        let count = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(missing.len());
        let made: Vec<Unnamed> = thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map_while(|_| threads::start_in(scope, "unpack", work).ok()).collect();
            if threads.is_empty() {
                return work();
            }
            threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
        });
        let (whole, tar_only): (Vec<Unnamed>, Vec<Unnamed>) = made.into_iter().partition(Unnamed::is_whole);
        tars.extend(tar_only);
        match flush(&whole) {
            Ok(()) => {
                let has_made = !whole.is_empty();
                self.name_passed(whole);
                has_made
            }
            Err(error) => {
                tracing::warn!(%error, "cannot flush unpacked layers");
                false
            }
        }
    }

    /// Makes the file of a layer of its tar, if that is among those that were kept, above the layers below it. The file has no
    /// name yet. What fails is tried again from the blob.
    pub(super) fn finish_kept(&self, layer: &Layer, below: &Union<File>, tars: &mut Vec<Unnamed>) -> Option<Finished> {
        let unnamed = tars.swap_remove(tars.iter().position(|tar| tar.is_of(layer))?);
        let finish = || -> Result<Finished> {
            let mut target = FileStorage::new(unnamed.named()?.1, &unnamed.part);
            let scratch = || self.scratch_file();
            let workspace = Workspace { target: &mut target, scratch: &scratch, below };
            let needs_below = convert_kept(&layer.diff_id, unnamed.tar_bytes, workspace)?.summary.needs_below;
            let id = if needs_below { &layer.chain_id } else { &layer.diff_id };
            let image = Arc::new(Image::open(durable::open(&unnamed.part)?)?);
            let path = self.paths().unpacked(id, needs_below);
            Ok(Finished { layer: UnpackedLayer { image, path }, unnamed })
        };
        let finished = finish();
        finished.inspect_err(|error| tracing::debug!(diff_id = %layer.diff_id, %error, "cannot use a kept tar")).ok()
    }

    /// Brings finished files to the disk, with one flush, and gives them their names.
    pub(super) fn name_finished(&self, finished: Vec<Finished>) -> Result<()> {
        let (paths, unnamed): (Vec<PathBuf>, Vec<Unnamed>) =
            finished.into_iter().map(|finished| (finished.layer.path, finished.unnamed)).unzip();
        flush(&unnamed)?;
        for (path, mut unnamed) in paths.iter().zip(unnamed) {
            unnamed.give_name(path)?;
            self.drop_outline(&unnamed.diff_id);
        }
        Ok(())
    }

    fn unpack_alone(&self, layer: &Layer) -> Option<Unnamed> {
        let file = durable::open(&self.paths().blob(&layer.blob.digest)).ok()?;
        let passing = Passing { store: self.clone(), form: Form::File };
        let (uncompressed, unnamed) = passing.pass(&layer.blob.digest, file).ok()?;
        if uncompressed.diff_id != layer.diff_id {
            return None;
        }
        self.keep_facts(&layer.blob.digest, &Facts::from(&uncompressed));
        unnamed
    }

    /// Removes what runs that were killed left of layers under way.
    pub(crate) fn sweep_parts(&self) {
        for file in self.unpacked_files().iter().filter(|file| file.digest.is_none()) {
            if let Ok(Some(_lock)) = wait::try_lock(&file.path) {
                let _ = durable::remove_file(&file.path);
            }
        }
    }
}

/// Where a layer is written to.
enum Target {
    Part(WritingBack),
    Scratch(FileStorage),
}

impl ReadAt for Target {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Part(part) => part.storage.read_at(buffer, offset),
            Self::Scratch(scratch) => scratch.read_at(buffer, offset),
        }
    }
}

impl Storage for Target {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        match self {
            Self::Part(part) => part.write_at(bytes, offset),
            Self::Scratch(scratch) => scratch.write_at(bytes, offset),
        }
    }

    fn set_length(&mut self, length: u64) -> Result<()> {
        match self {
            Self::Part(part) => part.storage.set_length(length),
            Self::Scratch(scratch) => scratch.set_length(length),
        }
    }
}

/// A file that is handed to the disk by and by, so that the flush at the end waits less.
struct WritingBack {
    storage: FileStorage,
    file: File,
    /// Up to where the disk was asked to take it.
    asked: u64,
}

impl WritingBack {
    fn new(file: File, path: &Path) -> Result<Self> {
        let other = file.try_clone();
        let other = other.map_err(|error| Error::io(format_args!("cannot open {path:?}"), error))?;
        Ok(Self { storage: FileStorage::new(file, path), file: other, asked: 0 })
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.storage.write_at(bytes, offset)?;
        let end = offset + bytes.len() as u64;
        if end >= self.asked + WRITEBACK_BYTES {
            durable::start_writeback(&self.file, self.asked..end);
            self.asked = end;
        }
        Ok(())
    }
}
