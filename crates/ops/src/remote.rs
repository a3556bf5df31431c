//! What is asked of a registry, or changed there, without pulling: tags, digests, referrers, removal.

use std::io::Write;

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{VerifiedDocument, read_small};
use dhow_registry::{Access, Remote};
use dhow_spec::digest::Hasher;
use dhow_spec::{Descriptor, Digest, Document, ImageConfig, ImageManifest, Platform, Reference, Repository, Tag};
use futures::TryStreamExt;

use crate::context::Context;
use crate::select::Platforms;
use crate::transport::choose::choose;
use crate::transport::{AnySource, Location, Opened, images_in, open};

/// A name in a registry, as users write it: with or without `docker://` before it.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words.
pub fn reference(text: &str) -> Result<Reference> {
    crate::names::parse(text.strip_prefix("docker://").unwrap_or(text))
}

/// A place that is only looked at, as users write it: a name alone is a registry's, with or without `docker://` before it; other
/// places have their transport.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words, and those of [`Location::parse`].
pub fn place(text: &str) -> Result<Location> {
    if text.is_empty() || text.starts_with("docker://") {
        return reference(text).map(Location::Registry);
    }
    match Location::parse(text)? {
        Location::Store(name) if name == text => reference(text).map(Location::Registry),
        place => Ok(place),
    }
}

/// A repository in a registry, as users write it.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words, also for a name with a tag or digest.
pub fn repository(text: &str) -> Result<Repository> {
    Repository::parse(text.strip_prefix("docker://").unwrap_or(text)).map_err(Error::from)
}

/// The tags of a repository in the registry's order, at most so many.
///
/// # Errors
/// Those of the registry.
pub async fn tags(context: &Context, repository: &Repository, most: Option<usize>) -> Result<Vec<Tag>> {
    let remote = context.client()?.repository(repository, Access::Pull)?;
    let tags = match most {
        Some(most) => remote.first_tags(most).await,
        None => remote.tags().await,
    };
    tags.map_err(|error| match error.kind() {
        Kind::NotFound => error.context(format_args!("repository {} not found", repository.familiar())),
        _ => error,
    })
}

/// What the images of an archive or layout are called there, in its order; those without a name by digest (`@sha256:…`) or, in a
/// docker archive, by position (`@0`): behind the place, each of them names its image. Nothing where a place has no list of images.
///
/// # Errors
/// Those of the place.
pub fn names_in(context: &Context, place: &Location) -> Result<Option<Vec<String>>> {
    let Some(images) = images_in(context, place)? else { return Ok(None) };
    let is_docker = matches!(place, Location::DockerArchive { .. });
    let names = images.iter().enumerate().flat_map(|(position, image)| {
        let whole = || image.names.iter().map(Reference::familiar).collect::<Vec<_>>();
        let names = if is_docker || image.labels.is_empty() { whole() } else { image.labels.clone() };
        match (names.is_empty(), is_docker) {
            (false, _) => names,
            (true, true) => vec![format!("@{position}")],
            (true, false) => vec![format!("@{}", image.root.digest)],
        }
    });
    Ok(Some(names.collect()))
}

/// What a name stands for in the registry; with a platform, the manifest for it.
///
/// # Errors
/// Those of the registry; [`Kind::NotFound`] when there is nothing for the platform.
pub async fn digest(context: &Context, reference: &Reference, platform: Option<&Platform>) -> Result<Digest> {
    let remote = context.client()?.repository(reference.repository(), Access::Pull)?;
    let reference = reference.clone().with_default_tag();
    if platform.is_none()
        && let Some(found) = remote.head(&reference).await?
    {
        return Ok(found.digest);
    }
    // Its refusal has docker's words.
    let root = remote.fetch_document(&reference).await?;
    match platform {
        None => Ok(root.descriptor().digest.clone()),
        Some(platform) => {
            let chosen = of_platform(remote, root, &Platforms::These(vec![platform.clone()]), &reference).await?;
            Ok(chosen.1.descriptor().digest.clone())
        }
    }
}

