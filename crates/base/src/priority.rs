//! How urgent a thread is.

use rustix::process::{getpriority_process, setpriority_process};

/// Niceness of bulk work: a thirtieth of the share that other work gets on a busy core, all of it on an idle one.
const BULK: i32 = 15;

/// Lets other work of the machine go first, from now on, for the thread that calls and those it starts.
///
/// A transfer keeps every core busy for seconds. Commands that a person waits for, such as a listing, should not queue
/// behind it. Where this is not allowed nothing happens; a thread that is nicer already stays so.
pub fn lower() {
    // On Linux niceness belongs to the thread, unlike what POSIX says.
    if getpriority_process(None).is_ok_and(|niceness| niceness < BULK) {
        let _ = setpriority_process(None, BULK);
    }
}
