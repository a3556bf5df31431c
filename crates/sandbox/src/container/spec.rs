//! What a container's first process is told before it becomes the program.

use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::joined::{Inherited, NamespaceKind};
use super::manner::Manner;
use super::seccomp::CallFilter;
use super::ulimits::Ulimit;

/// Everything about a container that its first process has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Its files.
    pub root: RootFiles,
    /// An empty directory of this machine, over which the files are mounted where nobody else sees it.
    pub mount_point: PathBuf,
    /// Its host name.
    pub hostname: String,
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`, in order; `HOME` is added where it is missing.
    pub environment: Vec<String>,
    /// User, and perhaps group, by name or number; empty for root.
    pub user: String,
    /// Groups besides, by name or number.
    pub groups: Vec<String>,
    /// The directory that the program starts in.
    pub working_directory: String,
    /// The container's ID, where that directory must be there; it is made if it is missing otherwise.
    pub needs_working_directory: Option<String>,
    /// Whether the program gets a terminal.
    pub terminal: bool,
    /// Rights that new files of the program do not get.
    pub umask: u32,
    /// Whether the kernel says to it that it is one of 32 bits (personality(2), `PER_LINUX32`).
    #[serde(default)]
    pub is_32_bit: bool,
    /// Whether the program is the child of a process that waits for those nobody waits for, and passes signals on.
    pub init: bool,
    /// Whether its files can only be read.
    pub read_only: bool,
    /// Whether it has the devices of the machine, can open those that it makes, and can write to all of `/proc` and `/sys`.
    #[serde(default)]
    pub privileged: bool,
    /// Numbers of the capabilities that it may have (capabilities(7)).
    pub capabilities: Vec<u8>,
    /// Those that the program has and passes on also if it does not run as root (ambient capabilities).
    pub ambient: Vec<u8>,
    /// Whether programs may not gain rights by being started (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// How system calls are filtered.
    pub seccomp: CallFilter,
    /// What is hidden or can only be read of `/proc` and `/sys`.
    pub masking: Masking,
    /// Options of `/proc` (proc(5)), such as `hidepid=2`.
    pub proc_options: Vec<(String, String)>,
    /// The AppArmor profile of the program, if it is not the caller's.
    pub apparmor: Option<String>,
    /// Other namespaces of the machine's that it stays in.
    pub shared: Shared,
    /// Namespaces of others that it is in; who watches fills this in.
    pub joined: Inherited,
    /// Its NIS domain name, if it has one (setdomainname(2)).
    pub domain_name: String,
    /// Settings of the kernel that are its namespaces' own, by names such as `net.ipv4.ip_forward`.
    pub sysctls: Vec<(String, String)>,
    /// Those that it has unless it says otherwise, where the kernel lets it.
    #[serde(default)]
    pub usual_sysctls: Vec<(String, String)>,
    /// Whether it has the machine's network; otherwise another's, or a loopback interface and nothing else.
    pub host_network: bool,
    /// Whether all this happens in a user namespace: what takes root's rights outside is left out.
    pub in_user_namespace: bool,
    /// Whether the caller is not root in that namespace, but who it is outside.
    #[serde(default)]
    pub keeps_ids: bool,
    /// Whether there is more than one user in that namespace.
    pub has_groups: bool,
    /// Whether the program has the caller's groups, and no others.
    #[serde(default)]
    pub keeps_groups: bool,
    /// Bytes of `/dev/shm`; nothing for no such directory.
    pub shm_bytes: Option<u64>,
    /// How soon it is killed when the machine runs out of memory (proc_pid_oom_score_adj(5)).
    #[serde(default)]
    pub oom_score: Option<i16>,
    /// After how many seconds it is killed.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
    /// Limits of each process.
    pub ulimits: Vec<Ulimit>,
    /// What else is mounted, in this order.
    pub mounts: Vec<MountSpec>,
    /// Whose containers it is like.
    pub habits: Habits,
}

impl Spec {
    /// Whether its processes are in a namespace with others.
    pub(crate) fn is_among_others(&self) -> bool {
        self.shared.pid || self.joined.has(NamespaceKind::Pid)
    }
}

/// Namespaces that are the machine's (namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Shared {
    /// That of processes.
    pub pid: bool,
    /// That of host and domain name.
    pub uts: bool,
    /// That of memory and message queues.
    pub ipc: bool,
    /// That of control groups.
    pub cgroup: bool,
}

/// What a container does not see, besides what none does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masking {
    /// Patterns of paths that are hidden or sealed as a rule, and are not here; `all` for all of them.
    pub unmasked: Vec<String>,
    /// Paths that are hidden besides; what is not there is no failure.
    pub masked: Vec<String>,
}

/// Whose containers this one is like inside, where engines differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Habits {
    /// Docker's.
    #[default]
    Docker,
    /// Podman's.
    Podman,
}

/// Where a container's files come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RootFiles {
    /// Those of the image.
    pub image: ImageFiles,
    /// What is put over the image for every container, such as mount points; filled when it is empty.
    pub stubs: PathBuf,
    /// By what programs know that they are in a container.
    pub habits: Habits,
    /// What stands in the file that they know it by.
    #[serde(default)]
    pub about: String,
    /// Whether the image's `/etc/hosts` stays as it is, also if there is none.
    #[serde(default)]
    pub no_hosts: bool,
    /// As that, with its `/etc/hostname`.
    #[serde(default)]
    pub no_hostname: bool,
    /// What the container changed.
    pub upper: PathBuf,
    /// Scratch space of overlayfs, on the same file system as `upper`.
    pub work: PathBuf,
    /// Directories over which layer files are mounted on the way, where nobody else sees it.
    pub scratch: PathBuf,
    /// Where all of it is mounted already, where everybody sees it: a second time, overlayfs would promise nothing.
    #[serde(default)]
    pub mounted: Option<PathBuf>,
}

/// The files of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFiles {
    /// Layer files (EROFS), or one directory; the lowest first.
    pub lower: Vec<PathBuf>,
    /// Whether `lower` are directories.
    pub lower_is_directory: bool,
    /// The layers as one file system, which is tried before `lower`.
    pub stack: Option<Stack>,
}

/// All layers of an image as one file system (EROFS), of which the kernel needs one mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The file that says where everything is.
    pub file: PathBuf,
    /// The layers' own files, the lowest first, with the data.
    pub layers: Vec<PathBuf>,
}

/// Something to mount in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Where, as the container sees it.
    pub target: String,
    /// What.
    pub what: MountSource,
    /// Whether it can only be read.
    pub read_only: bool,
    /// What else is said of it.
    pub manner: Manner,
}

/// What to mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or directory of this machine.
    Bind {
        /// Its path.
        source: PathBuf,
        /// With everything that is mounted below it.
        recursive: bool,
    },
    /// A directory that is there for containers.
    Volume(PathBuf),
    /// A directory of this machine, with what the container changes of it laid over it.
    Overlaid {
        /// Its path.
        source: PathBuf,
        /// What is changed.
        changes: Changes,
    },
    /// The files of an image.
    Image {
        /// Where they are.
        files: ImageFiles,
        /// A directory in which they are mounted on the way, where nobody else sees it.
        scratch: PathBuf,
        /// What is laid over them, where they can be written to.
        changes: Option<Changes>,
    },
    /// A device node of this machine.
    Device(PathBuf),
    /// Memory.
    Tmpfs(Tmpfs),
}

/// What a container changes of something that is mounted in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The directory where it goes.
    pub upper: PathBuf,
    /// Scratch space of overlayfs, on the same file system.
    pub work: PathBuf,
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Its options, such as `size=65536k` or `mode=1777`; one without a value is a word alone, such as `sync`.
    pub options: Vec<(String, String)>,
    /// Whether programs in it can be started.
    pub executable: bool,
    /// Whether programs in it can give the rights of their owners.
    pub suid: bool,
    /// Whether it begins with what the image has in its place.
    pub copy_up: bool,
}

/// Why a container's program was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// Docker's words where it has some.
    pub message: String,
    /// Whose fault it is.
    pub cause: StartCause,
    /// How far it came: engines tell who found it out.
    pub stage: StartStage,
}

/// Whose fault it is that a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartCause {
    /// There is no such program, or something else is not there.
    NotFound,
    /// The program cannot be started, or something else is not allowed.
    NotExecutable,
    /// The program is a directory, which the message leaves to who shows it: engines differ.
    IsDirectory,
    /// Everything else.
    Setup,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartStage {
    /// What was asked for was looked at.
    Request,
    /// The container was built.
    Container,
    /// The program was looked for.
    Program,
}

impl StartFailure {
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: StartCause::Setup, stage: StartStage::Request }
    }

    /// While the container was built.
    pub(crate) fn building(message: impl Into<String>, error: Errno) -> Self {
        let cause = match error {
            Errno::NOENT => StartCause::NotFound,
            Errno::ACCESS => StartCause::NotExecutable,
            _ => StartCause::Setup,
        };
        Self { message: message.into(), cause, stage: StartStage::Container }
    }

    pub(crate) fn program(message: impl Into<String>, cause: StartCause) -> Self {
        Self { message: message.into(), cause, stage: StartStage::Program }
    }
}

/// What the first process says to the one that watches it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The terminal's other side is this descriptor: take it, and say so.
    Terminal(i32),
    /// The namespace of its mounts is this descriptor: take it, and say so.
    Mounts(i32),
    /// It will not start.
    Failed(StartFailure),
}
