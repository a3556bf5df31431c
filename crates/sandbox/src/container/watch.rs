//! Starting a container and watching it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use dhow_base::error::words;
use dhow_base::{Error, Kind, Result, threads};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fstat, memfd_create, openat};
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::UnshareFlags;

use super::FIRST_PROCESS;
use super::calls::{self, HeldSignals};
use super::cgroup::Group;
use super::inside::{restrict, view};
use super::joined::{Inherited, Joined, NamespaceKind};
use super::processes::KnownProcess;
use super::rest::Ending;
use super::spec::{Report, Spec, StartFailure};
use super::streams::{Moving, Pipes, Screen, Streams, Terminal, Unwritten};

/// Signals that are passed on to the container: all that docker's client passes on but those of faults, of background input and output, and of
/// real time.
const PASSED_ON: [i32; 15] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
];

/// So many interruptions end a container that does not heed them, as docker's client ends then.
const INTERRUPTIONS_MAX: u32 = 3;

/// What failed, in messages.
const STARTING: &str = "cannot start a container";

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// The program ended; 128 and the number of the signal if one ended it.
    Exited(u8),
    /// The same, and not all that it wrote could be passed on.
    Unheard(u8, Unwritten),
    /// The program was killed, since it did not heed being asked to end so often.
    GivenUp,
    /// The program was killed, since it ran longer than it may.
    TimedOut,
    /// The program was not started.
    NotStarted(StartFailure),
}

/// The signals that are passed on to a container: held back from before it starts until what became of it is settled. One that comes when there
/// is nobody left to pass it on to ends nothing: the program that it was for has ended.
#[derive(Debug)]
pub struct PassedOn(HeldSignals);

impl PassedOn {
    /// Holds them back.
    ///
    /// # Errors
    /// The operating system's.
    pub fn hold() -> Result<Self> {
        // Who is to outlive a terminal (nohup) has its container do so.
        let is_passed_on = |signal: &i32| *signal != libc::SIGHUP || !calls::is_ignored(*signal);
        let held = PASSED_ON.into_iter().filter(is_passed_on).chain([libc::SIGCHLD, libc::SIGWINCH]);
        let signals = HeldSignals::hold(&held.collect::<Vec<_>>()).map_err(|error| Error::io(STARTING, error))?;
        Ok(Self(signals))
    }
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        while let Ok(Some(_)) = self.0.wait_until(Some(Instant::now())) {}
    }
}

/// The first process of a container, which is not left behind by who does not come to its end.
struct First(Child);

