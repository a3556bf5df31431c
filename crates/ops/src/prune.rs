//! `image prune`: removes images that nothing names, or that nothing uses.

use std::collections::{HashMap, HashSet};

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference, Repository};
use dhow_store::{Image, Removal, Removed, Store};

use crate::container;
use crate::context::Context;
use crate::filter::{Filter, Term, names_of, with_configured};
use crate::last_use;
use crate::mount;
use crate::names;
use crate::rmi::CONTENT_STAYS;
use crate::settings;

/// What to prune.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Every image without a container, not only those without a tag.
    pub all: bool,
    /// Only images that fit; the `pruneFilters` of `config.json` come on top.
    pub filters: Vec<Term>,
    /// How many images of each repository stay: those made last.
    pub keep: Option<usize>,
    /// Removes the longest unused images only, until the content of all others has at most so many bytes.
    pub bytes_max: Option<u64>,
    /// Tells what would be removed, and removes nothing.
    pub dry_run: bool,
}

/// What is gone, or would be.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Images, each with the names it lost.
    pub images: Vec<PrunedImage>,
    /// Bytes that are free again on disk, without those of [`Pruned::transfer_bytes`].
    pub reclaimed_bytes: u64,
    /// Bytes that pulls had brought which were cut short, and which go where [everything](Request::all) unused does.
    pub transfer_bytes: u64,
    /// Bytes of content that are still here beyond [`Request::bytes_max`].
    pub excess_bytes: u64,
    /// Why the content of what is gone is not.
    pub failures: Vec<Error>,
}

/// One image that lost names, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedImage {
    /// Names it lost, with tags and with digests, in docker's order.
    pub names: Vec<Reference>,
    /// Its ID.
    pub id: Digest,
    /// When the image itself is gone: chain IDs of the layers that only it had, top layer first.
    pub chains: Option<Vec<Digest>>,
}

impl From<Removed> for PrunedImage {
    fn from(removed: Removed) -> Self {
        let Removal { image, tags, digests } = removed.removal;
        Self { names: names::in_order(tags, digests), id: image.id, chains: removed.chains }
    }
}

/// The filters of a prune: what the user gave and what `config.json` adds.
///
/// # Errors
/// Those of reading `config.json`.
pub fn filters(context: &Context, given: &[Term]) -> Result<Vec<Term>> {
    Ok(with_configured(given, &settings::prune_filters(context)?))
}

/// Removes images without tags (with [`Request::all`]: without containers) that fit, and everything that only they needed.
/// With a filter by name an image loses the names that fit, and goes with its last.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for filters, those of the store; what was removed before stays removed.
pub fn prune(context: &Context, request: &Request) -> Result<Pruned> {
    let choice = Choice::parse(context, request)?;
    let store = context.store()?;
    container::recover(store)?;
    let images = store.images()?;
    if request.dry_run {
        return preview(context, &choice, request, images, &[]);
    }
    let (removals, excess_bytes) = choose(store, &choice.filter, request, images)?;
    let given_up_bytes = store.make_room();
    let transfer_bytes = if choice.takes_all { store.give_up_transfers()? } else { 0 };
    let removed = store.update(|update| update.remove(removals))?;
    mount::end_removed(store);
    let (images, reclaimed_bytes) = (shown(removed), given_up_bytes);
    let mut pruned = Pruned { images, reclaimed_bytes, transfer_bytes, excess_bytes, failures: Vec::new() };
    match store.collect() {
        Ok(collected) => pruned.reclaimed_bytes += collected.bytes,
        Err(error) => pruned.failures.push(error.context(CONTENT_STAYS)),
    }
    Ok(pruned)
}

/// What [`prune`] would remove once these containers were gone; `images` says how the images are then.
///
/// # Errors
/// As [`prune`].
pub(crate) fn preview_without(
    context: &Context,
    request: &Request,
    images: Vec<Image>,
    containers: &[String],
) -> Result<Pruned> {
    preview(context, &Choice::parse(context, request)?, request, images, containers)
}

fn preview(
    context: &Context,
    choice: &Choice,
    request: &Request,
    images: Vec<Image>,
    containers: &[String],
) -> Result<Pruned> {
    let store = context.store()?;
    let (removals, excess_bytes) = choose(store, &choice.filter, request, images)?;
    let transfer_bytes = if choice.takes_all { store.cut_transfer_bytes()? } else { 0 };
    let unpacked = store.unpacked_layers();
    let (removed, reclaimed_bytes) = store.rehearse(|update| {
        for container in containers {
            update.remove_container(container)?;
        }
        Ok((update.remove(removals)?, update.garbage_bytes(&unpacked)?))
    })?;
    Ok(Pruned { images: shown(removed), reclaimed_bytes, transfer_bytes, excess_bytes, failures: Vec::new() })
}

