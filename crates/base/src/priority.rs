//! How urgent a thread is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread;

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
        thread::yield_now();
    }
}

/// A turn on one of the cores, until it is dropped.
#[derive(Debug)]
pub struct Turn(());

/// Turns that are taken.
static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();
static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(2, usize::from));

/// Waits for a turn: no more threads of bulk work compute at once than there are cores. Each would be one more that others of the
/// machine share them with. Nothing to wait for where there is no bulk work.
///
/// To be held for about a millisecond, and not while waiting for anything.
pub fn turn() -> Option<Turn> {
    if !HAS_BULK.load(Ordering::Relaxed) {
        return None;
    }
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = GIVEN_BACK.wait_while(taken, |taken| *taken >= *CORES).unwrap_or_else(PoisonError::into_inner);
    *taken += 1;
    Some(Turn(()))
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn no_more_have_a_turn_than_there_are_cores() {
        assert!(turn().is_none());
        HAS_BULK.store(true, Ordering::Relaxed);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 * *CORES {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _turn = turn();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        HAS_BULK.store(false, Ordering::Relaxed);
        assert!((1..=*CORES).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(*TAKEN.lock().unwrap_or_else(PoisonError::into_inner), 0);
    }
}
