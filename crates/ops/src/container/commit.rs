//! `commit`: an image of what a container changed.

use std::path::PathBuf;
use std::sync::Arc;

use dhow_base::beneath::Dir;
use dhow_base::fs::{FileLock, unnamed_file};
use dhow_base::{Error, Kind, Result};
use dhow_content::{LocalBlob, Sink, verify_document};
use dhow_layer::diff::write_upper_directory;
use dhow_sandbox::container::JustEnded;
use dhow_spec::config::{History, RunConfig};
use dhow_spec::{Descriptor, Digest, MediaType, Reference};
use dhow_store::{NewTarget, Session, Store};
use serde_json::{Value, json};

use super::files::WHOLE_ELSEWHERE;
use super::mounts::MountKind;
use super::pause::pause;
use super::settings::Configuration;
use super::turn::Seen;
use super::{Record, Turn, directory};
use crate::context::Context;
use crate::copy::{Family, renamed};
use crate::import::{changes, to_bytes};
use crate::last_use;
use crate::made::{Hashing, at_hand, handle};
use crate::put::{Content, put};
use crate::remake::{NewLayer, flat_layer};

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
    /// Whose media types the image has; nothing for those of the image that the container was made from.
    pub family: Option<Family>,
    /// Whether all layers become one.
    pub squash: bool,
    /// Whether volumes of the image are where the container has any, not only where the image or nobody named one.
    pub volumes: bool,
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
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    let Configuration { config, settings, .. } = Configuration::parse(&record.configuration)?;
    let command = config.cmd.clone();
    let mut config = changes::apply_to(context.naming(), config, &request.changes)?;
    if request.volumes {
        let targets = settings.mounts.iter().filter(|mount| mount.kind != MountKind::Device);
        let volumes = config.volumes.get_or_insert_default();
        volumes.0.extend(targets.map(|mount| mount.target.clone()));
    }
    let Taken { mut base, session, changed, _lock } =
        Turn::open(store, record, name, |turn| Taken::take(store, record, name, request, turn))?;
    let layer = if request.squash { Some(base.squashed(store, changed)?) } else { changed };
    if let Some(layer) = &layer {
        futures::executor::block_on(put(&session, &layer.descriptor, Content::Local(&layer.blob)))?;
    }
    let document = base.config(record, request, config, command.as_deref(), layer.as_ref())?;
    let config = Descriptor::new(base.types.config.clone(), Digest::sha256(&document), document.len() as u64);
    futures::executor::block_on(put(&session, &config, Content::Bytes(document.into())))?;
    let manifest = base.manifest_with(&config, layer.as_ref())?;
    let descriptor = Descriptor::new(base.types.manifest.clone(), Digest::sha256(&manifest), manifest.len() as u64);
    futures::executor::block_on(session.put_document(&verify_document(manifest, &descriptor)?))?;
    let references = request.reference.iter().cloned().collect();
    let committed = session.commit(&[NewTarget { references, ..NewTarget::default_for(descriptor.clone()) }])?;
    let image_id = committed
        .image_of(&descriptor.digest)
        .ok_or_else(|| Error::new(Kind::Internal, format!("{} was committed without an image", descriptor.digest)))?;
    store.note_made_here(&descriptor.digest);
    last_use::note(store, [&image_id]);
    Ok(image_id)
}

/// What a container was made from, and what it changed.
struct Taken {
    base: Base,
    /// Keeps the image that it was made from.
    session: Session,
    changed: Option<NewLayer>,
    /// Of a container that does not run.
    _lock: Option<FileLock>,
}

