//! `artifact`: files in a registry, with media types and annotations (OCI image-spec, "Guidelines for Artifact Usage").

mod files;
mod tree;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, TagSink, VerifiedDocument, copy, verify_document};
use dhow_registry::{Access, Remote};
use dhow_spec::{Descriptor, Digest, Document, ImageManifest, MediaType, Reference, Repository, Tag};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::context::Context;
use crate::remote::{self, Removed};
use crate::transport::Overlay;

/// Annotation: the name of a file.
const ANNOTATION_TITLE: &str = "org.opencontainers.image.title";

/// What an artifact is that says nothing of itself, as oras has it.
const UNKNOWN_TYPE: &str = "application/vnd.unknown.artifact.v1";

/// What a config is that nothing is said of, as oras has it.
const UNKNOWN_CONFIG: &str = "application/vnd.unknown.config.v1+json";

/// What a file is that nothing is said of.
const UNKNOWN_FILE: &str = "application/octet-stream";

/// The document where nothing is to be said (image-spec, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";

/// Manifests asked for at once by a listing.
const AT_ONCE: usize = 4;

/// A file or directory to be pushed.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Where it is. Its last part is its name in the artifact.
    pub path: PathBuf,
    /// What it is.
    pub media_type: Option<String>,
}

/// An artifact to be pushed.
#[derive(Clone, Debug)]
pub struct NewArtifact {
    /// Where to; without a tag, an artifact with a subject is known by its digest alone.
    pub reference: Reference,
    /// Tags that it gets besides.
    pub further_tags: Vec<Tag>,
    /// What stands in the place of an image's config; nothing by default.
    pub config: Option<NewFile>,
    /// What it is.
    pub artifact_type: Option<String>,
    /// What is in it.
    pub files: Vec<NewFile>,
    /// What is said of it.
    pub annotations: Vec<(String, String)>,
    /// What it is about: a tag or digest of the same repository.
    pub subject: Option<Reference>,
}

/// Pushes an artifact and returns its name: by tag if it has one, with its digest. The same files give the same digest.
///
/// # Errors
/// Those of reading the files and of the registry; [`Kind::Invalid`] for two files of one name, or a subject elsewhere.
pub async fn push(context: &Context, new: &NewArtifact, observer: &dyn Observer) -> Result<Reference> {
    let repository = new.reference.repository();
    let remote = context.push_to(repository)?;
    let subject = match &new.subject {
        None => None,
        Some(subject) if subject.repository() != repository => {
            let message =
                format!("the subject {subject} is not in {repository}: a registry knows referrers within a repository");
            return Err(Error::new(Kind::Invalid, message));
        }
        Some(subject) => Some(remote.fetch_document(&subject.clone().with_default_tag()).await?),
    };
    let directory = context.store()?.spool_dir()?;
    let (layers, mut blobs) = files::describe(&new.files, &directory)?;
    let empty = files::small(EMPTY, &directory)?;
    blobs.insert(Digest::sha256(EMPTY), empty);
    let config = new.config.as_ref().map(|config| files::plain(config, UNKNOWN_CONFIG)).transpose()?;
    let config = config.map(|(config, blob)| {
        blobs.insert(config.digest.clone(), blob);
        config
    });
    let root = Document::from_manifest(manifest(new, config, layers, subject.as_ref()))?;
    let root = verify_document(root.bytes().to_vec(), &root.descriptor())?;
    let documents = [root.clone()];
    let source = Overlay { source: &remote, documents: &documents, blobs: &blobs };
    let options = CopyOptions { leave_root: true, ..CopyOptions::new(observer) };
    if let Err(error) = copy(&source, &remote, root.descriptor(), &options).await {
        remote.cancel_uploads().await;
        return Err(error);
    }
    let digest = root.descriptor().digest.clone();
    let is_nameless = new.subject.is_some() && new.reference.tag().is_none();
    if is_nameless {
        remote.attach(&root).await?;
        return Ok(Reference::from_digest(repository.clone(), digest));
    }
    let tagged = new.reference.clone().with_default_tag();
    remote.attach_as(&tagged, &root).await?;
    for tag in &new.further_tags {
        remote.tag(&Reference::from_tag(repository.clone(), tag.clone()), &root).await?;
    }
    Ok(tagged.with_digest(digest))
}

fn manifest(
    new: &NewArtifact,
    config: Option<Descriptor>,
    mut layers: Vec<Descriptor>,
    subject: Option<&VerifiedDocument>,
) -> ImageManifest {
    let mut empty = Descriptor::new(MediaType::OciEmpty, Digest::sha256(EMPTY), EMPTY.len() as u64);
    // Base64 of `{}`.
    empty.data = Some("e30=".to_owned());
    if layers.is_empty() {
        // A manifest has at least one.
        layers.push(empty.clone());
    }
    let subject = subject.map(|subject| {
        let descriptor = subject.descriptor();
        Descriptor::new(descriptor.media_type.clone(), descriptor.digest.clone(), descriptor.size)
    });
    // What has a config is what that is.
    let own_type = config.is_none().then(|| UNKNOWN_TYPE.to_owned());
    ImageManifest {
        artifact_type: new.artifact_type.clone().or(own_type),
        annotations: new.annotations.iter().cloned().collect(),
        subject,
        ..ImageManifest::new(config.unwrap_or(empty), layers)
    }
}

