//! The registry as clients see it: a real server on a loopback port, real requests.

#![allow(clippy::unwrap_used, reason = "a failed request fails the test")]

mod access;
mod blobs;
mod cache;
mod collect;
mod concurrency;
mod harness;
mod hostile;
mod limits;
mod lists;
mod manifests;
mod operations;
mod page;
mod quotas;
mod restart;
mod tls;
mod tokens;
mod uploads;
