//! The first process of a container, until it becomes the container's program.
//!
//! It is this program again, with one thread, started in a new namespace of processes. It reads what it is to do from a pipe, leaves the
//! machine's other namespaces, builds the container around itself, gives up what the container may not do, and becomes the program.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dhow_base::error::words;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};
use rustix::pty::OpenptFlags;
use rustix::thread::UnshareFlags;

use super::inside::Inside;
use super::joined::NamespaceKind;
use super::spec::{Habits, Report, Spec, StartCause, StartFailure};
use super::users::Identity;
use super::{calls, privileges, reaper, rootfs, seccomp, users};

/// Longest description of a container that is read, in bytes.
const SPEC_BYTES_MAX: u64 = 16 << 20;

/// Exit code when the program cannot be started after all, as with docker.
const LATE_FAILURE: i32 = 255;

/// Becomes a container's program; returns the exit code when that fails. `arguments` are the numbers of two pipes.
pub fn first_process(arguments: &[impl AsRef<OsStr>]) -> i32 {
    let pipe = |number: usize| -> io::Result<File> {
        let text = arguments.get(number).and_then(|text| text.as_ref().to_str()).and_then(|text| text.parse().ok());
        calls::adopt(text.ok_or(io::ErrorKind::InvalidInput)?)
    };
    let (Ok(mut orders), Ok(mut reports)) = (pipe(0), pipe(1)) else { return LATE_FAILURE };
    let failure = match become_program(&mut orders, &mut reports) {
        Outcome::Failed(failure) => failure,
        Outcome::Late(message) => {
            // The container's own standard error: whoever watches has heard that it started.
            let _ = writeln!(io::stderr(), "{message}");
            return LATE_FAILURE;
        }
    };
    report(&mut reports, &Report::Failed(failure));
    LATE_FAILURE
}

enum Outcome {
    Failed(StartFailure),
    Late(String),
}

impl From<StartFailure> for Outcome {
    fn from(failure: StartFailure) -> Self {
        Outcome::Failed(failure)
    }
}

fn become_program(orders: &mut File, reports: &mut File) -> Outcome {
    match prepare(orders, reports) {
        Ok(prepared) => prepared.start(reports),
        Err(failure) => failure.into(),
    }
}

/// A program, ready to be started.
struct Prepared {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<String>,
    /// Whether this process stays, and the program is its child.
    has_init: bool,
}

fn prepare(orders: &mut File, reports: &mut File) -> Result<Prepared, StartFailure> {
    let spec = read_spec(orders).map_err(broken("read what to start"))?;
    // Nobody looks into this process from inside before it is the container's program.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("hide this process"))?;
    calls::close_at_exec_from(3).map_err(broken("close descriptors"))?;
    // What is made on the way has the rights that docker gives, whatever the user's own mask is.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::setsid().map_err(failed("begin a session"))?;
    if spec.keeps_ids {
        privileges::become_root().map_err(broken("become root"))?;
    }
    leave(&spec)?;
    if spec.is_among_others() {
        let mounts = File::open("/proc/self/ns/mnt").map_err(broken("look at its namespaces"))?;
        hand_over(Report::Mounts(mounts.as_raw_fd()), orders, reports)?;
    }
    let (inside, devices) = rootfs::build(&spec)?;
    let terminal = if spec.terminal { Some(open_terminal(&inside, &devices, orders, reports)?) } else { None };
    let identity = users::look_up(&inside, &spec.user, &spec.groups, spec.habits)?;
    if !spec.has_groups && (identity.uid, identity.gid) != (0, 0) {
        let message = format!("user {:?}: there is only one user here", spec.user);
        return Err(StartFailure::setup(format!(
            "{message}; more of them take newuidmap and ranges in /etc/subuid and /etc/subgid"
        )));
    }
    rootfs::enter(&inside)?;
    drop(inside);
    give_streams(terminal.as_ref(), &identity)?;
    enter_working_directory(&spec.working_directory)?;
    if spec.is_32_bit {
        calls::become_32_bit().map_err(broken("have the kernel say that it is one of 32 bits"))?;
    }
    restrict(&spec, &identity)?;
    let mut environment = spec.environment;
    // One that is empty counts as missing, as with runc.
    environment.retain(|variable| variable != "HOME=");
    if !environment.iter().any(|variable| variable.starts_with("HOME=")) {
        // Podman gives who is not listed a line of his own, with the directory where he works.
        let is_at_work =
            spec.habits == Habits::Podman && !identity.is_listed && spec.working_directory.starts_with('/');
        let home = if is_at_work { &spec.working_directory } else { &identity.home };
        environment.push(format!("HOME={home}"));
    }
    let path = look_up_program(&spec.arguments, &environment)?;
    rustix::process::umask(Mode::from_raw_mode(spec.umask));
    Ok(Prepared { path, arguments: spec.arguments, environment, has_init: spec.init })
}

