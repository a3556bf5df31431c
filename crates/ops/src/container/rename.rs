//! `rename`: another name for a container, whatever it does.

use dhow_base::{Error, Kind, Result};
use dhow_store::Update;

use super::Record;
use super::create::{check_name, taken};
use crate::context::Context;
use crate::naming::Naming;

/// Gives a container another name.
///
/// # Errors
/// [`Kind::Conflict`] when a container has that name, [`Kind::Invalid`] for what is none, in each engine's words.
pub fn rename(context: &Context, record: &Record, name: &str) -> Result<()> {
    let naming = context.naming();
    let is_docker = naming == Naming::Docker;
    let id = &record.container.id;
    let name = if is_docker { name.strip_prefix('/').unwrap_or(name) } else { name };
    let is_its_own = record.container.name.as_deref() == Some(name);
    if is_its_own && is_docker {
        return Err(Error::new(Kind::Invalid, "Renaming a container with the same name as its current name"));
    }
    let about = |error: Error| match naming {
        Naming::Docker => error.context("Error when allocating new name"),
        Naming::Podman => error,
    };
    let shown = if is_docker { format!("/{name}") } else { name.to_owned() };
    check_name(naming, Some(&shown)).map_err(about)?;
    context.store()?.update(|update: &mut Update<'_>| {
        let containers = update.containers()?;
        let is_other = |other: &&Record| other.container.id != *id && other.container.name.as_deref() == Some(name);
        if let Some(holder) = containers.iter().find(is_other) {
            return Err(about(match naming {
                Naming::Docker => taken(name, &holder.container.id),
                Naming::Podman => {
                    let what = format!("name {name} already in use, cannot rename container {id}");
                    Error::new(Kind::Conflict, format!("renaming container {id}: {what}: container already exists"))
                }
            }));
        }
        match update.rename_container(id, name)? {
            true => Ok(()),
            false => Err(Error::new(Kind::NotFound, format!("No such container: {id}"))),
        }
    })
}