async fn of_platform(
    remote: Remote,
    root: VerifiedDocument,
    platforms: &Platforms,
    reference: &Reference,
) -> Result<(AnySource, VerifiedDocument)> {
    let opened = Opened { source: AnySource::Registry(remote), root, shown: None, archived: None, stored_as: None };
    let chosen = choose(&opened, platforms, &reference.familiar()).await?;
    Ok((opened.source, chosen.root))
}

/// Documents that refer to one.
#[derive(Clone, Debug)]
pub struct Referrers {
    /// The document that they refer to.
    pub subject: Digest,
    /// Their descriptors, with artifact type and annotations.
    pub referrers: Vec<Descriptor>,
}

/// What refers to the document that a name stands for; only of one artifact type if one is given.
///
/// # Errors
/// Those of the registry.
pub async fn referrers(
    context: &Context,
    reference: &Reference,
    platform: Option<&Platform>,
    artifact_type: Option<&str>,
) -> Result<Referrers> {
    // A digest that nothing has can still be referred to: only tags are looked up.
    let subject = match (reference.digest(), platform) {
        (Some(digest), None) => digest.clone(),
        _ => digest(context, reference, platform).await?,
    };
    let remote = context.client()?.repository(reference.repository(), Access::Pull)?;
    let referrers = remote.referrers(&subject, artifact_type).await?;
    Ok(Referrers { subject, referrers })
}

/// What a removal took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A tag; what it stood for is still there by its digest, until the registry collects it.
    Tag(Reference),
    /// A manifest or index, with every tag that stood for it.
    Manifest(Reference),
}

/// Removes from a registry. A tag alone is removed as a tag; with `manifest`, what it stands for is removed, and every other
/// tag of it too. A digest is always that.
///
/// # Errors
/// [`Kind::Unsupported`] when the registry does not remove such a thing, with the way out; [`Kind::NotFound`] when there is
/// none.
pub async fn remove(context: &Context, reference: &Reference, manifest: bool) -> Result<Removed> {
    let remote = context.client()?.repository(reference.repository(), Access::Delete)?;
    let shown = reference.familiar();
    let named = |error: Error| match error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("{shown}: there is no such manifest in the registry")),
        _ => error.context(&shown),
    };
    let digest = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.clone(),
        (None, Some(tag)) if !manifest => {
            return match remote.delete_tag(tag).await {
                Ok(()) => Ok(Removed::Tag(reference.clone())),
                Err(error) if error.kind() == Kind::Unsupported => {
                    let hint = "--manifest removes what the tag stands for, and with it every other tag of that";
                    Err(named(error).with_hint(hint))
                }
                Err(error) => Err(named(error)),
            };
        }
        (None, Some(_)) => remote.head(reference).await.map_err(named)?.ok_or_else(|| not_there(&shown))?.digest,
        (None, None) => {
            let message = format!("{shown}: say what to remove, by a tag or a digest");
            return Err(Error::new(Kind::Invalid, message));
        }
    };
    remote.delete_manifest(&digest).await.map_err(|error| match error.kind() {
        Kind::Unsupported => {
            let hint = "the registry is configured to keep everything; its operator can allow removals";
            named(error).with_hint(hint)
        }
        _ => named(error),
    })?;
    Ok(Removed::Manifest(Reference::from_digest(reference.repository().clone(), digest)))
}

fn not_there(shown: &str) -> Error {
    Error::new(Kind::NotFound, format!("{shown}: there is no such manifest in the registry"))
}

/// An image, as far as its manifest and config tell.
#[derive(Debug)]
pub struct Inspected {
    /// The repository, where the place has names of that kind.
    pub repository: Option<Repository>,
    /// What the name stands for: a manifest or an index.
    pub root: VerifiedDocument,
    /// The manifest for the platform, exactly as it is kept.
    pub document: Document,
    /// What it says.
    pub manifest: ImageManifest,
    /// The config, exactly as it is kept.
    pub config_bytes: Vec<u8>,
    /// The config, if it is an image's.
    pub config: Option<ImageConfig>,
    /// The repository's tags; empty when they were not asked for, and where there is no registry.
    pub tags: Vec<Tag>,
    /// Why the registry does not tell its tags to those who may see the image.
    pub untold: Option<Error>,
}

