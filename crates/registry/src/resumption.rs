//! Uploads that another run may go on with: where they are, as far as whoever uses the client keeps that.

use std::fmt;

use dhow_spec::{Digest, Repository};
use url::Url;

/// Whoever keeps, from one run to the next, where uploads are that were not finished.
pub trait UploadNotes: fmt::Debug + Send + Sync {
    /// The note of the upload of a blob to a repository, for the caller alone until it drops it; `None` when there can be none,
    /// or somebody else has it.
    fn open(&self, repository: &Repository, digest: &Digest) -> Option<Box<dyn UploadNote>>;
}

/// Where one upload is. It is a hint: the registry is asked what it has.
pub trait UploadNote: fmt::Debug + Send + Sync {
    /// The URL that an earlier run left.
    fn location(&self) -> Option<String>;

    /// Takes note of the URL at which the upload goes on.
    fn keep(&mut self, location: &str);

    /// There is nothing to go on with any more.
    fn forget(&mut self);
}

/// The note of an upload that may have none.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    note: Option<Box<dyn UploadNote>>,
    /// What it says now.
    says: Option<Url>,
}

impl Noted {
    pub(crate) fn open(notes: Option<&dyn UploadNotes>, repository: &Repository, digest: &Digest) -> Self {
        let note = notes.and_then(|notes| notes.open(repository, digest));
        let left = note.as_ref().and_then(|note| note.location()).and_then(|text| Url::parse(&text).ok());
        let says = left.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        Self { note, says }
    }

    /// Where an earlier run left the upload.
    pub(crate) fn location(&self) -> Option<&Url> {
        self.says.as_ref()
    }

    /// Notes where the upload goes on; `None` for nowhere.
    pub(crate) fn set(&mut self, location: Option<&Url>) {
        let Some(note) = &mut self.note else { return };
        if self.says.as_ref() == location {
            return;
        }
        match location {
            Some(location) => note.keep(location.as_str()),
            None => note.forget(),
        }
        self.says = location.cloned();
    }

    /// Whether another run will find it.
    pub(crate) fn is_kept(&self) -> bool {
        self.note.is_some() && self.says.is_some()
    }
}
