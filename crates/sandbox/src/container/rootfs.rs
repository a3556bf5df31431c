//! The files of a container: its image, what it changed, and what every container finds.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use dhow_base::error::words;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};

use devices::{mount_dev, show_again};

use super::inside::{Inside, attach, file_system, restrict, view};
use super::look::Look;
use super::spec::{MountSource, MountSpec, Spec, StartFailure};
use super::users;

mod devices;
mod filling;
mod layers;
mod masking;
mod memory;
mod mounts;
mod outside;

pub(crate) use devices::add_console;
pub(crate) use layers::lay_over;

/// Files of `/proc` that something else may be shown in place of (runc, `checkProcMount`).
const COVERED: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
];

const NOTHING_SPECIAL: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC).union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Takes this process out of the machine's mounts, and makes the container's. Returns its root, which is not entered yet, and its
/// `/dev`.
pub(crate) fn build(spec: &Spec) -> Result<(Inside, OwnedFd), StartFailure> {
    let connected = outside::connected(&spec.mounts, spec.habits)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(failed("/"))?;
    let (root, overlay) = mount_root(spec)?;
    let inside = Inside::new(root);
    let processes = mount_proc(spec, &inside)?;
    let system = mount_sys(spec, &inside)?;
    let (devices, nodes) = mount_dev(spec, &inside)?;
    // That there is no such user is told later.
    let owner = users::look_up(&inside, &spec.user, &spec.groups, spec.habits).ok();
    let around = mounts::Around { spec, inside: &inside, nodes: &nodes, owner: owner.as_ref() };
    for (mount, connected) in spec.mounts.iter().zip(connected) {
        outside_proc(&mount.target, &mount.what)?;
        around.add(mount, connected)?;
        if mount.target == "/dev" {
            show_again(&inside, &nodes)?;
        }
    }
    if !spec.privileged {
        masking::hide(spec, &inside, [Some(&processes), system.as_ref()], &nodes)?;
    }
    working_directory(spec, &inside)?;
    if spec.read_only {
        restrict(&overlay, MountAttrFlags::MOUNT_ATTR_RDONLY, false).map_err(failed("/"))?;
    }
    Ok((inside, devices))
}

/// Makes the directory that the program starts in, or makes sure that it is there.
fn working_directory(spec: &Spec, inside: &Inside) -> Result<(), StartFailure> {
    let path = &spec.working_directory;
    if path.is_empty() {
        return Ok(());
    }
    if let Some(id) = &spec.needs_working_directory {
        return match inside.open(Path::new(path), OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) if path.starts_with('/') => Ok(()),
            Err(Errno::NOTDIR) => {
                Err(StartFailure::setup(format!("workdir {path:?} exists on container {id}, but is not a directory")))
            }
            _ => Err(StartFailure::setup(format!("workdir {path:?} does not exist on container {id}"))),
        };
    }
    make_working_directory(inside, path)
}

/// Makes the directory that a program starts in, and those above it.
pub(crate) fn make_working_directory(inside: &Inside, path: &str) -> Result<(), StartFailure> {
    inside.directory(Path::new(path)).map(drop).map_err(|error| match error {
        Errno::NOTDIR => StartFailure::setup(format!("Cannot mkdir: {path} is not a directory")),
        error => StartFailure::setup(format!("cannot make working directory {path:?}: {}", words(&error.into()))),
    })
}

/// Enters the root; what was there is out of reach afterwards (pivot_root(2), "pivot_root(".", ".")").
pub(crate) fn enter(inside: &Inside) -> Result<(), StartFailure> {
    rustix::process::fchdir(inside.root()).map_err(failed("/"))?;
    rustix::process::pivot_root(".", ".").map_err(failed("/"))?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("/"))?;
    rustix::process::chdir("/").map_err(failed("/"))
}

