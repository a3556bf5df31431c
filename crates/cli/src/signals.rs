//! SIGINT and SIGTERM, while a network is waited for or many bytes are moved.

use std::future::Future;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dhow_base::{Error, interrupt, threads};
use dhow_ops::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::console::Console;
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
        kind = signals.next() => Err(interrupted(kind, resumable)),
    }
}

fn interrupted(kind: SignalKind, resumable: &str) -> Failure {
    let what = if kind == SignalKind::interrupt() { "interrupted" } else { "terminated" };
    Failure::Interrupted { message: format!("{what}: {resumable}"), code: code(kind) }
}

/// The exit code of a process that a signal ended, as shells show it.
fn code(kind: SignalKind) -> u8 {
    u8::try_from(128 + kind.as_raw_value()).unwrap_or(crate::errors::FAILED)
}

/// How long work is waited for that is to end: it may stand still at a pipe, and then ends with the process.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does work on this thread that a signal ends early, as [`interruptible`] has it for what waits for a network.
///
/// # Errors
/// [`Failure::Interrupted`] on a signal, else the work's.
pub(crate) fn heeding<T>(console: &Console, resumable: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let heed = async |signals: Signals, is_done| watch(signals, is_done, console, resumable).await;
    match listening(heed, work) {
        (Err(_), Some(kind)) => Err(interrupted(kind, resumable)),
        (outcome, _) => outcome,
    }
}

/// Does work on this thread; a signal that comes meanwhile ends the process, after `put_back`.
pub(crate) fn ending<T>(put_back: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    let heed = async |mut signals: Signals, is_done: oneshot::Receiver<()>| {
        tokio::select! {
            _ = is_done => None,
            kind = signals.next() => {
                put_back();
                leave(code(kind));
            }
        }
    };
    listening(heed, work).0
}

/// Does work on this thread while another one heeds signals until it is told that the work is done. Returns also what that one heard.
fn listening<T>(
    heed: impl AsyncFnOnce(Signals, oneshot::Receiver<()>) -> Option<SignalKind> + Send,
    work: impl FnOnce() -> T,
) -> (T, Option<SignalKind>) {
    let (done, is_done) = oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel::<()>();
    let told = |error: Error| tracing::debug!(%error, "a signal ends the process at once");
    thread::scope(|scope| {
        let listening = threads::start_in(scope, "signals", move || {
            let heard = runtime::block_on(async {
                let signals = Signals::listen()?;
                drop(ready);
                Ok(heed(signals, is_done).await)
            });
            heard.map_err(told).unwrap_or_default()
        });
        // Ends when it listens, or when it cannot.
        let _ = is_ready.recv();
        let outcome = work();
        drop(done);
        let heard = listening.map_err(told).ok().and_then(|listening| listening.join().ok().flatten());
        (outcome, heard)
    })
}

/// Waits for a signal or for the end of the work, which a signal ends. Work that stands still is not waited for: at a pipe, say.
async fn watch(
    mut signals: Signals,
    mut is_done: oneshot::Receiver<()>,
    console: &Console,
    resumable: &str,
) -> Option<SignalKind> {
    let kind = tokio::select! {
        _ = &mut is_done => return None,
        kind = signals.next() => kind,
    };
    interrupt::request();
    if tokio::time::timeout(PATIENCE, is_done).await.is_err()
        && let Failure::Interrupted { message, code } = interrupted(kind, resumable)
    {
        console.notice(message);
        leave(code);
    }
    Some(kind)
}

#[allow(clippy::exit, reason = "the thread that would end the process stands still")]
fn leave(code: u8) -> ! {
    process::exit(code.into())
}