/// Writes the blob of a digest, a layer or a config, exactly as the registry keeps it. It is proven as it passes: what was written counts
/// once this has returned.
///
/// # Errors
/// [`Kind::Invalid`] for a name without a digest, [`Kind::NotFound`] where there is no such blob, [`Kind::Corrupt`] when the bytes were not
/// those of the digest; those of the registry and of writing.
pub async fn blob(context: &Context, reference: &Reference, output: &mut dyn Write) -> Result<()> {
    let name = reference.familiar();
    let Some(digest) = reference.digest() else {
        let error = Error::new(Kind::Invalid, format!("{name}: a blob has no name but its digest"));
        return Err(error.with_hint("give it as REPOSITORY@DIGEST; `inspect --remote --raw` shows those of an image"));
    };
    let remote = context.client()?.repository(reference.repository(), Access::Pull)?;
    let Some((_, mut stream)) = remote.whole_blob(digest).await? else {
        let error = Error::new(Kind::NotFound, format!("{name}: there is no such blob in the registry"));
        return Err(error.with_hint("manifests are no blobs: `inspect --remote --raw` shows them"));
    };
    let (mut hasher, mut length) = (Hasher::new(digest.algorithm()), 0);
    while let Some(bytes) = stream.try_next().await? {
        length += bytes.len() as u64;
        if length > limits::BLOB_BYTES_MAX {
            return Err(Error::new(Kind::LimitExceeded, format!("{name} is too long")));
        }
        hasher.update(&bytes);
        output.write_all(&bytes).map_err(|error| Error::io("cannot write the blob", error))?;
    }
    let found = hasher.finish();
    if found != *digest {
        let message = format!("{name}: what the registry sent has another digest, {found}");
        return Err(Error::new(Kind::Corrupt, message));
    }
    output.flush().map_err(|error| Error::io("cannot write the blob", error))
}

/// The document that a name stands for, exactly as the place keeps it.
///
/// # Errors
/// Those of the place.
pub async fn raw(context: &Context, place: &Location) -> Result<Document> {
    Ok(open(context, place).await?.root.document().clone())
}

/// Reads the manifest and config of an image. Of an index, those for the platform; this machine's by default.
///
/// # Errors
/// Those of the place; [`Kind::NotFound`] when an index has nothing for the platform.
pub async fn inspect(
    context: &Context,
    place: &Location,
    platform: Option<&Platform>,
    with_tags: bool,
) -> Result<Inspected> {
    let opened = open(context, place).await?;
    let root = opened.root.clone();
    let platforms = match platform {
        Some(platform) => Platforms::These(vec![platform.clone()]),
        None => Platforms::Default,
    };
    let name = match place {
        Location::Registry(reference) => reference.clone().with_default_tag().familiar(),
        place => place.to_string(),
    };
    let document = choose(&opened, &platforms, &name).await.map_err(|error| opened.explain(error))?.root;
    let manifest = document.document().as_manifest().cloned();
    let manifest = manifest.ok_or_else(|| Error::new(Kind::Internal, "an index was chosen for a platform"))?;
    let config_bytes = read_small(&opened.source, &manifest.config, limits::CONFIG_BYTES_MAX).await;
    let config_bytes = config_bytes.map_err(|error| opened.explain(error))?;
    let config = if manifest.is_image() { Some(ImageConfig::parse(&config_bytes)?) } else { None };
    let (tags, untold) = match place {
        Location::Registry(reference) if with_tags => told(context, reference.repository()).await?,
        _ => (Vec::new(), None),
    };
    let (repository, document) = (place.repository(), document.document().clone());
    Ok(Inspected { repository, root, document, manifest, config_bytes, config, tags, untold })
}

/// The tags of a repository, or why its registry keeps them to itself: many let those pull who may not list, and some list nothing.
async fn told(context: &Context, repository: &Repository) -> Result<(Vec<Tag>, Option<Error>)> {
    match context.client()?.repository(repository, Access::Pull)?.tags().await {
        Ok(tags) => Ok((tags, None)),
        Err(error) if matches!(error.kind(), Kind::Denied | Kind::NotFound | Kind::Unsupported) => {
            Ok((Vec::new(), Some(error)))
        }
        Err(error) => Err(error),
    }
}
