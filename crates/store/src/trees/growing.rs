//! Trees that grow while the layers of their image arrive: a layer is inflated once, into the tree, as soon as those below it are
//! there, behind whoever fetches it. What comes of it proves diff IDs as well.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result, priority};
use dhow_content::VerifiedDocument;
use dhow_layer::chain::chain_ids;
use dhow_layer::{Proof, Uncompressed};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Digest, ImageManifest};

use super::{LOCK_SUFFIX, LayerSource, Ownership, beside, known};
use crate::ingest::Tail;
use crate::read::Layer;
use crate::store::Store;
use crate::wait;

/// The trees of one session, and the blobs that arrive for them.
#[derive(Debug)]
pub(crate) struct Growing {
    ownership: Ownership,
    arrivals: Arc<Arrivals>,
    maker: Mutex<Option<Maker>>,
}

/// The thread that makes them, one after the other.
#[derive(Debug)]
struct Maker {
    manifests: Sender<ImageManifest>,
    thread: JoinHandle<()>,
}

/// What has arrived so far.
#[derive(Debug, Default)]
struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
    is_given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Arrival>,
    /// Layers that are inflated here.
    layers: HashSet<Digest>,
    /// What layers inflate to. Their bytes may still have to be proven: that is who commits them's.
    shown: Vec<(Digest, Uncompressed)>,
    /// Nothing more will arrive.
    is_over: bool,
    /// A blob came anew, so that what was read of it may be something else.
    is_void: bool,
}

#[derive(Debug)]
enum Arrival {
    /// Its first bytes are here; one reader may follow.
    Coming(Option<Tail>),
    /// It is in the store.
    Here,
}

impl Growing {
    pub(crate) fn new(ownership: Ownership) -> Self {
        Self { ownership, arrivals: Arc::default(), maker: Mutex::default() }
    }

    /// Begins the trees of the images among documents whose blobs come next. What cannot be begun here is made later, of the
    /// blobs.
    pub(crate) fn expect(&self, store: &Store, documents: &[VerifiedDocument]) {
        let images = documents.iter().filter_map(|document| document.document().as_manifest());
        let has_files = |manifest: &&ImageManifest| {
            !manifest.layers.is_empty() && manifest.layers.iter().all(|layer| layer.media_type.is_layer())
        };
        for manifest in images.filter(|manifest| manifest.is_image()).filter(has_files) {
            if let Err(error) = self.begin(store, manifest) {
                tracing::debug!(%error, "a tree is not made on the way in");
            }
        }
    }

    fn begin(&self, store: &Store, manifest: &ImageManifest) -> Result<()> {
        let mut maker = self.maker.lock().unwrap_or_else(PoisonError::into_inner);
        let maker = match &mut *maker {
            Some(maker) => maker,
            none => {
                let (manifests, received) = channel();
                let work =
                    Work { store: store.clone(), ownership: self.ownership, arrivals: Arc::clone(&self.arrivals) };
                let thread = thread::Builder::new().name("tree".to_owned()).spawn(move || work.make_all(&received));
                let thread = thread.map_err(|error| Error::io("cannot start a thread", error))?;
                none.insert(Maker { manifests, thread })
            }
        };
        let mut state = self.arrivals.lock();
        state.layers.extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
        state.is_over = false;
        drop(state);
        maker.manifests.send(manifest.clone()).map_err(|_| Error::new(Kind::Internal, "the tree's thread is gone"))
    }

    /// Whether a layer is inflated here, so that nobody else need do it.
    pub(crate) fn inflates(&self, blob: &Digest) -> bool {
        self.arrivals.lock().layers.contains(blob)
    }

    /// Notes that a blob is being fetched, and how it can be read meanwhile.
    pub(crate) fn coming(&self, blob: &Digest, tail: Tail) {
        let mut state = self.arrivals.lock();
        state.is_void |= state.blobs.insert(blob.clone(), Arrival::Coming(Some(tail))).is_some();
        self.arrivals.changed.notify_all();
    }

    /// Notes that a blob is in the store now.
    pub(crate) fn here(&self, blob: &Digest) {
        self.arrivals.lock().blobs.insert(blob.clone(), Arrival::Here);
        self.arrivals.changed.notify_all();
    }

    /// Notes that a blob need not be fetched.
    pub(crate) fn present(&self, blob: &Digest) {
        let mut state = self.arrivals.lock();
        // Not as it was being fetched before: somebody else has brought it.
        state.is_void |= matches!(state.blobs.insert(blob.clone(), Arrival::Here), Some(Arrival::Coming(_)));
        self.arrivals.changed.notify_all();
    }

