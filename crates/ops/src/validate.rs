//! `validate`: whether an image is what its documents say.

use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{CopyOptions, LocalBlob, Source, VerifiedDocument, documents_below, read_small};
use dhow_layer::{Compression, check_tar, decode_error};
use dhow_spec::media_type::Compression as Stated;
use dhow_spec::{Descriptor, Digest, ImageConfig, ImageManifest};
use futures::TryStreamExt;

use crate::context::Context;
use crate::made::{HashingReader, Proving, at_hand};
use crate::select::Platforms;
use crate::transport::choose::choose;
use crate::transport::{AnySource, Location, Overlay, open};

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The digest of the image, or of the part of it that was looked at.
    pub digest: Digest,
    /// Manifests of images and artifacts that were looked at.
    pub manifests: usize,
    /// Layers that were looked at, each once.
    pub layers: usize,
    /// What is wrong; nothing when all is well.
    pub problems: Vec<String>,
}

/// Reads an image through: digests and sizes of documents, configs and layers, that layers inflate to their diff IDs and are
/// tars. With `is_fast`, of layers only that they are there.
///
/// # Errors
/// Those of finding the image; what is wrong with it is no error.
pub async fn validate(
    context: &Context,
    location: &Location,
    platforms: &Platforms,
    is_fast: bool,
) -> Result<Validated> {
    let opened = open(context, location).await?;
    let everything = Platforms::All;
    let platforms = if *platforms == Platforms::Default { &everything } else { platforms };
    let chosen = choose(&opened, platforms, &location.to_string()).await.map_err(|error| opened.explain(error))?;
    let at_hand: Vec<VerifiedDocument> = chosen.made.iter().chain([&chosen.root]).cloned().collect();
    let no_blobs = std::collections::HashMap::new();
    let source = Overlay { source: &opened.source, documents: &at_hand, blobs: &no_blobs };
    let mut validation =
        Validation { context, source: &opened.source, is_fast, layers: Vec::new(), problems: Vec::new() };
    let mut manifests = 0;
    match documents_below(&source, chosen.root.descriptor(), &CopyOptions::new(&Silent)).await {
        Err(error) => validation.note(error)?,
        Ok(documents) => {
            for document in &documents {
                if let Some(manifest) = document.document().as_manifest() {
                    manifests += 1;
                    validation.manifest(document, manifest).await?;
                }
            }
        }
    }
    let digest = chosen.root.descriptor().digest.clone();
    Ok(Validated { digest, manifests, layers: validation.layers.len(), problems: validation.problems })
}

struct Validation<'a> {
    context: &'a Context,
    source: &'a AnySource,
    is_fast: bool,
    /// What was looked at.
    layers: Vec<Digest>,
    problems: Vec<String>,
}

impl Validation<'_> {
    /// Notes what is wrong with the image; what is wrong with the way to it is passed on.
    fn note(&mut self, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Corrupt | Kind::NotFound | Kind::LimitExceeded | Kind::Invalid | Kind::Unsupported => {
                self.problems.push(error.to_string());
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn manifest(&mut self, document: &VerifiedDocument, manifest: &ImageManifest) -> Result<()> {
        let digest = &document.descriptor().digest;
        let config = self.config(digest, manifest).await;
        let diff_ids = match config {
            Ok(config) => config.map(|config| config.rootfs.diff_ids),
            Err(error) => {
                self.note(error.context(format_args!("manifest {digest}: config")))?;
                None
            }
        };
        if let Some(diff_ids) = &diff_ids
            && diff_ids.len() != manifest.layers.len()
        {
            let (layers, known) = (manifest.layers.len(), diff_ids.len());
            self.problems.push(format!("manifest {digest}: it has {layers} layers, its config knows {known}"));
        }
        for (position, layer) in manifest.layers.iter().enumerate() {
            let diff_id = diff_ids.as_ref().and_then(|diff_ids| diff_ids.get(position));
            let outcome = self.layer(layer, diff_id).await;
            if let Err(error) = outcome {
                self.note(error.context(format_args!("manifest {digest}: layer[{position}] {}", layer.digest)))?;
            }
        }
        Ok(())
    }

    async fn config(&self, digest: &Digest, manifest: &ImageManifest) -> Result<Option<ImageConfig>> {
        let bytes = read_small(self.source, &manifest.config, limits::CONFIG_BYTES_MAX).await?;
        if !manifest.is_image() {
            tracing::debug!(%digest, "an artifact: its config may be anything");
            return Ok(None);
        }
        Ok(Some(ImageConfig::parse(&bytes)?))
    }

    async fn layer(&mut self, layer: &Descriptor, diff_id: Option<&Digest>) -> Result<()> {
        // Others may have them, registries do not.
        if layer.media_type.is_foreign() {
            return Ok(());
        }
        if !self.layers.contains(&layer.digest) {
            self.layers.push(layer.digest.clone());
        }
        if self.is_fast {
            let mut stream = self.source.read(layer, 0..layer.size.min(1)).await?;
            stream.try_next().await?;
            return Ok(());
        }
        let blob = at_hand(self.source, layer, &self.context.store()?.spool_dir()?).await?;
        let (layer, diff_id) = (layer.clone(), diff_id.cloned());
        let task = tokio::task::spawn_blocking(move || check_layer(&blob, &layer, diff_id.as_ref()));
        task.await.map_err(|error| Error::new(Kind::Internal, format!("reading a layer failed: {error}")))?
    }
}

/// Reads a layer to its end.
fn check_layer(blob: &LocalBlob, layer: &Descriptor, diff_id: Option<&Digest>) -> Result<()> {
    let failed = |error| decode_error("cannot be read", error);
    if !layer.media_type.is_layer() {
        // Files of artifacts are what they are.
        let mut proving = Proving::new(blob, layer);
        return std::io::copy(&mut proving, &mut std::io::sink()).map(drop).map_err(failed);
    }
    let decoder = Proving::inflated(blob, layer).map_err(failed)?;
    let found = decoder.compression();
    let algorithm = diff_id.map_or(dhow_spec::Algorithm::Sha256, Digest::algorithm);
    let mut hashing = HashingReader::new(decoder, algorithm);
    check_tar(&mut hashing)?;
    let (_, inflated) = hashing.finish();
    if let Some(diff_id) = diff_id
        && inflated != *diff_id
    {
        let message = format!("it inflates to {inflated}, the config says {diff_id}");
        return Err(Error::new(Kind::Corrupt, message));
    }
    let stated = match layer.media_type.compression() {
        Some(Stated::None) => Compression::None,
        Some(Stated::Gzip) => Compression::Gzip,
        Some(Stated::Zstd) => Compression::Zstd,
        None => return Ok(()),
    };
    if found != stated {
        let message = format!("it is {found}, its media type says {stated}");
        return Err(Error::new(Kind::Corrupt, message));
    }
    Ok(())
}
