//! What the tests share that kill the program, crowd it, or pull the plug on it.

#![allow(clippy::print_stderr, reason = "a test says how it can be repeated")]
#![allow(
    clippy::disallowed_methods,
    reason = "test files are scratch files, and a test is told how long to run by its environment"
)]

mod disk;
mod pictures;
mod program;
mod shelf;

pub use dhow_testkit::forgetful::chance;
pub use disk::{Attached, Disk, Kind};
pub use pictures::{Picture, same_archive};
pub use program::{Dhow, Ran};
pub use shelf::Shelf;

use std::time::Duration;

/// How long a test of endurance runs: `DHOW_TEST_SECONDS`, or a minute in continuous integration and five seconds elsewhere.
///
/// # Panics
/// When `DHOW_TEST_SECONDS` is no number.
pub fn endurance() -> Duration {
    match std::env::var("DHOW_TEST_SECONDS") {
        Ok(text) => Duration::from_secs(text.parse().expect("DHOW_TEST_SECONDS is a number")),
        Err(_) if std::env::var_os("CI").is_some() => Duration::from_secs(60),
        Err(_) => Duration::from_secs(5),
    }
}
