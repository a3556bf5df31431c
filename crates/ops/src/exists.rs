//! `image exists`: whether an image is here.

use dhow_base::{Kind, Result};

use crate::context::Context;

/// Looks for an image by name, digest or ID.
///
/// # Errors
/// [`Kind::Invalid`] for what can be no name; those of the store.
pub fn exists(context: &Context, name: &str) -> Result<bool> {
    match context.find(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