impl Prepared {
    fn start(self, reports: &mut File) -> Outcome {
        let text = |text: &str| CString::new(text);
        let all = |texts: &[String]| texts.iter().map(|one| text(one)).collect::<Result<Vec<_>, _>>();
        let path = CString::new(self.path.as_os_str().as_bytes());
        let (Ok(path), Ok(arguments), Ok(environment)) = (path, all(&self.arguments), all(&self.environment)) else {
            return StartFailure::setup("a zero byte is in an argument or in the environment").into();
        };
        let _ = rustix::thread::disable_transparent_huge_pages(false);
        // Last, since a change of user undoes it. Whoever watches may be gone already: then the pipe says so.
        if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
            return failed("end with who watches")(error).into();
        }
        if writeln!(reports).is_err() {
            return Outcome::Late("nobody watches".to_owned());
        }
        if self.has_init
            && let Err(error) = reaper::stay_behind()
        {
            return Outcome::Late(format!("cannot start {}: {}", self.path.display(), words(&error)));
        }
        calls::reset_signals();
        let error = calls::execute(&path, &arguments, &environment);
        Outcome::Late(format!("exec {}: {}", self.path.display(), words(&error)))
    }
}

fn read_spec(orders: &mut File) -> io::Result<Spec> {
    let mut length = [0; 8];
    orders.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > SPEC_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    orders.take(length).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// Says something to who watches; that nobody does is found out elsewhere.
fn report(reports: &mut File, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = reports.write_all(&line);
    }
}

fn leave(spec: &Spec) -> Result<(), StartFailure> {
    let has_own = |kind, is_shared: bool| !is_shared && !spec.joined.has(kind);
    let has_network = has_own(NamespaceKind::Network, spec.host_network);
    let has_name = has_own(NamespaceKind::Uts, spec.shared.uts);
    let mut flags = UnshareFlags::NEWNS;
    flags.set(UnshareFlags::NEWUTS, has_name);
    flags.set(UnshareFlags::NEWIPC, has_own(NamespaceKind::Ipc, spec.shared.ipc));
    flags.set(UnshareFlags::NEWNET, has_network);
    calls::unshare(flags).map_err(broken("leave the machine's namespaces"))?;
    spec.joined.enter().map_err(broken("enter another's namespaces"))?;
    if !spec.shared.cgroup {
        // A kernel may have none of these.
        let _ = calls::unshare(UnshareFlags::NEWCGROUP);
    }
    if has_network {
        calls::raise_loopback().map_err(broken("switch the loopback interface on"))?;
    }
    if !has_name {
        return Ok(());
    }
    if !spec.domain_name.is_empty() {
        rustix::system::setdomainname(spec.domain_name.as_bytes()).map_err(failed("set the domain name"))?;
    }
    rustix::system::sethostname(spec.hostname.as_bytes()).map_err(failed("set the host name"))
}

