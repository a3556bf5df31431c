//! Leases: a row that names pins, and a locked file that says its process lives.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use dhow_base::fs::{self as durable, FileLock};
use dhow_base::{Kind, Result};
use dhow_layer::Uncompressed;
use dhow_layer::erofs::Form;
use dhow_spec::{Descriptor, Digest};

use crate::facts::Facts;
use crate::store::{Store, now};
use crate::trees::Growing;
use crate::unpacked::{Passing, Unnamed};
use crate::wait;

/// Fewest bytes of a blob whose outline is made as it arrives.
const OUTLINED_BYTES_MIN: u64 = 1 << 20;

/// What inflating a layer has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its diff ID and size.
    Inflates(Facts),
    /// Why it cannot be inflated.
    Broken(String),
}

/// The pins of one operation.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Store,
    purpose: String,
    proves: AtomicBool,
    unpacks: AtomicBool,
    growing: OnceLock<Growing>,
    reads: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Made with the first pin: an operation that finds everything in place leaves no trace.
    held: Option<Held>,
    pins: HashSet<Digest>,
    /// There was no room for pins, and what is only read goes on without.
    unpinned: bool,
    proofs: HashMap<Digest, Proof>,
    /// What was made of layers on their way in.
    unnamed: Vec<Unnamed>,
}

#[derive(Debug)]
struct Held {
    id: String,
    _lock: FileLock,
}

impl Lease {
    pub(crate) fn new(store: Store, purpose: &str) -> Self {
        Self {
            store,
            purpose: purpose.to_owned(),
            proves: AtomicBool::new(true),
            unpacks: AtomicBool::new(false),
            growing: OnceLock::new(),
            reads: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn proves(&self) -> bool {
        self.proves.load(Ordering::Relaxed)
    }

    pub(crate) fn set_proves(&self, proves: bool) {
        self.proves.store(proves, Ordering::Relaxed);
    }

    /// What is made of a layer as it arrives, if anything is. Inflating a small one again costs less than another file.
    pub(crate) fn passing(&self, blob: &Descriptor) -> Option<Passing> {
        let form = match self.unpacks.load(Ordering::Relaxed) {
            true => Form::File,
            false if blob.size >= OUTLINED_BYTES_MIN => Form::Outline,
            false => return None,
        };
        Some(Passing { store: self.store.clone(), form })
    }

    pub(crate) fn set_unpacks(&self, unpacks: bool) {
        self.unpacks.store(unpacks, Ordering::Relaxed);
    }

    /// The trees that are made as layers arrive, if any are.
    pub(crate) fn growing(&self) -> Option<&Growing> {
        self.growing.get()
    }

    pub(crate) fn set_growing(&self, growing: Growing) {
        self.growing.get_or_init(|| growing);
    }

    /// Waits for the trees that were begun; what their layers inflated to is proven then, since the layers are.
    pub(crate) fn finish_trees(&self) {
        let shown = self.growing().map(Growing::finish).unwrap_or_default();
        for (digest, uncompressed) in shown {
            self.note(&digest, Ok(uncompressed));
        }
    }

    pub(crate) fn set_reads(&self) {
        self.reads.store(true, Ordering::Relaxed);
    }

    /// Keeps the file of a layer, or its outline, until the commit flushes it.
    pub(crate) fn keep_unnamed(&self, unnamed: Unnamed) {
        self.lock().unnamed.push(unnamed);
    }

    /// Takes the files of layers that are whole, or the tars of those that are not.
    pub(crate) fn take_unnamed(&self, whole: bool) -> Vec<Unnamed> {
        let mut state = self.lock();
        let (taken, left) = std::mem::take(&mut state.unnamed).into_iter().partition(|layer| layer.is_whole() == whole);
        state.unnamed = left;
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps digests from collection. Comes *before* looking whether they are there: a collection in between either sees
    /// the pin or has taken the content away already.
    pub(crate) fn pin<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        let mut state = self.lock();
        let new: Vec<&Digest> = digests.into_iter().filter(|digest| !state.pins.contains(*digest)).collect();
        if new.is_empty() || state.unpinned || !self.store.is_writable() {
            return Ok(());
        }
        match self.pin_new(&mut state, &new) {
            // On a full disk, what is here can still be carried away. If it is removed meanwhile, the reader finds that out.
            Err(error) if error.kind() == Kind::NoSpace && self.reads.load(Ordering::Relaxed) => {
                tracing::debug!(%error, purpose = self.purpose, "nothing is pinned");
                state.unpinned = true;
                Ok(())
            }
            pinned => pinned,
        }
    }

    fn pin_new(&self, state: &mut State, new: &[&Digest]) -> Result<()> {
        if state.held.is_none() {
            state.held = Some(self.take()?);
        }
        let Some(held) = &state.held else { return Ok(()) };
        self.store.write_rows(|transaction| {
            let mut insert =
                transaction.prepare_cached("INSERT OR IGNORE INTO lease_pin (lease, digest) VALUES (?1, ?2)")?;
            for digest in new {
                insert.execute((&held.id, digest.as_str()))?;
            }
            Ok(())
        })?;
        state.pins.extend(new.iter().map(|digest| (*digest).clone()));
        Ok(())
    }

    /// Locks the file first: a row whose file is free is taken for that of a dead process.
    fn take(&self) -> Result<Held> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let id = format!("{}-{}-{serial}", std::process::id(), now());
            let Some(lock) = wait::try_lock(&self.store.paths().lease(&id))? else { continue };
            let written = self.store.write_rows(|transaction| {
                let sql = "INSERT INTO lease (id, purpose, created) VALUES (?1, ?2, ?3)";
                transaction.prepare_cached(sql)?.execute((&id, &self.purpose, now()))?;
                Ok(())
            });
            if let Err(error) = written {
                // On a full disk, say. The file would be told as that of a dead process.
                durable::remove_file(&self.store.paths().lease(&id))?;
                return Err(error);
            }
            return Ok(Held { id, _lock: lock });
        }
    }

    /// Notes what inflating a layer has shown. An error of the machine shows nothing.
    pub(crate) fn note(&self, digest: &Digest, uncompressed: Result<Uncompressed>) {
        let proof = match uncompressed {
            Ok(uncompressed) => {
                let facts = Facts::from(&uncompressed);
                self.store.keep_facts(digest, &facts);
                Proof::Inflates(facts)
            }
            Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::LimitExceeded) => {
                Proof::Broken(error.to_string())
            }
            Err(error) => {
                tracing::warn!(%digest, %error, "cannot inflate a layer");
                return;
            }
        };
        self.lock().proofs.insert(digest.clone(), proof);
    }

    pub(crate) fn proof(&self, digest: &Digest) -> Option<Proof> {
        self.lock().proofs.get(digest).cloned()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = state.held.take() else { return };
        let freed = self
            .store
            .write_rows(|transaction| {
                transaction.prepare_cached("DELETE FROM lease_pin WHERE lease = ?1")?.execute([&held.id])?;
                transaction.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([&held.id])?;
                Ok(())
            })
            .and_then(|()| durable::remove_file(&self.store.paths().lease(&held.id)));
        if let Err(error) = freed {
            // The next collection finds the lock free and clears it.
            tracing::debug!(lease = held.id, %error, "cannot free a lease");
        }
    }
}
