//! A container's own files: the layers of its image, what every container finds, and what this one changed, laid over each other.

use std::fs::File;
use std::io::Write;
use std::iter;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, symlinkat};
use rustix::io::Errno;

use super::super::inside::{Inside, view};
use super::super::spec::{Changes, Habits, ImageFiles, RootFiles, Stack, StartFailure};
use super::{attach_at, failed, open_directory};
use crate::layers::{erofs_or_loop, stack_mount};
use crate::overlay::Overlay;

/// What docker makes in every container before anything is mounted; a name that ends with a slash is a directory.
const STUBS: [&str; 8] = ["dev/pts/", "dev/shm/", "proc/", "sys/", "dev/console", "etc/resolv.conf", HOSTS, HOSTNAME];

const HOSTS: &str = "etc/hosts";
const HOSTNAME: &str = "etc/hostname";

/// What all of it is called in failures.
pub(super) const WHOLE: &str = "the files of the image";

/// What overlayfs is known by (statfs(2), `OVERLAYFS_SUPER_MAGIC`).
const OVERLAY: rustix::fs::FsWord = 0x794c_7630;

/// The image, what every container finds, and what this one changed, as one file system that is attached nowhere yet.
pub(crate) fn lay_over(files: &RootFiles, in_user_namespace: bool) -> Result<OwnedFd, StartFailure> {
    if let Some(point) = &files.mounted {
        return mounted_at(point);
    }
    let lower = lower(&files.image, &files.scratch)?;
    let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
    let place = mount_point(&files.scratch, "whole").map_err(failed(WHOLE))?;
    let overlay = |lower: &[&Path], upper: &Path| {
        Overlay { lower, upper: Some((upper, &files.work)), user_xattr: in_user_namespace }
            .mount(&place)
            .map_err(|error| not_over(upper, error))
    };
    // The sign is made last. Where the image has one there is none here, and all is looked at once more.
    if std::fs::symlink_metadata(files.stubs.join(sign(files.habits))).is_err() {
        // On a mount of its own, so that overlayfs gives directories of the image their owners and rights.
        make_stubs(&overlay(&lower, &files.stubs)?, files)?;
    }
    let with_stubs: Vec<&Path> = lower.iter().copied().chain([files.stubs.as_path()]).collect();
    overlay(&with_stubs, &files.upper)
}

/// Overlayfs refuses changes to lie on some file systems without saying so: on another overlayfs, above all, which a container's own files
/// are (kernel, `Documentation/filesystems/overlayfs.rst`).
fn not_over(upper: &Path, error: Errno) -> StartFailure {
    let is_on_overlay =
        || open_directory(upper).and_then(rustix::fs::fstatfs).is_ok_and(|about| about.f_type == OVERLAY);
    if error != Errno::INVAL || !is_on_overlay() {
        return failed(WHOLE)(error);
    }
    StartFailure::setup(
        "the store is on overlayfs, as the files of a container are, and overlayfs cannot keep what containers change there: choose a \
         store elsewhere by --root, on a volume or in memory",
    )
}

/// A second view of what is mounted already.
fn mounted_at(point: &Path) -> Result<OwnedFd, StartFailure> {
    let told = |error| failed(WHOLE)(error);
    let found = open_directory(point).map_err(told)?;
    if rustix::fs::fstatfs(&found).map_err(told)?.f_type != OVERLAY {
        return Err(StartFailure::setup("the container was unmounted just now: try again"));
    }
    view(&found, false).map_err(told)
}

/// The files of an image, and what is laid over them, as a directory in `scratch`.
pub(super) fn image_in(
    scratch: &Path,
    files: &ImageFiles,
    changes: Option<&Changes>,
    in_user_namespace: bool,
) -> Result<PathBuf, StartFailure> {
    // Below all layers: overlayfs wants two directories at least.
    let bottom = mount_point(scratch, "bottom").map_err(failed(WHOLE))?;
    let lower = lower(files, scratch)?;
    let lower: Vec<&Path> = iter::once(&bottom).chain(&lower).map(PathBuf::as_path).collect();
    let upper = changes.map(|changes| (changes.upper.as_path(), changes.work.as_path()));
    let place = mount_point(scratch, "whole").map_err(failed(WHOLE))?;
    let overlay = Overlay { lower: &lower, upper, user_xattr: in_user_namespace };
    let mounted = overlay.mount(&place).map_err(|error| match changes {
        Some(changes) => not_over(&changes.upper, error),
        None => failed(WHOLE)(error),
    })?;
    attach_at(&mounted, &place).map_err(failed(WHOLE))?;
    Ok(place)
}