    /// Waits for all trees, now that everything has arrived that will. Returns what layers inflate to; all their blobs must be
    /// proven by now.
    pub(crate) fn finish(&self) -> Vec<(Digest, Uncompressed)> {
        self.end();
        let mut state = self.arrivals.lock();
        state.layers.clear();
        let shown = mem::take(&mut state.shown);
        if state.is_void { Vec::new() } else { shown }
    }

    fn end(&self) {
        self.arrivals.lock().is_over = true;
        self.arrivals.changed.notify_all();
        if let Some(Maker { manifests, thread }) = self.maker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(manifests);
            if thread.join().is_err() {
                tracing::warn!("the thread that makes trees panicked");
            }
        }
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.arrivals.is_given_up.store(true, Ordering::Relaxed);
        self.end();
    }
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a blob is here or, with `or_coming`, can be read while it comes.
    fn wait(&self, blob: &Digest, or_coming: bool) -> Result<Option<Tail>> {
        let mut state = self.lock();
        loop {
            let is_over = state.is_over;
            match state.blobs.get_mut(blob) {
                Some(Arrival::Here) => return Ok(None),
                Some(Arrival::Coming(tail)) if or_coming && tail.is_some() => return Ok(tail.take()),
                _ if is_over => {
                    return Err(Error::new(Kind::Unavailable, format!("{blob} did not arrive")));
                }
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// What the thread has.
struct Work {
    store: Store,
    ownership: Ownership,
    arrivals: Arc<Arrivals>,
}

impl Work {
    fn make_all(&self, manifests: &Receiver<ImageManifest>) {
        priority::lower();
        for manifest in manifests {
            if let Err(error) = self.make(&manifest) {
                // Who needs the tree makes it of the blobs, and says what is wrong with them.
                tracing::debug!(config = %manifest.config.digest, %error, "a tree was not made on the way in");
            }
        }
    }

    fn make(&self, manifest: &ImageManifest) -> Result<()> {
        self.arrivals.wait(&manifest.config.digest, false)?;
        let diff_ids = self.store.read_config(&manifest.config)?.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(Error::new(Kind::Corrupt, "the config and the manifest differ in their layers"));
        }
        let ids = diff_ids.iter().zip(chain_ids(&diff_ids)).zip(&manifest.layers);
        let layers: Vec<Layer> = ids
            .map(|((diff_id, chain_id), blob)| Layer {
                diff_id: diff_id.clone(),
                chain_id,
                blob: blob.clone(),
                size: None,
            })
            .collect();
        let Some(top) = layers.last() else { return Ok(()) };
        let home = self.store.paths().tree(&top.chain_id, &self.ownership.suffix());
        if known(&home, self.ownership).is_some() {
            return Ok(());
        }
        durable::create_dir_all(&self.store.paths().trees())?;
        let lock_path = beside(&home, LOCK_SUFFIX);
        // Whoever makes it just now may have to wait for what this session fetches.
        let Some(_lock) = wait::try_lock(&lock_path)? else { return Ok(()) };
        let made = match known(&home, self.ownership) {
            Some(_) => Ok(()),
            None => self.store.make_tree(&layers, &home, self.ownership, self).map(drop),
        };
        durable::remove_file(&lock_path)?;
        made
    }
}

impl LayerSource for Work {
    fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send + '_>> {
        let digest = &layer.blob.digest;
        let file: Either = match self.arrivals.wait(digest, true)? {
            Some(tail) => Either::Tail(tail),
            None => Either::File(durable::open(&self.store.paths().blob(digest))?),
        };
        Ok(Box::new(Stoppable { reader: file, is_given_up: &self.arrivals.is_given_up }))
    }

    /// What is shown here is what the commit goes by.
    fn proof(&self, _: &Layer) -> Proof {
        Proof::DiffId
    }

    fn inflated(&self, layer: &Layer, uncompressed: Uncompressed) {
        if uncompressed.diff_id.algorithm() != Algorithm::Sha256 {
            // What is kept of a layer is SHA-256.
            return;
        }
        self.arrivals.lock().shown.push((layer.blob.digest.clone(), uncompressed));
    }
}

enum Either {
    Tail(Tail),
    File(File),
}

/// Reads until nobody wants the tree any more.
struct Stoppable<'a> {
    reader: Either,
    is_given_up: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("the operation was given up"));
        }
        match &mut self.reader {
            Either::Tail(tail) => tail.read(buffer),
            Either::File(file) => file.read(buffer),
        }
    }
}
