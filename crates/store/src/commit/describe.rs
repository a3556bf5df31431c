//! What an image is, from its manifest and config; and whether its layers are what the config says.

use dhow_base::{Error, Kind, Result};
use dhow_layer::chain::chain_ids;
use dhow_spec::config::ConfigError;
use dhow_spec::digest::Algorithm;
use dhow_spec::layout::ANNOTATION_CREATED;
use dhow_spec::{Descriptor, Digest, ImageConfig, Platform};

use crate::facts::Facts;
use crate::plan::Member;
use crate::session::{Lease, Proof};

/// What a manifest makes of its config and layers: the rows of its image, should that not be known yet.
#[derive(Clone, Debug)]
pub(crate) struct NewImage {
    pub(crate) id: Digest,
    /// The manifest whose layers were compared with the config.
    pub(crate) manifest: Digest,
    /// Nanoseconds since 1970.
    pub(crate) created: Option<i64>,
    pub(crate) platform: Platform,
    /// Sum of the layers' sizes, if all are known.
    pub(crate) size: Option<u64>,
    pub(crate) layers: Vec<NewLayer>,
}

/// One of its layers, lowest first.
#[derive(Clone, Debug)]
pub(crate) struct NewLayer {
    pub(crate) diff_id: Digest,
    pub(crate) chain_id: Digest,
    pub(crate) size: Option<u64>,
}

/// Works out what an image is.
pub(crate) fn describe(lease: &Lease, member: &Member) -> Result<NewImage> {
    let manifest = &member.manifest;
    // Signatures and other artifacts borrow the image config's type for layers that are no file systems.
    let has_file_systems = manifest.layers.iter().all(|layer| layer.media_type.is_layer());
    if !manifest.is_image() {
        return Ok(artifact(member));
    }
    let bytes = lease.store().read_small(&manifest.config, dhow_base::limits::CONFIG_BYTES_MAX)?;
    let config = match ImageConfig::parse(&bytes) {
        Ok(config) => config,
        Err(ConfigError::NoRootFs) if !has_file_systems => return Ok(artifact(member)),
        Err(error) => {
            return Err(Error::from(error).context(format_args!("image config {}", manifest.config.digest)));
        }
    };
    let mut image = NewImage {
        id: member.image_id().clone(),
        manifest: member.descriptor.digest.clone(),
        created: config.created_at().and_then(nanoseconds),
        platform: config.platform(),
        size: Some(manifest.layers.iter().map(|layer| layer.size).sum()),
        layers: Vec::new(),
    };
    if has_file_systems {
        image.layers = prove_layers(lease, member, &config.rootfs.diff_ids)?;
        image.size = image.layers.iter().map(|layer| layer.size).sum();
    }
    Ok(image)
}

fn artifact(member: &Member) -> NewImage {
    let manifest = &member.manifest;
    let created = manifest.annotations.get(ANNOTATION_CREATED).and_then(|text| text.parse().ok());
    NewImage {
        id: member.image_id().clone(),
        manifest: member.descriptor.digest.clone(),
        created: created.and_then(nanoseconds),
        platform: member.descriptor.platform.clone().unwrap_or_default(),
        size: Some(manifest.layers.iter().map(|layer| layer.size).sum()),
        layers: Vec::new(),
    }
}

/// Nothing for times outside the years 1677 to 2262, such as the zero time of Go: they say that nothing is known.
fn nanoseconds(time: jiff::Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond()).ok()
}

fn prove_layers(lease: &Lease, member: &Member, diff_ids: &[Digest]) -> Result<Vec<NewLayer>> {
    let blobs = &member.manifest.layers;
    if blobs.len() != diff_ids.len() {
        let message = format!(
            "manifest {} has {} layers, its config {} has {} diff IDs",
            member.descriptor.digest,
            blobs.len(),
            member.manifest.config.digest,
            diff_ids.len()
        );
        return Err(Error::new(Kind::Corrupt, message));
    }
    let mut layers = Vec::with_capacity(blobs.len());
    for ((blob, diff_id), chain_id) in blobs.iter().zip(diff_ids).zip(chain_ids(diff_ids)) {
        let size = prove_layer(lease, blob, diff_id)?;
        layers.push(NewLayer { diff_id: diff_id.clone(), chain_id, size });
    }
    Ok(layers)
}

/// Compares a layer with its diff ID as far as it is known what the layer inflates to. Returns its size then.
fn prove_layer(lease: &Lease, blob: &Descriptor, expected: &Digest) -> Result<Option<u64>> {
    let store = lease.store();
    let facts = match lease.proof(&blob.digest) {
        Some(Proof::Inflates(facts)) => facts,
        Some(Proof::Broken(why)) => {
            return Err(Error::new(Kind::Corrupt, format!("layer {}: {why}", blob.digest)));
        }
        None => match store.facts(&blob.digest) {
            // A cached fact is not worth failing over: only what the bytes say now is.
            Some(facts) if agrees(&facts, expected) => facts,
            None if !lease.proves() => return Ok(None),
            _ if !store.holds_blob(blob)? => return Ok(None),
            _ => store.work_out(blob)?,
        },
    };
    store.require_agreement(blob, &facts, expected)?;
    Ok(Some(facts.size))
}

/// Whether what is known about a layer speaks for its diff ID, or at least not against it.
fn agrees(facts: &Facts, expected: &Digest) -> bool {
    expected.algorithm() != Algorithm::Sha256 || facts.diff_id == *expected
}
