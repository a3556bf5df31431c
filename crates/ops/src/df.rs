//! `system df`: how much space what takes, counted as docker 28 counts it; and what the disk says.

use std::collections::{BTreeMap, HashMap};

use dhow_base::Result;
use dhow_spec::Digest;
pub use dhow_store::{BuildRecord, ContainerRecord, DiskUse, Volume};
use dhow_store::{Image, Store};
use serde::Deserialize;

use crate::container::{self, Settings};
use crate::context::Context;

/// Everything that takes space.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Bytes of all layers, uncompressed, each counted once.
    pub layers_size: u64,
    /// Images, newest first.
    pub images: Vec<ImageUse>,
    /// Containers, newest first.
    pub containers: Vec<ContainerUse>,
    /// Volumes by name.
    pub volumes: Vec<VolumeUse>,
    /// The build cache, the longest unused first.
    pub build: Vec<BuildRecord>,
}

/// An image and its layers' bytes, uncompressed.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageUse {
    /// The image.
    pub image: Image,
    /// Bytes of all its layers.
    pub size: u64,
    /// Bytes of the layers that other images have too.
    pub shared: u64,
}

/// A container and what it wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUse {
    /// The container.
    pub record: ContainerRecord,
    /// What it was made with.
    pub configuration: Configuration,
    /// Bytes on disk of its own.
    pub size: u64,
}

/// A volume and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeUse {
    /// The volume.
    pub volume: Volume,
    /// Bytes on disk.
    pub size: u64,
    /// The directory that holds it.
    pub directory: String,
}

/// What a container or volume was made with, as far as lists show it (`docs/formats/store.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Configuration {
    /// The name that the image was called by.
    pub image: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Free-form information.
    pub labels: BTreeMap<String, String>,
    /// The machine's side of a container.
    pub settings: Settings,
}

impl Configuration {
    /// Reads what the store keeps of a container or volume. What cannot be read says nothing.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// As [`Configuration::parse`], without the image's name when that stands for another one by now (moby
    /// `Daemon.refreshImage`).
    pub fn now(store: &Store, record: &ContainerRecord) -> Self {
        let read = Self::parse(&record.configuration);
        let still = store.find(&read.image).is_ok_and(|found| found.image_id == record.image_id);
        Self { image: if still { read.image } else { String::new() }, ..read }
    }
}

/// What counts as reclaimable of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Everything but what used images alone have: docker 28's.
    AllButUsed,
    /// What unused images alone have, which is less: layers of several stay. Docker 29's.
    Unused,
}

/// One line of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it is about, as docker calls it.
    pub kind: &'static str,
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes of all.
    pub size: u64,
    /// Bytes that a prune can free.
    pub reclaimable: u64,
    /// The same in percent, cut; none when there is nothing, and never for the build cache.
    pub percent: Option<u64>,
}

/// Counts everything. Layers that were never inflated are measured now.
///
/// # Errors
/// Those of the store.
pub fn usage(context: &Context) -> Result<Usage> {
    let store = context.store()?;
    container::recover(store)?;
    let (images, layers_size) = images(store)?;
    let container = |record: ContainerRecord| ContainerUse {
        size: container::changed_file_bytes(context, &record.container.id),
        configuration: Configuration::now(store, &record),
        record,
    };
    let volume = |volume: Volume| VolumeUse {
        size: container::file_bytes(&store.root().join("volumes").join(&volume.name).join("_data")),
        directory: store.root().join("volumes").join(&volume.name).to_string_lossy().into_owned(),
        volume,
    };
    Ok(Usage {
        layers_size,
        images,
        containers: store.containers()?.into_iter().map(container).collect(),
        volumes: store.volumes()?.into_iter().map(volume).collect(),
        build: store.build_records()?,
    })
}

/// What is on disk, part by part: the sum is what `du` says of the store.
///
/// # Errors
/// Those of opening the store.
pub fn disk(context: &Context) -> Result<Vec<DiskUse>> {
    Ok(context.store()?.disk_use())
}

fn images(store: &Store) -> Result<(Vec<ImageUse>, u64)> {
    let mut images = store.images()?;
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    for image in images.iter_mut().filter(|image| image.size.is_none()) {
        image.size = Some(crate::images::measure(store, &image.id)?);
    }
    let uses = store.layer_uses()?;
    let mut holders: HashMap<&Digest, (u64, u32)> = HashMap::new();
    for (chain, size) in uses.iter().flat_map(|layers| &layers.layers) {
        holders.entry(chain).or_insert((*size, 0)).1 += 1;
    }
    let layers_size = holders.values().map(|(size, _)| size).sum();
    let shared_of = |layers: &[(Digest, u64)]| -> u64 {
        layers
            .iter()
            .filter(|(chain, _)| holders.get(chain).is_some_and(|(_, count)| *count > 1))
            .map(|(_, size)| size)
            .sum()
    };
    let shared: HashMap<&Digest, u64> =
        uses.iter().map(|layers| (&layers.image_id, shared_of(&layers.layers))).collect();
    let used = images.into_iter().map(|image| ImageUse {
        size: image.size.unwrap_or(0),
        shared: shared.get(&image.id).copied().unwrap_or(0),
        image,
    });
    Ok((used.collect(), layers_size))
}

impl Usage {
    /// Docker's four lines (docker/cli `formatter/disk_usage.go`).
    pub fn summary(&self, account: Account) -> [Summary; 4] {
        let is_used = |image: &&ImageUse| image.image.containers > 0;
        let unique = |image: &ImageUse| image.size.saturating_sub(image.shared);
        let used = self.images.iter().filter(is_used);
        let reclaimable = match account {
            Account::AllButUsed => self.layers_size.saturating_sub(used.clone().map(unique).sum()),
            Account::Unused => self.images.iter().filter(|image| !is_used(image)).map(unique).sum(),
        };
        let images = Summary::new("Images", self.images.len(), used.count(), self.layers_size, reclaimable);
        let size = self.containers.iter().map(|container| container.size).sum();
        let running = |container: &&ContainerUse| container.record.container.is_running();
        let active = self.containers.iter().filter(running).count();
        let stopped =
            self.containers.iter().filter(|container| !running(container)).map(|container| container.size).sum();
        let containers = Summary::new("Containers", self.containers.len(), active, size, stopped);
        let size = self.volumes.iter().map(|volume| volume.size).sum();
        let linked = |volume: &&VolumeUse| volume.volume.links > 0;
        let active = self.volumes.iter().filter(linked).count();
        let unused = self.volumes.iter().filter(|volume| !linked(volume)).map(|volume| volume.size).sum();
        let volumes = Summary::new("Local Volumes", self.volumes.len(), active, size, unused);
        let size = self.build_size();
        let build = Summary { percent: None, ..Summary::new("Build Cache", self.build.len(), 0, size, size) };
        [images, containers, volumes, build]
    }

    /// Bytes of the build cache.
    pub fn build_size(&self) -> u64 {
        self.build.iter().map(|record| record.size).sum()
    }
}

impl Summary {
    fn new(kind: &'static str, total: usize, active: usize, size: u64, reclaimable: u64) -> Self {
        let percent = (u128::from(reclaimable) * 100).checked_div(u128::from(size));
        let percent = percent.and_then(|percent| u64::try_from(percent).ok());
        Self { kind, total, active, size, reclaimable, percent }
    }
}
