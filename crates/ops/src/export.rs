//! `export`: the files of an image as one tar archive.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use dhow_base::beneath::Dir;
use dhow_base::fs::AtomicFile;
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::{DiffOptions, write_tree, write_union};
use dhow_spec::Platform;

use crate::content_error::explain;
use crate::context::Context;
use crate::held::hold;
use crate::last_use;
use crate::select;
use crate::target_file;
use crate::unpack;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What docker's messages about the archive's file begin with.
const FAILED: &str = "failed to export container";

/// Where the archive goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// A file, which appears only when it is whole.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

impl Output {
    /// Whether the archive can be written there.
    ///
    /// # Errors
    /// Docker's words for what stands in the way.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Path(path) => target_file::check(path, FAILED),
            Self::Stdout => Ok(()),
        }
    }
}

/// What to export.
#[derive(Clone, Debug)]
pub struct Request {
    /// Anything that stands for an image of the store.
    pub image: String,
    /// Which platform of a multi-platform image.
    pub platform: Option<Platform>,
    /// Where the archive goes.
    pub output: Output,
}

/// Writes all files of an image, layers above each other, as docker's export of a container made from it: names in order,
/// without the layers' whiteouts. They are read out of the layer files, which are made where they are missing: owners,
/// devices and attributes are the image's, whoever calls.
///
/// # Errors
/// [`Kind::NotFound`] when nothing has the name; those of unpacking and of writing.
pub fn export(context: &Context, request: &Request) -> Result<()> {
    let find = || {
        select::find(context, &request.image, request.platform.as_ref()).map_err(|error| match error.kind() {
            Kind::NotFound => error.with_hint("export takes images and containers"),
            _ => error,
        })
    };
    let store = context.store()?;
    let session = store.begin("export")?.only_reads();
    let found = hold(find, |found| session.pin(&found.manifest))?;
    request.output.check()?;
    unpack::image_manifest(store, &found)?;
    let layers = store.unpack(&found.image_id).map_err(|error| explain(&request.image, error))?;
    let union = dhow_store::union(&layers);
    write_by(&request.output, |target| write_union(&union, target).map(drop))?;
    last_use::note(store, [&found.image_id]);
    Ok(())
}

/// Writes a tree as an archive.
///
/// # Errors
/// Those of reading the tree and of writing.
pub(crate) fn write_to(output: &Output, tree: &Dir, options: DiffOptions) -> Result<()> {
    write_by(output, |target| write_tree(tree, target, options).map(drop))
}

/// Writes an archive: a file appears only when it is whole.
///
/// # Errors
/// Those of `write` and of the file.
pub(crate) fn write_by(output: &Output, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let buffered = |handle: File| -> Result<()> {
        let mut target = BufWriter::with_capacity(BUFFER_BYTES, handle);
        write(&mut target)?;
        target.flush().map_err(|error| Error::io("cannot write the archive", error))
    };
    output.check()?;
    match output {
        Output::Path(path) => {
            let mut file = AtomicFile::create(path, 0o600).map_err(|error| error.context(FAILED))?;
            let handle = file.file().try_clone();
            let handle = handle.map_err(|error| Error::io(format_args!("cannot write {path:?}"), error))?;
            buffered(handle).map_err(|error| error.context(format_args!("cannot export to {path:?}")))?;
            target_file::commit(file, path)
        }
        Output::Stdout => {
            let handle = io::stdout().as_fd().try_clone_to_owned();
            buffered(File::from(handle.map_err(|error| Error::io("cannot write standard output", error))?))
        }
    }
}
