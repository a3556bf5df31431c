//! Threads, which a machine may have no more of: `ulimit -u` and `pids.max` of a control group say how many there may be.

use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use crate::{Error, Result, fault};

/// Where tests have the machine run out of threads.
const FAULT: &str = "threads.start";

/// Starts a thread. `name` is what debuggers and messages call it.
///
/// # Errors
/// [`Kind::Io`](crate::Kind::Io) when there may be no more.
pub fn start<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let begin = || Builder::new().name(name.to_owned()).spawn(work);
    fault::point(FAULT).and_then(|()| begin()).map_err(|error| refused(name, error))
}

/// Starts a thread that may borrow what outlives its scope.
///
/// # Errors
/// As [`start`].
pub fn start_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let begin = || Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    fault::point(FAULT).and_then(|()| begin()).map_err(|error| refused(name, error))
}

fn refused(name: &str, error: io::Error) -> Error {
    Error::io(format_args!("cannot start the {name} thread"), error)
        .with_hint("allow more threads: ulimit -u, or pids.max of the control group")
}
