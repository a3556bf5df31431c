//! A container's `/dev`: devices like the machine's, terminals, shared memory, message queues.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dhow_base::error::words;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, chmodat, fstat, lstat, mkdirat, mknodat, openat, stat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::super::inside::{Inside, attach, file_system, restrict, view};
use super::super::joined::NamespaceKind;
use super::super::spec::{Spec, StartFailure, StartStage};
use super::{NOTHING_SPECIAL, beneath, failed, host_view};

mod machine;

/// Devices that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links that every `/dev` has.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Where device nodes of the container's own come from. They lie below `/dev`, out of reach: the machine's own nodes would change their
/// owners and rights with the container's.
pub(super) struct Nodes {
    /// Nothing in a user namespace, where nobody can make nodes, nor change those of the machine.
    directory: Option<OwnedFd>,
}

impl Nodes {
    fn new(spec: &Spec, target: &OwnedFd) -> Result<Self, Errno> {
        if spec.in_user_namespace {
            return Ok(Self { directory: None });
        }
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let nodes = file_system("tmpfs", &[("mode", "700"), ("size", "64k")], attributes)?;
        attach(&nodes, target)?;
        Ok(Self { directory: Some(beneath(&nodes, ".")?) })
    }

    /// A device like one of this machine, attached nowhere yet.
    pub(super) fn like(&self, source: &Path) -> Result<OwnedFd, StartFailure> {
        let told = |error| failed(&source.to_string_lossy())(error);
        let found = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let found = found.map_err(|error| unusable(source, &words(&error.into()), error))?;
        let stat = fstat(&found).map_err(told)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !is_device(kind) {
            return Err(unusable(source, "not a device node", Errno::INVAL));
        }
        let Some(directory) = &self.directory else { return view(&found, false).map_err(told) };
        let name = format!("{:o}-{}", stat.st_mode, stat.st_rdev);
        match mknodat(directory, &name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev) {
            Ok(()) => {
                chmodat(directory, &name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty()).map_err(told)?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(told(error)),
        }
        view(beneath(directory, &name).map_err(told)?, false).map_err(told)
    }
}

/// Docker's words of what is no device, or not there.
fn unusable(source: &Path, why: &str, error: Errno) -> StartFailure {
    let message = format!("error gathering device information while adding custom device {source:?}: {why}");
    StartFailure { stage: StartStage::Request, ..StartFailure::building(message, error) }
}

fn is_device(kind: FileType) -> bool {
    matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
}

/// Devices that a path of this machine stands for, with where the container sees them: itself, or all that are in a directory and below
/// (moby, `DevicesFromPath`). Links in it are left out.
pub(super) fn devices_at(source: &Path, target: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut devices = Vec::new();
    let mut left = vec![(source.to_owned(), target.to_owned())];
    while let Some((directory, target)) = left.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let below = (entry.path(), target.join(entry.file_name()));
            let Ok(stat) = lstat(&below.0) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => left.push(below),
                kind if is_device(kind) => devices.push(below),
                _ => {}
            }
        }
    }
    // What is none is told when it is to be shown.
    if devices.is_empty() { vec![(source.to_owned(), target.to_owned())] } else { devices }
}

/// Whether a path of this machine leads to one of the devices that every container has.
pub(super) fn is_common(source: &Path) -> bool {
    let device = |path: &Path| {
        let stat = stat(path).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice).then_some(stat.st_rdev)
    };
    let given = device(source);
    given.is_some() && DEVICES.iter().any(|name| device(&Path::new("/dev").join(name)) == given)
}

