//! What refers to an image and travels with it when asked for: referrers (distribution spec 1.1), and cosign's tags.

use std::collections::HashSet;

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{CopyOptions, Sink, TagSink, VerifiedDocument, copy, read_document};
use dhow_layout::OciDirectory;
use dhow_registry::{Remote, fallback_tag};
use dhow_spec::layout::ANNOTATION_REF_NAME;
use dhow_spec::{Descriptor, Digest, Reference, Tag};

use crate::transport::{AnySink, AnySource};

/// What follows `sha256-<hex>` in the tags of cosign: signatures, attestations, SBOMs (sigstore/cosign `specs/SIGNATURE_SPEC.md`).
const COSIGN_SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// Whether a pair of places can have referrers copied between them.
///
/// # Errors
/// [`Kind::Unsupported`] naming the one that cannot.
pub(crate) fn check(source: &AnySource, sink: &AnySink) -> Result<()> {
    let refused = |what: &str| {
        let message = format!("--referrers: {what} keeps no referrers");
        Err(Error::new(Kind::Unsupported, message).with_hint("they go between registries and oci: directories"))
    };
    match (source, sink) {
        (AnySource::Registry(_) | AnySource::Oci(_), AnySink::Registry(_) | AnySink::Oci(_)) => Ok(()),
        (AnySource::Registry(_) | AnySource::Oci(_), _) => refused("the destination"),
        _ => refused("the source"),
    }
}

/// Copies what refers to any of `subjects`, and what refers to that. Returns how many documents and tags it was.
///
/// # Errors
/// Those of either place.
pub(crate) async fn copy_all(
    source: &AnySource,
    sink: &AnySink,
    subjects: Vec<Digest>,
    options: &CopyOptions<'_>,
) -> Result<usize> {
    let mut seen: HashSet<Digest> = subjects.iter().cloned().collect();
    let mut pending = subjects;
    let mut count = 0;
    while let Some(subject) = pending.pop() {
        for referrer in referrers(source, &subject).await? {
            if !seen.insert(referrer.digest.clone()) {
                continue;
            }
            if seen.len() > limits::DOCUMENTS_MAX {
                let message = format!("more than {} documents refer to the image", limits::DOCUMENTS_MAX);
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            let document = bring(source, sink, &referrer, options).await?;
            match sink {
                AnySink::Registry(remote) => remote.attach(&document).await?,
                AnySink::Oci(directory) => {
                    directory.put_document(&document).await?;
                    directory.list(&document)?;
                }
                _ => {}
            }
            count += 1;
            pending.push(referrer.digest);
        }
        for suffix in COSIGN_SUFFIXES {
            count += usize::from(cosign(source, sink, &subject, suffix, options).await?);
        }
    }
    Ok(count)
}

/// Copies all that a referrer needs; the document itself is left to the caller.
async fn bring(
    source: &AnySource,
    sink: &AnySink,
    root: &Descriptor,
    options: &CopyOptions<'_>,
) -> Result<VerifiedDocument> {
    let root = Descriptor::new(root.media_type.clone(), root.digest.clone(), root.size);
    let document = read_document(source, &root).await?;
    copy(source, sink, &root, &CopyOptions { leave_root: true, ..*options }).await?;
    Ok(document)
}

async fn referrers(source: &AnySource, subject: &Digest) -> Result<Vec<Descriptor>> {
    match source {
        AnySource::Registry(remote) => remote.referrers(subject, None).await,
        AnySource::Oci(directory) => {
            let mut found = Vec::new();
            for entry in directory.entries()?.into_iter().filter(|entry| entry.media_type.is_document()) {
                let document = read_document(directory, &entry).await?;
                if document.document().subject().is_some_and(|about| about.digest == *subject) {
                    found.push(entry);
                }
            }
            Ok(found)
        }
        _ => Ok(Vec::new()),
    }
}

/// Copies one of cosign's tags; whether there was one.
async fn cosign(
    source: &AnySource,
    sink: &AnySink,
    subject: &Digest,
    suffix: &str,
    options: &CopyOptions<'_>,
) -> Result<bool> {
    let tag = Tag::parse(&format!("{}.{suffix}", fallback_tag(subject)))?;
    let Some(root) = tagged(source, &tag).await? else { return Ok(false) };
    let document = bring(source, sink, &root, options).await?;
    match sink {
        AnySink::Registry(remote) => remote.tag(&in_repository(remote, &tag), &document).await?,
        AnySink::Oci(directory) => {
            directory.put_document(&document).await?;
            directory.label(tag.as_str(), &document)?;
        }
        _ => {}
    }
    Ok(true)
}

fn in_repository(remote: &Remote, tag: &Tag) -> Reference {
    Reference::from_tag(remote.repository().clone(), tag.clone())
}

async fn tagged(source: &AnySource, tag: &Tag) -> Result<Option<Descriptor>> {
    match source {
        AnySource::Registry(remote) => match remote.head(&in_repository(remote, tag)).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            other => other,
        },
        AnySource::Oci(directory) => labelled(directory, tag),
        _ => Ok(None),
    }
}

fn labelled(directory: &OciDirectory, tag: &Tag) -> Result<Option<Descriptor>> {
    let is_it =
        |entry: &Descriptor| entry.annotations.get(ANNOTATION_REF_NAME).is_some_and(|name| name == tag.as_str());
    Ok(directory.entries()?.into_iter().find(is_it))
}
