//! Where uploads are that a run leaves unfinished: the store keeps it for the next one.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dhow_registry::{UploadNote, UploadNotes};
use dhow_spec::{Digest, Repository};
use dhow_store::{OpenOptions, Store, UploadRecord};

/// The store as the memory of uploads. It only saves sending bytes twice: whatever it fails with is no reason to fail.
#[derive(Debug)]
pub(crate) struct Notes {
    root: PathBuf,
    /// The store, once it was looked for.
    store: OnceLock<Option<Store>>,
}

impl Notes {
    /// Those of a store that is open.
    pub(crate) fn of(store: &Store) -> Self {
        Self { root: PathBuf::new(), store: OnceLock::from(Some(store.clone())) }
    }

    /// Those of the store at `root`, if there is one: who copies past the store has none made for its notes. It is opened with
    /// the first upload that is worth noting.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), store: OnceLock::new() }
    }

    fn store(&self) -> Option<&Store> {
        let open = || {
            let options = OpenOptions { create: false, ..OpenOptions::default() };
            let opened = Store::open(&self.root, &options);
            opened.inspect_err(|error| tracing::debug!(%error, "uploads are not noted")).ok()
        };
        self.store.get_or_init(open).as_ref()
    }
}

impl UploadNotes for Notes {
    fn open(&self, repository: &Repository, digest: &Digest) -> Option<Box<dyn UploadNote>> {
        match self.store()?.upload_record(repository, digest) {
            Ok(record) => record.map(|record| Box::new(Note(record)) as Box<dyn UploadNote>),
            Err(error) => {
                tracing::debug!(%digest, %error, "the upload is not noted");
                None
            }
        }
    }
}

#[derive(Debug)]
struct Note(UploadRecord);

impl UploadNote for Note {
    fn location(&self) -> Option<String> {
        self.0.location().map(str::to_owned)
    }

    fn keep(&mut self, location: &str) {
        if let Err(error) = self.0.keep(location) {
            tracing::debug!(%error, "the upload is not noted");
        }
    }

    fn forget(&mut self) {
        if let Err(error) = self.0.forget() {
            tracing::debug!(%error, "the upload is still noted");
        }
    }
}