impl Taken {
    fn take(store: &Store, record: &Record, named: &str, request: &CommitRequest, turn: Turn) -> Result<Self> {
        let base = Base::read(store, record, request.family)?;
        let session = store.begin("commit")?;
        session.pin(&base.manifest)?;
        let directory = directory(store, &record.container.id)?;
        let upper = directory.join("upper");
        let (layer, lock) = match turn {
            Turn::Still(lock) => (write_layer(store, &upper)?, Some(lock)),
            Turn::Running(process) => {
                let read = || {
                    let _paused = request.pause.then(|| pause(&directory, &process)).transpose()?;
                    write_layer(store, &upper)
                };
                let layer = Seen { store, record, named }.judge(read());
                // They may be files of another run.
                if !process.is_there() {
                    return Err(JustEnded.into());
                }
                (layer?, None)
            }
        };
        let changed = layer.map(|(blob, digest)| NewLayer {
            descriptor: Descriptor::new(base.types.layer.clone(), digest.clone(), blob.length),
            diff_id: digest,
            blob,
        });
        Ok(Self { base, session, changed, _lock: lock })
    }
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
    write_upper_directory(&upper, &mut writer).map_err(|error| match error.kind() {
        Kind::Unsupported => error.with_hint(WHOLE_ELSEWHERE),
        _ => error,
    })?;
    let (digest, length) = writer.finish()?;
    let path = PathBuf::from("what the container changed");
    Ok(Some((LocalBlob { file: Arc::new(file), path, offset: 0, length }, digest)))
}

/// The media types of docker's images, or of OCI's.
struct MediaTypes {
    manifest: MediaType,
    config: MediaType,
    layer: MediaType,
}

impl MediaTypes {
    fn of(family: Family) -> Self {
        match family {
            Family::Docker => Self {
                manifest: MediaType::DockerManifest,
                config: MediaType::DockerConfig,
                layer: MediaType::DockerLayer,
            },
            Family::Oci => {
                Self { manifest: MediaType::OciManifest, config: MediaType::OciConfig, layer: MediaType::OciLayer }
            }
        }
    }
}

/// The image that a container was made from.
struct Base {
    manifest: Descriptor,
    layers: Vec<Descriptor>,
    image: dhow_spec::ImageConfig,
    family: Family,
    types: MediaTypes,
}

impl Base {
    /// Reads it; its layers are those of `family`, if one is wanted.
    fn read(store: &Store, record: &Record, family: Option<Family>) -> Result<Self> {
        let found = store.find_used(&record.image_id)?;
        let document = store.document(&found.manifest.digest)?;
        let manifest = document.document().as_manifest().ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("{} is no manifest of an image", found.manifest.digest))
        })?;
        let is_docker = found.manifest.media_type == MediaType::DockerManifest;
        let own = if is_docker { Family::Docker } else { Family::Oci };
        let family = family.unwrap_or(own);
        let mut layers: Vec<Descriptor> = manifest.layers.clone();
        if family != own {
            for layer in &mut layers {
                layer.media_type = renamed(&layer.media_type, family)?;
            }
        }
        let image = store.config(&record.image_id)?;
        Ok(Self { manifest: found.manifest.clone(), layers, image, family, types: MediaTypes::of(family) })
    }

    /// One layer of all, with what the container changed. There is nothing below it then.
    fn squashed(&mut self, store: &Store, changed: Option<NewLayer>) -> Result<NewLayer> {
        let directory = store.spool_dir()?;
        let mut layers = Vec::with_capacity(self.layers.len() + 1);
        for layer in std::mem::take(&mut self.layers) {
            let blob = futures::executor::block_on(at_hand(store, &layer, &directory))?;
            layers.push((layer, blob));
        }
        layers.extend(changed.map(|layer| (layer.descriptor, layer.blob)));
        self.image.rootfs.diff_ids.clear();
        self.image.history.clear();
        flat_layer(layers, self.family == Family::Oci, &directory)
    }

    /// The config, with docker's members and its history (moby `image.NewChildImage`).
    fn config(
        &self,
        record: &Record,
        request: &CommitRequest,
        config: RunConfig,
        command: Option<&[String]>,
        layer: Option<&NewLayer>,
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
        image.rootfs.diff_ids.extend(layer.map(|layer| layer.diff_id.clone()));
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

    fn manifest_with(&self, config: &Descriptor, layer: Option<&NewLayer>) -> Result<Vec<u8>> {
        let new = layer.map(|layer| &layer.descriptor);
        let layers: Vec<Value> = self.layers.iter().chain(new).map(described).collect();
        to_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": self.types.manifest.as_str(),
            "config": described(config),
            "layers": layers,
        }))
    }
}

fn described(blob: &Descriptor) -> Value {
    json!({ "mediaType": blob.media_type.as_str(), "digest": blob.digest.as_str(), "size": blob.size })
}
