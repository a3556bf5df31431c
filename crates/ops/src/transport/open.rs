//! Opening the place that is read from, and finding the image in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result};
use dhow_content::{VerifiedDocument, read_document};
use dhow_layout::{Archive, ArchiveImage, ArchiveInput, OciDirectory, SkopeoDirectory, choose};
use dhow_spec::{Descriptor, Reference};
use dhow_store::Found;

use super::{AnySource, Location};
use crate::content_error::{blame, explain};
use crate::context::Context;
use crate::held::hold;
use crate::{daemon, podman};

/// An image that was found, and where it is.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) source: AnySource,
    /// What the name stands for there.
    pub(crate) root: VerifiedDocument,
    /// The manifest of it that the local store shows.
    pub(crate) shown: Option<Descriptor>,
    /// The image of an archive, which knows the words for what is wrong with it.
    pub(crate) archived: Option<ArchiveImage>,
    /// What the user calls an image of the local store.
    pub(crate) stored_as: Option<String>,
}

impl Opened {
    fn new(source: AnySource, root: VerifiedDocument) -> Self {
        Self { source, root, shown: None, archived: None, stored_as: None }
    }

    /// The repository of the registry that the image is in.
    pub(crate) fn remote(&self) -> Option<&dhow_registry::Remote> {
        match &self.source {
            AnySource::Registry(remote) => Some(remote),
            _ => None,
        }
    }

    /// Whether the image came without a manifest, so that one was made for it.
    pub(crate) fn lacks_manifest(&self) -> bool {
        match (&self.source, &self.archived) {
            (AnySource::Archive(archive), Some(image)) => archive.lacks_manifest(image),
            _ => false,
        }
    }

    /// Whether the image's manifest came into being with the archive that it is in, so that no registry knows it.
    pub(crate) fn has_new_manifest(&self) -> bool {
        match (&self.source, &self.archived) {
            (AnySource::Archive(archive), Some(image)) => archive.made_manifest(image, self.root.document()),
            _ => false,
        }
    }

    /// Says what is wrong with an archive in the words that fit it, and with an image of the store what is damaged.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match (&self.source, &self.archived, &self.stored_as) {
            (AnySource::Archive(archive), Some(image), _) => archive.explain(image, error),
            (AnySource::Store(session), _, Some(name)) => blame(session.store(), name, self.root.descriptor(), error),
            _ => error,
        }
    }
}

/// Finds an image.
///
/// # Errors
/// [`Kind::NotFound`] when there is none, and those of the place.
pub(crate) async fn open(context: &Context, location: &Location) -> Result<Opened> {
    match location {
        Location::Registry(reference) => registry(context, reference).await,
        Location::Store(name) => store(context, name),
        Location::OciDirectory { path, name, shared } => {
            let directory = OciDirectory::open(path)?;
            let directory = match shared {
                Some(folder) => directory.sharing(folder),
                None => directory,
            };
            oci_directory(directory, name.as_deref(), &location.to_string()).await
        }
        Location::OciArchive { path, name } | Location::DockerArchive { path, name } => {
            let input = ArchiveInput::File(open_file(path)?, path.clone());
            archive(context, input, name.as_deref(), &shown(path)).await
        }
        Location::Directory(path) => {
            let directory = SkopeoDirectory::open(path)?;
            let root = directory.root()?;
            Ok(Opened::new(AnySource::Skopeo(directory), root))
        }
        Location::DockerDaemon { name, host } => {
            let spooled = daemon::save(context, host.as_deref(), name).await?;
            archive(context, ArchiveInput::File(spooled, PathBuf::from("the engine's answer")), None, "the engine")
                .await
        }
        Location::ContainersStorage(name) => {
            let spooled = podman::save(context, name)?;
            archive(context, ArchiveInput::File(spooled, PathBuf::from("podman's archive")), None, "podman").await
        }
    }
}

/// The images that a place lists; nothing where it is no list.
///
/// # Errors
/// Those of the place.
pub(crate) fn images_in(context: &Context, location: &Location) -> Result<Option<Vec<ArchiveImage>>> {
    match location {
        Location::OciDirectory { path, .. } => OciDirectory::open(path)?.images().map(Some),
        Location::OciArchive { path, .. } | Location::DockerArchive { path, .. } => {
            let input = ArchiveInput::File(open_file(path)?, path.clone());
            Ok(Some(Archive::open(input, &context.store()?.spool_dir()?)?.images().to_vec()))
        }
        _ => Ok(None),
    }
}

async fn registry(context: &Context, reference: &Reference) -> Result<Opened> {
    let reference = reference.clone().with_default_tag();
    let remote = context.client()?.source(&reference)?;
    let root = remote.fetch_document(&reference).await?;
    Ok(Opened::new(AnySource::Registry(remote), root))
}

fn store(context: &Context, name: &str) -> Result<Opened> {
    let store = context.store()?;
    let session = store.begin("copy")?.only_reads();
    let pin = |found: &Found| session.pin(&found.target).map_err(|error| explain(name, error));
    let found = hold(|| context.find(name), pin)?;
    let root = store.document(&found.target.digest).map_err(|error| explain(name, error))?;
    let stored_as = Some(name.to_owned());
    Ok(Opened { shown: Some(found.manifest), stored_as, ..Opened::new(AnySource::Store(session), root) })
}

async fn oci_directory(directory: OciDirectory, name: Option<&str>, place: &str) -> Result<Opened> {
    let root = choose(&directory.images()?, name, place)?.root.clone();
    let root = read_document(&directory, &root).await?;
    Ok(Opened::new(AnySource::Oci(directory), root))
}

async fn archive(context: &Context, input: ArchiveInput, name: Option<&str>, place: &str) -> Result<Opened> {
    let archive = Archive::open(input, &context.store()?.spool_dir()?)?;
    let image = choose(archive.images(), name, place)?.clone();
    let root = read_document(&archive, &image.root).await?;
    Ok(Opened { archived: Some(image), ..Opened::new(AnySource::Archive(Box::new(archive)), root) })
}

fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Kind::NotFound, format!("open {}: no such file or directory", path.display()))
        }
        _ => Error::io(format_args!("open {}", path.display()), error),
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
