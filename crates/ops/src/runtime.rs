//! The runtime of verbs that talk to a network.

use std::future::Future;

use dhow_base::{Error, Result};

/// Runs a future to its end on a single-threaded runtime made for it.
///
/// One thread moves bytes between socket and file faster than the two ends can hash them; hashing and inflating have
/// threads of their own in the store.
///
/// # Errors
/// [`dhow_base::Kind::Io`] when the operating system gives no event queue, else the future's.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start the network runtime", error))?;
    runtime.block_on(future)
}
