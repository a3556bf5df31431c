//! Memory in a container.

use std::path::Path;

use dhow_base::error::words;
use rustix::fs::OFlags;
use rustix::mount::MountAttrFlags;

use super::super::inside::{Inside, attach, file_system, propagate, restrict};
use super::super::spec::{MountSpec, StartFailure, Tmpfs};
use super::super::users::Identity;
use super::{failed, filling, misfit, not_in_proc, restriction};

/// Mounts memory, with what the image has in its place if it is to begin so.
pub(super) fn add(
    inside: &Inside,
    mount: &MountSpec,
    memory: &Tmpfs,
    owner: Option<&Identity>,
) -> Result<(), StartFailure> {
    let path = Path::new(&mount.target);
    let told = |error| failed(&mount.target)(error);
    let image_has_it = inside.open(path, OFlags::PATH | OFlags::DIRECTORY).is_ok();
    let point = inside.directory(path).map_err(|error| misfit(error, Path::new("tmpfs"), &mount.target))?;
    not_in_proc(&point, "tmpfs", &mount.target)?;
    let options: Vec<(&str, &str)> =
        memory.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut attributes = mount.manner.attributes();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, mount.manner.devices != Some(true));
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, !memory.suid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, !memory.executable);
    let mounted = file_system("tmpfs", &options, attributes).map_err(told)?;
    if image_has_it && !options.iter().any(|(name, _)| *name == "mode") {
        filling::take_mode(&point, &mounted).map_err(told)?;
    }
    if memory.copy_up && image_has_it {
        filling::fill(&point, &mounted).map_err(|error| {
            StartFailure::setup(format!("cannot copy what is in {:?} to memory: {}", mount.target, words(&error)))
        })?;
    }
    if let Some(owner) = owner.filter(|_| mount.manner.owned) {
        filling::take_owner(owner, &mounted).map_err(told)?;
    }
    restrict(&mounted, restriction(mount), false).map_err(told)?;
    if let Some(propagation) = mount.manner.propagation {
        propagate(&mounted, propagation).map_err(told)?;
    }
    attach(&mounted, &point).map_err(told)
}
