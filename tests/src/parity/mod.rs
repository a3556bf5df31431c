//! The same command lines for the real docker or podman and for dhow called by that name. `tests/parity/README.md` says how cases
//! are written.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

mod boxes;
mod case;
mod judge;
mod names;
mod pictures;
mod recording;
mod shape;
mod sides;

pub use case::{Case, Group, Mark, Step, parse};
pub use judge::{Report, Said, judge};
pub use names::Names;
pub use pictures::{Box, Doing, Files, Gallery, State};
pub use recording::Recording;
pub use shape::{shape, split};
pub use sides::{Peer, Side, client_version, docker_side, podman_side};
