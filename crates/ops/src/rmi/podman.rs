//! `rmi` as podman does it (containers/common `libimage`): by name, only that name goes while others remain; by ID, an image
//! with several names wants force; containers stand in the way, unless they are stopped and force is used.

use std::collections::{HashMap, HashSet};

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference, Repository};
use dhow_store::{MatchedBy, NamesOf, Update};

use crate::container;
use crate::context::Context;
use crate::manifest;
use crate::mount;
use crate::rmi::CONTENT_STAYS;

/// What became of all images and names.
#[derive(Debug, Default)]
pub struct Report {
    /// Full names that are gone.
    pub untagged: Vec<String>,
    /// IDs of images that are gone.
    pub deleted: Vec<Digest>,
    /// IDs of containers that were removed with their images.
    containers: Vec<String>,
    /// Lists of manifests to remove, which are images to podman, and have no ID here.
    lists: Vec<Reference>,
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
        let mut places: HashMap<Digest, usize> = HashMap::new();
        let mut seen: HashSet<(Digest, Option<Reference>)> = HashSet::new();
        for name in names {
            match context.find_in(update, name) {
                Ok(found) => {
                    let by = found.reference.filter(|_| found.matched_by == MatchedBy::Name);
                    if !seen.insert((found.image_id.clone(), by.clone())) {
                        continue;
                    }
                    let place = *places.entry(found.image_id.clone()).or_insert(targets.len());
                    match targets.get_mut(place) {
                        Some((_, named)) => named.push(by),
                        None => targets.push((found.image_id, vec![by])),
                    }
                }
                Err(error) if error.kind() == Kind::NotFound => match manifest::named(context, name)? {
                    Some(list) if report.lists.contains(&list) => {}
                    Some(list) => report.lists.push(list),
                    None => report.failures.push(error),
                },
                Err(error) if error.kind() == Kind::Invalid => report.failures.push(error),
                Err(error) => return Err(error),
            }
        }
        for (id, named) in targets {
            for by in named {
                one(update, report, &id, by.as_ref(), force)?;
                // It may have been the image's last name.
                if report.deleted.last() == Some(&id) {
                    break;
                }
            }
        }
        Ok(())
    })
}

/// Removes every image with all its names, and every list of manifests.
///
/// # Errors
/// As [`remove_as_podman`].
pub fn remove_all_as_podman(context: &Context, force: bool) -> Result<Report> {
    run(context, |update, report| {
        let mut images = update.images()?;
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        report.lists = context.store()?.lists()?;
        images.iter().try_for_each(|image| whole(update, report, &image.id, force))
    })
}

fn run(context: &Context, change: impl FnOnce(&mut Update<'_>, &mut Report) -> Result<()>) -> Result<Report> {
    let store = context.store()?;
    container::recover(store)?;
    let mut report = store.update(|update| {
        let mut report = Report::default();
        change(update, &mut report)?;
        Ok(report)
    })?;
    // From here on some of it is gone, which is told whatever comes in between.
    for list in std::mem::take(&mut report.lists) {
        match manifest::rm(context, &list.to_string()) {
            Ok(()) => report.untagged.push(list.to_string()),
            // Somebody else was faster.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => report.failures.push(error),
        }
    }
    for container in &report.containers {
        report.failures.extend(store.remove_directory("containers", container).err());
    }
    if !report.deleted.is_empty() {
        mount::end_removed(store);
        report.failures.extend(store.collect().err().map(|error| error.context(CONTENT_STAYS)));
    }
    Ok(report)
}

/// Removes what one argument stands for: the image, or one of its names.
fn one(update: &mut Update<'_>, report: &mut Report, id: &Digest, by: Option<&Reference>, force: bool) -> Result<()> {
    let names = update.names_of(id)?;
    if !has_several(update, &names)? {
        return whole(update, report, id, force);
    }
    match by {
        Some(name) => untag(update, report, &names, name),
        None if !force => {
            let shown: Vec<String> = all_names(update, id)?.iter().map(ToString::to_string).collect();
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
        None => whole(update, report, id, force),
    }
}

fn whole(update: &mut Update<'_>, report: &mut Report, id: &Digest, force: bool) -> Result<()> {
    let users = update.containers_of(id)?;
    if let Some(container) = users.iter().find(|container| !force || container.is_running()) {
        let message = format!(
            "image used by {}: image is in use by a container: consider listing external containers and \
             force-removing image",
            container.id
        );
        report.failures.push(Error::new(Kind::Conflict, message));
        return Ok(());
    }
    if !users.is_empty() {
        // Those that only have it mounted stay.
        for record in update.containers()?.into_iter().filter(|record| record.image_id == *id) {
            update.remove_container(&record.container.id)?;
            report.containers.push(record.container.id);
        }
    }
    let names = update.names_of(id)?;
    for name in all_names(update, id)? {
        untag(update, report, &names, &name)?;
    }
    update.delete_used_image(id)?;
    report.deleted.push(id.clone());
    Ok(())
}

/// Takes one name off; digests of its repository go with its last tag.
fn untag(update: &mut Update<'_>, report: &mut Report, names: &NamesOf, name: &Reference) -> Result<()> {
    let repository = name.repository();
    if let Some(digest) = name.digest() {
        update.remove_repo_digest(repository, digest)?;
    } else {
        update.untag(name)?;
        if !names.has_tag_in(update, repository)? {
            for digest in names.digests_in(update, repository)? {
                update.remove_repo_digest(repository, &digest)?;
            }
        }
    }
    report.untagged.push(name.to_string());
    Ok(())
}

/// All names of an image: tags, and digests of repositories that have no tag for it.
fn all_names(update: &Update<'_>, id: &Digest) -> Result<Vec<Reference>> {
    let tags = update.references_of(id)?;
    let mut digests = update.repo_digests_of(id)?;
    let tagged: HashSet<&Repository> = tags.iter().map(Reference::repository).collect();
    digests.retain(|(repository, _)| !tagged.contains(repository));
    let digests = digests.into_iter().map(|(repository, digest)| Reference::from_digest(repository, digest));
    Ok(tags.iter().cloned().chain(digests).collect())
}

/// Whether [`all_names`] are more than one.
fn has_several(update: &Update<'_>, names: &NamesOf) -> Result<bool> {
    match names.some_tags(update, 2)?.as_slice() {
        [] => Ok(names.some_digests(update, 2)?.len() > 1),
        [tag] => names.has_digest_outside(update, tag.repository()),
        _ => Ok(true),
    }
}