/// What a request means.
struct Choice {
    filter: Filter,
    /// Whether nothing restricts what goes, so that what was brought of images that are not here yet goes as well.
    takes_all: bool,
}

impl Choice {
    fn parse(context: &Context, request: &Request) -> Result<Self> {
        let mut terms = filters(context, &request.filters)?;
        let times: HashSet<&String> =
            terms.iter().filter(|(name, _)| name == "until").map(|(_, value)| value).collect();
        if times.len() > 1 {
            return Err(Error::new(Kind::Invalid, "more than one until filter specified"));
        }
        let takes_all = request.all && terms.is_empty() && request.keep.is_none() && request.bytes_max.is_none();
        terms.push(("dangling".to_owned(), (!request.all).to_string()));
        let mut filter = Filter::parse_for(context.naming(), &terms)?;
        filter.dangling = filter.dangling.filter(|only| *only);
        Ok(Self { filter, takes_all })
    }
}

fn shown(removed: Vec<Removed>) -> Vec<PrunedImage> {
    removed.into_iter().map(PrunedImage::from).collect()
}

/// What goes, newest first, and how many bytes too many stay.
fn choose(store: &Store, filter: &Filter, request: &Request, mut images: Vec<Image>) -> Result<(Vec<Removal>, u64)> {
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| b.added.cmp(&a.added)).then_with(|| a.id.cmp(&b.id)));
    let kept = request.keep.map(|count| newest(&images, count)).unwrap_or_default();
    let mut chosen = filter.select(store, images)?;
    chosen.retain(|image| image.containers == 0 && !kept.contains(&image.id));
    let mut removals: Vec<Removal> = chosen.into_iter().map(|image| removal(image, filter)).collect();
    let excess = match request.bytes_max {
        Some(bytes_max) => keep_used(store, &mut removals, bytes_max)?,
        None => 0,
    };
    Ok((removals, excess))
}

/// The first `count` images of each repository in a list that begins with the newest.
fn newest(images: &[Image], count: usize) -> HashSet<Digest> {
    let mut counts: HashMap<Repository, usize> = HashMap::new();
    let mut kept = HashSet::new();
    for image in images {
        let repositories: HashSet<Repository> = names_of(image).map(|name| name.repository().clone()).collect();
        for repository in repositories {
            let seen = counts.entry(repository).or_default();
            *seen += 1;
            if *seen <= count {
                kept.insert(image.id.clone());
            }
        }
    }
    kept
}

/// The names that an image loses. Digests in a repository do not outlive its last tag.
pub(crate) fn removal(image: Image, filter: &Filter) -> Removal {
    if !filter.has_references() {
        return Removal::whole(image);
    }
    let (tags, kept): (Vec<Reference>, Vec<Reference>) =
        image.references.iter().cloned().partition(|tag| filter.takes_name(tag));
    let loses = |(repository, digest): &&(Repository, Digest)| {
        let name = Reference::from_digest(repository.clone(), digest.clone());
        let lost_tag = tags.iter().any(|tag| tag.repository() == repository);
        let keeps_tag = kept.iter().any(|tag| tag.repository() == repository);
        !keeps_tag && (lost_tag || filter.takes_name(&name))
    };
    let digests = image.repo_digests.iter().filter(loses).cloned().collect();
    Removal { tags, digests, image }
}

/// Leaves only the removals that bring the content of the store down to `bytes_max`, the longest unused first. Returns how
/// many bytes more than that stay.
fn keep_used(store: &Store, removals: &mut Vec<Removal>, bytes_max: u64) -> Result<u64> {
    let uses = store.last_uses()?;
    let mut contents = store.contents()?;
    let mut order: Vec<(i64, usize)> =
        removals.iter().enumerate().map(|(place, removal)| (last_use::of(&removal.image, &uses), place)).collect();
    // Of those that were last used at the same time, the oldest: it is the last of the list.
    order.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
    let mut goes = vec![false; removals.len()];
    for (_, place) in order {
        if contents.bytes() <= bytes_max {
            break;
        }
        if removals[place].is_whole() {
            contents.release(&removals[place].image.id);
        }
        goes[place] = true;
    }
    let mut goes = goes.into_iter();
    removals.retain(|_| goes.next().unwrap_or(false));
    Ok(contents.bytes().saturating_sub(bytes_max))
}
