//! How many files this process may have open: as many as the machine gives, while it is this program.
//!
//! Shells hand down a soft limit of 1,024, made for programs that know no higher numbers (select(2)). An image has hundreds of layers and a
//! server thousands of connections. Programs written in Go do the same.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits that this process began with.
static FOUND: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub fn raise() {
    let found = FOUND.get_or_init(|| getrlimit(Resource::Nofile));
    if found.current != found.maximum {
        set(Rlimit { current: found.maximum, maximum: found.maximum });
    }
}

/// The soft and the hard limit that this process began with, if they are others now; `None` within is no limit.
pub fn found() -> Option<(Option<u64>, Option<u64>)> {
    FOUND.get().filter(|found| found.current != found.maximum).map(|found| (found.current, found.maximum))
}

/// Puts the limits back, for another program in this one's place.
pub fn restore() {
    if let Some((current, maximum)) = found() {
        set(Rlimit { current, maximum });
    }
}

/// Not to be allowed that is no failure: what needs more files than there may be says so.
fn set(limit: Rlimit) {
    let _ = setrlimit(Resource::Nofile, limit);
}
