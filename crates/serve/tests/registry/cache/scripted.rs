//! A registry as a server with copies sees it, which does what a script says and counts what it is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_serve::{Arriving, Fetched, Reply, Upstream};
use dhow_spec::{Descriptor, Digest, Repository, Tag};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::OCI_INDEX;

/// How the scripted registry misbehaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// Every request fails so.
    pub(super) failure: Option<Kind>,
    /// Transfers break after so many bytes.
    pub(super) breaks_at: Option<usize>,
    /// And cannot be gone on with.
    pub(super) stays_broken: bool,
    /// Sends these bytes for every blob.
    pub(super) lie: Option<Vec<u8>>,
    /// Does not say how long a blob is.
    pub(super) keeps_size_to_itself: bool,
}

/// A registry that counts what it is asked.
#[derive(Debug)]
pub(super) struct Scripted {
    script: Mutex<Script>,
    /// By repository and digest.
    content: Mutex<HashMap<(String, Digest), Bytes>>,
    pub(super) tags: Mutex<HashMap<(String, String), Digest>>,
    log: Mutex<Vec<String>>,
    /// One is taken for every piece but the first.
    pub(super) pace: Semaphore,
    pub(super) transfers: AtomicUsize,
}

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

impl Scripted {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::default(),
            content: Mutex::default(),
            tags: Mutex::default(),
            log: Mutex::default(),
            pace: Semaphore::new(1 << 20),
            transfers: AtomicUsize::new(0),
        })
    }

    pub(super) fn put(&self, repository: &str, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.content.lock().unwrap().insert((repository.to_owned(), digest.clone()), bytes.into());
        digest
    }

    pub(super) fn tag(&self, repository: &str, tag: &str, salt: &str) -> Digest {
        let index =
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "a": salt } });
        let digest = self.put(repository, index.to_string());
        self.tags.lock().unwrap().insert((repository.to_owned(), tag.to_owned()), digest.clone());
        digest
    }

    pub(super) fn script(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// What was asked since the last time.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn ask(&self, what: &str, repository: &Repository) -> Result<()> {
        self.log.lock().unwrap().push(format!("{what} {}", repository.name()));
        match self.script.lock().unwrap().failure {
            Some(kind) => Err(Error::new(kind, "scripted")),
            None => Ok(()),
        }
    }

    fn find(&self, repository: &Repository, digest: &Digest) -> Option<Bytes> {
        self.content.lock().unwrap().get(&(repository.name().to_owned(), digest.clone())).cloned()
    }

    /// Pieces from a byte on, as far as the script lets them come.
    fn stream(self: &Arc<Self>, bytes: &Bytes, from: usize) -> Arriving {
        let script = self.script.lock().unwrap().clone();
        let end = script.breaks_at.map_or(bytes.len(), |at| at.min(bytes.len()));
        let mut pieces: Vec<Result<Bytes>> =
            bytes[from.min(end)..end].chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if end < bytes.len() {
            pieces.push(Err(Error::new(Kind::Unavailable, "the connection broke")));
        }
        let scripted = Arc::clone(self);
        let paced = futures::stream::iter(pieces.into_iter().enumerate()).then(move |(index, piece)| {
            let scripted = Arc::clone(&scripted);
            async move {
                if index > 0 {
                    scripted.pace.acquire().await.unwrap().forget();
                }
                piece
            }
        });
        paced.boxed()
    }
}

/// The way to it, as the server has it.
#[derive(Debug)]
pub(super) struct Way(pub(super) Arc<Scripted>);

impl Upstream for Way {
    fn resolve<'a>(&'a self, repository: &'a Repository, tag: &'a Tag) -> Reply<'a, Option<Digest>> {
        Box::pin(async move {
            self.0.ask("resolve", repository)?;
            let key = (repository.name().to_owned(), tag.as_str().to_owned());
            Ok(self.0.tags.lock().unwrap().get(&key).cloned())
        })
    }

    fn document<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, Option<Fetched>> {
        Box::pin(async move {
            self.0.ask("document", repository)?;
            let bytes = self.0.find(repository, digest);
            let bytes = self.0.script.lock().unwrap().lie.clone().map(Bytes::from).or(bytes);
            Ok(bytes.map(|bytes| Fetched { digest: digest.clone(), media_type: OCI_INDEX.to_owned(), bytes }))
        })
    }

    fn has_document<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, bool> {
        Box::pin(async move {
            self.0.ask("has", repository)?;
            Ok(self.0.find(repository, digest).is_some())
        })
    }

    fn blob_size<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, Option<u64>> {
        Box::pin(async move {
            self.0.ask("size", repository)?;
            Ok(self.0.find(repository, digest).map(|bytes| bytes.len() as u64))
        })
    }

    fn blob<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
    ) -> Reply<'a, Option<(Option<u64>, Arriving)>> {
        Box::pin(async move {
            self.0.transfers.fetch_add(1, Ordering::SeqCst);
            self.0.ask("blob", repository)?;
            let Some(bytes) = self.0.find(repository, digest) else { return Ok(None) };
            let Script { lie, keeps_size_to_itself, .. } = self.0.script.lock().unwrap().clone();
            let bytes = lie.map(Bytes::from).unwrap_or(bytes);
            let size = (!keeps_size_to_itself).then_some(bytes.len() as u64);
            Ok(Some((size, self.0.stream(&bytes, 0))))
        })
    }

    fn rest<'a>(&'a self, repository: &'a Repository, digest: &'a Digest, _: u64, from: u64) -> Reply<'a, Arriving> {
        Box::pin(async move {
            self.0.ask("rest", repository)?;
            let mut script = self.0.script.lock().unwrap();
            if script.stays_broken {
                return Err(Error::new(Kind::Unavailable, "the registry is gone"));
            }
            script.breaks_at = None;
            drop(script);
            let bytes = self.0.find(repository, digest).unwrap();
            Ok(self.0.stream(&bytes, usize::try_from(from).unwrap()))
        })
    }

    fn tags<'a>(&'a self, repository: &'a Repository) -> Reply<'a, Option<Vec<String>>> {
        Box::pin(async move {
            self.0.ask("tags", repository)?;
            let tags = self.0.tags.lock().unwrap();
            let mine = tags.keys().filter(|(name, _)| name == repository.name()).map(|(_, tag)| tag.clone());
            Ok(Some(mine.collect::<Vec<_>>()).filter(|tags| !tags.is_empty()))
        })
    }

    fn referrers<'a>(
        &'a self,
        repository: &'a Repository,
        _: &'a Digest,
        _: Option<&'a str>,
    ) -> Reply<'a, Vec<Descriptor>> {
        Box::pin(async move {
            self.0.ask("referrers", repository)?;
            Ok(Vec::new())
        })
    }
}
