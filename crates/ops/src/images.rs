//! `images`: what is here.

mod kept;

use std::cmp::Reverse;
use std::collections::HashSet;

use dhow_base::{Kind, Result};
use dhow_spec::{Digest, Reference, Repository, Tag};
use dhow_store::{Image, Store};

use crate::context::Context;
use crate::filter::{Filter, Term};
use crate::last_use;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only names that match: `repository[:tag]`, with the globs of Go's `path.Match`.
    pub reference: Option<String>,
    /// Only images that fit; see [`Filter`].
    pub filters: Vec<Term>,
    /// One row per tag and digest instead of one per tag.
    pub with_digests: bool,
    /// Leaves out images that have no tag.
    pub only_tagged: bool,
    /// Tells when images were last used.
    pub with_last_use: bool,
    /// What the rows are sorted by.
    pub sort: Sort,
}

/// What a list of images is sorted by; rows that are equal in it keep the order of [`Sort::Created`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// When they were made, newest first; then their IDs.
    #[default]
    Created,
    /// Their IDs.
    Id,
    /// Their repositories; those without one first.
    Repository,
    /// Their sizes, smallest first.
    Size,
    /// Their tags; those without one first.
    Tag,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The image's ID.
    pub id: Digest,
    /// The repository.
    pub repository: Option<Repository>,
    /// The tag.
    pub tag: Option<Tag>,
    /// Digest of the manifest or index that the name recorded; only told when it was asked for.
    pub digest: Option<Digest>,
    /// When the image was made, in nanoseconds since the Unix epoch.
    pub created: Option<i64>,
    /// Bytes of its layers, uncompressed.
    pub size: u64,
    /// Containers that use it.
    pub containers: u64,
    /// When it was last used, as `created`; only told when it was asked for.
    pub last_used: Option<i64>,
}

/// Lists images as docker orders them: newest first; equal times by repository and tag.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for an unknown filter or a bad value, else those of the store.
pub fn list(context: &Context, request: &Request) -> Result<Vec<Row>> {
    let mut filter = Filter::parse(&request.filters)?;
    if let Some(pattern) = &request.reference {
        filter.and_reference(pattern)?;
        for name in context.configured(pattern)? {
            filter.and_reference(&name.familiar())?;
        }
    }
    let store = context.store()?;
    let mut rows = match request.is_plain() && filter.is_of_labels() {
        true => labelled(store, plain(store)?, &filter)?,
        false => chosen(store, &filter, request)?,
    };
    match request.sort {
        Sort::Created => {}
        Sort::Id => rows.sort_by(|a, b| a.id.cmp(&b.id)),
        Sort::Repository => rows.sort_by(|a, b| familiar(a).cmp(&familiar(b))),
        Sort::Size => rows.sort_by_key(|row| row.size),
        Sort::Tag => rows.sort_by(|a, b| a.tag.cmp(&b.tag)),
    }
    Ok(rows)
}

impl Request {
    /// Whether nothing but names, sizes and times is asked for, of whatever the filters take.
    fn is_plain(&self) -> bool {
        let Self { reference, filters: _, with_digests, only_tagged, with_last_use, sort: _ } = self;
        reference.is_none() && !(*with_digests || *only_tagged || *with_last_use)
    }
}

/// The rows of images that have the labels asked for.
fn labelled(store: &Store, mut rows: Vec<Row>, filter: &Filter) -> Result<Vec<Row>> {
    // The rows of an image stand together.
    let mut ids: Vec<&Digest> = rows.iter().map(|row| &row.id).collect();
    ids.dedup();
    let is_taken = filter.take_by_labels(store, &ids)?;
    if is_taken.iter().all(|is_taken| *is_taken) {
        return Ok(rows);
    }
    let taken: HashSet<Digest> =
        ids.into_iter().zip(is_taken).filter(|(_, is_taken)| *is_taken).map(|(id, _)| id.clone()).collect();
    rows.retain(|row| taken.contains(&row.id));
    Ok(rows)
}

/// All rows, newest first, as they were kept or made anew.
fn plain(store: &Store) -> Result<Vec<Row>> {
    let version = store.names_version()?;
    if let Some(rows) = kept::read(store, &version) {
        return Ok(rows);
    }
    let images = store.images()?;
    // A size that is measured makes no new version.
    let are_measured = images.iter().all(|image| image.size.is_some());
    let rows = rows(store, &images, &Filter::default(), &Request::default())?;
    if are_measured {
        kept::keep(store, &version, &rows);
    }
    Ok(rows)
}

/// The rows of those that fit, newest first.
fn chosen(store: &Store, filter: &Filter, request: &Request) -> Result<Vec<Row>> {
    let mut images = filter.select(store, store.images()?)?;
    images.retain(|image| !(request.only_tagged && image.is_dangling()));
    rows(store, &images, filter, request)
}