/// Makes a terminal of the container's own, and hands its other side to who watches.
fn open_terminal(
    inside: &Inside,
    devices: &OwnedFd,
    orders: &mut File,
    reports: &mut File,
) -> Result<OwnedFd, StartFailure> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let master = inside.open(Path::new("/dev/pts/ptmx"), flags).map_err(failed("make a terminal"))?;
    rustix::pty::unlockpt(&master).map_err(failed("make a terminal"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(failed("make a terminal"))?;
    rootfs::add_console(devices, &terminal)?;
    hand_over(Report::Terminal(master.as_raw_fd()), orders, reports)?;
    Ok(terminal)
}

/// Has who watches take a descriptor, and waits until that is done.
fn hand_over(what: Report, orders: &mut File, reports: &mut File) -> Result<(), StartFailure> {
    // A hidden process would not let it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(failed("be seen by who watches"))?;
    report(reports, &what);
    let mut answer = [0; 1];
    orders.read_exact(&mut answer).map_err(broken("be seen by who watches"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("hide this process"))
}

/// Connects the standard streams to the terminal, if there is one, and lets the user open them again by their names.
fn give_streams(terminal: Option<&OwnedFd>, identity: &Identity) -> Result<(), StartFailure> {
    if let Some(terminal) = terminal {
        rustix::stdio::dup2_stdin(terminal).map_err(failed("connect the terminal"))?;
        rustix::stdio::dup2_stdout(terminal).map_err(failed("connect the terminal"))?;
        rustix::stdio::dup2_stderr(terminal).map_err(failed("connect the terminal"))?;
        rustix::process::ioctl_tiocsctty(terminal).map_err(failed("connect the terminal"))?;
    }
    let uid = Some(rustix::process::Uid::from_raw(identity.uid));
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    for stream in [input.as_fd(), output.as_fd(), error.as_fd()] {
        let stat = rustix::fs::fstat(stream).map_err(failed("look at the streams"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_terminal = terminal.is_some() && kind == FileType::CharacterDevice;
        if (kind == FileType::Fifo || is_terminal) && stat.st_uid != identity.uid {
            // The group stays: it is that of terminals. Where this is refused, the stream works, only not by its name.
            let _ = rustix::fs::fchown(stream, uid, None);
        }
    }
    Ok(())
}

/// Enters the directory, and makes sure that it is one of the container's (CVE-2024-21626).
fn enter_working_directory(path: &str) -> Result<(), StartFailure> {
    let path = if path.is_empty() { "/" } else { path };
    let cannot = |error: Errno| {
        let why = words(&error.into());
        StartFailure::building(format!("chdir to cwd ({path:?}) set in config.json failed: {why}"), error)
    };
    rustix::process::chdir(path).map_err(cannot)?;
    let reached = rustix::process::getcwd(Vec::new()).map_err(cannot)?;
    if !reached.as_bytes().starts_with(b"/") {
        let message = "current working directory is outside of container mount namespace root -- possible container breakout detected";
        return Err(StartFailure::setup(message));
    }
    Ok(())
}

fn restrict(spec: &Spec, identity: &Identity) -> Result<(), StartFailure> {
    for limit in &spec.ulimits {
        let what = format!("set the limit {}={}:{}", limit.name, limit.soft, limit.hard);
        limit.set().map_err(failed(&what))?;
    }
    if let Some(profile) = &spec.apparmor {
        confine(profile)?;
    }
    let (cannot, filter) = (broken("give up capabilities"), broken("filter system calls"));
    privileges::limit(&spec.capabilities).map_err(&cannot)?;
    if spec.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(failed("renounce new rights"))?;
    } else {
        // While this process may still do so.
        seccomp::apply(&spec.seccomp, &spec.capabilities).map_err(&filter)?;
    }
    let sets_groups = spec.has_groups && !spec.keeps_groups;
    privileges::become_user(identity, &spec.capabilities, &spec.ambient, sets_groups).map_err(|error| {
        match error.raw_os_error() {
            // setresuid(2), setgroups(2): the user namespace has no such number.
            Some(libc::EINVAL) if spec.in_user_namespace => StartFailure::setup(format!(
                "user {:?} is beyond the users and groups that are there for containers: /etc/subuid and /etc/subgid say how many",
                spec.user
            )),
            _ => cannot(error),
        }
    })?;
    if spec.no_new_privileges {
        seccomp::apply(&spec.seccomp, &spec.capabilities).map_err(&filter)?;
    }
    Ok(())
}

/// Has the program run under an AppArmor profile (apparmor(7), `aa_change_onexec`); kernels before 5.8 have the place of all modules alone.
fn confine(profile: &str) -> Result<(), StartFailure> {
    let write = |path: &str| {
        std::fs::OpenOptions::new().write(true).open(path)?.write_all(format!("exec {profile}").as_bytes())
    };
    write("/proc/self/attr/apparmor/exec")
        .or_else(
            |error| if error.kind() == io::ErrorKind::NotFound { write("/proc/self/attr/exec") } else { Err(error) },
        )
        .map_err(|error| {
            StartFailure::setup(format!("unable to apply apparmor profile {profile:?}: {}", words(&error)))
        })
}

/// Finds the program as a shell would, and tells in docker's words why it cannot be started.
fn look_up_program(arguments: &[String], environment: &[String]) -> Result<PathBuf, StartFailure> {
    let Some(name) = arguments.first() else { return Err(StartFailure::setup("no command specified")) };
    if name.contains('/') {
        return match is_program(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                let message = format!("exec: {name:?}: stat {name}: {}", words(&error.into()));
                Err(StartFailure::program(message, StartCause::NotFound))
            }
            Err(Errno::ISDIR) => Err(StartFailure::program(format!("exec: {name:?}"), StartCause::IsDirectory)),
            Err(error) => {
                let message = format!("exec: {name:?}: {}", words(&error.into()));
                Err(StartFailure::program(message, StartCause::NotExecutable))
            }
        };
    }
    // Without the variable, or with nothing in it, the engines' runtimes find no program (Go's `exec.LookPath`).
    let search = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = false;
    for directory in search.split(':').filter(|_| !search.is_empty()) {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = Path::new(directory).join(name);
        match is_program(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        let message = format!("exec: {name:?}: permission denied");
        return Err(StartFailure::program(message, StartCause::NotExecutable));
    }
    Err(StartFailure::program(format!("exec: {name:?}: executable file not found in $PATH"), StartCause::NotFound))
}

fn is_program(path: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Errno::ISDIR),
        FileType::RegularFile => rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS),
        _ => Err(Errno::ACCESS),
    }
}

fn failed(what: &str) -> impl Fn(Errno) -> StartFailure {
    move |error| broken(what)(io::Error::from(error))
}

fn broken(what: &str) -> impl Fn(io::Error) -> StartFailure {
    move |error| StartFailure::setup(format!("cannot {what}: {}", words(&error)))
}
