//! One line of JSON for each answered request.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Where the lines of the access log go. Cloning is cheap.
#[derive(Clone)]
pub struct AccessLog(Arc<dyn Fn(&str) + Send + Sync>);

/// What a line tells.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// Seconds since 1970.
    pub(crate) time: f64,
    pub(crate) peer: SocketAddr,
    /// Who sent it; null when nobody in particular.
    pub(crate) user: Option<&'a str>,
    pub(crate) method: &'a str,
    /// As it was sent, without its query.
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    /// Length of the answer's body.
    pub(crate) bytes: Option<u64>,
    /// Of the specification, when the request was refused.
    pub(crate) code: Option<&'a str>,
    /// From the request's head to the head of its answer.
    pub(crate) seconds: f64,
    pub(crate) agent: Option<&'a str>,
}

impl AccessLog {
    /// Gives each line, without its end, to `write`, which is called from many threads and should not wait.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    pub(crate) fn write(&self, record: &Record<'_>) {
        // Numbers and texts always make JSON.
        if let Ok(line) = serde_json::to_string(record) {
            (self.0)(&line);
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessLog")
    }
}

/// The time now, in seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
