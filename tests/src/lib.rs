//! End-to-end tests of the real `dhow` binary; see the files beside `src`.

pub mod binary;
pub mod bucket;
pub mod crash;
pub mod interop;
pub mod known;
pub mod multi;
pub mod netns;
pub mod ordinary;
pub mod parity;
pub mod scene;
