//! `--volumes-from`: what another container has mounted.

use dhow_base::{Error, Kind};
use dhow_ops::container::{self, Mount, MountKind};

use super::super::found::found;
use super::Flags;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

impl Flags {
    /// Adds the volumes and directories of other containers, wherever the user mounts nothing else; of several, the last counts.
    ///
    /// # Errors
    /// In each engine's words for what is no container, or no way to mount.
    pub(super) fn add_others_mounts(&self, session: &Session<'_>, mounts: &mut Vec<Mount>) -> Outcome {
        let mut others: Vec<Mount> = Vec::new();
        for text in self.foreign.volumes_from() {
            for mount in of_container(session, text)? {
                others.retain(|other| other.target != mount.target);
                others.push(mount);
            }
        }
        others.retain(|other| !mounts.iter().any(|mount| mount.target == other.target));
        mounts.append(&mut others);
        Ok(())
    }
}

/// What a container has mounted that may be another's, too: neither memory nor devices.
fn of_container(session: &Session<'_>, text: &str) -> Outcome<Vec<Mount>> {
    let is_podman = session.personality == Personality::Podman;
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    let mut read_only = false;
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            // There are no labels to be shared.
            "rw" | "z" => {}
            "Z" if !is_podman => {}
            odd if is_podman => {
                let why = "specified - volumes from another container can only use z,ro,rw options";
                return Err(Failure::Client(format!("invalid option {odd:?} {why}")));
            }
            _ => {
                let message = format!("invalid mode for volumes-from: {mode}");
                return Err(Error::new(Kind::Invalid, message).into());
            }
        }
    }
    let context = session.local_context()?;
    let record = found(session, &context, name).map_err(|failure| match failure {
        Failure::Engine(error) if is_podman => {
            Failure::Client(format!("looking up container {name:?} for volumes-from: {error}"))
        }
        failure => failure,
    })?;
    let mounts = container::details(&context, &record)?.settings.mounts.into_iter();
    let is_shared = |mount: &Mount| matches!(mount.kind, MountKind::Bind | MountKind::Volume);
    let borrowed =
        |mount: Mount| Mount { read_only: mount.read_only || read_only, no_copy: true, given: None, ..mount };
    Ok(mounts.filter(is_shared).map(borrowed).collect())
}
