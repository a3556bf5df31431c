//! Images as podman describes them: by full names, one digest for all of them, and with their documents in their size.

use std::collections::{BTreeMap, BTreeSet};

use dhow_base::Result;
use dhow_spec::{Digest, ImageConfig, Reference, Repository};
use dhow_store::{Found, Image, Store};

use crate::context::Context;
use crate::filter::{Filter, Term};
use crate::images;

/// What podman says of an image in lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The image's ID.
    pub id: Digest,
    /// Its names: those with tags, and `repository@digest` where a repository knows it by nothing else.
    pub names: Vec<Reference>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Every repository that names it, with every digest that it is known by.
    pub repo_digests: Vec<String>,
    /// When it was made, in nanoseconds since the Unix epoch.
    pub created: Option<i64>,
    /// Bytes of its layers, uncompressed, of its config and of its manifest, which podman keeps twice.
    pub size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Containers that use it.
    pub containers: u64,
}

impl Summary {
    /// Whether nothing names it.
    pub fn is_dangling(&self) -> bool {
        self.names.is_empty()
    }
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only images with a name that matches; podman shows all names of these.
    pub reference: Option<String>,
    /// Only images that fit.
    pub filters: Vec<Term>,
}

/// Lists images, newest first.
///
/// # Errors
/// [`dhow_base::Kind::Invalid`] in podman's words for filters, else those of the store.
pub fn list(context: &Context, request: &Request) -> Result<Vec<Summary>> {
    let store = context.store()?;
    let images = store.images()?;
    if images.is_empty() {
        // Podman reads filters only when there is something to filter.
        return Ok(Vec::new());
    }
    let mut filter = Filter::parse_for(context.naming(), &request.filters)?;
    if let Some(pattern) = &request.reference {
        filter.and_reference(pattern)?;
    }
    let mut images = filter.select(store, images)?;
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    let mut labels = store.labels(images.iter().map(|image| &image.id))?;
    images
        .into_iter()
        .map(|image| {
            let labels = labels.remove(&image.id).unwrap_or_default();
            let found = store.find(image.id.as_str())?;
            summary(store, image, &found, labels.into_iter().collect())
        })
        .collect()
}

/// Everything that podman says of one image.
#[derive(Clone, Debug)]
pub struct Description {
    /// What lists show.
    pub summary: Summary,
    /// Its config.
    pub config: ImageConfig,
    /// Digests of its layers as registries have them, lowest first.
    pub layers: Vec<Digest>,
    /// The media type of its manifest.
    pub manifest_type: String,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Describes an image by anything that stands for one.
///
/// # Errors
/// Those of `Context::find` and of the store.
pub fn describe(context: &Context, name: &str) -> Result<Description> {
    let store = context.store()?;
    let found = context.find(name)?;
    let image = store.image(&found.image_id)?;
    let config = store.config(&found.image_id)?;
    let labels = config.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let document = store.document(&found.manifest.digest)?;
    let manifest = document.document().as_manifest();
    let annotations = manifest.map(|manifest| manifest.annotations.clone());
    let layers = manifest.map(|manifest| manifest.layers.iter().map(|layer| layer.digest.clone()).collect());
    Ok(Description {
        summary: summary(store, image, &found, labels.into_iter().collect())?,
        config,
        layers: layers.unwrap_or_default(),
        manifest_type: found.manifest.media_type.to_string(),
        annotations: annotations.unwrap_or_default(),
    })
}

fn summary(store: &Store, image: Image, found: &Found, labels: BTreeMap<String, String>) -> Result<Summary> {
    let layers = match image.size {
        Some(size) => size,
        None => images::measure(store, &image.id)?,
    };
    let config = store.blob_size(&image.id)?.unwrap_or(0);
    let repositories: BTreeSet<&Repository> = image
        .references
        .iter()
        .map(Reference::repository)
        .chain(image.repo_digests.iter().map(|(home, _)| home))
        .collect();
    let mut digests = BTreeSet::from([&found.manifest.digest, &found.target.digest]);
    digests.extend(image.repo_digests.iter().map(|(_, digest)| digest));
    let repo_digests =
        repositories.iter().flat_map(|repository| digests.iter().map(move |digest| format!("{repository}@{digest}")));
    let repo_digests = repo_digests.collect();
    let mut names = image.references.clone();
    for (repository, digest) in &image.repo_digests {
        if !image.references.iter().any(|reference| reference.repository() == repository) {
            names.push(Reference::from_digest(repository.clone(), digest.clone()));
        }
    }
    Ok(Summary {
        names,
        digest: found.manifest.digest.clone(),
        repo_digests,
        created: image.created,
        size: layers + config + 2 * found.manifest.size,
        labels,
        containers: image.containers,
        id: image.id,
    })
}
