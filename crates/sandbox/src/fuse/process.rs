//! One process for each mount, which lives until it is unmounted, whatever becomes of who started it.

#![allow(unsafe_code, reason = "what happens between fork(2) and execve(2), and descriptors that come by number")]

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dhow_base::error::words;
use dhow_base::fs::{FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::{Image, Union};
use fuser::{Config, MountOption, Session, SessionACL};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::serving::Serving;
use super::tree::Tree;
use crate::layers::unmount;

/// Longest message between the two processes, in bytes: the numbers of some thousand descriptors.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;

/// What the serving process says when everything is in place.
const MOUNTED: &str = "mounted\n";

/// How long to wait for the lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Threads that answer the kernel, at most.
const THREADS_MAX: usize = 4;

/// How to start the process that serves a mount: it calls [`serve`] with what is added to the arguments, the mount point
/// and the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Mounts layer files, the lowest first, over each other at `target`, an absolute path, read-only. The process that serves the
/// mount holds `lock` for as long as it lives.
///
/// # Errors
/// [`Kind::Unsupported`] when FUSE mounts nothing here, and why. Nothing is mounted then.
pub fn mount_over_fuse(server: &Server, layers: &[&File], target: &Path, lock: &Path) -> Result<()> {
    let failed = |error| Error::io("cannot read from the process that serves the mount", error);
    let numbers: Vec<i32> = layers.iter().map(|layer| layer.as_raw_fd()).collect();
    let message: String = numbers.iter().map(|number| format!("{number} ")).collect();
    let mut command = Command::new(&server.program);
    command.arg0("dhow").args(&server.arguments).arg(target).arg(lock).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let prepare = move || {
        // Neither the terminal's signals nor its end are for this process.
        rustix::process::setsid()?;
        for number in &numbers {
            // SAFETY: the caller's files are open until the command is spawned.
            let file = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl_setfd(file, fcntl_getfd(file)? - FdFlags::CLOEXEC)?;
        }
        Ok(())
    };
    // SAFETY: two system calls, and nothing that allocates or locks.
    unsafe { command.pre_exec(prepare) };
    let mut child = command.spawn().map_err(|error| {
        let message = format!("cannot start the process that serves the mount: {}", words(&error));
        Error::new(Kind::Unsupported, message)
    })?;
    // When it ended already, its answer says why.
    let _ = child.stdin.take().map(|mut input| input.write_all(message.as_bytes()));
    let mut answer = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(MESSAGE_BYTES_MAX).read_to_string(&mut answer).map_err(failed)?;
    }
    if answer == MOUNTED {
        return Ok(());
    }
    let _ = child.wait();
    let why = answer.trim();
    let why = if why.is_empty() { "the process that serves the mount ended at once" } else { why };
    Err(Error::new(Kind::Unsupported, why))
}

/// Serves a mount that [`mount_over_fuse`] asks for, until it is unmounted: what the started program does.
///
/// # Errors
/// Those of the mount, after who asked for it was told.
pub fn serve(target: &Path, lock: &Path) -> Result<()> {
    let started = start(target, lock);
    let mut output = io::stdout();
    let answer = match &started {
        Ok(_) => MOUNTED.to_owned(),
        Err(error) => error.to_string(),
    };
    // Whoever asked may be gone: then the mount has no record, and the next clean-up ends it.
    let _ = output.write_all(answer.as_bytes()).and_then(|()| output.flush());
    let (session, _lock) = started?;
    leave_standard_streams().map_err(|error| Error::io("cannot open /dev/null", error))?;
    session.run().map_err(|error| Error::io(format_args!("cannot serve {target:?}"), error))
}

fn start(target: &Path, lock: &Path) -> Result<(Session<Serving>, FileLock)> {
    let mut message = String::new();
    io::stdin()
        .take(MESSAGE_BYTES_MAX)
        .read_to_string(&mut message)
        .map_err(|error| Error::io("cannot read what to serve", error))?;
    let layers = message.split_whitespace().map(layer).collect::<Result<Vec<File>>>()?;
    // Whoever lists mounts holds it for a moment, to see whether it is free.
    let held = FileLock::acquire(lock, LockMode::Exclusive, PATIENCE)?;
    end_on_signals(target)?;
    // Not `exe`, which is what it was started by.
    let _ = rustix::thread::set_name(c"dhow-mount");
    Ok((session(layers, target)?, held))
}

/// A layer file that was handed over by its number.
fn layer(number: &str) -> Result<File> {
    let wrong = || Error::new(Kind::Invalid, format!("{number:?} is no open file"));
    let number: i32 = number.parse().ok().filter(|number| *number > 2).ok_or_else(wrong)?;
    // SAFETY: only for one call that fails when nothing has the number.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).map_err(|_| wrong())?;
    // SAFETY: open, as was just seen, and nobody else's: this process has opened nothing yet.
    let file = unsafe { File::from_raw_fd(number) };
    fcntl_setfd(&file, FdFlags::CLOEXEC).map_err(|_| wrong())?;
    Ok(file)
}

/// Mounts layers at a path. The kernel asks nothing before the session runs.
pub(crate) fn session(layers: Vec<File>, target: &Path) -> Result<Session<Serving>> {
    let mut bytes = 0;
    let mut images = Vec::with_capacity(layers.len());
    for file in layers {
        bytes += file.metadata().map_err(|error| Error::io("cannot read a layer", error))?.len();
        images.push(Arc::new(Image::open(file)?));
    }
    let by_root = rustix::process::geteuid().is_root();
    let serving = Serving { tree: Tree::new(Union::new(images))?, bytes, by_root };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("dhow".to_owned()),
        MountOption::Subtype("dhow".to_owned()),
        MountOption::RO,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoAtime,
    ];
    if by_root {
        config.mount_options.push(MountOption::DefaultPermissions);
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX));
    Session::new(serving, target, &config).map_err(|error| cannot(&error))
}

/// Why FUSE mounts nothing.
fn cannot(error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::NotFound if !Path::new("/dev/fuse").exists() => "there is no /dev/fuse".to_owned(),
        io::ErrorKind::NotFound => "neither fusermount3 nor fusermount is installed".to_owned(),
        _ => error.to_string().trim().to_owned(),
    };
    Error::new(Kind::Unsupported, why)
}

/// Unmounts before the process ends by a signal: it would leave a mount that nobody serves.
fn end_on_signals(target: &Path) -> Result<()> {
    let failed = |error| Error::io("cannot wait for signals", error);
    let mut signals = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` writes the set, the others read or change it.
    let signals = unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(signals.as_mut_ptr(), signal);
        }
        let signals = signals.assume_init();
        // Before other threads start, which inherit it.
        if libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) != 0 {
            return Err(failed(io::Error::last_os_error()));
        }
        signals
    };
    let target = target.to_owned();
    let wait = move || {
        let mut signal = 0;
        // SAFETY: both point to values of this thread.
        while unsafe { libc::sigwait(&raw const signals, &raw mut signal) } != 0 {}
        // What is in use stays where it is until then; it will find that nobody answers.
        let _ = unmount(&target, true);
        // SAFETY: always sound; other threads may be anywhere, and nothing is left to write.
        unsafe { libc::_exit(0) }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(failed)
}

/// Whoever waits for the end of what the caller wrote must not wait for this process.
fn leave_standard_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open(OsStr::new("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_open_files_are_taken() {
        for wrong in ["", "x", "0", "2", "-1", "99999"] {
            assert!(layer(wrong).is_err(), "{wrong}");
        }
    }
}
