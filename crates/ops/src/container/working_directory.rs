//! The directory that a container's program starts in. Docker makes it when it makes the container: who copies files into it before the
//! start finds it there.

use std::fs;
use std::path::{Component, Path};

use dhow_base::Result;
use dhow_sandbox::container::{Habits, ImageFiles, Look, make_directory};
use dhow_spec::Digest;
use dhow_store::Store;

use super::Machine;
use super::run::files_of;
use super::settings::Configuration;

/// Makes the working directory of a new container whose image has none of the name. The process leaves the machine's mounts for that. Where
/// nothing can be mounted, whoever starts the container says so.
///
/// # Errors
/// Docker's words where something else has the name; those of unpacking the image.
pub(super) fn make_working_directory(
    store: &Store,
    (id, image_id): (&str, &Digest),
    configuration: &Configuration,
    machine: Machine,
) -> Result<()> {
    let (path, settings) = (&configuration.config.working_dir, &configuration.settings);
    if !path.starts_with('/') || path == "/" || settings.habits != Habits::Docker {
        return Ok(());
    }
    let directory = super::directory(store, id)?;
    let files = files_of(store, (id, image_id), settings, &directory, machine)?;
    if is_in_image(store, image_id, &files.image, path)? {
        return Ok(());
    }
    let look = Look {
        files: &files,
        mount_point: &directory.join("merged"),
        mounts: &[],
        read_only: false,
        in_user_namespace: machine.in_user_namespace,
    };
    make_directory(&look, path)
}

/// Whether an image has a directory. Where it is a plain tree, one behind links counts as missing: they are the image's, and not followed
/// here.
fn is_in_image(store: &Store, image_id: &Digest, files: &ImageFiles, path: &str) -> Result<bool> {
    if !files.lower_is_directory {
        let union = dhow_store::union(&store.unpack(image_id)?);
        return Ok(union.resolve(path.as_bytes(), true)?.is_some_and(|(_, node)| node.is_directory()));
    }
    let Some(tree) = files.lower.first() else { return Ok(false) };
    let mut here = tree.clone();
    Ok(Path::new(path).components().all(|part| match part {
        Component::Normal(name) => {
            here.push(name);
            fs::symlink_metadata(&here).is_ok_and(|metadata| metadata.is_dir())
        }
        _ => true,
    }))
}
