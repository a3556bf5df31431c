//! The runtime of verbs that talk to a network.

use std::future::Future;

use dhow_base::{Error, Result};
use tokio::runtime::Builder;

/// Runs a future to its end on a single-threaded runtime made for it.
///
/// One thread moves bytes between socket and file faster than the two ends can hash them; hashing and inflating have
/// threads of their own in the store.
///
/// # Errors
/// [`dhow_base::Kind::Io`] when the operating system gives no event queue, else the future's.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    run(&mut Builder::new_current_thread(), future)
}

/// Runs a future to its end on a runtime with a thread per core: a server has many clients at once.
///
/// # Errors
/// As [`block_on`].
pub fn block_on_all_cores<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    run(&mut Builder::new_multi_thread(), future)
}

fn run<T>(builder: &mut Builder, future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = builder.enable_all().build().map_err(|error| Error::io("cannot start the network runtime", error))?;
    // A transfer's state is tens of kilobytes: on the stack it would be moved, page by page, at each level.
    runtime.block_on(Box::pin(future))
}
