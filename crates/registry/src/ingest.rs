//! One blob on its way into a registry.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_content::Ingest;
use dhow_spec::Descriptor;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

use crate::blob::BULK_BYTES_MIN;
use crate::endpoint::{Call, Target};
use crate::gate::Permit;
use crate::quirks::UploadStyle;
use crate::remote::Remote;
use crate::resumption::Noted;
use crate::retry::{is_overload, retry_after};
use crate::transport::Answer;
use crate::upload::{RESUME_BYTES_MIN, Session, Suspended, cancel, content_range, exists, location};

/// Pieces that wait between the writer and the connection: enough to keep both busy, little to hold in memory.
const PIECES_WAITING: usize = 2;

/// How long a registry may take to store a blob once it has all bytes: it may hash or copy gigabytes first.
const COMMIT_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A blob being uploaded. Writes come strictly ascending and go out as they come; nothing is kept in memory.
///
/// The registry proves the digest: the last request names it. When the connection breaks, bytes that were taken may be
/// lost on the way, so a failed upload is begun again: [`dhow_content::Sink::ingest`] then asks the registry what it has.
#[derive(Debug)]
pub struct Upload {
    remote: Remote,
    blob: Descriptor,
    start: u64,
    state: tokio::sync::Mutex<State>,
    /// Where the session is, for whoever drops this without committing; `None` when there is nothing to keep or cancel.
    session: Mutex<Option<Url>>,
    permit: Mutex<Permit>,
    /// What the next run will find.
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct State {
    location: Url,
    style: UploadStyle,
    /// Where the next byte belongs in the blob.
    position: u64,
    request: Option<Request>,
}

/// A request whose body is being sent.
#[derive(Debug)]
struct Request {
    pieces: mpsc::Sender<Bytes>,
    task: Task,
    /// Where its body ends in the blob.
    end: u64,
}

/// A task that ends with its owner: left alone, it would take a dropped sender for the end of the body.
#[derive(Debug)]
struct Task(JoinHandle<Result<Answer>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    /// The answer, once it is there. Not to be asked for again then.
    async fn outcome(&mut self) -> Result<Answer> {
        let joined = (&mut self.0).await;
        joined.map_err(|error| Error::new(Kind::Internal, format!("an upload task failed: {error}")))?
    }

    async fn answer(mut self, patience: Duration) -> Result<Answer> {
        match timeout(patience, self.outcome()).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!("the registry did not confirm the upload within {} seconds", patience.as_secs());
                Err(Error::new(Kind::Unavailable, message))
            }
        }
    }
}

impl Upload {
    pub(crate) fn new(remote: Remote, blob: Descriptor, session: Session, (permit, noted): (Permit, Noted)) -> Self {
        let Session { location, offset, style } = session;
        let kept = Mutex::new(Some(location.clone()));
        let state = tokio::sync::Mutex::new(State { location, style, position: offset, request: None });
        let (permit, noted) = (Mutex::new(permit), Mutex::new(noted));
        Self { remote, blob, start: offset, state, session: kept, permit, noted }
    }

    /// Tells the registry's gate how it goes.
    fn tell(&self, what: impl FnOnce(&mut Permit)) {
        what(&mut self.permit.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn note_session(&self, location: Option<Url>) {
        if location.is_none() {
            self.note(None);
        }
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = location;
    }

    /// Notes for the next run where the upload goes on.
    fn note(&self, location: Option<&Url>) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).set(location);
    }