/// As [`super::look()`], in a process that has left the machine's mounts.
///
/// # Errors
/// As those of starting a container.
pub(crate) fn look(look: &Look<'_>) -> Result<OwnedFd, StartFailure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(failed("/"))?;
    let overlay = lay_over(look.files, look.in_user_namespace)?;
    let whole = |error| failed("the files")(error);
    restrict(&overlay, MountAttrFlags::MOUNT_ATTR_NODEV, false).map_err(whole)?;
    attach_at(&overlay, look.mount_point).map_err(whole)?;
    let inside = Inside::new(open_directory(look.mount_point).map_err(whole)?);
    for mount in look.mounts {
        match &mount.what {
            MountSource::Bind { source, recursive } => {
                mounts::bind(&inside, mount, source, *recursive, mounts::Outside::without_devices())?;
            }
            MountSource::Volume(source) => {
                mounts::bind(&inside, mount, source, false, mounts::Outside::without_devices())?
            }
            MountSource::Image { files, scratch, changes } => {
                let source = layers::image_in(scratch, files, changes.as_ref(), look.in_user_namespace)?;
                mounts::bind(&inside, mount, &source, false, mounts::Outside::without_devices())?;
            }
            MountSource::Device(_) | MountSource::Tmpfs(_) | MountSource::Overlaid { .. } => {}
        }
    }
    if look.read_only {
        restrict(&overlay, MountAttrFlags::MOUNT_ATTR_RDONLY, false).map_err(whole)?;
    }
    Ok(inside.into_root())
}

/// Docker's words around an error of a mount.
pub(crate) fn failed(what: &str) -> impl Fn(Errno) -> StartFailure {
    move |error| {
        let hint = match error {
            Errno::PERM | Errno::ACCESS => ": this machine does not let containers mount what they need",
            _ => "",
        };
        StartFailure::building(format!("error mounting {what:?} to rootfs: {}{hint}", words(&error.into())), error)
    }
}

fn mount_root(spec: &Spec) -> Result<(OwnedFd, OwnedFd), StartFailure> {
    let mounted = lay_over(&spec.root, spec.in_user_namespace)?;
    let whole = |error| failed(layers::WHOLE)(error);
    if !spec.privileged {
        // What is made in a container is no way to the machine's devices.
        restrict(&mounted, MountAttrFlags::MOUNT_ATTR_NODEV, false).map_err(whole)?;
    }
    attach_at(&mounted, &spec.mount_point).map_err(whole)?;
    let root = open_directory(&spec.mount_point).map_err(whole)?;
    Ok((root, mounted))
}

fn mount_proc(spec: &Spec, inside: &Inside) -> Result<OwnedFd, StartFailure> {
    let target = inside.plain_directory("proc").map_err(failed("proc"))?;
    let options: Vec<(&str, &str)> =
        spec.proc_options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mounted = match file_system("proc", &options, NOTHING_SPECIAL) {
        // Whose processes they are may mount it; others see the machine's.
        Err(Errno::PERM) if spec.is_among_others() => host_view("/proc", NOTHING_SPECIAL),
        mounted => mounted,
    };
    let mounted = mounted.map_err(failed("proc"))?;
    attach(&mounted, &target).map_err(failed("proc"))?;
    for (name, value) in &spec.usual_sysctls {
        let _ = set_kernel(&mounted, name, value);
    }
    for (name, value) in &spec.sysctls {
        set_kernel(&mounted, name, value)?;
    }
    if !spec.privileged {
        masking::seal(&spec.masking, &mounted)?;
    }
    Ok(mounted)
}

