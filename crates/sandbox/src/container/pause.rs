//! Processes of a container that stand still for a while, so that its files do too.
//!
//! They are stopped by SIGSTOP, which takes no cgroup and no rights but those to signal them. What was stopped already is left alone. Who
//! stops them is told of each before, so that somebody else can let them go on if this process is killed meanwhile.

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
use serde::{Deserialize, Serialize};

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

impl Paused {
    /// Lets the processes go on. Signals wait for the drop still.
    pub fn resume(&mut self) {
        for process in self.stopped.drain(..).rev() {
            // One that was killed meanwhile does not go on.
            let _ = pidfd_send_signal(&process, Signal::CONT);
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.resume();
    }
}

/// A process that was asked to stand still, told apart from others that get its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stopped {
    /// Its number.
    id: u32,
    /// When it was started, in ticks since the machine was (proc_pid_stat(5), field 22).
    start: u64,
}

/// Lets processes go on that were stopped by somebody who is not there any more to do it.
pub fn resume(stopped: &[Stopped]) {
    for process in stopped.iter().rev() {
        // Gone, or somebody else's by now: then it was nobody's to go on.
        let _ = process.send(Signal::CONT);
    }
}

/// Has all processes of a container stand still: its first process, which is still the one that `is_it` knows, and all that come of it.
/// `note` is told of all that are stopped, before the last of them are.
///
/// # Errors
/// [`Kind::Conflict`] when it has ended, or when something in it does not stand still; those of `note`. All go on then.
pub fn pause(first: u32, is_it: impl Fn() -> bool, note: &mut dyn FnMut(&[Stopped]) -> Result<()>) -> Result<Paused> {
    let signals = HeldSignals::hold(&HELD).map_err(|error| Error::io("cannot hold signals back", error))?;
    let mut paused = Paused { stopped: Vec::new(), _signals: signals };
    let (mut asked, mut noted) = (HashSet::new(), Vec::new());
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
        let new: Vec<Stopped> =
            moving.iter().map(|process| process.stopped()).filter(|one| asked.insert(*one)).collect();
        if !new.is_empty() {
            noted.extend_from_slice(&new);
            note(&noted)?;
        }
        for process in new {
            match process.send(Signal::STOP) {
                Ok(handle) => paused.stopped.push(handle),
                Err(Errno::SRCH | Errno::INVAL) => {}
                Err(error) => return Err(Error::io("cannot stop a process of the container", error.into())),
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

    fn stopped(&self) -> Stopped {
        Stopped { id: self.id, start: self.start }
    }
}

impl Stopped {
    /// Sends a signal to this very process. Returns what stands for it.
    fn send(&self, signal: Signal) -> Result<OwnedFd, Errno> {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let handle = pidfd_open(id, PidfdFlags::empty())?;
        // The handle stands for one process: this one, or another that got its number since.
        if Process::read(self.id).is_none_or(|now| now.start != self.start) {
            return Err(Errno::SRCH);
        }
        pidfd_send_signal(&handle, signal)?;
        Ok(handle)
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
        let goes_on = || {
            let begin = Instant::now();
            while states().contains(&true) && begin.elapsed() < PATIENCE {
                sleep(BREATH);
            }
            assert_eq!(states(), [false, false]);
        };
        let mut noted = Vec::new();
        let mut note = |stopped: &[Stopped]| {
            noted = stopped.to_vec();
            Ok(())
        };
        let paused = pause(child.id(), || true, &mut note).expect("a pause");
        assert_eq!(states(), [true, true]);
        drop(paused);
        goes_on();
        // Who stopped them is gone without a word: somebody else lets them go on, by what was noted.
        let mut paused = pause(child.id(), || true, &mut note).expect("a pause");
        paused.stopped.clear();
        drop(paused);
        assert_eq!(states(), [true, true]);
        let later: Vec<Stopped> = noted.iter().map(|one| Stopped { start: one.start + 1, ..*one }).collect();
        resume(&later);
        assert_eq!(states(), [true, true], "others of the same numbers");
        resume(&noted);
        goes_on();
        assert!(pause(child.id(), || false, &mut |_| Ok(())).is_err(), "another process");
        let _ = crate::kill(sleeper, || true);
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(descendants(child.id()), []);
    }
}
