//! What `pull` and `load` make ready of an image: files of its layers, or a plain tree.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;
pub use dhow_store::Ownership;
use dhow_store::{Session, Store};

use crate::context::Context;

/// Exit code of a [`Helper`] that could not become root in a user namespace.
pub const NO_NAMESPACE: i32 = 3;

/// What an image is unpacked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One file for each layer, ready to be mounted and read.
    Layers,
    /// A plain tree of files.
    Tree(Ownership),
    /// A plain tree whose files belong to the users of a namespace, which the helper is root in; all to one user where that
    /// cannot be.
    TreeBy(Helper),
}

/// This program, to be started anew for what takes a user namespace: the image's ID is added to the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Form {
    /// Has a session do on the way in what can be done there.
    pub(crate) fn prepare(form: Option<&Self>, session: Session) -> Session {
        match form {
            None | Some(Self::TreeBy(_)) => session,
            Some(Self::Layers) => session.unpack_layers(true),
            Some(Self::Tree(ownership)) => session.grow_trees(*ownership),
        }
    }
}

/// Unpacks all images of a target, as far as they were not on their way in: they were here before, or take something from the
/// layers below.
pub(crate) fn unpack(session: &Session, form: Option<&Form>, target: &Digest) -> Result<()> {
    let Some(form) = form else { return Ok(()) };
    let store = session.store();
    for image_id in store.images_of(target)? {
        let has_layers = || store.layers(&image_id).map(|layers| !layers.is_empty());
        let unpacked = match form {
            Form::Layers => session.unpack(&image_id).map(drop),
            // An artifact has no files.
            Form::Tree(_) | Form::TreeBy(_) if !has_layers()? => Ok(()),
            Form::Tree(ownership) => store.unpack_tree(&image_id, *ownership).map(drop),
            Form::TreeBy(helper) => by_helper(store, helper, &image_id),
        };
        unpacked.map_err(|error| error.context("the image is here, but cannot be unpacked"))?;
    }
    Ok(())
}

fn by_helper(store: &Store, helper: &Helper, image_id: &Digest) -> Result<()> {
    if store.has_tree(image_id, Ownership::Kept)? {
        return Ok(());
    }
    let cannot = |error| Error::io("cannot start the process that unpacks", error);
    let mut command = Command::new(&helper.program);
    command.args(&helper.arguments).arg(image_id.as_str()).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().map_err(cannot)?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(NO_NAMESPACE) => {
            tracing::info!("there is no user namespace here: all files of the tree belong to one user");
            store.unpack_tree(image_id, Ownership::Single).map(drop)
        }
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            let why = if said.is_empty() {
                format!("the process that unpacks ended with {}", output.status)
            } else {
                said.to_owned()
            };
            Err(Error::new(Kind::Io, why))
        }
    }
}

/// Makes the tree of an image with the owners that it names: what a [`Helper`] does.
///
/// # Errors
/// Those of [`Store::unpack_tree`].
pub fn make_tree(context: &Context, image_id: &str) -> Result<()> {
    let found = context.find(image_id)?;
    let tree = context.store()?.unpack_tree(&found.image_id, Ownership::Kept)?;
    for note in &tree.notes {
        tracing::info!("left out {} ({}), first {:?}", note.what, note.why, note.first);
    }
    Ok(())
}
