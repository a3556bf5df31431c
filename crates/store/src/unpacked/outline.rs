//! Layers that are looked into without being unpacked: an outline each, and content only of what is asked for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use dhow_base::fs::{self as durable, FileLock};
use dhow_base::{Error, Kind, Result, threads};
use dhow_layer::Proof;
use dhow_layer::erofs::{FileStorage, Image, Keep, Union, outline};
use dhow_spec::Digest;

use super::passing::{THREADS_MAX, Unnamed, flush, remove_part};
use super::{UNPACKED_BYTES_MAX, lock_part, open_blob};
use crate::facts::Facts;
use crate::read::Layer;
use crate::store::Store;
use crate::wait;

/// A layer of an image that can be looked into.
#[derive(Clone, Debug)]
pub struct OpenLayer {
    /// The layer.
    pub layer: Layer,
    /// Its file, or its outline.
    pub image: Arc<Image<File>>,
}

impl Store {
    /// The layers of an image to be looked into, lowest first: those that are unpacked as they are, of others the outline, with the
    /// content that `keep` says where it is made now. Layers are looked at from the topmost down until `is_enough` of those above the
    /// ones that are not known yet; only those are returned then. Nothing when there is a layer that can only be unpacked.
    ///
    /// Where the store can only be read, what is made has no name and is gone when it is closed.
    ///
    /// # Errors
    /// As [`Store::unpack`].
    pub fn look_into(
        &self,
        image_id: &Digest,
        keep: &Keep,
        is_enough: &(dyn Fn(&Union<File>) -> bool + Sync),
    ) -> Result<Option<Vec<OpenLayer>>> {
        let layers = self.layers(image_id)?;
        let looking = Looking::new(self, &layers, keep, is_enough)?;
        let made = looking.todo().len();
        if made > 0 {
            if self.is_writable() {
                self.sweep_parts();
            }
            looking.work()?;
        }
        let opened = looking.finish()?;
        if let (Some(opened), true) = (&opened, made > 0 && self.is_writable()) {
            let paths = |open: &OpenLayer| {
                let paths = self.paths();
                let Layer { diff_id, chain_id, .. } = &open.layer;
                [paths.outline(diff_id), paths.unpacked(diff_id, false), paths.unpacked(chain_id, true)]
            };
            self.trim_unpacked(&opened.iter().flat_map(paths).collect(), UNPACKED_BYTES_MAX);
        }
        Ok(opened)
    }

    /// A layer with the content that `keep` says in place of its outline; with all of it, unless that outline has none: who asks a second
    /// time will ask again. Inodes have the same numbers in it.
    ///
    /// # Errors
    /// As [`Store::unpack`].
    pub fn complete(&self, open: &OpenLayer, keep: Keep) -> Result<Arc<Image<File>>> {
        let layer = &open.layer;
        let keep = if open.image.has_no_content() { keep } else { Keep::Everything };
        if keep == Keep::Everything && !open.image.needs_below() && self.is_writable() {
            return Ok(self.unpack_layer(layer, &Union::new(Vec::new()))?.image);
        }
        let never = AtomicBool::new(false);
        let made = self.outline_layer(layer, &keep, &never, &|| Ok(()))?;
        let Outline { image, unnamed } = made.ok_or_else(|| {
            Error::new(Kind::Internal, format!("the outline of layer {} cannot be filled", layer.diff_id))
        })?;
        self.name_outlines(unnamed.into_iter().collect())?;
        Ok(image)
    }