/// Directories of an image's layers, the lowest first.
fn lower(files: &ImageFiles, scratch: &Path) -> Result<Vec<PathBuf>, StartFailure> {
    if files.lower_is_directory {
        return Ok(files.lower.clone());
    }
    // What a kernel cannot mount so (before Linux 6.12), it mounts layer by layer.
    if let Some(stack) = &files.stack
        && let Ok(point) = stacked(stack, scratch)
    {
        return Ok(vec![point]);
    }
    let mut points = Vec::new();
    for (number, layer) in files.lower.iter().enumerate() {
        let point = mount_point(scratch, &number.to_string()).map_err(failed(WHOLE))?;
        let mounted = erofs_or_loop(layer).map_err(failed("a layer of the image"))?;
        attach_at(&mounted, &point).map_err(failed("a layer of the image"))?;
        points.push(point);
    }
    if points.is_empty() {
        // An image may have no layers; overlayfs has to have one.
        points.push(mount_point(scratch, "none").map_err(failed(WHOLE))?);
    }
    Ok(points)
}

/// The image's layers as one directory.
fn stacked(stack: &Stack, scratch: &Path) -> Result<PathBuf, Errno> {
    let mounted = stack_mount(&stack.file, &stack.layers)?;
    let point = mount_point(scratch, "stack")?;
    attach_at(&mounted, &point)?;
    Ok(point)
}

fn mount_point(scratch: &Path, name: &str) -> Result<PathBuf, Errno> {
    let point = scratch.join(name);
    match mkdirat(CWD, &point, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(point),
        Err(error) => Err(error),
    }
}

/// What programs know a container by.
fn sign(habits: Habits) -> &'static str {
    match habits {
        Habits::Docker => ".dockerenv",
        Habits::Podman => "run/.containerenv",
    }
}

fn make_stubs(mounted: &OwnedFd, files: &RootFiles) -> Result<(), StartFailure> {
    let root =
        openat2(mounted, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty());
    let inside = Inside::new(root.map_err(failed("/"))?);
    let is_left_out = |stub: &str| (files.no_hosts && stub == HOSTS) || (files.no_hostname && stub == HOSTNAME);
    let mut stubs = STUBS.iter().filter(|stub| !is_left_out(stub));
    stubs.try_for_each(|stub| make_stub(&inside, stub))?;
    let etc = inside.directory(Path::new("/etc")).map_err(failed("/etc"))?;
    match symlinkat("/proc/mounts", &etc, "mtab") {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed("/etc/mtab")(error)),
    }
    let sign = sign(files.habits);
    make_stub(&inside, sign)?;
    if files.about.is_empty() {
        return Ok(());
    }
    // Whoever is in the container may change it, as with podman.
    let (above, name) = sign.rsplit_once('/').unwrap_or(("", sign));
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened =
        inside.directory(&Path::new("/").join(above)).and_then(|above| openat(&above, name, flags, Mode::empty()));
    let mut file = File::from(opened.map_err(failed(sign))?);
    file.write_all(files.about.as_bytes())
        .map_err(|error| failed(sign)(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

fn make_stub(inside: &Inside, stub: &str) -> Result<(), StartFailure> {
    let path = Path::new("/").join(stub);
    let made = if stub.ends_with('/') { inside.directory(&path) } else { inside.file(&path) };
    // What the image has in its place stays: it is told when something is to be mounted there.
    match made {
        Ok(_) | Err(Errno::NOTDIR | Errno::EXIST | Errno::LOOP) => Ok(()),
        Err(error) => Err(failed(stub)(error)),
    }
}