    /// Starts the request that carries the next bytes.
    fn start_request(&self, state: &State) -> Result<Request> {
        let size = self.blob.size;
        let end = match state.style {
            UploadStyle::Put | UploadStyle::Patch => size,
            UploadStyle::Chunks(chunk) => size.min(state.position.saturating_add(chunk.max(1))),
        };
        let range = state.position..end;
        let mut call = match state.style {
            UploadStyle::Put => self.final_call(&state.location),
            _ => Call::new(Method::PATCH, Target::Url(state.location.clone()), self.remote.scopes()),
        };
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        call.bulk = size >= BULK_BYTES_MIN;
        // A body that is the whole blob is a stream, not a chunk: registries without chunked uploads take it too.
        if range != (0..size) {
            let value = HeaderValue::try_from(content_range(&range))
                .map_err(|error| Error::new(Kind::Internal, format!("cannot form a request: {error}")))?;
            call.headers.insert(CONTENT_RANGE, value);
        }
        let (pieces, mut queue) = mpsc::channel::<Bytes>(PIECES_WAITING);
        let body = futures::stream::poll_fn(move |context| {
            queue.poll_recv(context).map(|piece| piece.map(std::io::Result::Ok))
        });
        let body = reqwest::Body::wrap_stream(body);
        let remote = self.remote.clone();
        let length = end - range.start;
        let task =
            tokio::spawn(
                async move { remote.endpoint.send_stream(remote.client.transport(), &call, body, length).await },
            );
        Ok(Request { pieces, task: Task(task), end })
    }

    /// The `PUT` that names the digest.
    fn final_call(&self, location: &Url) -> Call {
        let mut url = location.clone();
        url.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        let mut call = Call::new(Method::PUT, Target::Url(url), self.remote.scopes());
        call.patience = Some(COMMIT_PATIENCE);
        call.gated = false;
        call
    }

    /// Hands bytes to the connection, over as many requests as the registry's way of uploading needs.
    async fn send(&self, state: &mut State, mut bytes: Bytes) -> Result<()> {
        let options = &self.remote.client.transport().options;
        let (patience, piece_bytes) = (options.body_patience, options.traffic.piece_bytes());
        while !bytes.is_empty() {
            let mut request = match state.request.take() {
                Some(request) => request,
                None => self.start_request(state)?,
            };
            let left = usize::try_from(request.end - state.position).unwrap_or(usize::MAX);
            let piece = bytes.split_to(bytes.len().min(left).min(piece_bytes));
            let length = piece.len() as u64;
            options.traffic.pace(piece.len()).await;
            let sent = tokio::select! {
                biased;
                sent = timeout(patience, request.pieces.send(piece)) => sent,
                // A registry that refuses need not take the rest of the body, nor close anything.
                answer = request.task.outcome() => return Err(self.early_answer(answer).await),
            };
            match sent {
                Ok(Ok(())) => {
                    state.position += length;
                    if state.position >= RESUME_BYTES_MIN {
                        self.note(Some(&state.location));
                    }
                    self.tell(|permit| permit.moved(usize::try_from(length).unwrap_or(usize::MAX)));
                }
                // The request ended before its body did: the registry refused it, or the connection broke.
                Ok(Err(_)) => return Err(self.early_answer(request.task.answer(patience).await).await),
                Err(_) => {
                    self.tell(|permit| permit.overloaded(None));
                    let message = format!("the upload stood still for {} seconds", patience.as_secs());
                    return Err(Error::new(Kind::Unavailable, message));
                }
            }
            if state.position == request.end && state.style != UploadStyle::Put {
                self.finish_patch(state, request).await?;
            } else {
                state.request = Some(request);
            }
        }
        Ok(())
    }

    /// What it means that a request ended before its body.
    async fn early_answer(&self, answer: Result<Answer>) -> Error {
        match answer {
            Ok(answer) if answer.status().is_success() => {
                Error::new(Kind::Unavailable, "the registry answered before it had all bytes")
            }
            Ok(answer) => self.refusal(answer).await,
            Err(error) => error,
        }
    }

    /// Waits for the answer to a `PATCH` and learns where the next request goes.
    async fn finish_patch(&self, state: &mut State, request: Request) -> Result<()> {
        let Request { pieces, task, .. } = request;
        drop(pieces);
        let answer = task.answer(COMMIT_PATIENCE).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        if answer.header("location").is_some() {
            state.location = location(&answer)?;
            self.note_session(Some(state.location.clone()));
        }
        Ok(())
    }

