//! Images that went from one place to another.

use std::path::Path;
use std::time::Duration;

use dhow_ops::{Extent, load, pull, push, save};
use dhow_spec::{Digest, MediaType, Reference};
use serde::Serialize;

/// How much an image is, and how much of it moved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Amount {
    platforms: Vec<String>,
    layers: usize,
    layers_transferred: usize,
    size_bytes: u64,
    transferred_bytes: u64,
}

impl From<&Extent> for Amount {
    fn from(extent: &Extent) -> Self {
        Self {
            platforms: extent.platforms.iter().map(ToString::to_string).collect(),
            layers: extent.layers,
            layers_transferred: extent.layers_moved,
            size_bytes: extent.bytes,
            transferred_bytes: extent.bytes_moved,
        }
    }
}

/// Seconds with three decimals: more would be noise.
#[allow(clippy::cast_precision_loss, reason = "exact up to 285,000 years")]
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

/// `pull`: one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pulled<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
    digest: &'a Digest,
    media_type: &'a MediaType,
    image_id: &'a Digest,
    #[serde(flatten)]
    amount: Amount,
    seconds: f64,
}

impl<'a> Pulled<'a> {
    /// `name` is the operand that it was pulled for.
    pub(crate) fn new(name: &'a str, reference: &Reference, pulled: &'a pull::Pulled, took: Duration) -> Self {
        Self {
            name,
            reference: reference.to_string(),
            status: if pulled.newer { "downloaded" } else { "up-to-date" },
            digest: &pulled.digest,
            media_type: &pulled.media_type,
            image_id: &pulled.image_id,
            amount: (&pulled.extent).into(),
            seconds: seconds(took),
        }
    }
}

/// `push`: one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pushed<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
    digest: &'a Digest,
    media_type: &'a MediaType,
    image_id: &'a Digest,
    narrowed_from: Option<&'a Digest>,
    #[serde(flatten)]
    amount: Amount,
    seconds: f64,
}

impl<'a> Pushed<'a> {
    /// `name` is the operand that it was pushed for.
    pub(crate) fn new(name: &'a str, reference: &Reference, pushed: &'a push::Pushed, took: Duration) -> Self {
        Self {
            name,
            reference: reference.to_string(),
            status: if pushed.was_there { "tagged" } else { "pushed" },
            digest: &pushed.digest,
            media_type: &pushed.media_type,
            image_id: &pushed.image_id,
            narrowed_from: pushed.narrowed_from.as_ref(),
            amount: (&pushed.extent).into(),
            seconds: seconds(took),
        }
    }
}

/// `save`: one image of the archive.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved<'a> {
    references: Vec<String>,
    status: &'static str,
    archive: String,
    digest: &'a Digest,
    media_type: &'a MediaType,
    image_id: &'a Digest,
    narrowed_from: Option<&'a Digest>,
    #[serde(flatten)]
    amount: Amount,
}

impl<'a> Saved<'a> {
    /// In the archive at `path`.
    pub(crate) fn new(path: &Path, saved: &'a save::Saved) -> Self {
        Self {
            references: saved.names.iter().map(ToString::to_string).collect(),
            status: "saved",
            archive: path.display().to_string(),
            digest: &saved.digest,
            media_type: &saved.media_type,
            image_id: &saved.image_id,
            narrowed_from: saved.narrowed_from.as_ref(),
            amount: (&saved.extent).into(),
        }
    }
}

/// `load`: one image of the archive.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Loaded<'a> {
    references: Vec<String>,
    status: &'static str,
    digest: &'a Digest,
    media_type: &'a MediaType,
    image_id: &'a Digest,
    replaced: Vec<Replaced<'a>>,
    #[serde(flatten)]
    amount: Amount,
}

/// A name that stood for another image before.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replaced<'a> {
    reference: String,
    image_id: &'a Digest,
}

impl<'a> Loaded<'a> {
    /// `is_newer` says whether anything of the archive was not here.
    pub(crate) fn new(loaded: &'a load::Loaded, is_newer: bool) -> Self {
        let replaced = loaded.replaced.iter();
        Self {
            references: loaded.names.iter().map(ToString::to_string).collect(),
            status: if is_newer { "loaded" } else { "up-to-date" },
            digest: &loaded.digest,
            media_type: &loaded.media_type,
            image_id: &loaded.image_id,
            replaced: replaced.map(|(name, id)| Replaced { reference: name.to_string(), image_id: id }).collect(),
            amount: (&loaded.extent).into(),
        }
    }
}
