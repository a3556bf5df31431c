//! The registries that people use, scripted with what is known of them: dhow gets on with each, and so do the real skopeo and
//! docker, which says that the scripts are like the originals as far as they go.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

mod credentials;
mod dhow;
mod peers;
