//! How urgent a thread is.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{getpriority_process, setpriority_process};

/// Niceness of bulk work: a thirtieth of the share that other work gets on a busy core, all of it on an idle one.
const BULK: i32 = 15;

/// Whether any thread of this process does bulk work.
static HAS_BULK: AtomicBool = AtomicBool::new(false);

/// Lets other work of the machine go first, from now on, for the thread that calls and those it starts.
///
/// A transfer keeps every core busy for seconds. Commands that a person waits for, such as a listing, should not queue
/// behind it. Where this is not allowed nothing happens; a thread that is nicer already stays so.
pub fn lower() {
    // On Linux niceness belongs to the thread, unlike what POSIX says.
    if getpriority_process(None).is_ok_and(|niceness| niceness < BULK) {
        let _ = setpriority_process(None, BULK);
    }
    HAS_BULK.store(true, Ordering::Relaxed);
}

/// Lets whoever is more urgent have the core now. For loops of bulk work, about once a millisecond: niceness alone gives other
/// work its share, but only at the end of a time slice, which can be many milliseconds away.
pub fn give_way() {
    if HAS_BULK.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
}