    /// What a refused request means for the upload.
    async fn refusal(&self, answer: Answer) -> Error {
        let (endpoint, digest) = (&self.remote.endpoint, &self.blob.digest);
        let again = |why: &str| Error::new(Kind::Unavailable, format!("blob {digest}: {why}"));
        if is_overload(answer.status()) {
            let longest = self.remote.client.transport().options.retry.longest_retry_after;
            let pause = retry_after(answer.headers()).filter(|pause| *pause <= longest);
            self.tell(|permit| permit.overloaded(pause));
        }
        match answer.status() {
            StatusCode::PAYLOAD_TOO_LARGE if endpoint.shrink_uploads() => {
                self.note_session(None);
                again("the registry wants smaller requests")
            }
            StatusCode::RANGE_NOT_SATISFIABLE => again("the registry lost a part of the upload"),
            // The token ended while the blob before it went up; if it is more than that, the next request tells.
            StatusCode::UNAUTHORIZED => again("the registry wants a new token"),
            _ => {
                let wire = answer.wire_error().await;
                if wire.is("BLOB_UPLOAD_UNKNOWN") || wire.kind() == Kind::NotFound {
                    self.note_session(None);
                    return again("the registry forgot the upload");
                }
                wire.into_error(endpoint.domain())
            }
        }
    }

    /// Sends what ends the upload and returns the registry's answer to it.
    async fn last_answer(&self, state: &mut State) -> Result<Answer> {
        match state.request.take() {
            Some(Request { pieces, task, .. }) => {
                drop(pieces);
                task.answer(COMMIT_PATIENCE).await
            }
            None => self.remote.send(&self.final_call(&state.location)).await,
        }
    }
}

impl Ingest for Upload {
    fn missing(&self) -> Vec<Range<u64>> {
        let range = self.start..self.blob.size;
        if range.is_empty() { Vec::new() } else { vec![range] }
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
        let mut state = self.state.lock().await;
        if offset != state.position || bytes.len() as u64 > self.blob.size - state.position {
            let (digest, position) = (&self.blob.digest, state.position);
            let message = format!("blob {digest}: bytes for position {offset} came when {position} was next");
            return Err(Error::new(Kind::Internal, message));
        }
        self.send(&mut state, bytes).await
    }

    async fn commit(self) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.position != self.blob.size {
            let (digest, position, size) = (&self.blob.digest, state.position, self.blob.size);
            let message = format!("blob {digest} has {size} bytes, {position} were written");
            return Err(Error::new(Kind::Corrupt, message));
        }
        let answer = self.last_answer(&mut state).await?;
        if answer.status().is_success() {
            self.tell(Permit::succeeded);
            self.note_session(None);
            return Ok(());
        }
        let status = answer.status();
        let error = self.refusal(answer).await;
        if status == StatusCode::NOT_FOUND && exists(&self.remote, &self.blob.digest).await? {
            // The answer to an earlier attempt was lost: the blob is there and its upload gone.
            return Ok(());
        }
        if error.kind() == Kind::Corrupt {
            self.note_session(None);
            cancel(&self.remote, state.location.clone()).await;
        }
        Err(error)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(location) = self.session.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let state = self.state.get_mut();
        state.request = None;
        let noted = self.noted.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.position >= RESUME_BYTES_MIN && self.remote.endpoint.takes_chunks() {
            let mut suspended = self.remote.suspended.lock().unwrap_or_else(PoisonError::into_inner);
            let is_noted = noted.is_kept();
            suspended.insert(self.blob.digest.clone(), Suspended { location, is_noted });
            return;
        }
        noted.set(None);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let remote = self.remote.clone();
            runtime.spawn(async move { cancel(&remote, location).await });
        }
    }
}
