//! Layers of an image, mounted over each other.

use std::fs::File;
use std::io;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount as unmount_at,
};

use crate::loops::LoopDevice;
use crate::overlay::{Overlay, overlay_of_mounts};
use crate::table::mount_points;

/// Most lower layers that overlayfs takes.
const LAYERS_MAX: usize = 500;

/// How the kernel reads a layer file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// The file itself if the kernel can (Linux 6.12), else over a loop device.
    Any,
    /// Over a loop device.
    Loop,
}

/// Mounts layer files, the lowest first, over each other at `target`, read-only. `work` is an empty directory, which is empty again
/// afterwards; `target` exists.
///
/// # Errors
/// [`Kind::Unsupported`] when nothing can be mounted here, and why; [`Kind::LimitExceeded`] for too many layers. Nothing is
/// mounted then.
pub fn mount_layers(layers: &[PathBuf], work: &Path, target: &Path, backing: Backing) -> Result<()> {
    if layers.len() > LAYERS_MAX {
        let message = format!("the image has {} layers, overlayfs takes {LAYERS_MAX}", layers.len());
        return Err(Error::new(Kind::LimitExceeded, message));
    }
    // Below all layers: overlayfs wants two directories at least.
    let bottom = work.join("bottom");
    durable::create_dir_all(&bottom)?;
    let mounts = layers
        .iter()
        .map(|layer| {
            layer_mount(layer, backing).map_err(|error| match error {
                // Not for this one's sake.
                Errno::PERM | Errno::ACCESS => cannot("the layers", error),
                error => cannot(&format!("{layer:?}"), error),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let overlay = match overlay_of_mounts(&mounts, &bottom) {
        // Before Linux 6.15: overlayfs takes only what is somewhere.
        Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP) => overlay_of_attached(&mounts, work)?,
        other => other.map_err(|error| cannot("the layers", error))?,
    };
    attach(&overlay, target).map_err(|error| cannot("the layers", error))
}

/// Whether this process may open EROFS at all; what it can mount then shows when it tries.
pub fn opens_erofs() -> bool {
    fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).is_ok()
}

/// Mounts the file of a stack of layers at `target`, read-only; the layers' files, the lowest first, are where the data is.
///
/// # Errors
/// [`Kind::Unsupported`] when the kernel cannot (Linux 6.12), and why. Nothing is mounted then.
pub fn mount_stack(stack: &Path, layers: &[PathBuf], target: &Path) -> Result<()> {
    let mounted = stack_mount(stack, layers).and_then(|mount| attach(&mount, target));
    mounted.map_err(|error| cannot("the stack of the layers", error))
}

/// The file of a stack as a mount that is attached nowhere yet.
pub(crate) fn stack_mount(stack: &Path, layers: &[PathBuf]) -> Result<OwnedFd, Errno> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", stack)?;
    for layer in layers {
        fsconfig_set_string(context.as_fd(), "device", layer)?;
    }
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// Overlayfs over mounts that are attached below `work` for as long as it takes.
fn overlay_of_attached(mounts: &[OwnedFd], work: &Path) -> Result<OwnedFd> {
    let _steps = Steps::on(work).map_err(|error| cannot("what layers are mounted on", error))?;
    let bottom = work.join("bottom");
    durable::create_dir_all(&bottom)?;
    let mut points = Vec::with_capacity(mounts.len());
    for (number, mount) in mounts.iter().enumerate() {
        let point = work.join(number.to_string());
        durable::create_dir_all(&point)?;
        attach(mount, &point).map_err(|error| cannot("a layer", error))?;
        points.push(point);
    }
    let place = work.join("whole");
    durable::create_dir_all(&place)?;
    let lower: Vec<&Path> = iter::once(&bottom).chain(&points).map(PathBuf::as_path).collect();
    // Overlayfs takes mounts of its own of the layers.
    let overlay = Overlay { lower: &lower, upper: None, user_xattr: false };
    overlay.mount(&place).map_err(|error| cannot("the layers", error))
}

/// Unmounts what is at a path. With `force`, whoever uses it keeps it until they are done.
///
/// # Errors
/// [`Kind::Conflict`] when it is in use; the operating system's.
pub fn unmount(target: &Path, force: bool) -> Result<()> {
    let flags = if force { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match unmount_at(target, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(in_use(target)),
        Err(Errno::PERM) => unmount_as_user(target, force),
        Err(error) => Err(Error::io(format_args!("cannot unmount {target:?}"), error.into())),
    }
}

fn in_use(target: &Path) -> Error {
    Error::new(Kind::Conflict, format!("{target:?} is in use"))
        .with_hint("end what works in it, or unmount it with --force")
}

/// FUSE's helper unmounts what its caller has mounted by it.
fn unmount_as_user(target: &Path, force: bool) -> Result<()> {
    for helper in ["fusermount3", "fusermount"] {
        let mut command = Command::new(helper);
        command.args(if force { &["-u", "-z", "--"][..] } else { &["-u", "--"] }).arg(target);
        match command.stdin(Stdio::null()).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(format_args!("cannot unmount {target:?}: {helper}"), error)),
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                // The helper unmounts for its caller whatever is not in use.
                let is_mounted = mount_points()?.iter().any(|point| point.path == target);
                let kind = if is_mounted && !force { Kind::Conflict } else { Kind::Io };
                return Err(Error::new(kind, format!("cannot unmount {target:?}: {said}"))
                    .with_hint("end what works in it, or unmount it with --force"));
            }
        }
    }
    Err(Error::new(Kind::Unsupported, format!("cannot unmount {target:?}: fusermount3 is not installed")))
}

/// Mounts that are only needed on the way: all are on one, and go with it. Each alone would have to wait until no processor
/// looks at it any more, which takes longer than everything else.
struct Steps<'w> {
    work: &'w Path,
}

impl<'w> Steps<'w> {
    fn on(work: &'w Path) -> Result<Self, Errno> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(context.as_fd(), "mode", "0700")?;
        fsconfig_create(context.as_fd())?;
        let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        attach(&mount, work)?;
        Ok(Self { work })
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        // A failure leaves a mount that the next clean-up takes away.
        let _ = unmount_at(self.work, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}

fn layer_mount(layer: &Path, backing: Backing) -> Result<OwnedFd, Errno> {
    let direct = if backing == Backing::Any { erofs_mount(layer) } else { Err(Errno::NOTBLK) };
    match direct {
        // What a kernel says that mounts block devices only.
        Err(Errno::NOTBLK | Errno::INVAL | Errno::OPNOTSUPP) => {
            let errno = |error: io::Error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            let file = File::open(layer).map_err(errno)?;
            let device = LoopDevice::over(&file).map_err(errno)?;
            erofs_mount(&device.path)
        }
        done => done,
    }
}

/// A layer file as a mount that is attached nowhere yet.
pub(crate) fn erofs_or_loop(layer: &Path) -> Result<OwnedFd, Errno> {
    layer_mount(layer, Backing::Any)
}

fn erofs_mount(source: &Path) -> Result<OwnedFd, Errno> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", source)?;
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

fn attach(mount: &OwnedFd, target: &Path) -> Result<(), Errno> {
    move_mount(mount.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn cannot(what: &str, error: Errno) -> Error {
    let why = match error {
        Errno::PERM | Errno::ACCESS => "that takes root's rights".to_owned(),
        Errno::NODEV | Errno::NOSYS => "this kernel has no EROFS, overlayfs or fsopen(2)".to_owned(),
        error => io::Error::from(error).to_string(),
    };
    Error::new(Kind::Unsupported, format!("cannot mount {what}: {why}"))
}
