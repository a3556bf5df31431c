//! `inspect`: everything that is known about an image, in docker 28's words and order.

use dhow_base::Result;
use dhow_spec::config::RunConfig;
use dhow_spec::{Digest, Platform, Reference};
use serde::Serialize;

use crate::content_error::explain;
use crate::context::Context;
use crate::last_use;
use crate::select;

/// What `docker image inspect` says of one image. Fields are in docker's order, because scripts compare whole outputs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect {
    /// The image's ID.
    pub id: Digest,
    /// Familiar names with tags.
    pub repo_tags: Vec<String>,
    /// Familiar names with digests.
    pub repo_digests: Vec<String>,
    /// The image that this one was built on, by the classic builder.
    pub parent: String,
    /// What was said when the image was committed.
    pub comment: String,
    /// When the image was made, as its config spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The version of Docker that made the image.
    pub docker_version: String,
    /// Who made the image.
    pub author: String,
    /// How to run it.
    pub config: Option<RunConfig>,
    /// The processor architecture.
    pub architecture: String,
    /// Its variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system.
    pub os: String,
    /// Its version, for Windows images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Bytes of the layers, uncompressed.
    pub size: u64,
    /// What keeps the layers.
    pub graph_driver: GraphDriver,
    /// The layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What only this machine knows.
    pub metadata: Metadata,
}

/// What keeps the layers. Docker names its storage driver here.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    /// Always `null`: dhow keeps layers as they are and has no directories to name.
    pub data: Option<()>,
    /// Always `dhow`.
    pub name: &'static str,
}

/// The layers of an image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Diff IDs, lowest layer first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Digest>,
}

/// What only this machine knows of an image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    /// When a name was last given to it here, in RFC 3339.
    pub last_tag_time: String,
}

/// Go's zero time, which docker prints where nothing is known.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Describes an image by name, digest, ID or ID prefix; with a platform, that one of a multi-platform image. The image
/// counts as used when `is_use`: who looks at many at once makes a list.
///
/// # Errors
/// [`dhow_base::Kind::NotFound`] in docker's words when nothing has the name, or not for the platform.
pub fn image(context: &Context, name: &str, platform: Option<&Platform>, is_use: bool) -> Result<Inspect> {
    let store = context.store()?;
    let found = select::find(context, name, platform)?;
    let mut image = store.image(&found.image_id)?;
    if platform.is_some() {
        // The names are those of the whole, which lists give to the member that they show.
        let target = &found.target.digest;
        let shown = store.image(&store.find_target(target)?.image_id)?;
        image.references.clear();
        for reference in shown.references {
            if store.resolve(&reference)?.is_some_and(|stands_for| stands_for.digest == *target) {
                image.references.push(reference);
            }
        }
        image.repo_digests = shown.repo_digests.into_iter().filter(|(_, digest)| digest == target).collect();
    }
    let size = match image.size {
        Some(size) => size,
        None => store.measure(&image.id).map_err(|error| explain(name, error))?,
    };
    let config = store.config(&image.id).map_err(|error| explain(name, error))?;
    if is_use {
        last_use::note_in_passing(store, &image);
    }
    let last_tagged = store.last_tagged(&image.id)?.map(|time| time.to_string());
    Ok(Inspect {
        repo_tags: image.references.iter().map(Reference::familiar).collect(),
        repo_digests: image
            .repo_digests
            .iter()
            .map(|(repository, digest)| format!("{}@{digest}", repository.familiar()))
            .collect(),
        id: image.id,
        parent: config.parent.unwrap_or_default(),
        comment: config.comment.unwrap_or_default(),
        created: config.created,
        docker_version: config.docker_version.unwrap_or_default(),
        author: config.author.unwrap_or_default(),
        config: config.config,
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        os_version: config.os_version,
        size,
        graph_driver: GraphDriver { data: None, name: "dhow" },
        root_fs: RootFs { kind: config.rootfs.kind, layers: config.rootfs.diff_ids },
        metadata: Metadata { last_tag_time: last_tagged.unwrap_or_else(|| ZERO_TIME.to_owned()) },
    })
}
