//! `rmi`: takes names off images, and images off this machine when nothing names or uses them any more.
//!
//! The rules are docker's (moby `daemon/images/image_delete.go`): by name, only that name goes while others remain; by ID,
//! all names go, unless they are in several repositories; containers that use the image stand in the way.

use dhow_base::{Error, Kind, Result};
use dhow_spec::platform::Matcher;
use dhow_spec::{Digest, Platform, Reference, Repository};
use dhow_store::{Collected, Container, Found, MatchedBy, NamesOf, Removal, Update};

use crate::container;
use crate::context::Context;
use crate::filter::{Filter, Term};
use crate::mount;
use crate::names;
use crate::naming::Naming;
use crate::prune;

mod podman;

pub use podman::{Report, remove_all_as_podman, remove_as_podman};

/// How to remove.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Removes what is named several times or used by stopped containers too.
    pub force: bool,
    /// Removes only the images for these platforms.
    pub platforms: Vec<Platform>,
}

/// A line of docker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone: one with a tag, or one with a digest.
    Untagged(Reference),
    /// An image is gone, by its ID.
    Deleted(Digest),
    /// A layer that only this image had is gone, by its chain ID.
    DeletedLayer(Digest),
}

/// With more documents than this it is faster to look at the whole store once.
const COLLECTED_ONE_BY_ONE_MAX: usize = 500;

/// What is said when images are gone, and their content is not.
pub(crate) const CONTENT_STAYS: &str = "the content stays for the next prune";

/// What became of one image or name.
pub type Outcome = Result<Vec<Removed>>;

/// What became of everything that was to be removed.
#[derive(Debug, Default)]
pub struct Answer {
    /// An outcome for each image or name, in order, and then the failure to remove the content of what is gone, if there was one.
    pub outcomes: Vec<Outcome>,
    /// Bytes that are free again on disk.
    pub reclaimed_bytes: u64,
}

/// Removes images or names, in one transaction. What cannot be removed keeps nothing else from going: there is an outcome
/// for each, in order.
///
/// # Errors
/// Those of the store; nothing is removed then. The outcomes have [`Kind::NotFound`] and [`Kind::Conflict`] in docker's words.
pub fn remove(context: &Context, names: &[String], request: &Request) -> Result<Answer> {
    if !request.platforms.is_empty() && !request.force {
        // The sentence has an em dash in docker, too.
        let message = "Content will be removed from all images referencing this variant. \
                       Use —-force to force delete.";
        return Err(Error::new(Kind::Invalid, message));
    }
    each(context, names, |update, name| {
        if context.naming() == Naming::Docker && !name.is_empty() && name.trim().is_empty() {
            return Err(Error::new(Kind::Invalid, "image name cannot be blank"));
        }
        let found = context.find_in(update, name)?;
        if request.platforms.is_empty() {
            return remove_found(update, name, &found, request.force);
        }
        remove_platforms(update, name, &found, &request.platforms)
    })
}

/// Removes all images that fit, with all their names; with a filter by name only the names that fit, and images with their
/// last name.
///
/// # Errors
/// As [`remove`].
pub fn remove_all(context: &Context, filters: &[Term], request: &Request) -> Result<Answer> {
    let filter = Filter::parse(filters)?;
    let store = context.store()?;
    container::recover(store)?;
    let mut images = filter.select(store, store.images()?)?;
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    let removals: Vec<Removal> = images.into_iter().map(|image| prune::removal(image, &filter)).collect();
    each(context, &removals, |update, removal| {
        let mut state = State::of(update, &removal.image.id, request.force)?;
        if removal.is_whole() {
            return state.with_all_names();
        }
        // Other names stay, so that nothing can stand in the way of these.
        for tag in &removal.tags {
            state.untag(tag)?;
        }
        for (repository, digest) in &removal.digests {
            state.untag(&Reference::from_digest(repository.clone(), digest.clone()))?;
        }
        Ok(state.removed)
    })
}

