//! `unpack`: the files of an image into a directory.

mod place;

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use dhow_base::beneath::Dir;
use dhow_base::progress::{Event, Observer};
use dhow_base::{Error, Kind, Result};
use dhow_content::{LocalBlob, Source, about};
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{Unpacked, Unpacker};
use dhow_layer::{Layer, inflate_in_order};
use dhow_spec::{Descriptor, Digest, ImageManifest, Platform};
use dhow_store::{Found, Session, Store};

pub use dhow_layer::unpack::{IdMap, IdRange, Note, Owners};

use crate::content_error::explain_stored;
use crate::context::Context;
use crate::held::hold;
use crate::last_use;
use crate::select;
use place::{Existing, Pending};

/// What to unpack, where to, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Anything that stands for an image of the store.
    pub image: String,
    /// Which platform of a multi-platform image; nothing for the one that lists show.
    pub platform: Option<Platform>,
    /// The directory, which must not exist or be empty.
    pub target: PathBuf,
    /// Whether a directory that is not empty is replaced.
    pub force: bool,
    /// Whom the files belong to.
    pub owners: Owners,
}

/// What was unpacked.
#[derive(Clone, Debug)]
pub struct Done {
    /// The image.
    pub image_id: Digest,
    /// Its layers.
    pub layers: usize,
    /// Entries of all layers.
    pub entries: u64,
    /// What could not be made as the layers say.
    pub notes: Vec<Note>,
}

/// Unpacks an image. The directory appears under its name when everything is in it and on the disk; until then, and when it
/// fails, nothing has changed there.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when nothing has the name; [`Kind::AlreadyExists`] when something is in the way;
/// those of the layers, with layer and entry.
pub fn unpack(context: &Context, request: &Request, observer: &dyn Observer) -> Result<Done> {
    let session = context.store()?.begin("unpack")?;
    let find = || select::find(context, &request.image, request.platform.as_ref());
    let found = hold(find, |found| session.pin(&found.manifest))?;
    let existing = if request.force { Existing::Replace } else { Existing::Refuse };
    let (pending, work) = Pending::new(&without_slash(&request.target), existing)?;
    let (unpacked, layers) = unpack_into(&session, &found, work, request.owners.clone(), Flush::Now, observer)
        .map_err(|error| explain_stored(session.store(), &request.image, &found.manifest, error))?;
    pending.place(existing)?;
    last_use::note(session.store(), [&found.image_id]);
    Ok(Done { image_id: found.image_id, layers, entries: unpacked.entries, notes: unpacked.notes })
}

/// Whether what is unpacked is written to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Before the call returns.
    Now,
    /// Not at all: nobody needs it after a power cut.
    Never,
}

/// The manifest of an image, which must have a file system.
///
/// # Errors
/// [`Kind::Unsupported`] for an artifact.
pub(crate) fn image_manifest(store: &Store, found: &Found) -> Result<ImageManifest> {
    let document = store.document(&found.manifest.digest)?;
    document.document().as_manifest().filter(|manifest| manifest.is_image()).cloned().ok_or_else(|| {
        let message = format!("{} is an artifact, which has no file system", found.image_id);
        Error::new(Kind::Unsupported, message).with_hint("dhow artifact pull fetches its files")
    })
}

/// Unpacks all layers of a pinned image into an empty directory; returns how many there were.
pub(crate) fn unpack_into(
    session: &Session,
    found: &Found,
    work: Dir,
    owners: Owners,
    flush: Flush,
    observer: &dyn Observer,
) -> Result<(Unpacked, usize)> {
    let store = session.store();
    let manifest = image_manifest(store, found)?;
    let diff_ids = store.config(&found.image_id)?.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let message = format!("the config names {} layers, the manifest {}", diff_ids.len(), manifest.layers.len());
        return Err(Error::new(Kind::Corrupt, message));
    }
    for layer in &manifest.layers {
        observer.event(Event::Queued { digest: layer.digest.as_str(), size: layer.size });
    }
    let unpacker = Unpacker::new(work, owners)?;
    let mut unpacker = if flush == Flush::Now { unpacker.writing_back() } else { unpacker };
    thread::scope(|scope| -> Result<()> {
        let stored = manifest.layers.iter().zip(&diff_ids);
        let stored = stored.map(|(layer, diff_id)| stored_layer(session, layer, diff_id, observer));
        for (layer, inflating) in manifest.layers.iter().zip(inflate_in_order(scope, stored)) {
            let name = name_of(layer);
            let unpack = |stream| unpacker.layer(stream, &name, TarLimits::LAYER);
            inflating.and_then(|inflating| inflating.consume(unpack)).map_err(|error| about(&layer.digest, error))?;
            observer.event(Event::Done { digest: layer.digest.as_str() });
        }
        Ok(())
    })?;
    let unpacked = unpacker.finish()?;
    if flush == Flush::Now {
        unpacked.root.sync_file_system().map_err(|error| Error::io("cannot write the files to the disk", error))?;
    }
    Ok((unpacked, manifest.layers.len()))
}

/// A layer of a pinned image.
fn local(session: &Session, layer: &Descriptor) -> Result<LocalBlob> {
    session.local(layer).ok_or_else(|| {
        let message = format!("layer {} is not here", layer.digest);
        Error::new(Kind::NotFound, message).with_hint("pull the image again")
    })
}

/// The layer as what inflates it wants it, which opens it: of many layers few are open at a time.
fn stored_layer<'a>(
    session: &'a Session,
    layer: &'a Descriptor,
    diff_id: &'a Digest,
    observer: &'a dyn Observer,
) -> Layer<'a> {
    let proof = session.store().proof(&layer.digest, diff_id);
    let open = Box::new(move || -> Result<Box<dyn Read + Send + 'a>> {
        let blob = local(session, layer)?;
        Ok(Box::new(Counted { blob, done: 0, digest: layer.digest.as_str(), observer }))
    });
    Layer { name: name_of(layer), diff_id, proof, open }
}

/// What errors call a layer.
fn name_of(layer: &Descriptor) -> String {
    format!("layer {}", layer.digest)
}

/// A trailing slash says nothing about which directory is meant.
fn without_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Counts what is read of a blob, for the observer.
struct Counted<'a> {
    blob: LocalBlob,
    /// Bytes so far.
    done: u64,
    digest: &'a str,
    observer: &'a dyn Observer,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let LocalBlob { file, offset, length, .. } = &self.blob;
        let want = usize::try_from(length - self.done).unwrap_or(usize::MAX).min(buffer.len());
        let count = file.read_at(&mut buffer[..want], offset + self.done)?;
        self.done += count as u64;
        self.observer.event(Event::Moved { digest: self.digest, done: self.done, total: *length });
        Ok(count)
    }
}