/// An artifact in a registry.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its digest.
    pub digest: Digest,
    /// What it is; for one that does not say so, what its config is.
    pub artifact_type: String,
    /// Its manifest.
    pub manifest: ImageManifest,
}

impl Artifact {
    fn of(document: &VerifiedDocument) -> Option<Self> {
        let manifest = document.document().as_manifest().filter(|manifest| !manifest.is_image())?;
        let config_type = || manifest.config.media_type.as_str().to_owned();
        let artifact_type = manifest.artifact_type.clone().unwrap_or_else(config_type);
        Some(Self { digest: document.descriptor().digest.clone(), artifact_type, manifest: manifest.clone() })
    }

    /// Its files, each with its name if it has one. What stands for nothing is left out.
    pub fn files(&self) -> impl Iterator<Item = (Option<&str>, &Descriptor)> {
        let layers = self.manifest.layers.iter().filter(|layer| layer.media_type != MediaType::OciEmpty);
        layers.map(|layer| (layer.annotations.get(ANNOTATION_TITLE).map(String::as_str), layer))
    }
}

async fn find(context: &Context, reference: &Reference) -> Result<(Remote, Artifact)> {
    let remote = context.client()?.repository(reference.repository(), Access::Pull)?;
    let document = remote.fetch_document(&reference.clone().with_default_tag()).await?;
    let artifact = Artifact::of(&document).ok_or_else(|| {
        let message = format!("{} is an image and no artifact", reference.familiar());
        Error::new(Kind::Invalid, message).with_hint("pull and inspect --remote are for images")
    })?;
    Ok((remote, artifact))
}

/// What an artifact is and holds.
///
/// # Errors
/// Those of the registry; [`Kind::Invalid`] for an image.
pub async fn inspect(context: &Context, reference: &Reference) -> Result<Artifact> {
    find(context, reference).await.map(|(_, artifact)| artifact)
}

/// The artifacts among the tags of a repository, in the registry's order. Every manifest has to be read for it.
///
/// # Errors
/// Those of the registry.
pub async fn list(context: &Context, repository: &Repository) -> Result<Vec<(Reference, Artifact)>> {
    let tags = remote::tags(context, repository, None).await?;
    let remote = context.client()?.repository(repository, Access::Pull)?;
    let found: Vec<(Reference, VerifiedDocument)> = stream::iter(tags)
        .map(|tag| async {
            let name = Reference::from_tag(repository.clone(), tag);
            let document = remote.fetch_document(&name).await?;
            Ok::<_, Error>((name, document))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().filter_map(|(name, document)| Some((name, Artifact::of(&document)?))).collect())
}

/// Files that were written.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The artifact.
    pub artifact: Artifact,
    /// Where its files are now.
    pub files: Vec<PathBuf>,
    /// How many files it has beside these, which have no name and so were left.
    pub nameless: usize,
}

/// Writes the files of an artifact below a folder, each when it is complete and proven.
///
/// # Errors
/// [`Kind::AlreadyExists`] before anything is written when a file is there and `replace` is not wanted; [`Kind::Denied`] for
/// names that lead out of the folder; those of the registry and of writing.
pub async fn pull(context: &Context, reference: &Reference, folder: &Path, replace: bool) -> Result<Pulled> {
    let (remote, artifact) = find(context, reference).await?;
    let mut targets: HashMap<PathBuf, &Descriptor> = HashMap::new();
    let mut order = Vec::new();
    let mut nameless = 0;
    for (title, file) in artifact.files() {
        let Some(title) = title else {
            nameless += 1;
            continue;
        };
        let name = files::safe_name(title)?;
        let path = folder.join(&name);
        if !replace && path.symlink_metadata().is_ok() {
            let message = format!("{path:?} is there already");
            return Err(Error::new(Kind::AlreadyExists, message).with_hint("--force replaces files"));
        }
        if targets.insert(path.clone(), file).is_some() {
            return Err(Error::new(Kind::Corrupt, format!("two files of the artifact are called {title:?}")));
        }
        order.push((name, path, file));
    }
    files::require_apart(order.iter().map(|(name, ..)| name.as_path()))?;
    let spool = context.store()?.spool_dir()?;
    let mut files = Vec::with_capacity(order.len());
    for (name, path, file) in &order {
        match tree::is_tree(file) {
            true => tree::write(&remote, file, name, folder, &spool).await?,
            false => files::write(&remote, file, path).await?,
        }
        files.push(path.clone());
    }
    Ok(Pulled { artifact: artifact.clone(), files, nameless })
}

/// Removes an artifact: its tag, or with a digest or `manifest` the artifact itself, which then is no referrer any more.
///
/// # Errors
/// As [`remote::remove`].
pub async fn remove(context: &Context, reference: &Reference, manifest: bool) -> Result<Removed> {
    let (_, artifact) = find(context, reference).await?;
    let removed = remote::remove(context, reference, manifest).await?;
    if let (Removed::Manifest(_), Some(subject)) = (&removed, &artifact.manifest.subject) {
        let remote = context.client()?.repository(reference.repository(), Access::Push)?;
        remote.detach(&subject.digest, &artifact.digest).await?;
    }
    Ok(removed)
}
