//! `image mount` and `image unmount`: an image as a read-only directory of this machine.

use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::{Attributes, FileStorage, LayerWriter, Union};
use dhow_sandbox::{Backing, mount_layers, mount_points, unmount as unmount_path};
use dhow_spec::Digest;
use dhow_store::{Mounts, Store, UnpackedLayer};

use crate::content_error::explain;
use crate::context::Context;

/// A mounted image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What it was called, or its first name when lists show it.
    pub name: String,
    /// Its ID.
    pub id: Digest,
    /// Its full names with tags.
    pub references: Vec<String>,
    /// The directory.
    pub path: PathBuf,
}

/// What to mount or unmount.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Names or IDs.
    pub names: Vec<String>,
    /// All images, or all that are mounted.
    pub all: bool,
    /// Unmounts however often it was mounted, and even if it is in use.
    pub force: bool,
}

/// Mounts images. One that is mounted already is counted once more.
///
/// # Errors
/// Those of finding and unpacking images; [`Kind::Unsupported`] where nothing can be mounted, with a way out.
pub fn mount(context: &Context, request: &Request) -> Result<Vec<Mounted>> {
    let store = context.store()?;
    let names: Vec<String> = if request.all { all_images(store)? } else { request.names.clone() };
    let mounts = store.change_mounts()?;
    clean(store, &mounts)?;
    let mut mounted = Vec::new();
    for name in names {
        let id = context.find(&name)?.image_id;
        let path = mount_one(store, &mounts, &id).map_err(|error| explain(&name, error))?;
        mounted.push(Mounted { references: references(store, &id), name, id, path });
    }
    Ok(mounted)
}

fn all_images(store: &Store) -> Result<Vec<String>> {
    Ok(store.images()?.into_iter().map(|image| image.id.as_str().to_owned()).collect())
}

fn references(store: &Store, id: &Digest) -> Vec<String> {
    store.image(id).map(|image| image.references.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn mount_one(store: &Store, mounts: &Mounts<'_>, id: &Digest) -> Result<PathBuf> {
    if let Some(record) = mounts.record(id)? {
        // What is not there any more was cleaned away before.
        mounts.note(id, record.count.saturating_add(1))?;
        return Ok(store.mount_directory(id)?.join("merged"));
    }
    let layers = store.unpack(id)?;
    let directory = mounts.prepare(id)?;
    let done = stack(&layers, &directory).and_then(|files| {
        let merged = directory.join("merged");
        mount_layers(&files, &directory.join("work"), &merged, Backing::Any)?;
        mounts.note(id, 1).inspect_err(|_| drop(unmount_path(&merged, true)))?;
        Ok(merged)
    });
    if done.is_err() {
        let _ = mounts.forget(id);
    }
    done
}

/// The files to lay over each other, lowest first.
fn stack(layers: &[UnpackedLayer], directory: &Path) -> Result<Vec<PathBuf>> {
    // Overlayfs does not ask whether the root of a layer hides those below.
    let mut first = 0;
    for (number, layer) in layers.iter().enumerate() {
        if layer.image.is_opaque(&layer.image.root()?)? {
            first = number;
        }
    }
    let mut files: Vec<PathBuf> = layers[first..].iter().map(|layer| layer.path.clone()).collect();
    if !layers.last().is_some_and(|layer| layer.image.names_root()) {
        // It takes the root's attributes from the highest layer, whether that one has any or not.
        let union = dhow_store::union(&layers[first..]);
        let path = directory.join("root.erofs");
        write_root(&union, &path)?;
        files.push(path);
    }
    Ok(files)
}

/// Writes a layer of nothing but the root.
fn write_root(union: &Union<File>, path: &Path) -> Result<()> {
    let attributes: Attributes = union.attributes(&union.root()?)?;
    let scratch = || -> Result<FileStorage> { Err(Error::new(Kind::Internal, "one directory takes no scratch file")) };
    let mut writer = LayerWriter::new(&(), &scratch);
    writer.directory(b"", &attributes, false)?;
    let mut target = FileStorage::new(dhow_base::fs::open_or_create(path)?, path);
    writer.finish(&mut target, 0, &Digest::sha256(b"")).map(drop)
}

/// The mounted images, by ID.
///
/// # Errors
/// Those of reading the kernel's table.
pub fn list(context: &Context) -> Result<Vec<Mounted>> {
    let store = context.store()?;
    let points = mount_points()?;
    let mut mounted = Vec::new();
    for record in store.mount_records() {
        let path = store.mount_directory(&record.image_id)?.join("merged");
        if points.iter().any(|point| point.path == path) {
            let references = references(store, &record.image_id);
            let name = references.first().cloned().unwrap_or_else(|| record.image_id.as_str().to_owned());
            mounted.push(Mounted { name, id: record.image_id, references, path });
        }
    }
    Ok(mounted)
}

/// Unmounts images: each once, or whatever was mounted how often it was. Returns the IDs.
///
/// # Errors
/// [`Kind::NotFound`] for an image that is not mounted, [`Kind::Conflict`] for one that is in use.
pub fn unmount(context: &Context, request: &Request) -> Result<Vec<Digest>> {
    let store = context.store()?;
    let mounts = store.change_mounts()?;
    clean(store, &mounts)?;
    let ids = match request.all {
        true => store.mount_records().into_iter().map(|record| (String::new(), record.image_id)).collect(),
        false => {
            let find = |name: &String| Ok((name.clone(), context.find(name)?.image_id));
            request.names.iter().map(find).collect::<Result<Vec<_>>>()?
        }
    };
    let mut unmounted = Vec::new();
    for (name, id) in ids {
        let Some(record) = mounts.record(&id)? else {
            return Err(Error::new(Kind::NotFound, format!("image {name} is not mounted")));
        };
        if record.count > 1 && !request.force && !request.all {
            mounts.note(&id, record.count - 1)?;
        } else {
            unmount_path(&store.mount_directory(&id)?.join("merged"), request.force)?;
            mounts.forget(&id)?;
        }
        unmounted.push(id);
    }
    Ok(unmounted)
}

/// Takes away what a crash or the end of the machine's last run left.
fn clean(store: &Store, mounts: &Mounts<'_>) -> Result<()> {
    let points = mount_points()?;
    for (id, directory) in mounts.directories() {
        let record = mounts.record(&id)?;
        if record.as_ref().is_some_and(|record| !store.sees_mount(record)) {
            continue;
        }
        let merged = directory.join("merged");
        if record.is_some() && points.iter().any(|point| point.path == merged) {
            continue;
        }
        for point in points.iter().rev().filter(|point| point.path.starts_with(&directory)) {
            unmount_path(&point.path, true)?;
        }
        mounts.forget(&id)?;
    }
    Ok(())
}
