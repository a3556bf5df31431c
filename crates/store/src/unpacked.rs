//! Unpacked layers: one file each below `layers/`, made when it is first needed and shared by all images. Only a cache.

mod outline;
mod passing;
mod stack;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use dhow_base::fs::{self as durable, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::{FileStorage, Image, Union, Workspace, convert};
use dhow_layer::{Decoder, Limits, decode_error};
use dhow_spec::Digest;

use rusqlite::Connection;

use crate::db::Step;
use crate::facts::Facts;
use crate::find::text_at;
use crate::read::{Layer, MEND};
use crate::session::Session;
use crate::store::Store;
use crate::wait;

pub use outline::OpenLayer;
use passing::Finished;
pub(crate) use passing::{Passing, Unnamed};
pub use stack::Stacked;

/// Bytes on disk that unpacked layers may take; what was not used for longest goes first.
pub const UNPACKED_BYTES_MAX: u64 = 32 << 30;

/// How long to wait for another process that unpacks the same layer.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A layer of an image, unpacked.
#[derive(Clone, Debug)]
pub struct UnpackedLayer {
    /// Reads it.
    pub image: Arc<Image<File>>,
    /// The file, for the kernel to mount.
    pub path: PathBuf,
}

impl Store {
    /// The layers of an image as files, lowest first. Those that are not unpacked yet are, each in one pass and proven
    /// against its diff ID before it gets its name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the image or a layer is not here, [`Kind::Corrupt`] when a layer is not what the config says,
    /// [`Kind::Denied`] when the store can only be read and something is missing.
    pub fn unpack(&self, image_id: &Digest) -> Result<Vec<UnpackedLayer>> {
        self.unpack_with(image_id, &mut Vec::new())
    }