/// Shows the devices that every container has in a directory that was mounted over its `/dev`, and has no devices of its own. Programs
/// cannot be without the null device: that it is missing is told as docker tells it.
pub(super) fn show_again(inside: &Inside, nodes: &Nodes) -> Result<(), StartFailure> {
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        match inside.open(&path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(point) => {
                let device = nodes.like(&path)?;
                restrict(&device, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC, false)
                    .map_err(failed(name))?;
                attach(&device, &point).map_err(failed(name))?;
            }
            Err(error) if name == "null" => {
                let message = format!("unable to setup user: stat /dev/null: {}", words(&error.into()));
                return Err(StartFailure::building(message, error));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

pub(super) fn mount_dev(spec: &Spec, inside: &Inside) -> Result<(OwnedFd, Nodes), StartFailure> {
    let target = inside.plain_directory("dev").map_err(failed("tmpfs"))?;
    let nodes = Nodes::new(spec, &target).map_err(failed("tmpfs"))?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, !spec.privileged);
    let dev = file_system("tmpfs", &[("mode", "755"), ("size", "65536k")], attributes).map_err(failed("tmpfs"))?;
    attach(&dev, &target).map_err(failed("tmpfs"))?;
    let dev = beneath(&dev, ".").map_err(failed("tmpfs"))?;
    for name in DEVICES {
        add_device(&dev, name, &nodes.like(&Path::new("/dev").join(name))?)?;
    }
    // As with runc: a kernel may have no image of its memory.
    let is_there = |(_, leads_to): &(&str, &str)| *leads_to != "/proc/kcore" || Path::new(leads_to).exists();
    for (name, leads_to) in LINKS.into_iter().filter(is_there) {
        symlinkat(leads_to, &dev, name).map_err(failed(name))?;
    }
    mount_terminals(spec, &dev)?;
    mount_memory(spec, &dev)?;
    mount_queues(spec, &dev)?;
    if spec.privileged {
        machine::add_all(spec, inside, &dev)?;
    }
    Ok((dev, nodes))
}

fn mount_terminals(spec: &Spec, dev: &OwnedFd) -> Result<(), StartFailure> {
    let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    // The group of terminals, where groups can be told apart.
    if spec.has_groups {
        options.push(("gid", "5"));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mounted = file_system("devpts", &options, attributes).map_err(failed("devpts"))?;
    attach_new(dev, "pts", &mounted).map_err(failed("devpts"))
}

/// The memory that processes share: another's, the machine's or its own.
fn mount_memory(spec: &Spec, dev: &OwnedFd) -> Result<(), StartFailure> {
    let memory = match spec.shared.ipc {
        true => Some(host_view("/dev/shm", MountAttrFlags::empty()).map_err(failed("/dev/shm"))?),
        false => spec.joined.memory().map_err(|error| StartFailure::setup(words(&error)))?,
    };
    match (memory, spec.shm_bytes) {
        (Some(memory), _) => show_memory(dev, &memory).map_err(failed("/dev/shm")),
        (None, Some(bytes)) => {
            let size = bytes.to_string();
            let options = [("source", "shm"), ("mode", "1777"), ("size", size.as_str())];
            let mounted = file_system("tmpfs", &options, NOTHING_SPECIAL).map_err(failed("tmpfs"))?;
            attach_new(dev, "shm", &mounted).map_err(failed("tmpfs"))
        }
        (None, None) => Ok(()),
    }
}

fn mount_queues(spec: &Spec, dev: &OwnedFd) -> Result<(), StartFailure> {
    let shares_memory = spec.shared.ipc || spec.joined.has(NamespaceKind::Ipc);
    let point = new_directory(dev, "mqueue").map_err(failed("mqueue"))?;
    match file_system("mqueue", &[], NOTHING_SPECIAL) {
        Ok(mounted) => attach(&mounted, &point).map_err(failed("mqueue")),
        // A kernel without message queues: programs are told by the kernel.
        Err(Errno::NODEV) => Ok(()),
        // In a user namespace that does not own the queues.
        Err(Errno::PERM) if shares_memory => Ok(()),
        Err(error) => Err(failed("mqueue")(error)),
    }
}

fn attach_new(dev: &OwnedFd, name: &str, mounted: &OwnedFd) -> Result<(), Errno> {
    attach(mounted, &new_directory(dev, name)?)
}

fn new_directory(dev: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
    beneath(dev, name)
}

/// Shows a view of the shared memory of whose memory is shared.
fn show_memory(dev: &OwnedFd, memory: &OwnedFd) -> Result<(), Errno> {
    let point = new_directory(dev, "shm")?;
    restrict(memory, NOTHING_SPECIAL, true)?;
    attach(memory, &point)
}

/// Shows a device. Only such a view is one: the file system around it has none.
fn add_device(directory: &OwnedFd, name: &str, device: &OwnedFd) -> Result<(), StartFailure> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(0o666)).map_err(failed(name))?;
    let point = beneath(directory, name).map_err(failed(name))?;
    restrict(device, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC, false)
        .map_err(failed(name))?;
    attach(device, &point).map_err(failed(name))
}

/// Shows the terminal as the container's console. Both are descriptors: no link is followed (CVE-2025-52565).
pub(crate) fn add_console(dev: &OwnedFd, terminal: &OwnedFd) -> Result<(), StartFailure> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dev, "console", flags, Mode::from_raw_mode(0o620)).map_err(failed("console"))?;
    let point = beneath(dev, "console").map_err(failed("console"))?;
    let seen = view(terminal, false).map_err(failed("console"))?;
    attach(&seen, &point).map_err(failed("console"))
}
