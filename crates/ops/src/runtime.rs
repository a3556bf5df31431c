//! The runtime of verbs that talk to a network.

use std::future::Future;

use dhow_base::{Error, Kind, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a future to its end on a single-threaded runtime made for it.
///
/// One thread moves bytes between socket and file faster than the two ends can hash them; hashing and inflating have
/// threads of their own in the store.
///
/// # Errors
/// [`Kind::Io`] when the operating system gives no event queue, else the future's.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start the network runtime", error))?;
    runtime.block_on(future)
}

/// Runs a future that SIGINT or SIGTERM ends early. `resumable` says what an interrupted user can count on.
///
/// # Errors
/// [`Kind::Cancelled`] on a signal, else the future's.
pub async fn interruptible<T>(future: impl Future<Output = Result<T>>, resumable: &str) -> Result<T> {
    let listen = |kind| signal(kind).map_err(|error| Error::io("cannot listen for signals", error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        result = future => result,
        _ = interrupt.recv() => Err(Error::new(Kind::Cancelled, format!("interrupted: {resumable}"))),
        _ = terminate.recv() => Err(Error::new(Kind::Cancelled, format!("terminated: {resumable}"))),
    }
}