    /// As [`Store::unpack`], with the tars of layers that passed and need those below.
    fn unpack_with(&self, image_id: &Digest, tars: &mut Vec<Unnamed>) -> Result<Vec<UnpackedLayer>> {
        let layers = self.layers(image_id)?;
        let mut known = layers.iter().map(|layer| self.unpacked(layer)).collect::<Result<Vec<_>>>()?;
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().collect());
        }
        let missing: Vec<&Layer> =
            layers.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(layer, _)| layer).collect();
        let has_made = self.unpack_together(&missing, tars);
        if has_made {
            for (layer, known) in layers.iter().zip(&mut known).filter(|(_, known)| known.is_none()) {
                *known = self.unpacked(layer)?;
            }
        }
        self.unpack_rest(&layers, known, tars)
    }

    /// Unpacks what is not known, one layer after the other, each above those that are there.
    fn unpack_rest(
        &self,
        layers: &[Layer],
        known: Vec<Option<UnpackedLayer>>,
        tars: &mut Vec<Unnamed>,
    ) -> Result<Vec<UnpackedLayer>> {
        let mut unpacked: Vec<UnpackedLayer> = Vec::new();
        let mut finished: Vec<Finished> = Vec::new();
        for (layer, known) in layers.iter().zip(known) {
            let below = union(&unpacked);
            let next = match known {
                Some(known) => known,
                None => match self.finish_kept(layer, &below, tars) {
                    Some(made) => {
                        let next = made.layer.clone();
                        finished.push(made);
                        next
                    }
                    None => self.unpack_layer(layer, &below)?,
                },
            };
            unpacked.push(next);
        }
        self.name_finished(finished)?;
        let used = unpacked.iter().map(|layer| layer.path.clone()).collect();
        self.trim_unpacked(&used, UNPACKED_BYTES_MAX);
        Ok(unpacked)
    }

    /// The file of a layer if there is one. A damaged one is removed.
    fn unpacked(&self, layer: &Layer) -> Result<Option<UnpackedLayer>> {
        for (id, needs_below) in [(&layer.diff_id, false), (&layer.chain_id, true)] {
            let path = self.paths().unpacked(id, needs_below);
            let file = match durable::open(&path) {
                Err(error) if error.kind() == Kind::NotFound => continue,
                other => other?,
            };
            match Image::open(file) {
                Ok(image) if *image.diff_id() == layer.diff_id && image.needs_below() == needs_below => {
                    if image.file().metadata().is_ok_and(|metadata| metadata.len() == image.bytes()) {
                        durable::touch(image.file());
                        return Ok(Some(UnpackedLayer { image: Arc::new(image), path }));
                    }
                    tracing::warn!(?path, "an unpacked layer is not whole");
                }
                Ok(_) => tracing::warn!(?path, "an unpacked layer is of another layer"),
                Err(error) => tracing::warn!(?path, %error, "an unpacked layer is damaged"),
            }
            if self.is_writable() {
                durable::remove_file(&path)?;
            }
        }
        Ok(None)
    }

    fn unpack_layer(&self, layer: &Layer, below: &Union<File>) -> Result<UnpackedLayer> {
        self.require_writable().map_err(|error| error.context("cannot unpack a layer"))?;
        durable::create_dir_all(&self.paths().unpacked_directory())?;
        let part = self.paths().unpacked_part(&layer.diff_id);
        let lock = lock_part(&part)?;
        if let Some(found) = self.unpacked(layer)? {
            // Another process was faster.
            durable::remove_file(&part)?;
            return Ok(found);
        }
        let made = self.write_layer(layer, below, &part, &lock);
        if made.is_err() {
            let _ = durable::remove_file(&part);
        }
        let digest = &layer.blob.digest;
        made.map_err(|error| self.told_of(digest, error.context(format_args!("layer {digest}"))))?;
        let message =
            || Error::new(Kind::Internal, format!("the unpacked layer {} cannot be read back", layer.diff_id));
        self.unpacked(layer)?.ok_or_else(message)
    }

    fn write_layer(&self, layer: &Layer, below: &Union<File>, part: &Path, lock: &FileLock) -> Result<()> {
        let blob = open_blob(self, layer)?;
        let clone =
            |file: &File| file.try_clone().map_err(|error| Error::io(format_args!("cannot open {part:?}"), error));
        let mut target = FileStorage::new(clone(lock.file())?, part);
        durable::set_length(lock.file(), part, 0)?;
        let stream = Decoder::new(blob, Limits::LAYER).map_err(|error| decode_error("cannot inflate layer", error))?;
        let scratch = || self.scratch_file();
        let workspace = Workspace { target: &mut target, scratch: &scratch, below };
        let converted = convert(stream, &layer.diff_id, workspace)?;
        durable::flush(&[(part.to_owned(), target.into_file())], &[])?;
        let needs_below = converted.summary.needs_below;
        let id = if needs_below { &layer.chain_id } else { &layer.diff_id };
        durable::rename(part, &self.paths().unpacked(id, needs_below))?;
        self.drop_outline(&layer.diff_id);
        self.keep_facts(&layer.blob.digest, &Facts { diff_id: layer.diff_id.clone(), size: converted.tar_bytes });
        Ok(())
    }

    /// A file without a name.
    fn scratch_file(&self) -> Result<FileStorage> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = self.paths().unpacked_directory().join(format!("scratch-{}-{serial}", std::process::id()));
        let file = durable::open_or_create(&path)?;
        durable::remove_file(&path)?;
        Ok(FileStorage::new(file, &path))
    }

    /// Removes what was not used for longest until no more than `bytes_max` are left, but nothing of `used`. Whoever has a
    /// file open or mounted keeps it.
    fn trim_unpacked(&self, used: &HashSet<PathBuf>, bytes_max: u64) {
        let mut files = self.unpacked_files();
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        files.sort_by_key(|file| file.used);
        for file in files.iter().filter(|file| file.digest.is_some() && !used.contains(&file.path)) {
            if bytes <= bytes_max {
                break;
            }
            if durable::remove_file(&file.path).is_ok() {
                bytes -= file.bytes;
            }
        }
    }

    /// Removes the layers that no image has, and what a crash left. Returns the bytes on disk that they had.
    pub(crate) fn drop_unpacked(&self) -> u64 {
        let files = self.unpacked_files();
        let digests = files.iter().filter_map(|file| file.digest.as_ref());
        // What cannot be asked stays.
        let unneeded = self.read_rows(|connection| unneeded(connection, digests)).unwrap_or_default();
        let mut freed = 0;
        for file in &files {
            // Somebody unpacks it just now, unless the lock is free.
            let lock = match &file.digest {
                Some(_) => None,
                None => wait::try_lock(&file.path).ok().flatten(),
            };
            let is_unneeded = file.digest.as_ref().is_some_and(|digest| unneeded.contains(digest.as_str()));
            if (is_unneeded || lock.is_some()) && matches!(durable::remove_file(&file.path), Ok(true)) {
                freed += file.bytes;
            }
        }
        self.sweep_trees();
        freed + self.drop_trees()
    }

    /// Moves trees that no image has into the trash, from where they are removed in the background.
    fn drop_trees(&self) -> u64 {
        let trees = self.known_trees();
        let chain_ids = trees.iter().map(|tree| &tree.chain_id);
        let unneeded = self.read_rows(|connection| unneeded(connection, chain_ids)).unwrap_or_default();
        let gone = trees.iter().filter(|tree| unneeded.contains(tree.chain_id.as_str()));
        gone.filter(|tree| self.trash_tree(&tree.path).is_ok()).map(|tree| tree.bytes).sum()
    }

    /// Unpacked layers and trees, by diff ID or chain ID, with the bytes that they have on disk.
    pub fn unpacked_layers(&self) -> Vec<(Digest, u64)> {
        let files = self.unpacked_files().into_iter().filter_map(|file| Some((file.digest?, file.bytes)));
        files.chain(self.known_trees().into_iter().map(|tree| (tree.chain_id, tree.bytes))).collect()
    }

    fn unpacked_files(&self) -> Vec<UnpackedFile> {
        let entries = fs::read_dir(self.paths().unpacked_directory()).into_iter().flatten().flatten();
        let file = |entry: fs::DirEntry| {
            let metadata = entry.metadata().ok()?;
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let digest = digest_of(&entry.file_name());
            Some(UnpackedFile { path: entry.path(), digest, used, bytes: metadata.blocks() * 512 })
        };
        entries.filter_map(file).collect()
    }
}

