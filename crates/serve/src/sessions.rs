//! Upload sessions under way in this process.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dhow_base::Result;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use tokio::sync::{MutexGuard as UploadGuard, watch};
use tokio::time::timeout;

use crate::failure::{Code, Failure, Outcome};
use crate::name::{RepositoryName, UploadId};
use crate::storage::{Storage, Upload};

/// How long a request waits for an earlier one on the same session to let go.
const CLAIM_WAIT: Duration = Duration::from_secs(10);

/// All sessions this process knows of. Others may lie in the storage, left by an earlier process.
#[derive(Debug)]
pub(crate) struct Sessions<U> {
    sessions: Mutex<HashMap<UploadId, Arc<Session<U>>>>,
    sessions_max: usize,
    /// After how long a session that is not used is forgotten here, if it is all in the storage.
    memory: Option<Duration>,
}

/// One upload session.
#[derive(Debug)]
pub(crate) struct Session<U> {
    id: UploadId,
    repository: RepositoryName,
    /// Bytes held; readable while a request is adding more.
    length: AtomicU64,
    used: Mutex<Instant>,
    /// Counts the requests that wanted to write. The newest wins: an older one is what a broken connection left.
    claims: watch::Sender<u64>,
    /// Nothing once the session has ended.
    upload: tokio::sync::Mutex<Option<U>>,
}

impl<U: Upload> Sessions<U> {
    pub(crate) fn new(sessions_max: usize, memory: Option<Duration>) -> Self {
        Self { sessions: Mutex::default(), sessions_max, memory }
    }

    /// Refuses when no further session may be opened.
    pub(crate) fn check_room(&self) -> Outcome<()> {
        if self.lock().len() < self.sessions_max {
            return Ok(());
        }
        if let Some(memory) = self.memory {
            self.expire(memory);
            if self.lock().len() < self.sessions_max {
                return Ok(());
            }
        }
        let message = "too many uploads are open";
        Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, message)
            .with_header(RETRY_AFTER, HeaderValue::from_static("5")))
    }

    /// Adds a session; if another request has just added the same, that one is returned.
    pub(crate) fn add(&self, id: &UploadId, upload: U) -> Arc<Session<U>> {
        let added = Arc::new(Session {
            id: id.clone(),
            repository: upload.plan().repository.clone(),
            length: AtomicU64::new(upload.length()),
            used: Mutex::new(Instant::now()),
            claims: watch::Sender::new(0),
            upload: tokio::sync::Mutex::new(Some(upload)),
        });
        Arc::clone(self.lock().entry(id.clone()).or_insert(added))
    }

    /// The session `id` of `repository`, whether it began in this process or in an earlier one.
    pub(crate) async fn find(
        &self,
        storage: &impl Storage<Upload = U>,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Outcome<Arc<Session<U>>> {
        let known = self.lock().get(id).cloned();
        let session = match known {
            Some(session) => Some(session),
            None => storage.resume_upload(id).await?.map(|upload| self.add(id, upload)),
        };
        session.filter(|session| session.repository == *repository).ok_or_else(unknown)
    }

    /// Ends a session by `end`, which takes its upload.
    ///
    /// Until `end` is through, the session stays known, but empty: otherwise another request could take it up from the
    /// storage and write to bytes that were already proven.
    pub(crate) async fn end<T, F>(&self, mut claim: Claim<'_, U>, end: impl FnOnce(U) -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T>>,
    {
        let upload = claim.upload.take().ok_or_else(unknown)?;
        let ended = end(upload).await;
        self.lock().remove(&claim.session.id);
        Ok(ended?)
    }

    /// Learns what another server has done to the upload.
    ///
    /// # Errors
    /// That it is gone.
    pub(crate) async fn refresh(&self, mut claim: Claim<'_, U>) -> Outcome<()> {
        let upload = claim.upload()?;
        if upload.refresh().await? {
            let length = upload.length();
            claim.session.note_progress(length);
            return Ok(());
        }
        *claim.upload = None;
        self.lock().remove(&claim.session.id);
        Err(unknown())
    }

    /// Forgets sessions that were not used for `idle`; what they hold stays in the storage.
    pub(crate) fn expire(&self, idle: Duration) {
        let idle = self.memory.map_or(idle, |memory| memory.min(idle));
        self.lock().retain(|_, session| session.used().elapsed() < idle);
    }

    pub(crate) fn ids(&self) -> HashSet<UploadId> {
        self.lock().keys().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Session<U>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<U: Upload> Session<U> {
    /// Bytes held so far.
    pub(crate) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// Takes the session for this request alone. An earlier request that still writes to it is stopped.
    pub(crate) async fn claim(&self) -> Outcome<Claim<'_, U>> {
        let mut ticket = 0;
        self.claims.send_modify(|claims| {
            *claims += 1;
            ticket = *claims;
        });
        let Ok(upload) = timeout(CLAIM_WAIT, self.upload.lock()).await else {
            let message = "another request is writing to this upload";
            return Err(Failure::new(StatusCode::CONFLICT, Code::BlobUploadInvalid, message));
        };
        let Some(length) = upload.as_ref().map(U::length) else { return Err(unknown()) };
        self.note_progress(length);
        Ok(Claim { session: self, upload, ticket })
    }

    /// Takes the session if no other request has it.
    pub(crate) fn try_claim(&self) -> Option<Claim<'_, U>> {
        let upload = self.upload.try_lock().ok().filter(|upload| upload.is_some())?;
        let ticket = *self.claims.borrow();
        Some(Claim { session: self, upload, ticket })
    }

    /// Makes the upload's length known to requests that ask for it.
    pub(crate) fn note_progress(&self, length: u64) {
        self.length.store(length, Ordering::Release);
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that one request holds.
#[derive(Debug)]
pub(crate) struct Claim<'a, U> {
    session: &'a Session<U>,
    upload: UploadGuard<'a, Option<U>>,
    ticket: u64,
}

impl<'a, U: Upload> Claim<'a, U> {
    pub(crate) fn upload(&mut self) -> Outcome<&mut U> {
        self.upload.as_mut().ok_or_else(unknown)
    }

    /// What a request needs that adds bytes.
    pub(crate) fn parts(&mut self) -> Outcome<(&mut U, &'a Session<U>, Interrupt)> {
        let interrupt = Interrupt { claims: self.session.claims.subscribe(), ticket: self.ticket };
        Ok((self.upload.as_mut().ok_or_else(unknown)?, self.session, interrupt))
    }
}

/// Tells a request that a later one has claimed its session.
#[derive(Debug)]
pub(crate) struct Interrupt {
    claims: watch::Receiver<u64>,
    ticket: u64,
}

impl Interrupt {
    /// Ends when the session was claimed by a later request.
    pub(crate) async fn superseded(&mut self) -> Box<Failure> {
        let ticket = self.ticket;
        // An error means that the session is gone, which ends this request too.
        let _ = self.claims.wait_for(|claims| *claims > ticket).await;
        let message = "a later request has taken over this upload";
        Failure::new(StatusCode::CONFLICT, Code::BlobUploadInvalid, message)
    }
}

pub(crate) fn unknown() -> Box<Failure> {
    Failure::missing(Code::BlobUploadUnknown, "blob upload unknown to registry")
}