impl Drop for First {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a container to its end, in a control group if there is one, and in namespaces of others if it joins any. `started` is told of its
/// first process once its program runs; when that fails, the container is killed. `stopped` hears whenever that process was stopped, or
/// goes on.
///
/// # Errors
/// Those of starting a process and of what it needs; nothing runs then.
pub fn run(
    spec: Spec,
    joined: &Joined,
    group: Option<&Group>,
    streams: Streams,
    signals: &PassedOn,
    started: &mut dyn FnMut(KnownProcess) -> Result<()>,
    stopped: &dyn Fn(),
) -> Result<Ended> {
    let cannot = |error| Error::io(STARTING, error);
    let (pipes, stdio) = if spec.terminal {
        (None, [Stdio::null(), Stdio::null(), Stdio::null()])
    } else {
        let (pipes, stdio) = Pipes::new(streams.input.is_some()).map_err(cannot)?;
        (Some(pipes), stdio)
    };
    let Spawned { child, mut orders, reports, inherited, _keeper } =
        spawn(stdio, spec.shared.pid, joined).map_err(|error| calls::not_left(STARTING, error))?;
    let mut first = First(child);
    let spec = Spec { joined: inherited, ..spec };
    // Before it leaves the machine's namespaces, and before anything comes of it.
    let taken = group.map_or(Ok(()), |group| group.take(first.0.id()));
    let taken = taken.and_then(|()| spec.oom_score.map_or(Ok(()), |score| set_oom_score(first.0.id(), score)));
    let begun = taken.and_then(|()| Screen::of(&streams)).and_then(|screen| {
        let begun = begin(&spec, &mut first.0, &mut orders, reports, &screen, group)?;
        Ok((begun, screen))
    });
    let (Begun { terminal, ending, failure }, screen) = begun.map_err(cannot)?;
    if let Some(failure) = failure {
        return Ok(Ended::NotStarted(failure));
    }
    let deadline = spec.timeout_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    let known = KnownProcess::of(first.0.id()).ok_or_else(|| cannot(io::ErrorKind::NotFound.into()));
    known.and_then(started)?;
    let terminal = match terminal {
        Some(master) => Some(Terminal::new(master, screen, &streams).map_err(cannot)?),
        None => None,
    };
    let moving = connect(terminal.as_ref(), pipes, streams).map_err(cannot)?;
    let ended = wait(&mut first.0, &signals.0, deadline, terminal.as_ref(), stopped).map_err(cannot)?;
    if ending.is_some_and(|ending| !ending.end()) {
        tracing::warn!("processes of the container are left that do not end");
        return Ok(ended);
    }
    Ok(heard_out(ended, moving))
}

/// Lets bytes pass between a container and the streams that it was given.
fn connect(terminal: Option<&Terminal>, pipes: Option<Pipes>, streams: Streams) -> io::Result<Vec<Moving>> {
    match (terminal, pipes) {
        (Some(terminal), _) => terminal.connect(streams),
        (None, Some(pipes)) => pipes.connect(streams),
        (None, None) => Ok(Vec::new()),
    }
}

/// How a container ended, once all that it said was passed on. With the first process all others of it ended, and with them their ends
/// of the streams.
fn heard_out(ended: Ended, moving: Vec<Moving>) -> Ended {
    let unwritten = moving.into_iter().map(Moving::finish).fold(None, Option::or);
    match (ended, unwritten) {
        (Ended::Exited(code), Some(unwritten)) => Ended::Unheard(code, unwritten),
        (ended, _) => ended,
    }
}

/// Says how soon a process is killed when the machine runs out of memory; as long as one may look into it.
fn set_oom_score(process: u32, score: i16) -> io::Result<()> {
    let path = format!("/proc/{process}/oom_score_adj");
    let written = std::fs::OpenOptions::new().write(true).open(path);
    let written = written.and_then(|mut file| file.write_all(score.to_string().as_bytes()));
    written.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => "less than its own is for who has CAP_SYS_RESOURCE".to_owned(),
            _ => words(&error),
        };
        io::Error::new(error.kind(), format!("its OOM score cannot be {score}: {why}"))
    })
}

/// Starts the first process, in a namespace of processes of its own, another's or the machine's.
fn spawn(stdio: [Stdio; 3], shares_processes: bool, joined: &Joined) -> io::Result<Spawned> {
    let (orders_reader, orders) = io::pipe()?;
    let (reports, reports_writer) = io::pipe()?;
    calls::inherit(&orders_reader)?;
    calls::inherit(&reports_writer)?;
    let program = own_program()?;
    let path = OsString::from(format!("/proc/self/fd/{}", program.as_raw_fd()));
    let [input, output, error] = stdio;
    let mut command = Command::new(path);
    command.arg0("dhow").arg(FIRST_PROCESS).env_clear().stdin(input).stdout(output).stderr(error);
    command.args([orders_reader.as_raw_fd(), reports_writer.as_raw_fd()].map(|number| number.to_string()));
    let (_copies, inherited) = joined.inherited()?;
    let processes = joined.of_processes().map(OwnedFd::try_clone).transpose()?;
    // A thread of its own leaves the namespace, since whoever has left it makes no threads any more, and only root gets back. It lives as
    // long as it is held: its end would be the container's (prctl(2), `PR_SET_PDEATHSIG`).
    let (answer, answered) = mpsc::channel();
    let (keeper, released) = mpsc::channel::<()>();
    let keep = move || {
        let left = match &processes {
            Some(processes) => NamespaceKind::Pid.enter(processes).map_err(|error| {
                io::Error::other(format!("cannot enter another's namespace of processes: {}", words(&error)))
            }),
            None if shares_processes => Ok(()),
            None => calls::unshare(UnshareFlags::NEWPID),
        };
        let child = left.and_then(|()| command.spawn());
        // It holds the container's ends of the pipes: who reads from them would wait for this thread.
        drop(command);
        let _ = answer.send(child);
        let _ = released.recv();
    };
    threads::start("keeper", keep).map_err(io::Error::other)?;
    let child = answered.recv().map_err(io::Error::other)??;
    let file = |end: OwnedFd| File::from(end);
    let reports = BufReader::new(file(reports.into()));
    Ok(Spawned { child, orders: file(orders.into()), reports, inherited, _keeper: keeper })
}

/// The first process of a container.
struct Spawned {
    child: Child,
    orders: File,
    reports: BufReader<File>,
    inherited: Inherited,
    /// Dropped, it ends the thread that started the process, and so the process.
    _keeper: Sender<()>,
}

