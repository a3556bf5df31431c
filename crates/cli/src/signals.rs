//! SIGINT and SIGTERM, while a network is waited for.

use std::future::Future;

use dhow_base::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::errors::{Failure, Outcome};

/// What asks the program to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over: from now on they no longer kill the process. Needs the runtime.
    ///
    /// # Errors
    /// When the operating system does not allow it.
    pub(crate) fn listen() -> dhow_base::Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("cannot listen for signals", error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one, and says which.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// Runs a future that a signal ends early. `resumable` says what the user can count on then.
///
/// # Errors
/// [`Failure::Interrupted`] on a signal, else the future's.
pub(crate) async fn interruptible<T, E: Into<Failure>>(
    future: impl Future<Output = Result<T, E>>,
    resumable: &str,
) -> Outcome<T> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        result = future => result.map_err(Into::into),
        kind = signals.next() => {
            let what = if kind == SignalKind::interrupt() { "interrupted" } else { "terminated" };
            let code = u8::try_from(128 + kind.as_raw_value()).unwrap_or(crate::errors::FAILED);
            Err(Failure::Interrupted { message: format!("{what}: {resumable}"), code })
        }
    }
}
