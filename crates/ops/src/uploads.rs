//! Where uploads are that a run leaves unfinished: the store keeps it for the next one.

use dhow_registry::{UploadNote, UploadNotes};
use dhow_spec::{Digest, Repository};
use dhow_store::{Store, UploadRecord};

/// The store as the memory of uploads. It only saves sending bytes twice: whatever it fails with is no reason to fail.
#[derive(Debug)]
pub(crate) struct Notes(Store);

impl Notes {
    pub(crate) fn new(store: &Store) -> Self {
        Self(store.clone())
    }
}

impl UploadNotes for Notes {
    fn open(&self, repository: &Repository, digest: &Digest) -> Option<Box<dyn UploadNote>> {
        match self.0.upload_record(repository, digest) {
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