impl Session {
    /// As [`Store::unpack`], of what came through this session: the tars of layers that need those below were kept, so that
    /// nothing is inflated twice.
    ///
    /// # Errors
    /// As [`Store::unpack`].
    pub fn unpack(&self, image_id: &Digest) -> Result<Vec<UnpackedLayer>> {
        let mut tars = self.lease.take_unnamed(false);
        let unpacked = self.store().unpack_with(image_id, &mut tars);
        // Other images of this session may have them too.
        tars.into_iter().for_each(|tar| self.lease.keep_unnamed(tar));
        unpacked
    }
}

/// Those of the layers, by diff ID or chain ID, that no image has. One pass over the layers of images, until all are found.
pub(crate) fn unneeded<'d>(
    connection: &Connection,
    digests: impl Iterator<Item = &'d Digest>,
) -> Step<HashSet<&'d str>> {
    let mut unneeded: HashSet<&str> = digests.map(Digest::as_str).collect();
    if unneeded.is_empty() {
        return Ok(unneeded);
    }
    let mut select = connection.prepare_cached("SELECT diff_id, chain_id FROM image_layer")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        unneeded.remove(text_at(row, 0)?);
        unneeded.remove(text_at(row, 1)?);
        if unneeded.is_empty() {
            break;
        }
    }
    Ok(unneeded)
}

/// A file below `layers/`.
struct UnpackedFile {
    path: PathBuf,
    /// Its layer; none for what is unpacked just now.
    digest: Option<Digest>,
    used: SystemTime,
    bytes: u64,
}

/// Reads unpacked layers as one file system.
pub fn union(layers: &[UnpackedLayer]) -> Union<File> {
    Union::new(layers.iter().map(|layer| layer.image.clone()).collect())
}

/// The blob of a layer, which is read from its beginning.
fn open_blob(store: &Store, layer: &Layer) -> Result<File> {
    match durable::open(&store.paths().blob(&layer.blob.digest)) {
        Err(error) if error.kind() == Kind::NotFound => {
            Err(Error::new(Kind::NotFound, "it is not in the store").with_hint(MEND))
        }
        other => other,
    }
}

/// The diff ID or chain ID in a file's name.
fn digest_of(name: &OsString) -> Option<Digest> {
    let name = name.to_str()?;
    let name = name.strip_suffix(".erofs").or_else(|| name.strip_suffix(".outline"))?;
    let name = name.strip_suffix(".chain").or_else(|| name.strip_suffix(".stack")).unwrap_or(name);
    Digest::parse(&name.replacen('-', ":", 1)).ok()
}

/// Locks the file in which a layer comes into being.
fn lock_part(part: &Path) -> Result<FileLock> {
    loop {
        let lock = FileLock::acquire(part, LockMode::Exclusive, PATIENCE)?;
        let locked = lock.file().metadata().map_err(|error| Error::io(format_args!("cannot read {part:?}"), error))?;
        // Whoever had the lock before may have given the file its final name in the meantime: it is theirs then.
        if fs::metadata(part).is_ok_and(|named| named.ino() == locked.ino()) {
            return Ok(lock);
        }
    }
}