fn each<T>(context: &Context, targets: &[T], mut action: impl FnMut(&mut Update<'_>, &T) -> Outcome) -> Result<Answer> {
    let store = context.store()?;
    container::recover(store)?;
    store.make_room();
    let (mut outcomes, removed) = store.update(|update| {
        let mut outcomes = Vec::with_capacity(targets.len());
        for target in targets {
            match action(update, target) {
                // These come before anything is changed. All others leave the transaction in an unknown state.
                Err(error) if !matches!(error.kind(), Kind::NotFound | Kind::Conflict | Kind::Invalid) => {
                    return Err(error);
                }
                outcome => outcomes.push(outcome),
            }
        }
        Ok((outcomes, update.removed().to_vec()))
    })?;
    if !removed.is_empty() {
        mount::end_removed(store);
    }
    let collected = match removed.len() {
        0 => Ok(Collected::default()),
        number if number > COLLECTED_ONE_BY_ONE_MAX => store.collect(),
        _ => store.collect_below(&removed),
    };
    // What is gone is told whatever comes in between.
    let reclaimed_bytes = collected.map(|collected| collected.bytes).unwrap_or_else(|error| {
        outcomes.push(Err(error.context(CONTENT_STAYS)));
        0
    });
    Ok(Answer { outcomes, reclaimed_bytes })
}

/// `name` is what the user calls it.
fn remove_found(update: &mut Update<'_>, name: &str, found: &Found, force: bool) -> Outcome {
    let mut state = State::of(update, &found.image_id, force)?;
    match (&found.matched_by, &found.reference) {
        (MatchedBy::Name, Some(reference)) => state.by_name(name, reference),
        _ => state.by_id(),
    }
}

/// A name with a tag beside its digest, which docker repeats although it means nothing.
fn beside_a_digest(name: &str, reference: &Reference) -> Option<Reference> {
    let given = names::parse(name).ok().filter(|given| given.tag().is_some())?;
    (reference.digest().is_some() && given.digest() == reference.digest()).then_some(given)
}

/// Removes the images for some platforms, from every index that has them.
fn remove_platforms(update: &mut Update<'_>, name: &str, found: &Found, platforms: &[Platform]) -> Outcome {
    let members = update.platforms_of(&found.target.digest)?;
    let mut ids: Vec<Digest> = Vec::with_capacity(platforms.len());
    for platform in platforms {
        let matcher = Matcher::strict(platform);
        let fitting = members.iter().filter_map(|(platform, id)| Some((matcher.rank(platform)?, id)));
        let Some((_, id)) = fitting.min_by_key(|(rank, _)| *rank) else {
            let message = format!(
                "image with reference {name} was found but does not provide the specified platform ({platform})"
            );
            return Err(Error::new(Kind::NotFound, message));
        };
        if let Some(conflict) = State::of(update, id, true)?.running() {
            return Err(conflict);
        }
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    let mut removed = Vec::new();
    for id in ids {
        update.leave_out(&id)?;
        // What still shows the image has no other: it goes, names and all.
        removed.extend(State::of(update, &id, true)?.with_all_names()?);
    }
    Ok(removed)
}

/// An image and what stands in its way.
struct State<'a, 'u> {
    update: &'a mut Update<'u>,
    id: Digest,
    names: NamesOf,
    containers: Vec<Container>,
    force: bool,
    removed: Vec<Removed>,
}

impl<'a, 'u> State<'a, 'u> {
    fn of(update: &'a mut Update<'u>, image_id: &Digest, force: bool) -> Result<Self> {
        Ok(Self {
            names: update.names_of(image_id)?,
            containers: update.containers_of(image_id)?,
            id: image_id.clone(),
            update,
            force,
            removed: Vec::new(),
        })
    }

    fn by_name(&mut self, name: &str, reference: &Reference) -> Outcome {
        if let Some(container) = self.containers.first()
            && !self.force
            && self.has_single_reference()?
        {
            let message = format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its \
                 referenced image {}",
                container.short_id(),
                self.id.short()
            );
            return Err(Error::new(Kind::Conflict, message));
        }
        self.untag(reference)?;
        if let (Some(given), Some(told)) = (beside_a_digest(name, reference), self.removed.last_mut()) {
            *told = Removed::Untagged(given);
        }
        // Digest names of a repository do not outlive its last tag.
        let repository = reference.repository();
        if reference.digest().is_none() && !self.names.has_tag_in(self.update, repository)? {
            self.untag_digests(repository)?;
        }
        // Containers keep the image, without a name; forced, only those that run.
        let is_used = self.containers.iter().any(|container| container.is_running() || !self.force);
        if !is_used && !self.is_named()? {
            self.delete()?;
        }
        Ok(std::mem::take(&mut self.removed))
    }

    fn by_id(&mut self) -> Outcome {
        if let Some(conflict) = self.running() {
            return Err(conflict);
        }
        if !self.force && !self.has_single_reference()? {
            return Err(self.conflict("must be forced", "image is referenced in multiple repositories".to_owned()));
        }
        self.with_all_names()
    }

    /// However many names it has, the image goes.
    fn with_all_names(&mut self) -> Outcome {
        if let Some(conflict) = self.running() {
            return Err(conflict);
        }
        if let Some(stopped) = self.containers.first()
            && !self.force
        {
            let why = format!("image is being used by stopped container {}", stopped.short_id());
            return Err(self.conflict("must be forced", why));
        }
        let (tags, digests) = (self.update.references_of(&self.id)?, self.update.repo_digests_of(&self.id)?);
        let names = names::in_order(tags, digests);
        names.iter().try_for_each(|name| self.untag(name))?;
        self.delete()?;
        Ok(std::mem::take(&mut self.removed))
    }

    /// What no force overcomes.
    fn running(&self) -> Option<Error> {
        let running = self.containers.iter().find(|container| container.is_running())?;
        let why = format!("image is being used by running container {}", running.short_id());
        Some(self.conflict("cannot be forced", why))
    }

    fn conflict(&self, how: &str, why: String) -> Error {
        Error::new(Kind::Conflict, format!("conflict: unable to delete {} ({how}) - {why}", self.id.short()))
    }

    fn is_named(&self) -> Result<bool> {
        let is_tagged = !self.names.some_tags(self.update, 1)?.is_empty();
        Ok(is_tagged || !self.names.some_digests(self.update, 1)?.is_empty())
    }

    /// Whether the image has at most one tag, and all its names are in one repository.
    fn has_single_reference(&self) -> Result<bool> {
        let repository = match self.names.some_tags(self.update, 2)?.as_slice() {
            [] => match self.names.some_digests(self.update, 1)?.pop() {
                Some((repository, _)) => repository,
                None => return Ok(true),
            },
            [tag] => tag.repository().clone(),
            _ => return Ok(false),
        };
        Ok(!self.names.has_digest_outside(self.update, &repository)?)
    }

    fn untag(&mut self, reference: &Reference) -> Result<()> {
        if let Some(digest) = reference.digest() {
            self.update.remove_repo_digest(reference.repository(), digest)?;
        } else {
            self.update.untag(reference)?;
        }
        self.removed.push(Removed::Untagged(reference.clone()));
        Ok(())
    }

    fn untag_digests(&mut self, of: &Repository) -> Result<()> {
        let digests = self.names.digests_in(self.update, of)?;
        digests.into_iter().try_for_each(|digest| self.untag(&Reference::from_digest(of.clone(), digest)))
    }

    fn delete(&mut self) -> Result<()> {
        let chains = self.update.delete_used_image(&self.id)?;
        self.removed.push(Removed::Deleted(self.id.clone()));
        // A container stands on the layers of its image: they are not gone with it.
        if self.containers.is_empty() {
            self.removed.extend(chains.into_iter().map(Removed::DeletedLayer));
        }
        Ok(())
    }
}
