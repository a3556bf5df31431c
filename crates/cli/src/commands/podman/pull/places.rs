//! `pull` of podman out of files, folders and Docker engines, as containers/common has it (`libimage.Pull`).

use std::path::Path;

use dhow_base::progress::Silent;
use dhow_base::{Error, Kind};
use dhow_ops::copy::{self, Location};
use dhow_ops::{Context, Naming, Platforms, load, summary};
use dhow_spec::Reference;

use crate::errors::Outcome;
use crate::session::Session;

/// The transports of places that are no registries.
const TRANSPORTS: [&str; 5] = ["docker-archive", "oci-archive", "oci", "dir", "docker-daemon"];

/// The place that is meant, if it is no registry.
///
/// # Errors
/// That something is missing behind the transport.
pub(super) fn parse(session: &Session<'_>, text: &str) -> Outcome<Option<Location>> {
    match text.split_once(':') {
        Some((transport, rest)) if TRANSPORTS.contains(&transport) && !rest.starts_with("//") => {
            Ok(Some(Location::parse(text)?.at_engine(session.environment.docker_host.as_deref())))
        }
        _ => Ok(None),
    }
}

/// Takes what a place has, all of an archive where nothing says which image of it. Returns the images' IDs.
///
/// # Errors
/// Those of the place and of the store.
pub(super) async fn pull(context: &Context, place: &Location) -> Outcome<Vec<String>> {
    match place {
        Location::DockerArchive { path, name: None }
        | Location::OciArchive { path, name: None }
        | Location::OciDirectory { path, name: None, .. } => loaded(context, path),
        _ => copied(context, place).await,
    }
}

fn loaded(context: &Context, path: &Path) -> Outcome<Vec<String>> {
    let request =
        load::Request { input: load::Input::Path(path.to_owned()), platforms: Platforms::Default, unpack: None };
    let report = load::load(context, &request, &Silent)?;
    Ok(report.loaded.iter().map(|image| image.image_id.hex().to_owned()).collect())
}

async fn copied(context: &Context, place: &Location) -> Outcome<Vec<String>> {
    let name = name_of(place)?.to_string();
    let request = copy::Request::new(place.clone(), Location::Store(name.clone()));
    copy::copy(context, context, &request, &Silent).await?;
    Ok(vec![summary::describe(context, &name)?.summary.id.hex().to_owned()])
}

/// The name that an image gets here: its own where it has one, else one of this machine's that is made of the path.
fn name_of(place: &Location) -> Outcome<Reference> {
    let of_path = |path: &Path| Naming::Podman.given(path.display().to_string().trim_matches('/'));
    Ok(match place {
        Location::DockerDaemon { name, .. } => Naming::Docker.given(name)?,
        Location::DockerArchive { path, name: Some(name) } if name.starts_with('@') => of_path(path)?,
        Location::DockerArchive { name: Some(name), .. } => Naming::Docker.given(name)?,
        Location::OciArchive { name: Some(name), .. } | Location::OciDirectory { name: Some(name), .. } => {
            Naming::Podman.given(name)?
        }
        Location::Directory(path) => of_path(path)?,
        _ => return Err(Error::new(Kind::Internal, "a place whose images are not taken out one by one").into()),
    })
}
