//! `rmi` as podman does it (containers/common `libimage`): by name, only that name goes while others remain; by ID, an image
//! with several names wants force; containers stand in the way, unless they are stopped and force is used.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference};
use dhow_store::{MatchedBy, Update};

use crate::container;
use crate::context::Context;
use crate::mount;

/// What became of all images and names.
#[derive(Debug, Default)]
pub struct Report {
    /// Full names that are gone.
    pub untagged: Vec<String>,
    /// IDs of images that are gone.
    pub deleted: Vec<Digest>,
    /// IDs of containers that were removed with their images.
    containers: Vec<String>,
    /// What failed: [`Kind::NotFound`], [`Kind::Conflict`] where containers use an image, else [`Kind::Invalid`].
    pub failures: Vec<Error>,
}

/// Removes images or names in one transaction; what fails keeps nothing else from going.
///
/// # Errors
/// Those of the store; nothing is removed then.
pub fn remove_as_podman(context: &Context, names: &[String], force: bool) -> Result<Report> {
    run(context, |update, report| {
        // All are looked up before the first goes: an image that is named twice is removed once.
        let mut targets: Vec<(Digest, Vec<Option<Reference>>)> = Vec::new();
        for name in names {
            match context.find_in(update, name) {
                Ok(found) => {
                    let by = found.reference.filter(|_| found.matched_by == MatchedBy::Name);
                    match targets.iter_mut().find(|(id, _)| *id == found.image_id) {
                        Some((_, named)) if named.contains(&by) => {}
                        Some((_, named)) => named.push(by),
                        None => targets.push((found.image_id, vec![by])),
                    }
                }
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => report.failures.push(error),
                Err(error) => return Err(error),
            }
        }
        for (id, named) in targets {
            for by in named {
                // An earlier name of it may have been its last.
                if !report.deleted.contains(&id) {
                    one(update, report, &id, by.as_ref(), force)?;
                }
            }
        }
        Ok(())
    })
}

/// Removes every image with all its names.
///
/// # Errors
/// As [`remove_as_podman`].
pub fn remove_all_as_podman(context: &Context, force: bool) -> Result<Report> {
    run(context, |update, report| {
        let mut images = update.images()?;
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        images.iter().try_for_each(|image| whole(update, report, &image.id, force))
    })
}

fn run(context: &Context, change: impl FnOnce(&mut Update<'_>, &mut Report) -> Result<()>) -> Result<Report> {
    let store = context.store()?;
    container::recover(store)?;
    let report = store.update(|update| {
        let mut report = Report::default();
        change(update, &mut report)?;
        Ok(report)
    })?;
    for container in &report.containers {
        store.remove_directory("containers", container)?;
    }
    if !report.deleted.is_empty() {
        mount::end_removed(store);
        store.collect()?;
    }
    Ok(report)
}

/// Removes what one argument stands for: the image, or one of its names.
fn one(update: &mut Update<'_>, report: &mut Report, id: &Digest, by: Option<&Reference>, force: bool) -> Result<()> {
    let names = names(update, id)?;
    match by {
        Some(name) if names.len() > 1 => untag(update, report, id, name),
        None if names.len() > 1 && !force => {
            let shown: Vec<String> = names.iter().map(ToString::to_string).collect();
            report.failures.push(Error::new(
                Kind::Invalid,
                format!(
                    "unable to delete image \"{}\" by ID with more than one tag ([{}]): please force removal",
                    id.hex(),
                    shown.join(" ")
                ),
            ));
            Ok(())
        }
        _ => whole(update, report, id, force),
    }
}

fn whole(update: &mut Update<'_>, report: &mut Report, id: &Digest, force: bool) -> Result<()> {
    for container in update.containers_of(id)? {
        if !force || container.is_running() {
            let message = format!(
                "image used by {}: image is in use by a container: consider listing external containers and \
                 force-removing image",
                container.id
            );
            report.failures.push(Error::new(Kind::Conflict, message));
            return Ok(());
        }
    }
    for container in update.containers_of(id)? {
        update.remove_container(&container.id)?;
        report.containers.push(container.id);
    }
    for name in names(update, id)? {
        untag(update, report, id, &name)?;
    }
    update.delete_image(id)?;
    report.deleted.push(id.clone());
    Ok(())
}

/// Takes one name off; digests of its repository go with its last tag.
fn untag(update: &mut Update<'_>, report: &mut Report, id: &Digest, name: &Reference) -> Result<()> {
    if let Some(digest) = name.digest() {
        update.remove_repo_digest(name.repository(), digest)?;
    } else {
        update.untag(name)?;
        let repository = name.repository();
        if !update.references_of(id)?.iter().any(|other| other.repository() == repository) {
            for (home, digest) in update.repo_digests_of(id)? {
                if home == *repository {
                    update.remove_repo_digest(&home, &digest)?;
                }
            }
        }
    }
    report.untagged.push(name.to_string());
    Ok(())
}

/// All names of an image: tags, and digests of repositories that have no tag for it.
fn names(update: &Update<'_>, id: &Digest) -> Result<Vec<Reference>> {
    let mut names = update.references_of(id)?;
    for (repository, digest) in update.repo_digests_of(id)? {
        if !names.iter().any(|name| *name.repository() == repository && name.tag().is_some()) {
            names.push(Reference::from_digest(repository, digest));
        }
    }
    Ok(names)
}
