//! Names of what is here, for shells that complete command lines.

use dhow_base::Result;
use dhow_spec::Reference;

use crate::context::Context;
use crate::images;
use crate::naming::Naming;

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Images that have a tag.
    Images,
    /// Containers.
    Containers,
    /// Volumes.
    Volumes,
}

/// The names that begin so, sorted. Where there is no store there are none, and none comes into being.
///
/// # Errors
/// Those of the store.
pub fn names(context: &Context, named: Named, beginning: &str) -> Result<Vec<String>> {
    if !context.settings().store_root.exists() {
        return Ok(Vec::new());
    }
    let store = context.store()?;
    let mut names: Vec<String> = match named {
        Named::Images => image_names(context, beginning)?,
        Named::Containers => store.containers()?.into_iter().filter_map(|record| record.container.name).collect(),
        Named::Volumes => store.volumes()?.into_iter().map(|volume| volume.name).collect(),
    };
    names.retain(|name| name.starts_with(beginning));
    names.sort();
    names.dedup();
    Ok(names)
}

/// Names as lists show them; in full where the user began so.
fn image_names(context: &Context, beginning: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for row in images::list(context, &images::Request::default())? {
        let (Some(repository), Some(tag)) = (row.repository, row.tag) else { continue };
        let reference = Reference::from_tag(repository, tag);
        let familiar = reference.familiar();
        let is_full = context.naming() == Naming::Podman || !familiar.starts_with(beginning);
        names.push(if is_full { reference.to_string() } else { familiar });
    }
    Ok(names)
}
