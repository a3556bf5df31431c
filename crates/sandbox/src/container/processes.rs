//! Processes as `/proc` shows them (proc_pid_stat(5)).

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_base::fs::read_limited;
use dhow_base::{Error, Kind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Longest `/proc/…/stat` that is read, in bytes.
const STAT_BYTES_MAX: u64 = 4 << 10;

/// A process, told apart from others that get its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnownProcess {
    /// Its number, as this machine counts.
    pub(super) id: u32,
    /// When it was started, in ticks since the machine was (proc_pid_stat(5), field 22).
    pub(super) start: u64,
}

impl KnownProcess {
    /// The process that has a number now, if there is one.
    pub fn of(id: u32) -> Option<Self> {
        Process::read(id).map(|process| process.known)
    }

    /// Its number, as this machine counts.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it is there still, if only until somebody waits for it.
    pub fn is_there(&self) -> bool {
        Self::of(self.id) == Some(*self)
    }

    /// Kills it.
    ///
    /// # Errors
    /// The operating system's; a process that is gone is none.
    pub fn kill(&self) -> io::Result<()> {
        match self.send(Signal::KILL) {
            Err(Errno::SRCH) => Ok(()),
            sent => Ok(sent.map(drop)?),
        }
    }

    /// Kills it, and waits for its end. With the first process of a namespace all that are in it have ended then. Returns whether it has.
    ///
    /// # Errors
    /// The operating system's; a process that is gone is none.
    pub fn end(&self, patience: Duration) -> io::Result<bool> {
        let handle = match self.send(Signal::KILL) {
            Err(Errno::SRCH) => return Ok(true),
            sent => sent?,
        };
        let began = Instant::now();
        loop {
            let left = patience.saturating_sub(began.elapsed());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
                Err(Errno::INTR) => {}
                ended => return Ok(ended? > 0),
            }
        }
    }

    /// Sends a signal to this very process. Returns what stands for it.
    pub(super) fn send(&self, signal: Signal) -> Result<OwnedFd, Errno> {
        let handle = handle_of(self.id)?;
        // The handle stands for one process: this one, or another that got its number since.
        if !self.is_there() {
            return Err(Errno::SRCH);
        }
        pidfd_send_signal(&handle, signal)?;
        Ok(handle)
    }
}

/// That a container has ended which ran a moment ago, as the cause of an error: who looks at it again finds out what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JustEnded;

impl std::error::Error for JustEnded {}

impl fmt::Display for JustEnded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the container has just ended")
    }
}

impl From<JustEnded> for Error {
    fn from(ended: JustEnded) -> Self {
        Self::new(Kind::Conflict, ended.to_string()).with_source(ended)
    }
}

/// What stands for the process that has a number now.
pub(super) fn handle_of(id: u32) -> Result<OwnedFd, Errno> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    pidfd_open(id, PidfdFlags::empty())
}

/// A process at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) known: KnownProcess,
    parent: u32,
    /// Whether it has ended, and nobody has waited for it yet.
    pub(super) has_ended: bool,
}

impl Process {
    pub(super) fn read(id: u32) -> Option<Self> {
        let (state, parent, start) = stat(&Path::new("/proc").join(id.to_string()))?;
        Some(Self { known: KnownProcess { id, start }, parent, has_ended: matches!(state, 'Z' | 'X') })
    }

    /// Whether none of its threads runs: the state of the whole is that of its first thread alone.
    pub(super) fn stands_still(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.known.id)) else { return true };
        let mut states = threads.flatten().filter_map(|thread| stat(&thread.path())).map(|(state, ..)| state);
        states.all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
    }
}

/// All that this process sees.
pub(super) fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Process::read)
}

/// Processes and all that come of them: what loses its parent in a namespace of processes gets the first one there for a parent.
pub(super) fn descendants(of: &[KnownProcess]) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    let mut found = Vec::new();
    for process in all() {
        match of.contains(&process.known) {
            true => found.push(process),
            false => children.entry(process.parent).or_default().push(process),
        }
    }
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let below = children.remove(&process.known.id).unwrap_or_default();
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
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = KnownProcess::of(std::process::id()).expect("this process");
        let another = KnownProcess { start: own.start + 1, ..own };
        assert_eq!((own.is_there(), another.is_there()), (true, false));
    }

    #[test]
    fn a_process_has_ended_when_that_is_said() {
        for _ in 0..20 {
            let mut child = Command::new("sleep").arg("1000").spawn().expect("a process");
            let process = KnownProcess::of(child.id()).expect("the process");
            let another = KnownProcess { start: process.start + 1, ..process };
            assert!(another.end(Duration::from_secs(60)).expect("no error"));
            assert_eq!(child.try_wait().expect("a state"), None);
            assert!(process.end(Duration::from_secs(60)).expect("its end"));
            assert!(Process::read(child.id()).is_some_and(|process| process.has_ended));
            child.wait().expect("its end");
            assert!(process.end(Duration::from_secs(60)).expect("no error"));
        }
    }

    #[test]
    fn nothing_comes_of_a_process_whose_number_is_another_s() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("a process");
        let own = KnownProcess::of(std::process::id()).expect("this process");
        let another = KnownProcess { start: own.start + 1, ..own };
        let is_child = |process: &Process| process.known.id == child.id();
        assert!(descendants(&[own]).iter().any(is_child));
        assert_eq!(descendants(&[another]), []);
        let _ = child.kill();
        let _ = child.wait();
    }

    #[test]
    fn a_name_may_have_anything_in_it() {
        let rest = "5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4242 23";
        let check = |text: &str, expected| assert_eq!(parse(text), expected, "{text}");
        check(&format!("12 (sh) S 4 {rest}"), Some(('S', 4, 4242)));
        check(&format!("12 (a) R 1 (b) T 4 {rest}"), Some(('T', 4, 4242)));
        check("12 (sh) S", None);
        check("", None);
    }
}
