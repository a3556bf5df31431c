//! `load`: images from an archive into the store.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, Select, copy};
use dhow_layout::{Archive, ArchiveImage, ArchiveInput};
use dhow_spec::{Descriptor, Digest, Document, Platform};
use dhow_store::{Committed, NewTarget, Session};

use crate::context::Context;
use crate::select::choose;

/// Where the archive comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file, or a directory that holds an OCI image layout.
    Path(PathBuf),
    /// Standard input: a redirected file is read in place, a pipe as it comes.
    Stdin,
}

/// A line of docker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// An image under a name.
    Reference {
        /// The familiar name.
        name: String,
        /// The image that had this name until now, if another one.
        replaced: Option<Digest>,
    },
    /// An image without a name.
    Id(Digest),
}

/// Takes all images of an archive.
///
/// # Errors
/// [`Kind::Corrupt`] and [`Kind::Invalid`] in docker's words for a bad archive; nothing of it gets a name then.
pub fn load(
    context: &Context,
    input: &Input,
    platform: Option<&Platform>,
    observer: &dyn Observer,
) -> Result<Vec<Loaded>> {
    let store = context.store()?;
    let archive = Archive::open(archive_input(input)?, &store.spool_dir()?)?;
    let session = store.begin("load")?;
    let mut targets = Vec::with_capacity(archive.images().len());
    for image in archive.images() {
        let root =
            take(&archive, &session, image, platform, observer).map_err(|error| archive.explain(image, error))?;
        targets.push(NewTarget { references: image.names.clone(), ..NewTarget::default_for(root) });
    }
    // A compressed layer shows only when it is committed that its diff ID is not the config's.
    let explain = |error| archive.images().iter().fold(error, |error, image| archive.explain(image, error));
    let committed = session.commit(&targets).map_err(explain)?;
    Ok(lines(&targets, &committed))
}

fn archive_input(input: &Input) -> Result<ArchiveInput> {
    match input {
        Input::Path(path) if path.is_dir() => Ok(ArchiveInput::Directory(path.clone())),
        Input::Path(path) => {
            let file = File::open(path).map_err(|error| open_error(path, error))?;
            Ok(ArchiveInput::File(file, path.clone()))
        }
        Input::Stdin => {
            let handle = io::stdin().as_fd().try_clone_to_owned();
            let handle = handle.map_err(|error| Error::io("cannot read standard input", error))?;
            Ok(ArchiveInput::File(File::from(handle), PathBuf::from("standard input")))
        }
    }
}

fn open_error(path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::new(Kind::NotFound, format!("open {}: no such file or directory", path.display()));
    }
    Error::io(format_args!("open {}", path.display()), error)
}

/// Copies one image: what `platform` asks for, else all that the archive has of it. Archives of one platform often keep
/// the whole index.
fn take(
    archive: &Archive,
    session: &Session,
    image: &ArchiveImage,
    platform: Option<&Platform>,
    observer: &dyn Observer,
) -> Result<Descriptor> {
    let pick = |index: &Document| match platform {
        Some(platform) => choose(index, platform),
        None => archive.complete_members(index),
    };
    let options = CopyOptions { select: Select::Only(&pick), ..CopyOptions::new(observer) };
    futures::executor::block_on(copy(archive, session, &image.root, &options))?;
    Ok(image.root.clone())
}

fn lines(targets: &[NewTarget], committed: &Committed) -> Vec<Loaded> {
    let mut lines = Vec::new();
    for target in targets {
        for reference in &target.references {
            let replaced = committed.replaced.iter().find(|(moved, _)| moved == reference).map(|(_, id)| id.clone());
            lines.push(Loaded::Reference { name: reference.familiar(), replaced });
        }
        if target.references.is_empty() {
            lines.extend(committed.image_of(&target.document.digest).map(Loaded::Id));
        }
    }
    lines
}
