//! An operation at work on the store: what it needs is pinned until it ends, however it ends.

mod lease;
mod place;

use std::sync::Arc;

use dhow_base::Result;
use dhow_spec::{Descriptor, Digest, Repository};

use crate::plan;
use crate::store::Store;
use crate::trees::{Growing, Ownership};

pub(crate) use lease::{Lease, Proof};

/// One operation. Implements [`Source`](dhow_content::Source), [`Sink`](dhow_content::Sink) and
/// [`TagSink`](dhow_content::TagSink).
///
/// Everything that goes through it is pinned: no collection takes it away until the session and every ingest that came
/// from it are dropped. A process that dies frees its pins with its file locks.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) lease: Arc<Lease>,
}

impl Store {
    /// Begins an operation. `purpose` is shown to people who ask who is using the store.
    ///
    /// # Errors
    /// None today: the lease is written when the first digest is pinned.
    pub fn begin(&self, purpose: &str) -> Result<Session> {
        Ok(Session { lease: Arc::new(Lease::new(self.clone(), purpose)) })
    }
}

impl Session {
    /// Whether layers are inflated as they arrive, to prove their diff IDs and learn their sizes. True at first.
    #[must_use]
    pub fn prove_diff_ids(self, prove: bool) -> Self {
        self.lease.set_proves(prove);
        self
    }

    /// Only reads the store. Without any room for pins it goes on without them: a collection may then take away what it reads.
    #[must_use]
    pub fn only_reads(self) -> Self {
        self.lease.set_reads();
        self
    }

    /// Whether the files of layers are written as the layers arrive, as far as they do not need each other; the commit
    /// flushes and names them. [`Store::unpack`] makes the rest. Without [proofs](Session::prove_diff_ids) none are.
    #[must_use]
    pub fn unpack_layers(self, unpack: bool) -> Self {
        if unpack {
            self.store().sweep_parts();
        }
        self.lease.set_unpacks(unpack);
        self
    }

    /// Has a plain tree made of each image while its layers arrive; the commit waits for them. What did not come about, also
    /// because another process makes the same tree, [`Store::unpack_tree`] makes or says why not. Only before anything
    /// comes, and not without [proofs](Session::prove_diff_ids).
    #[must_use]
    pub fn grow_trees(self, ownership: Ownership) -> Self {
        if self.store().is_writable() && self.lease.proves() {
            self.lease.set_growing(Growing::new(ownership));
        }
        self
    }

    /// The store it works on.
    pub fn store(&self) -> &Store {
        self.lease.store()
    }

    /// Pins a document and everything of it that is here, so that it can be read to its end.
    ///
    /// # Errors
    /// Those of the database and of reading documents.
    pub fn pin(&self, document: &Descriptor) -> Result<()> {
        plan::pin_present(&self.lease, document).map(|_| ())
    }

    /// Remembers that a repository has blobs; see [`Store::homes`].
    ///
    /// # Errors
    /// Those of the database.
    pub fn record_homes(&self, repository: &Repository, digests: &[Digest]) -> Result<()> {
        self.store().record_homes(repository, digests)
    }
}