fn rows(store: &Store, images: &[Image], filter: &Filter, request: &Request) -> Result<Vec<Row>> {
    let order = newest_first(images);
    let uses = if request.with_last_use { Some(store.last_uses()?) } else { None };
    let mut rows = Vec::with_capacity(images.iter().map(|image| image.references.len().max(1)).sum());
    for image in order.into_iter().map(|place| &images[place]) {
        let size = match image.size {
            Some(size) => size,
            None => measure(store, &image.id)?,
        };
        let last_used = uses.as_ref().map(|uses| last_use::of(image, uses));
        rows_of(image, (size, last_used), filter, request.with_digests, &mut rows);
    }
    Ok(rows)
}

/// The places of images, newest first, then by ID. No two have the same ID, so that nothing depends on the order they had.
fn newest_first(images: &[Image]) -> Vec<usize> {
    // Of ten thousand images most were often made at the same moment. What decides then stands beside the place: to look
    // at images and their IDs in all corners of the memory takes longer than all else.
    const HEX: usize = 16;
    let key = |(place, image): (usize, &Image)| {
        let mut beginning = [0; HEX];
        let hex = image.id.hex().as_bytes();
        let length = hex.len().min(HEX);
        beginning[..length].copy_from_slice(&hex[..length]);
        (Reverse(image.created), image.id.algorithm(), beginning, place)
    };
    let mut keys: Vec<_> = images.iter().enumerate().map(key).collect();
    keys.sort_unstable_by(|a, b| {
        (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then_with(|| images[a.3].id.cmp(&images[b.3].id))
    });
    keys.into_iter().map(|(.., place)| place).collect()
}

fn familiar(row: &Row) -> Option<&str> {
    row.repository.as_ref().map(Repository::familiar)
}

/// The size of an image whose layers were not inflated yet. One image that is damaged or lies does not hide the others:
/// it is listed as empty, and whoever uses it is told what is wrong.
pub(crate) fn measure(store: &Store, image_id: &Digest) -> Result<u64> {
    match store.measure(image_id) {
        Err(error) if error.kind() == Kind::Corrupt => {
            tracing::warn!(%image_id, %error, "cannot tell how large an image is");
            Ok(0)
        }
        measured => measured,
    }
}

fn rows_of(
    image: &Image,
    (size, last_used): (u64, Option<i64>),
    filter: &Filter,
    with_digests: bool,
    rows: &mut Vec<Row>,
) {
    let row = |repository: Option<&Repository>, tag: Option<&Tag>, digest: Option<Digest>| Row {
        id: image.id.clone(),
        repository: repository.cloned(),
        tag: tag.cloned(),
        digest,
        created: image.created,
        size,
        containers: image.containers,
        last_used,
    };
    let tagged = || image.references.iter().filter(|reference| filter.takes_name(reference));
    let before = rows.len();
    for reference in tagged() {
        let (repository, tag) = (reference.repository(), reference.tag());
        if with_digests {
            let digests = image.repo_digests.iter().filter(|(home, _)| home == repository).map(|(_, digest)| digest);
            let before = rows.len();
            let digests = digests.map(|digest| row(Some(repository), tag, Some(digest.clone())));
            rows.extend(digests);
            if rows.len() == before {
                rows.push(row(Some(repository), tag, None));
            }
        } else {
            rows.push(row(Some(repository), tag, None));
        }
    }
    for (repository, digest) in &image.repo_digests {
        let has_tag = tagged().any(|reference| reference.repository() == repository);
        let name = Reference::from_digest(repository.clone(), digest.clone());
        if !has_tag && filter.takes_name(&name) {
            rows.push(row(Some(repository), None, with_digests.then(|| digest.clone())));
        }
    }
    if rows.len() == before && image.is_nameless() && !filter.has_references() {
        rows.push(row(None, None, None));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dhow_spec::Platform;
    use proptest::prelude::*;

    use super::*;

    fn image(number: u8, created: Option<i64>) -> Image {
        Image {
            id: Digest::sha256(&[number]),
            created,
            size: Some(0),
            platform: Arc::new(Platform::new("linux", "amd64")),
            references: Vec::new(),
            repo_digests: Vec::new(),
            containers: 0,
            added: 0,
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_times_and_ids(times in proptest::collection::vec(proptest::option::of(0_i64..3), 0..40)) {
            let images: Vec<Image> = (0..).zip(&times).map(|(number, created)| image(number, *created)).collect();
            let mut expected: Vec<&Image> = images.iter().collect();
            expected.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
            let ordered: Vec<&Image> = newest_first(&images).into_iter().map(|place| &images[place]).collect();
            prop_assert_eq!(ordered, expected);
        }
    }
}