/// This program, as a file that cannot be written through what is seen of it: a container that reaches it by `/proc/self/exe` gets no
/// further (CVE-2019-5736). A read-only view of it, or a copy in memory where it is not found by its name any more.
fn own_program() -> io::Result<OwnedFd> {
    let program = openat(CWD, "/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let own = fstat(&program)?;
    // By its name: the link leads to the mounts that there were when it was started, of which no view can be made.
    let found = std::fs::read_link("/proc/self/exe")
        .and_then(|path| Ok(openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?));
    if let Ok(found) = found
        && let Ok(stat) = fstat(&found)
        && (stat.st_dev, stat.st_ino) == (own.st_dev, own.st_ino)
        && let Ok(seen) = view(&found, false)
    {
        restrict(&seen, MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID, false)?;
        return Ok(seen);
    }
    let copy = memfd_create("dhow", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut copy = File::from(copy);
    io::copy(&mut File::from(program), &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy.into())
}

/// A container whose program runs, or will not.
struct Begun {
    terminal: Option<OwnedFd>,
    ending: Option<Ending>,
    failure: Option<StartFailure>,
}

/// Tells the first process what to do, and waits until its program runs or will not. Its terminal has its size before it runs.
fn begin(
    spec: &Spec,
    first: &mut Child,
    orders: &mut File,
    mut reports: BufReader<File>,
    screen: &Screen,
    group: Option<&Group>,
) -> io::Result<Begun> {
    let spec = serde_json::to_vec(spec)?;
    let mut begun = Begun { terminal: None, ending: None, failure: None };
    let sent = orders.write_all(&(spec.len() as u64).to_le_bytes()).and_then(|()| orders.write_all(&spec));
    if let Err(error) = sent.as_ref()
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        sent?;
    }
    let mut line = String::new();
    let mut is_ready = false;
    loop {
        line.clear();
        if reports.read_line(&mut line)? == 0 {
            break;
        }
        if line == "\n" {
            is_ready = true;
            continue;
        }
        match serde_json::from_str(&line)? {
            Report::Failed(failure) => return Ok(Begun { failure: Some(failure), ..begun }),
            Report::Terminal(descriptor) => {
                let master = taken_over(first, descriptor)?;
                screen.size(&master);
                begun.terminal = Some(master);
                orders.write_all(&[1])?;
            }
            Report::Mounts(descriptor) => {
                let groups = group.map(Group::directories).unwrap_or_default();
                begun.ending = Some(Ending::prepare(first.id(), taken_over(first, descriptor)?, groups)?);
                orders.write_all(&[1])?;
            }
        }
    }
    if !is_ready {
        let message = "the first process of the container ended before it was ready";
        return Err(io::Error::other(Error::new(Kind::Internal, message)));
    }
    Ok(begun)
}

/// A descriptor of the first process.
fn taken_over(first: &Child, descriptor: i32) -> io::Result<OwnedFd> {
    let process = Pid::from_raw(i32::try_from(first.id()).unwrap_or(0)).ok_or(io::ErrorKind::NotFound)?;
    let handle = pidfd_open(process, PidfdFlags::empty())?;
    Ok(pidfd_getfd(&handle, descriptor, PidfdGetfdFlags::empty())?)
}

/// Waits for the end, and passes signals on meanwhile.
fn wait(
    first: &mut Child,
    signals: &HeldSignals,
    mut deadline: Option<Instant>,
    terminal: Option<&Terminal>,
    stopped: &dyn Fn(),
) -> io::Result<Ended> {
    let (mut interruptions, mut is_child, mut is_late) = (0, false, false);
    loop {
        if let Some(status) = first.try_wait()? {
            return Ok(match () {
                () if is_late => Ended::TimedOut,
                () if interruptions < INTERRUPTIONS_MAX => Ended::Exited(code(status)),
                () => Ended::GivenUp,
            });
        }
        if is_child {
            stopped();
        }
        let Some(signal) = signals.wait_until(deadline)? else {
            (deadline, is_late, is_child) = (None, true, false);
            first.kill()?;
            continue;
        };
        is_child = signal == libc::SIGCHLD;
        match signal {
            libc::SIGCHLD => {}
            libc::SIGWINCH if terminal.is_some() => terminal.into_iter().for_each(Terminal::resize),
            signal => {
                // It was not waited for: the number is its own, even if it ended meanwhile.
                let _ = calls::send_signal(first.id(), signal);
                interruptions += u32::from(matches!(signal, libc::SIGINT | libc::SIGTERM));
                if interruptions >= INTERRUPTIONS_MAX {
                    first.kill()?;
                }
            }
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
