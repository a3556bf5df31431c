//! What a user wants mounted in a container.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::super::inside::{Inside, attach, propagate, restrict, view};
use super::super::spec::{Changes, Habits, MountSource, MountSpec, Spec, StartFailure};
use super::super::users::Identity;
use super::devices::{Nodes, devices_at, is_common};
use super::{failed, layers, memory, misfit, not_in_proc, outside, restriction};
use crate::overlay::Overlay;

/// What mounts of a container are made in.
pub(super) struct Around<'s> {
    pub(super) spec: &'s Spec,
    pub(super) inside: &'s Inside,
    pub(super) nodes: &'s Nodes,
    /// Whom the program runs as; that there is no such user is told later.
    pub(super) owner: Option<&'s Identity>,
}

impl Around<'_> {
    /// Mounts something; `connected` is a view of it that mounts pass to.
    pub(super) fn add(&self, mount: &MountSpec, connected: Option<OwnedFd>) -> Result<(), StartFailure> {
        let Self { spec, inside, nodes, owner } = *self;
        let path = Path::new(&mount.target);
        let told = |error| failed(&mount.target)(error);
        let read_only = restriction(mount);
        let devices = mount.manner.devices;
        match &mount.what {
            // Hiding a file behind the null device is a habit of many.
            MountSource::Bind { source, .. } if is_common(source) => {
                show_device(inside, source, path, read_only, nodes)
            }
            MountSource::Bind { source, recursive } => {
                self.give_away(mount, source)?;
                // In a user namespace a device opens for who could open it outside.
                let has_devices = (spec.in_user_namespace || spec.privileged) && devices != Some(false);
                bind(inside, mount, source, *recursive, Outside { connected, has_devices })
            }
            MountSource::Volume(source) => {
                let is_new_to_it = inside.find(path).is_err_and(|error| error == Errno::NOENT);
                if let Some(owner) = owner.filter(|_| spec.habits == Habits::Podman && is_new_to_it) {
                    owner.take_over(source).map_err(told)?;
                }
                self.give_away(mount, source)?;
                bind(inside, mount, source, false, Outside { connected, has_devices: false })
            }
            MountSource::Overlaid { source, changes } => lay_changes_over(spec, inside, mount, source, changes),
            MountSource::Image { files, scratch, changes } => {
                let source = layers::image_in(scratch, files, changes.as_ref(), spec.in_user_namespace)?;
                bind(inside, mount, &source, false, Outside::without_devices())
            }
            MountSource::Device(source) => devices_at(source, path)
                .iter()
                .try_for_each(|(source, target)| show_device(inside, source, target, read_only, nodes)),
            MountSource::Tmpfs(memory) => memory::add(inside, mount, memory, owner),
        }
    }

    /// Gives the source to the program's user, if that is asked for.
    fn give_away(&self, mount: &MountSpec, source: &Path) -> Result<(), StartFailure> {
        match self.owner.filter(|_| mount.manner.owned) {
            Some(owner) => outside::give_away(source, &outside::source(source, &mount.manner.subpath)?, owner),
            None => Ok(()),
        }
    }
}

/// What is known of a source on the machine's side.
pub(super) struct Outside {
    /// A view of it that mounts pass to.
    connected: Option<OwnedFd>,
    /// Whether the kernel keeps its devices from who may not open them.
    has_devices: bool,
}

impl Outside {
    pub(super) fn without_devices() -> Self {
        Self { connected: None, has_devices: false }
    }
}

/// Shows a file or directory of the machine.
pub(super) fn bind(
    inside: &Inside,
    mount: &MountSpec,
    source: &Path,
    recursive: bool,
    outside: Outside,
) -> Result<(), StartFailure> {
    let path = Path::new(&mount.target);
    let told = |error| failed(&mount.target)(error);
    let found = outside::source(source, &mount.manner.subpath)?;
    let is_directory = FileType::from_raw_mode(fstat(&found).map_err(told)?.st_mode) == FileType::Directory;
    if is_directory && path == Path::new("/dev/null") {
        // A program's streams are opened there again by runc, which then finds out.
        let message = "error reopening /dev/null inside container: open /dev/null: is a directory";
        return Err(StartFailure::building(message, Errno::ISDIR));
    }
    let point = if is_directory { inside.directory(path) } else { inside.file(path) };
    let misfits = |error| misfit(error, source, &mount.target);
    let point = point.map_err(misfits)?;
    let is_on_directory = FileType::from_raw_mode(fstat(&point).map_err(told)?.st_mode) == FileType::Directory;
    if is_on_directory != is_directory {
        return Err(misfits(Errno::NOTDIR));
    }
    not_in_proc(&point, &source.to_string_lossy(), &mount.target)?;
    let seen = match outside.connected {
        Some(connected) => connected,
        None => view(&found, recursive).map_err(told)?,
    };
    let mut attributes = mount.manner.attributes();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, !outside.has_devices);
    restrict(&seen, attributes, recursive).map_err(told)?;
    restrict(&seen, restriction(mount), recursive && !mount.manner.writable_below).map_err(told)?;
    if let Some(propagation) = mount.manner.propagation {
        propagate(&seen, propagation).map_err(told)?;
    }
    attach(&seen, &point).map_err(misfits)
}

/// Shows a directory of the machine with another one laid over it, which takes what is changed.
fn lay_changes_over(
    spec: &Spec,
    inside: &Inside,
    mount: &MountSpec,
    source: &Path,
    Changes { upper, work }: &Changes,
) -> Result<(), StartFailure> {
    let told = |error| failed(&mount.target)(error);
    let point = inside.directory(Path::new(&mount.target)).map_err(|error| misfit(error, source, &mount.target))?;
    not_in_proc(&point, &source.to_string_lossy(), &mount.target)?;
    let overlay = Overlay { lower: &[source], upper: Some((upper, work)), user_xattr: spec.in_user_namespace };
    let mounted = overlay.mount(&spec.root.scratch).map_err(told)?;
    restrict(&mounted, MountAttrFlags::MOUNT_ATTR_NODEV, false).map_err(told)?;
    attach(&mounted, &point).map_err(told)
}

fn show_device(
    inside: &Inside,
    source: &Path,
    target: &Path,
    read_only: MountAttrFlags,
    nodes: &Nodes,
) -> Result<(), StartFailure> {
    let shown = target.to_string_lossy();
    let told = |error| failed(&shown)(error);
    let seen = nodes.like(source)?;
    let point = inside.file(target).map_err(|error| misfit(error, source, &shown))?;
    not_in_proc(&point, &source.to_string_lossy(), &shown)?;
    let restricted = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    restrict(&seen, read_only | restricted, false).map_err(told)?;
    attach(&seen, &point).map_err(|error| misfit(error, source, &shown))
}
