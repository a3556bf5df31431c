//! What a list tells of an image.

use dhow_spec::config::ImageConfig;
use dhow_spec::document::Body;
use dhow_spec::{Descriptor, Document, Platform};

use super::bar::sum;
use super::html::{Attribute, Html, clip, size_text};

/// How many platforms are named; the rest is counted.
const PLATFORMS_NAMED: usize = 4;

/// Longest name of a platform or type in a list, in bytes.
const NAME_BYTES_MAX: usize = 80;

/// What kind of thing a manifest is, in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// What it runs on; none for what is no image.
    pub(super) platforms: Vec<String>,
    /// What it is when it is no image.
    pub(super) artifact_type: Option<String>,
    /// Compressed layers and config; nothing for an index, whose images have sizes of their own.
    pub(super) size_bytes: Option<u64>,
    /// The day on which it was made.
    pub(super) day: Option<String>,
}

impl Summary {
    /// Sums up a document, and the config of an image if it could be read.
    pub(super) fn of(document: &Document, config: Option<&ImageConfig>) -> Self {
        match document.body() {
            Body::Index(index) => Self {
                platforms: index.manifests.iter().filter(|entry| is_image_entry(entry)).filter_map(named).collect(),
                artifact_type: index.artifact_type.clone(),
                ..Self::default()
            },
            Body::Manifest(manifest) => Self {
                platforms: config.map(|config| vec![platform_text(&config.platform())]).unwrap_or_default(),
                artifact_type: (!manifest.is_image())
                    .then(|| type_of(manifest.artifact_type.as_deref(), &manifest.config)),
                size_bytes: Some(sum(document.children().into_iter().map(|descriptor| descriptor.size))),
                day: config.and_then(ImageConfig::created_at).map(|time| time.strftime("%Y-%m-%d").to_string()),
            },
        }
    }

    /// The platforms or the type.
    pub(super) fn kind(&self, html: &mut Html) {
        let kind =
            |html: &mut Html, text: &str| html.leaf("span", &[(Attribute::Class, "kind")], &clip(text, NAME_BYTES_MAX));
        if let Some(artifact_type) = &self.artifact_type {
            return kind(html, artifact_type);
        }
        self.platforms.iter().take(PLATFORMS_NAMED).for_each(|platform| kind(html, platform));
        if let Some(more) = self.platforms.len().checked_sub(PLATFORMS_NAMED).filter(|more| *more > 0) {
            html.leaf("span", &[(Attribute::Class, "quiet")], &format!("and {more} more"));
        }
    }

    /// The size for people.
    pub(super) fn size(&self) -> String {
        self.size_bytes.map(size_text).unwrap_or_default()
    }
}

/// The type of an artifact: its own, else its config's (distribution spec, "Listing Referrers").
pub(super) fn type_of(artifact_type: Option<&str>, config: &Descriptor) -> String {
    artifact_type.unwrap_or(config.media_type.as_str()).to_owned()
}

/// Whether an entry of an index is something to run, and no attestation of it.
pub(super) fn is_image_entry(entry: &Descriptor) -> bool {
    !entry.is_attestation()
}

fn named(entry: &Descriptor) -> Option<String> {
    entry.platform.as_ref().map(platform_text)
}

/// A platform as `--platform` takes it.
pub(super) fn platform_text(platform: &Platform) -> String {
    clip(&platform.to_string(), NAME_BYTES_MAX)
}
