//! What every other crate stands on: error kinds, durable file writes, locks, limits, secrets and progress events.
//!
//! This crate knows nothing of images. Three of its modules are the only doors to what they guard:
//! [`fs`] is where files are written, renamed, synced and deleted, [`beneath`] the same for trees whose names come from
//! elsewhere, and [`secret`] is what no log can show.

pub mod beneath;
pub mod descriptors;
pub mod error;
pub mod fault;
pub mod fs;
pub mod interrupt;
pub mod limits;
pub mod priority;
pub mod progress;
pub mod secret;
mod sys;
pub mod threads;

pub use error::{Error, Kind, Result};
