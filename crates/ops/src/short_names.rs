//! Names without a registry, and what the configuration makes of them.

use dhow_base::Result;
pub use dhow_registry::{Reason, Resolution};
use dhow_spec::Repository;

use crate::context::Context;

/// What a name as a user typed it stands for: itself, or one of several candidates.
///
/// # Errors
/// Docker's words for what is no name, podman's where nothing says what it stands for, and those of reading the
/// configuration.
pub fn resolve(context: &Context, text: &str) -> Result<Resolution> {
    context.registries().resolve(text)
}

/// Remembers what the user chose a short name to mean.
///
/// # Errors
/// Those of writing podman's file of aliases.
pub fn record(context: &Context, text: &str, chosen: &Repository) -> Result<()> {
    context.registries().record(text, chosen)
}
