//! The real docker, podman, skopeo and docker-registry, each started with a state of its own, to test and measure against.
//!
//! A peer that cannot run here is an error that says why. [`available`] turns it into a skipped test with a printed
//! reason, or into a failure where skipping would hide something: as root in continuous integration.

#![allow(
    clippy::disallowed_methods,
    reason = "finds programs by PATH and writes their configuration into scratch folders"
)]

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

mod azurite;
mod docker;
mod go;
mod nginx;
mod podman;
mod registry;
mod seaweed;

pub use azurite::Azurite;
pub use docker::Docker;
pub use go::Go;
pub use nginx::Nginx;
pub use podman::Podman;
pub use registry::{Demands, PASSWORD, Registry, USER};
pub use seaweed::Seaweed;

/// Set to `1`, it makes a peer that cannot run a failure instead of a skipped test.
pub const REQUIRE_VARIABLE: &str = "DHOW_REQUIRE_PEERS";

/// Whether a test may not be skipped for want of a peer.
pub fn required() -> bool {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == value);
    is(REQUIRE_VARIABLE, "1") || (is("CI", "true") && is_root())
}

/// The peer, or `None` with the reason printed. `None` means: return from the test.
///
/// # Panics
/// When the peer cannot run although it is [`required`].
pub fn available<T>(peer: io::Result<T>) -> Option<T> {
    match peer {
        Ok(peer) => Some(peer),
        Err(error) if required() => panic!("a required peer cannot run: {error}"),
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "the reason of a skipped test belongs into the test's output")]
            {
                eprintln!("skipped: {error}");
            }
            None
        }
    }
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The full path of a program.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] that names the program.
pub fn find(program: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons live in sbin, which is not on everybody's PATH.
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{program} is not installed")))
}

/// The folder in the user's cache where programs are kept that tests fetch.
fn cache() -> io::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).unwrap_or_else(std::env::temp_dir).join("dhow-tests");
    std::fs::create_dir_all(&cache)?;
    Ok(cache)
}

/// `skopeo` with the signature policy out of the way.
///
/// # Errors
/// That it is not installed.
pub fn skopeo() -> io::Result<Command> {
    let mut command = Command::new(find("skopeo")?);
    command.arg("--insecure-policy");
    Ok(command)
}

/// A scratch folder for a peer's state: in memory where there is room, because on some hosts deleting an unpacked image
/// takes a minute.
///
/// # Errors
/// The operating system's.
pub fn scratch() -> io::Result<tempfile::TempDir> {
    const NEEDED_BYTES: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)).unwrap_or(0);
    let mut builder = tempfile::Builder::new();
    builder.prefix("dhow-peer-");
    if free >= NEEDED_BYTES { builder.tempdir_in(memory) } else { builder.tempdir() }
}

/// Runs a command to its end.
///
/// # Errors
/// That it cannot be started, or that it failed: with its command line and the end of what it said.
pub fn run(command: &mut Command) -> io::Result<Output> {
    let output =
        command.output().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", shown(command))))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.trim().lines().rev().take(8).collect();
    let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(io::Error::other(format!("{} ended with {}: {end}", shown(command), output.status)))
}

/// What a command that must succeed wrote to its standard output, without the final line break.
///
/// # Errors
/// As [`run`].
pub fn stdout_of(command: &mut Command) -> io::Result<String> {
    let output = run(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// A command for a daemon that ends with the thread that starts it, where `setpriv` is there to see to it: a test run
/// that is killed leaves no daemons behind.
fn daemon(program: &Path) -> Command {
    match find("setpriv") {
        Ok(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM"]).arg(program);
            command
        }
        Err(_) => Command::new(program),
    }
}

/// Waits until `ready` or until the process ends; says the end of `log` then.
fn wait_until_ready(name: &str, child: &mut Child, log: &Path, mut ready: impl FnMut() -> bool) -> io::Result<()> {
    // Two cores may have several daemons, and the tests of two programs, to start at once.
    const PATIENCE: Duration = Duration::from_secs(120);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if ready() {
            return Ok(());
        }
        let ended = child.try_wait()?;
        if ended.is_some() || Instant::now() >= deadline {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let end: Vec<&str> = said.lines().rev().take(5).collect();
            let state =
                ended.map_or_else(|| "is not ready in time".to_owned(), |status| format!("ended with {status}"));
            stop(child, Duration::from_secs(2));
            return Err(io::Error::other(format!("{name} {state}: {}", end.join(" | "))));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks a process to end, and kills it when it does not within `patience`.
fn stop(child: &mut Child, patience: Duration) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let deadline = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A loopback address with a port that was free a moment ago.
///
/// # Errors
/// The operating system's.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
