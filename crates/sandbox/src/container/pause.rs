//! Processes of a container that stand still for a while, so that its files do too.
//!
//! They are stopped by SIGSTOP, which takes no cgroup and no rights but those to signal them. What was stopped already is left alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dhow_base::fs::read_limited;
use dhow_base::{Error, Kind, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::calls::HeldSignals;

/// How long processes may take to stand still.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long they are left alone before they are looked at again.
const BREATH: Duration = Duration::from_millis(1);

/// Longest `/proc/…/stat` that is read, in bytes.
const STAT_BYTES_MAX: u64 = 4 << 10;

/// Signals that would end this process and leave the container as it is.
const HELD: [i32; 5] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP];

/// The processes of a container, which go on when this is dropped. Until then signals that would end this thread's process wait.
#[derive(Debug)]
pub struct Paused {
    stopped: Vec<OwnedFd>,
    /// Last: what waited may end this process.
    _signals: HeldSignals,
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in self.stopped.iter().rev() {
            // One that was killed meanwhile does not go on.
            let _ = pidfd_send_signal(process, Signal::CONT);
        }
    }
}

/// Has all processes of a container stand still: its first process, which is still the one that `is_it` knows, and all that come of it.
///
/// # Errors
/// [`Kind::Conflict`] when it has ended, or when something in it does not stand still; all go on then.
pub fn pause(first: u32, is_it: impl Fn() -> bool) -> Result<Paused> {
    let signals = HeldSignals::hold(&HELD).map_err(|error| Error::io("cannot hold signals back", error))?;
    let mut paused = Paused { stopped: Vec::new(), _signals: signals };
    let mut asked: HashSet<(u32, u64)> = HashSet::new();
    let (begin, mut was_still) = (Instant::now(), false);
    loop {
        let processes = descendants(first);
        if !is_it() {
            return Err(Error::new(Kind::Conflict, "the container has just ended"));
        }
        let moving: Vec<&Process> = processes.iter().filter(|process| !process.stands_still()).collect();
        // Once more, since one may have come of another before that one stood still.
        if moving.is_empty() && was_still {
            return Ok(paused);
        }
        was_still = moving.is_empty();
        for process in moving {
            if asked.insert((process.id, process.start)) {
                paused.stopped.extend(process.stop()?);
            }
        }
        if begin.elapsed() > PATIENCE {
            let message = format!("a process of the container does not stand still within {} s", PATIENCE.as_secs());
            return Err(Error::new(Kind::Conflict, message).with_hint("--pause=false takes the files as they are"));
        }
        sleep(BREATH);
    }
}

/// A process as proc_pid_stat(5) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    /// When it was started, in ticks since the machine was.
    start: u64,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let (_, parent, start) = stat(&Path::new("/proc").join(id.to_string()))?;
        Some(Self { id, parent, start })
    }

    /// Whether none of its threads runs: the state of the whole is that of its first thread alone.
    fn stands_still(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id)) else { return true };
        let mut states = threads.flatten().filter_map(|thread| stat(&thread.path())).map(|(state, ..)| state);
        states.all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
    }

    /// Asks it to stop; nothing when it is gone.
    fn stop(&self) -> Result<Option<OwnedFd>> {
        let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let stop = || {
            let handle = pidfd_open(id, PidfdFlags::empty())?;
            // The handle stands for one process: this one, or another that got its number since.
            if Self::read(self.id).is_none_or(|now| now.start != self.start) {
                return Err(Errno::SRCH);
            }
            pidfd_send_signal(&handle, Signal::STOP)?;
            Ok(handle)
        };
        match stop() {
            Ok(handle) => Ok(Some(handle)),
            Err(Errno::SRCH | Errno::INVAL) => Ok(None),
            Err(error) => Err(Error::io("cannot stop a process of the container", error.into())),
        }
    }
}

/// A process and all that come of it: what loses its parent in a container gets its first process for one.
fn descendants(first: u32) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(process) = id.and_then(Process::read) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found: Vec<Process> = Process::read(first).into_iter().collect();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let below = children.remove(&process.id).unwrap_or_default();
        found.extend(below);
        next += 1;
    }
    found
}

/// State, parent and start of what a directory of `/proc` is about.
fn stat(directory: &Path) -> Option<(char, u32, u64)> {
    let text = read_limited(&directory.join("stat"), STAT_BYTES_MAX).ok()?;
    parse(&String::from_utf8_lossy(&text))
}

fn parse(text: &str) -> Option<(char, u32, u64)> {
    // The second field is a name in parentheses, which may have anything in it.
    let mut fields = text.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((state, parent, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let rest = "5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4242 23";
        let check = |text: &str, expected| assert_eq!(parse(text), expected, "{text}");
        check(&format!("12 (sh) S 4 {rest}"), Some(('S', 4, 4242)));
        check(&format!("12 (a) R 1 (b) T 4 {rest}"), Some(('T', 4, 4242)));
        check("12 (sh) S", None);
        check("", None);
    }

    #[test]
    fn a_tree_of_processes_stands_still_and_goes_on() {
        let script = "sleep 1000 & while :; do :; done";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().expect("a shell");
        let begin = Instant::now();
        while descendants(child.id()).len() < 2 && begin.elapsed() < PATIENCE {
            sleep(BREATH);
        }
        let states = || descendants(child.id()).iter().map(Process::stands_still).collect::<Vec<_>>();
        let sleeper = descendants(child.id()).last().map(|process| process.id).expect("a sleeper");
        let paused = pause(child.id(), || true).expect("a pause");
        assert_eq!(states(), [true, true]);
        drop(paused);
        let begin = Instant::now();
        while states().contains(&true) && begin.elapsed() < PATIENCE {
            sleep(BREATH);
        }
        assert_eq!(states(), [false, false]);
        assert!(pause(child.id(), || false).is_err(), "another process");
        let _ = crate::kill(sleeper, || true);
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(descendants(child.id()), []);
    }
}
