//! The store through its public face: contract, crashes, power cuts, many processes at once.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reports by panicking, damages files on purpose and passes orders to its children"
)]

mod child;
mod common;
mod crash;
mod finding;
mod growing;
mod health;
mod ingest;
mod interleaved;
mod model;
mod names;
mod outlines;
mod place;
mod power;
mod processes;
mod rebuild;
mod removing;
mod stack;
mod uses;
