//! Reading the bodies of requests.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::failure::{Code, Failure, Outcome};

/// What is read and thrown away of a body whose request was refused, so that the client gets to read why.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_WAIT: Duration = Duration::from_secs(1);

/// How long bytes that arrived are held back to be handed on together with further ones.
const PAUSE: Duration = Duration::from_millis(100);

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Receiver {
    body: Incoming,
    idle: Duration,
    /// The client sends nothing before it is told to (`Expect: 100-continue`).
    awaits_go_ahead: bool,
    ended: bool,
    /// What broke the body, to be told once the bytes before it were taken.
    broken: Option<Box<Failure>>,
}

impl Receiver {
    pub(crate) fn new(body: Incoming, idle: Duration, awaits_go_ahead: bool) -> Self {
        let ended = body.is_end_stream();
        Self { body, idle, awaits_go_ahead, ended, broken: None }
    }

    /// Whether all of the body was taken.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The length that was announced, if one was.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next bytes: about `bytes_wanted`, less when the client pauses, at the end of the body and before it breaks,
    /// none behind it.
    pub(crate) async fn batch(&mut self, bytes_wanted: usize) -> Outcome<Vec<Bytes>> {
        self.awaits_go_ahead = false;
        let (mut batch, mut length) = (Vec::new(), 0);
        while length < bytes_wanted && !self.ended && self.broken.is_none() {
            let patience = if batch.is_empty() { self.idle } else { PAUSE.min(self.idle) };
            match timeout(patience, self.frame()).await {
                Ok(Ok(Some(bytes))) => {
                    length += bytes.len();
                    batch.push(bytes);
                }
                Ok(Ok(None)) => {}
                Ok(Err(failure)) => self.broken = Some(failure),
                Err(_) if batch.is_empty() => return Err(too_slow()),
                Err(_) => break,
            }
        }
        match self.broken.take_if(|_| batch.is_empty()) {
            Some(failure) => Err(failure),
            None => Ok(batch),
        }
    }

    async fn frame(&mut self) -> Outcome<Option<Bytes>> {
        let frame = self.body.frame().await;
        self.ended = frame.is_none() || self.body.is_end_stream();
        let frame = frame.transpose().map_err(cut)?;
        // Trailers mean nothing here.
        Ok(frame.and_then(|frame| frame.into_data().ok()).filter(|bytes| !bytes.is_empty()))
    }

    /// The whole body, at most `bytes_max`; nothing when it is longer.
    pub(crate) async fn whole(&mut self, bytes_max: u64) -> Outcome<Option<Bytes>> {
        if self.announced().is_some_and(|announced| announced > bytes_max) {
            return Ok(None);
        }
        let announced = self.announced();
        let mut whole = BytesMut::new();
        while !self.ended {
            for bytes in self.batch(1).await? {
                whole.extend_from_slice(&bytes);
            }
            if whole.len() as u64 > bytes_max {
                return Ok(None);
            }
        }
        match announced {
            Some(announced) if announced != whole.len() as u64 => Err(ended_early()),
            _ => Ok(Some(whole.freeze())),
        }
    }

    /// Throws away what is left of the body of a refused request, within reason.
    pub(crate) async fn drain(mut self) {
        if self.awaits_go_ahead || self.announced().is_some_and(|announced| announced > DRAIN_BYTES as u64) {
            return;
        }
        // What the client still has to say changes nothing.
        let _ = timeout(DRAIN_WAIT, self.batch(DRAIN_BYTES)).await;
    }
}

fn too_slow() -> Box<Failure> {
    let message = "the client paused for too long while sending the body";
    Failure::new(StatusCode::REQUEST_TIMEOUT, Code::BlobUploadInvalid, message)
}

fn cut(error: hyper::Error) -> Box<Failure> {
    Failure::bad(Code::BlobUploadInvalid, format!("the body ended early: {error}"))
}

/// The connection broke before the announced length.
pub(crate) fn ended_early() -> Box<Failure> {
    Failure::bad(Code::SizeInvalid, "the body is shorter than its Content-Length")
}
