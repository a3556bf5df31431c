//! `commit`: an image of what a container changed.

use std::path::PathBuf;
use std::sync::Arc;

use dhow_base::beneath::Dir;
use dhow_base::fs::unnamed_file;
use dhow_base::{Error, Kind, Result};
use dhow_content::{LocalBlob, Sink, verify_document};
use dhow_layer::diff::write_upper_directory;
use dhow_spec::config::{History, RunConfig};
use dhow_spec::{Descriptor, Digest, MediaType, Reference};
use dhow_store::{NewTarget, Store};
use serde_json::{Value, json};

use super::pause::pause;
use super::settings::Configuration;
use super::{Record, directory, hold, running};
use crate::context::Context;
use crate::import::{Content, changes, put, to_bytes};
use crate::last_use;
use crate::made::{Hashing, handle};

/// What to make of a container.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Who made the image.
    pub author: String,
    /// What the history says of it.
    pub message: String,
    /// Dockerfile instructions that change how the image is run.
    pub changes: Vec<String>,
    /// Whether a container that runs stands still meanwhile.
    pub pause: bool,
    /// The name it gets.
    pub reference: Option<Reference>,
}

/// Makes an image of a container: the image's layers, and on top of them what the container changed. One that runs stands still while its
/// changes are read. Returns the ID.
///
/// # Errors
/// [`Kind::Conflict`] when it does not stand still; [`Kind::NotFound`] when its image is gone; [`Kind::Invalid`] in docker's words for an instruction that
/// changes nothing; those of the store.
pub fn commit(context: &Context, record: &Record, request: &CommitRequest) -> Result<Digest> {
    let store = context.store()?;
    let directory = directory(store, &record.container.id)?;
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    let is_running = record.container.is_running();
    let _lock = if is_running { None } else { Some(hold(&directory, name)?) };
    let configuration = Configuration::parse(&record.configuration)?;
    let command = configuration.config.cmd.clone();
    let config = changes::apply_to(configuration.config, &request.changes)?;
    let base = Base::read(store, record)?;
    let session = store.begin("commit")?;
    session.pin(&base.manifest)?;
    let paused = match is_running && request.pause {
        true => {
            let process = running(&directory, name)?;
            Some(pause(&directory, &process)?)
        }
        false => None,
    };
    let layer = write_layer(store, &directory.join("upper"));
    drop(paused);
    let layer = match layer? {
        Some((blob, digest)) => {
            let layer = Descriptor::new(base.family.layer.clone(), digest, blob.length);
            futures::executor::block_on(put(&session, &layer, Content::Local(&blob)))?;
            Some(layer)
        }
        None => None,
    };
    let document = base.config(record, request, config, command.as_deref(), layer.as_ref())?;
    let config = Descriptor::new(base.family.config.clone(), Digest::sha256(&document), document.len() as u64);
    futures::executor::block_on(put(&session, &config, Content::Bytes(document.into())))?;
    let manifest = base.manifest_with(&config, layer.as_ref())?;
    let descriptor = Descriptor::new(base.family.manifest.clone(), Digest::sha256(&manifest), manifest.len() as u64);
    futures::executor::block_on(session.put_document(&verify_document(manifest, &descriptor)?))?;
    let references = request.reference.iter().cloned().collect();
    let committed = session.commit(&[NewTarget { references, ..NewTarget::default_for(descriptor.clone()) }])?;
    let image_id = committed
        .image_of(&descriptor.digest)
        .ok_or_else(|| Error::new(Kind::Internal, format!("{} was committed without an image", descriptor.digest)))?;
    last_use::note(store, [&image_id]);
    Ok(image_id)
}

/// What changed, as a layer; nothing when nothing did.
fn write_layer(store: &Store, upper: &std::path::Path) -> Result<Option<(LocalBlob, Digest)>> {
    let cannot = |error| Error::io(format_args!("cannot read {upper:?}"), error);
    let upper = Dir::open(upper).map_err(cannot)?;
    if upper.names().map_err(cannot)?.is_empty() {
        return Ok(None);
    }
    let file = unnamed_file(&store.spool_dir()?)?;
    let mut writer = Hashing::new(handle(&file)?);
    write_upper_directory(&upper, &mut writer)?;
    let (digest, length) = writer.finish()?;
    let path = PathBuf::from("what the container changed");
    Ok(Some((LocalBlob { file: Arc::new(file), path, offset: 0, length }, digest)))
}

/// The media types of docker's images, or of OCI's.
struct Family {
    manifest: MediaType,
    config: MediaType,
    layer: MediaType,
}

/// The image that a container was made from.
struct Base {
    manifest: Descriptor,
    layers: Vec<Value>,
    image: dhow_spec::ImageConfig,
    family: Family,
}

impl Base {
    fn read(store: &Store, record: &Record) -> Result<Self> {
        let found = store.find(record.image_id.as_str())?;
        let document = store.document(&found.manifest.digest)?;
        let manifest = document.document().as_manifest().ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("{} is no manifest of an image", found.manifest.digest))
        })?;
        let is_docker = found.manifest.media_type == MediaType::DockerManifest;
        let family = match is_docker {
            true => Family {
                manifest: MediaType::DockerManifest,
                config: MediaType::DockerConfig,
                layer: MediaType::DockerLayer,
            },
            false => {
                Family { manifest: MediaType::OciManifest, config: MediaType::OciConfig, layer: MediaType::OciLayer }
            }
        };
        let layers = manifest.layers.iter().map(described).collect();
        Ok(Self { manifest: found.manifest.clone(), layers, image: store.config(&record.image_id)?, family })
    }

    /// The config, with docker's members and its history (moby `image.NewChildImage`).
    fn config(
        &self,
        record: &Record,
        request: &CommitRequest,
        config: RunConfig,
        command: Option<&[String]>,
        layer: Option<&Descriptor>,
    ) -> Result<Vec<u8>> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let created = Some(jiff::Timestamp::now().to_string());
        let mut image = self.image.clone();
        image.created.clone_from(&created);
        image.author = text(&request.author);
        image.comment = text(&request.message);
        image.container = Some(record.container.id.clone());
        image.parent = Some(record.image_id.as_str().to_owned());
        // It spoke of the container that the base was made of.
        image.extra.shift_remove("container_config");
        image.config = Some(config);
        image.rootfs.diff_ids.extend(layer.map(|layer| layer.digest.clone()));
        image.history.push(History {
            created,
            created_by: command.map(|words| words.join(" ")),
            author: text(&request.author),
            comment: text(&request.message),
            empty_layer: layer.is_none(),
            ..History::default()
        });
        to_bytes(&image)
    }

    fn manifest_with(&self, config: &Descriptor, layer: Option<&Descriptor>) -> Result<Vec<u8>> {
        let layers: Vec<Value> = self.layers.iter().cloned().chain(layer.map(described)).collect();
        to_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": self.family.manifest.as_str(),
            "config": described(config),
            "layers": layers,
        }))
    }
}

fn described(blob: &Descriptor) -> Value {
    json!({ "mediaType": blob.media_type.as_str(), "digest": blob.digest.as_str(), "size": blob.size })
}