    /// What there is to look into of a layer. A damaged outline is removed.
    fn known(&self, layer: &Layer) -> Result<Option<Arc<Image<File>>>> {
        if let Some(unpacked) = self.unpacked(layer)? {
            return Ok(Some(unpacked.image));
        }
        let path = self.paths().outline(&layer.diff_id);
        let file = match durable::open(&path) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            other => other?,
        };
        match Image::open_outline(file) {
            Ok(image) if *image.diff_id() == layer.diff_id => {
                durable::touch(image.file());
                return Ok(Some(Arc::new(image)));
            }
            Ok(_) => tracing::warn!(?path, "an outline is of another layer"),
            Err(error) => tracing::warn!(?path, %error, "an outline is damaged"),
        }
        if self.is_writable() {
            durable::remove_file(&path)?;
        }
        Ok(None)
    }

    /// Makes the outline of a layer; nothing when it can have none. `before_waiting` is called where
    /// another process makes it just now.
    fn outline_layer(
        &self,
        layer: &Layer,
        keep: &Keep,
        stop: &AtomicBool,
        before_waiting: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Outline>> {
        if !self.is_writable() {
            return self.outline_apart(layer, keep, stop);
        }
        durable::create_dir_all(&self.paths().unpacked_directory())?;
        let part = self.paths().outline_part(&layer.diff_id);
        let lock = match wait::try_lock(&part)? {
            Some(lock) => lock,
            None => {
                before_waiting()?;
                lock_part(&part)?
            }
        };
        let found = self.known(layer)?.filter(|found| match keep {
            Keep::Nothing | Keep::Path(_) => true,
            Keep::At(starts) => found.has_data_at(starts),
            Keep::Everything => found.has_all_content(),
        });
        if let Some(found) = found {
            // Another process was faster.
            remove_part(&part, &lock);
            return Ok(Some(Outline { image: found, unnamed: None }));
        }
        let made = self.write_outline_part(layer, keep, stop, &part, &lock);
        if !matches!(made, Ok(Some(_))) {
            remove_part(&part, &lock);
        }
        let Some((image, tar_bytes)) = made? else { return Ok(None) };
        let unnamed = Unnamed::outline(part, layer.diff_id.clone(), lock, tar_bytes);
        Ok(Some(Outline { image, unnamed: Some(unnamed) }))
    }

    /// Makes the outline of a layer in a file without a name beside a store that nothing can be written to.
    fn outline_apart(&self, layer: &Layer, keep: &Keep, stop: &AtomicBool) -> Result<Option<Outline>> {
        let directory = &self.inner.scratch_directory;
        let scratch = || -> Result<FileStorage> {
            let made = durable::unnamed_file(directory).map(|file| FileStorage::new(file, directory));
            made.map_err(|error| {
                let context = "cannot look into a layer of a store that can only be read";
                error.context(context).with_hint("have TMPDIR name a folder that can be written to")
            })
        };
        let made = self.write_outline(layer, keep, stop, scratch()?, &scratch)?;
        let Some((target, _, _)) = made else { return Ok(None) };
        let image = Arc::new(Image::open_outline(target.into_file())?);
        Ok(Some(Outline { image, unnamed: None }))
    }

    /// Writes the outline that is to get a name, which may not be on the disk then. Returns how long the tar is as well.
    fn write_outline_part(
        &self,
        layer: &Layer,
        keep: &Keep,
        stop: &AtomicBool,
        part: &Path,
        lock: &FileLock,
    ) -> Result<Option<(Arc<Image<File>>, u64)>> {
        let file = lock.file().try_clone().map_err(|error| Error::io(format_args!("cannot open {part:?}"), error))?;
        durable::set_length(&file, part, 0)?;
        let made = self.write_outline(layer, keep, stop, FileStorage::new(file, part), &|| self.scratch_file())?;
        let Some((target, tar_bytes, proof)) = made else { return Ok(None) };
        // The flush to come finds little left to do.
        let file = target.into_file();
        durable::start_writeback(&file, 0..file.metadata().map_or(0, |metadata| metadata.len()));
        if proof == Proof::DiffId {
            self.keep_facts(&layer.blob.digest, &Facts { diff_id: layer.diff_id.clone(), size: tar_bytes });
        }
        Ok(Some((Arc::new(Image::open_outline(durable::open(part)?)?), tar_bytes)))
    }

    /// Writes an outline to a file. Returns that, how long the tar is, and how it was proven; nothing when there can be no outline.
    fn write_outline(
        &self,
        layer: &Layer,
        keep: &Keep,
        stop: &AtomicBool,
        mut target: FileStorage,
        scratch: &dyn Fn() -> Result<FileStorage>,
    ) -> Result<Option<(FileStorage, u64, Proof)>> {
        let name = format!("layer {}", layer.blob.digest);
        let blob = open_blob(self, layer).map_err(|error| error.context(&name))?;
        let proof = self.proof(&layer.blob.digest, &layer.diff_id);
        let stored = dhow_layer::Layer::new(name, &layer.diff_id, proof, Stoppable { reader: blob, stop });
        let made = outline(stored, keep, &mut target, scratch)?;
        Ok(made.map(|made| (target, made.tar_bytes, proof)))
    }

    /// Brings outlines to the disk, with one flush, and gives them their names.
    fn name_outlines(&self, unnamed: Vec<Unnamed>) -> Result<()> {
        flush(&unnamed)?;
        unnamed.into_iter().try_for_each(|mut outline| {
            let path = self.paths().outline(outline.diff_id());
            outline.give_name(&path)
        })
    }

    /// Removes the outline of a layer that is unpacked now.
    pub(super) fn drop_outline(&self, diff_id: &Digest) {
        let path = self.paths().outline(diff_id);
        if let Err(error) = durable::remove_file(&path) {
            tracing::debug!(?path, %error, "cannot remove an outline");
        }
    }
}

/// An outline, which others find once it has its name.
struct Outline {
    image: Arc<Image<File>>,
    /// What is to get the name, unless it has it.
    unnamed: Option<Unnamed>,
}

/// The layers of an image while they are looked into, several at once.
struct Looking<'a> {
    store: &'a Store,
    layers: &'a [Layer],
    keep: &'a Keep,
    is_enough: &'a (dyn Fn(&Union<File>) -> bool + Sync),
    /// Nobody needs what is still on its way.
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the number of the layer.
    images: Vec<Option<Arc<Image<File>>>>,
    /// Numbers of those that nobody has begun, the lowest first.
    todo: Vec<usize>,
    /// Outlines that get their names all at once, at the end.
    unnamed: Vec<Unnamed>,
    /// Whether they get them at once instead: where another process is waited for, it may be waiting for one of these.
    has_waited: bool,
    /// Whether there is a layer that can only be unpacked.
    has_refused: bool,
    failed: Option<Error>,
}

