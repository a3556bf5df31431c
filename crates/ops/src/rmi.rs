//! `rmi`: takes names off images, and images off this machine when nothing names or uses them any more.
//!
//! The rules are docker's (moby `daemon/images/image_delete.go`): by name, only that name goes while others remain; by ID,
//! all names go, unless they are in several repositories; containers that use the image stand in the way.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference, Repository};
use dhow_store::{Container, Found, MatchedBy, Update};

use crate::context::Context;

/// How to remove.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Removes what is named several times or used by stopped containers too.
    pub force: bool,
}

/// A line of docker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone: `alpine:3.20` or `alpine@sha256:…`.
    Untagged(String),
    /// An image (by its ID), or a layer that only this image had (by its chain ID), is gone.
    Deleted(Digest),
}

/// Removes one image or name.
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Conflict`] in docker's words; nothing is removed then.
pub fn remove(context: &Context, name: &str, request: Request) -> Result<Vec<Removed>> {
    let store = context.store()?;
    let (removed, deleted) = store.update(|update| {
        let found = update.find(name)?;
        let mut removal = Removal::new(update, &found, request)?;
        let deleted = match (&found.matched_by, &found.reference) {
            (MatchedBy::Name, Some(reference)) => removal.by_name(reference)?,
            _ => removal.by_id()?,
        };
        Ok((removal.removed, deleted))
    })?;
    if deleted {
        store.collect()?;
    }
    Ok(removed)
}

struct Removal<'a, 'u> {
    update: &'a mut Update<'u>,
    id: Digest,
    tags: Vec<Reference>,
    digests: Vec<(Repository, Digest)>,
    containers: Vec<Container>,
    request: Request,
    removed: Vec<Removed>,
}

impl<'a, 'u> Removal<'a, 'u> {
    fn new(update: &'a mut Update<'u>, found: &Found, request: Request) -> Result<Self> {
        Ok(Self {
            tags: update.references_of(&found.image_id)?,
            digests: update.repo_digests_of(&found.image_id)?,
            containers: update.containers_of(&found.image_id)?,
            id: found.image_id.clone(),
            update,
            request,
            removed: Vec::new(),
        })
    }

    /// Returns whether the image itself is gone.
    fn by_name(&mut self, reference: &Reference) -> Result<bool> {
        if let Some(container) = self.containers.first()
            && self.has_single_reference()
            && !self.request.force
        {
            let shown = reference.familiar();
            let message = format!(
                "conflict: unable to remove repository reference \"{shown}\" (must force) - container {} is using its \
                 referenced image {}",
                container.short_id(),
                self.id.short()
            );
            return Err(Error::new(Kind::Conflict, message));
        }
        self.untag(reference)?;
        // Digest names of a repository do not outlive its last tag.
        let repository = reference.repository();
        if !self.tags.iter().any(|tag| tag.repository() == repository) {
            self.untag_digests(Some(repository))?;
        }
        if !self.tags.is_empty() || !self.digests.is_empty() || !self.containers.is_empty() {
            return Ok(false);
        }
        self.delete()?;
        Ok(true)
    }

    fn by_id(&mut self) -> Result<bool> {
        let short = self.id.short().to_owned();
        let conflict = |how: &str, why: String| {
            Error::new(Kind::Conflict, format!("conflict: unable to delete {short} ({how}) - {why}"))
        };
        if let Some(running) = self.containers.iter().find(|container| container.is_running()) {
            let why = format!("image is being used by running container {}", running.short_id());
            return Err(conflict("cannot be forced", why));
        }
        if !self.has_single_reference() && !self.request.force {
            return Err(conflict("must be forced", "image is referenced in multiple repositories".to_owned()));
        }
        if let Some(stopped) = self.containers.first()
            && !self.request.force
        {
            let why = format!("image is being used by stopped container {}", stopped.short_id());
            return Err(conflict("must be forced", why));
        }
        for tag in self.tags.clone() {
            self.untag(&tag)?;
        }
        self.untag_digests(None)?;
        self.delete()?;
        Ok(true)
    }

    /// Whether the image has one name, or one tag and digests of that tag's repository only.
    fn has_single_reference(&self) -> bool {
        match self.tags.as_slice() {
            [] => self.digests.len() <= 1,
            [tag] => self.digests.iter().all(|(repository, _)| repository == tag.repository()),
            _ => false,
        }
    }

    fn untag(&mut self, reference: &Reference) -> Result<()> {
        if let Some(digest) = reference.digest() {
            self.update.remove_repo_digest(reference.repository(), digest)?;
            self.digests.retain(|(repository, found)| !(repository == reference.repository() && found == digest));
        } else {
            self.update.untag(reference)?;
            self.tags.retain(|tag| tag != reference);
        }
        self.removed.push(Removed::Untagged(reference.familiar()));
        Ok(())
    }

    fn untag_digests(&mut self, of: Option<&Repository>) -> Result<()> {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.digests)
            .into_iter()
            .partition(|(repository, _)| of.is_none_or(|of| of == repository));
        self.digests = kept;
        for (repository, digest) in gone {
            self.update.remove_repo_digest(&repository, &digest)?;
            self.removed.push(Removed::Untagged(Reference::from_digest(repository, digest).familiar()));
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<()> {
        let chains = self.update.delete_image(&self.id)?;
        self.removed.push(Removed::Deleted(self.id.clone()));
        self.removed.extend(chains.into_iter().map(Removed::Deleted));
        Ok(())
    }
}
