//! What is mounted in a container.

use dhow_base::{Error, Kind};
use dhow_ops::container::{Dialect, Given, Mount, MountKind, Refusal};

use super::super::super::podman::container as podman;
use super::Flags;
use super::values::{from_here, misread};
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

impl Flags {
    /// What is to be mounted, each at a place of its own.
    ///
    /// # Errors
    /// In each engine's words for what cannot be mounted.
    pub(super) fn mounts(&self, session: &Session<'_>) -> Outcome<Vec<Mount>> {
        type Reader<'r> = &'r dyn Fn(&str) -> Outcome<Mount>;
        let dialect = dialect(session.personality);
        let here = std::path::absolute(".").unwrap_or_default();
        let told = |flag: &'static str, text: &str, refusal: Refusal| match refusal {
            Refusal::Value(error) => misread(session, text, flag, &error.to_string()),
            Refusal::Client(error) => Failure::Client(error.to_string()),
            Refusal::Engine(error) => error.into(),
        };
        let volume = |text: &str| {
            let text = from_here(text);
            let mount = Mount::volume(&text, dialect).map_err(|refusal| told("-v, --volume", &text, refusal))?;
            Ok(Mount { given: Some(Given::Volume(text.into_owned())), ..mount })
        };
        let long = |text: &str| {
            let mount = Mount::long(text, dialect, &here).map_err(|refusal| told("--mount", text, refusal))?;
            if mount.kind == MountKind::Bind && dialect == Dialect::Podman {
                podman::check_source(&mount.source)?;
            }
            Ok(Mount { given: Some(Given::Long), ..mount })
        };
        let mut mounts: Vec<Mount> = Vec::new();
        let kinds: [(&[String], Reader<'_>); 4] = [
            (&self.volume, &volume),
            (&self.mount, &long),
            (&self.tmpfs, &|text| {
                let options = text.split_once(':').map(|(_, options)| options.to_owned()).unwrap_or_default();
                Ok(Mount { given: Some(Given::Memory(options)), ..Mount::tmpfs(text, dialect)? })
            }),
            (&self.device, &|text| Mount::device(text).map_err(|error| Failure::Client(error.to_string()))),
        ];
        for (texts, read) in kinds {
            for (number, text) in texts.iter().enumerate() {
                // What is said twice is said once, as with docker.
                if texts[..number].contains(text) {
                    continue;
                }
                let mount = read(text)?;
                match mounts.iter_mut().find(|other| other.target == mount.target) {
                    None => mounts.push(mount),
                    Some(other) if mount.kind == MountKind::Device => stand_in(other, mount),
                    Some(_) if dialect == Dialect::Podman => {
                        return Err(Failure::Client(format!("{}: duplicate mount destination", mount.target)));
                    }
                    // Of memory for one place the last counts (docker/cli, `parse`).
                    Some(other) if is_memory(other) && is_memory(&mount) => *other = mount,
                    // A volume that is nothing but a place gives way to whatever else is for it (moby, `Daemon.registerMountPoints`).
                    Some(other) if is_only_a_place(other) => *other = mount,
                    Some(_) if is_only_a_place(&mount) => {}
                    Some(_) => {
                        let message = format!("Duplicate mount point: {}", mount.target);
                        return Err(Error::new(Kind::Invalid, message).into());
                    }
                }
            }
        }
        Ok(mounts)
    }
}

/// Whether `--volume` says of a mount where it is and nothing else.
fn is_only_a_place(mount: &Mount) -> bool {
    mount.anonymous && matches!(mount.given, Some(Given::Volume(_)))
}

/// Whether it is what `--tmpfs` says.
fn is_memory(mount: &Mount) -> bool {
    matches!(mount.given, Some(Given::Memory(_)))
}

/// A device in the place of what is mounted there: a view of it in the machine's `/dev` could be opened by nobody. Of several devices for
/// one place the first is shown, as runc does it.
fn stand_in(other: &mut Mount, device: Mount) {
    if other.kind != MountKind::Device {
        *other = device;
    }
}

/// Whose way to say what is mounted counts.
fn dialect(personality: Personality) -> Dialect {
    match personality {
        Personality::Docker | Personality::Docker29 => Dialect::Docker,
        Personality::Podman => Dialect::Podman,
        Personality::Dhow => Dialect::Either,
    }
}