impl<'a> Looking<'a> {
    fn new(
        store: &'a Store,
        layers: &'a [Layer],
        keep: &'a Keep,
        is_enough: &'a (dyn Fn(&Union<File>) -> bool + Sync),
    ) -> Result<Self> {
        let state = Mutex::new(State { images: vec![None; layers.len()], ..State::default() });
        let looking = Self { store, layers, keep, is_enough, stop: AtomicBool::new(false), state };
        let mut todo: Vec<usize> = Vec::new();
        for (number, layer) in layers.iter().enumerate().rev() {
            let image = store.known(layer)?;
            if image.is_none() && todo.is_empty() && looking.is_settled() {
                return Ok(looking);
            }
            // The same layer may be there twice.
            if image.is_none() && !todo.iter().any(|other| layers[*other].diff_id == layer.diff_id) {
                todo.push(number);
            }
            looking.state().images[number] = image;
        }
        todo.reverse();
        looking.state().todo = todo;
        Ok(looking)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn todo(&self) -> Vec<usize> {
        self.state().todo.clone()
    }

    /// Whether what is known of the topmost layers is enough.
    fn is_settled(&self) -> bool {
        let images = self.topmost();
        !images.is_empty() && (self.is_enough)(&Union::new(images))
    }

    /// The topmost layers that are known, the lowest of them first.
    fn topmost(&self) -> Vec<Arc<Image<File>>> {
        let mut images: Vec<_> = self.state().images.iter().rev().map_while(Clone::clone).collect();
        images.reverse();
        images
    }

    /// Makes what is missing: one thread from the topmost down, since that may be enough, the others the largest first, so that none
    /// has to be waited for at the end.
    fn work(&self) -> Result<()> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(self.todo().len());
        thread::scope(|scope| {
            let start = |number| threads::start_in(scope, "look", move || self.take_all(number == 0));
            let threads: Vec<_> = (0..count).map_while(|number| start(number).ok()).collect();
            if threads.is_empty() {
                self.take_all(true);
            }
            let joined: Vec<bool> = threads.into_iter().map(|thread| thread.join().is_ok()).collect();
            match joined.iter().all(|has_ended| *has_ended) {
                true => Ok(()),
                false => Err(Error::new(Kind::Internal, "a thread that looks into a layer panicked")),
            }
        })
    }

    fn take_all(&self, from_above: bool) {
        while let Some(number) = self.take(from_above) {
            let hand_over = || self.hand_over();
            let made = self.store.outline_layer(&self.layers[number], self.keep, &self.stop, &hand_over);
            let made = made.and_then(|made| match made {
                Some(Outline { image, unnamed }) => self.put(unnamed).map(|()| Some(image)),
                None => Ok(None),
            });
            let mut state = self.state();
            match made {
                Ok(Some(image)) => {
                    for (slot, layer) in state.images.iter_mut().zip(self.layers) {
                        if layer.diff_id == self.layers[number].diff_id {
                            slot.get_or_insert_with(|| image.clone());
                        }
                    }
                    drop(state);
                    if self.is_settled() {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    continue;
                }
                Ok(None) => state.has_refused = true,
                // What was stopped failed for no other reason.
                Err(_) if self.stop.load(Ordering::Relaxed) => {}
                Err(error) => state.failed = Some(error),
            }
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps an outline to be named with the others.
    fn put(&self, unnamed: Option<Unnamed>) -> Result<()> {
        let mut state = self.state();
        state.unnamed.extend(unnamed);
        if state.has_waited {
            let unnamed = std::mem::take(&mut state.unnamed);
            drop(state);
            return self.store.name_outlines(unnamed);
        }
        Ok(())
    }

    /// Names what is made so far, and from now on whatever is made.
    fn hand_over(&self) -> Result<()> {
        self.state().has_waited = true;
        self.put(None)
    }

    fn take(&self, from_above: bool) -> Option<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state();
        if from_above {
            return state.todo.pop();
        }
        let largest = (0..state.todo.len()).max_by_key(|at| self.layers[state.todo[*at]].blob.size)?;
        Some(state.todo.remove(largest))
    }

    fn finish(self) -> Result<Option<Vec<OpenLayer>>> {
        let State { images, unnamed, has_refused, failed, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if has_refused && failed.is_none() {
            // All layers are unpacked then.
            return Ok(None);
        }
        let named = self.store.name_outlines(unnamed);
        failed.map_or(named, Err)?;
        let known = images.into_iter().zip(self.layers).rev();
        let open = |(image, layer): (Option<_>, &Layer)| image.map(|image| OpenLayer { layer: layer.clone(), image });
        let mut opened: Vec<OpenLayer> = known.map_while(open).collect();
        opened.reverse();
        Ok(Some(opened))
    }
}

/// Ends with an error when nobody needs what is read any more.
struct Stoppable<'s, R> {
    reader: R,
    stop: &'s AtomicBool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("it is not needed any more"));
        }
        self.reader.read(buffer)
    }
}