/// Sets something of the kernel's, for the namespaces that this process is in (sysctl(8)).
fn set_kernel(processes: &OwnedFd, name: &str, value: &str) -> Result<(), StartFailure> {
    let path = format!("sys/{}", name.replace('.', "/"));
    let told = |what: &str, error: Errno| {
        StartFailure::building(format!("{what} /proc/{path}: {}", words(&error.into())), error)
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(processes, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)
        .map_err(|error| told("open", error))?;
    rustix::io::write(file, value.as_bytes()).map(drop).map_err(|error| told("write", error))
}

/// A name below a mount of ours: nothing of the image's is on the way.
fn beneath(mount: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(mount, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn mount_sys(spec: &Spec, inside: &Inside) -> Result<Option<OwnedFd>, StartFailure> {
    let target = inside.plain_directory("sys").map_err(failed("sysfs"))?;
    let mut attributes = NOTHING_SPECIAL;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, !spec.privileged);
    let mounted = match file_system("sysfs", &[], attributes) {
        Ok(mounted) => mounted,
        // Whose network it is may mount it; others see the machine's.
        Err(Errno::PERM) if spec.in_user_namespace => {
            let seen = host_view("/sys", attributes).map_err(failed("sysfs"))?;
            attach(&seen, &target).map_err(failed("sysfs"))?;
            show_own_groups(&seen, attributes)?;
            return Ok(Some(seen));
        }
        Err(error) => return Err(failed("sysfs")(error)),
    };
    attach(&mounted, &target).map_err(failed("sysfs"))?;
    show_own_groups(&mounted, attributes)?;
    Ok(Some(mounted))
}

/// A view of what the machine has at a path, with all that is mounted there.
fn host_view(path: &str, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let seen = view(open_directory(Path::new(path))?, true)?;
    restrict(&seen, attributes, true)?;
    Ok(seen)
}

/// Only the new hierarchy shows a container no more than itself. Where the machine has another, there is none.
fn show_own_groups(system: &OwnedFd, attributes: MountAttrFlags) -> Result<(), StartFailure> {
    if is_unified()
        && let Ok(point) = beneath(system, "fs/cgroup")
        && let Ok(cgroups) = file_system("cgroup2", &[], attributes)
    {
        attach(&cgroups, &point).map_err(failed("cgroup"))?;
    }
    Ok(())
}

fn is_unified() -> bool {
    std::fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok()
}

fn restriction(mount: &MountSpec) -> MountAttrFlags {
    if mount.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() }
}

/// As [`not_in_proc`], before anything would have to be made there.
fn outside_proc(target: &str, what: &MountSource) -> Result<(), StartFailure> {
    if (target != "/proc" && !target.starts_with("/proc/")) || COVERED.contains(&target) {
        return Ok(());
    }
    let source = match what {
        MountSource::Bind { source, .. }
        | MountSource::Volume(source)
        | MountSource::Overlaid { source, .. }
        | MountSource::Image { scratch: source, .. }
        | MountSource::Device(source) => source.to_string_lossy(),
        MountSource::Tmpfs(_) => "tmpfs".into(),
    };
    Err(inside_proc(&source, target))
}

/// Refuses to cover `/proc` or what is in it, however the image's links lead there: programs trust what they read in it (CVE-2019-16884,
/// CVE-2019-19921).
fn not_in_proc(point: &OwnedFd, source: &str, target: &str) -> Result<(), StartFailure> {
    let about = rustix::fs::fstatfs(point).map_err(failed(target))?;
    if about.f_type != rustix::fs::PROC_SUPER_MAGIC || COVERED.contains(&target) {
        return Ok(());
    }
    Err(inside_proc(source, target))
}

fn inside_proc(source: &str, target: &str) -> StartFailure {
    let why = if target == "/proc" { "not of type proc" } else { "inside /proc" };
    let message =
        format!("error mounting {source:?} to rootfs at {target:?}: {target:?} cannot be mounted because it is {why}");
    StartFailure::building(message, Errno::INVAL)
}

fn misfit(error: Errno, source: &Path, target: &str) -> StartFailure {
    match error {
        Errno::NOTDIR => StartFailure::building(
            format!(
                "error mounting {source:?} to rootfs at {target:?}: not a directory: Are you trying to mount a directory onto a file \
                 (or vice-versa)? Check if the specified host path exists and is the expected type"
            ),
            error,
        ),
        error => failed(target)(error),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

pub(crate) fn attach_at(mount: &OwnedFd, path: &Path) -> Result<(), Errno> {
    move_mount(mount.as_fd(), "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}
