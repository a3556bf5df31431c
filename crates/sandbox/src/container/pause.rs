//! Processes of a container that stand still for a while, so that its files do too.
//!
//! They are stopped by SIGSTOP, which takes no cgroup and no rights but those to signal them. What was stopped already is left alone. Who
//! stops them is told of each before, so that somebody else can let them go on if this process is killed meanwhile.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dhow_base::{Error, Kind, Result};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::calls::HeldSignals;
use super::processes::{JustEnded, KnownProcess, Process, descendants};

/// How long processes may take to stand still.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long they are left alone before they are looked at again.
const BREATH: Duration = Duration::from_millis(1);

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

/// Lets processes go on that were stopped by somebody who is not there any more to do it.
pub fn resume(stopped: &[KnownProcess]) {
    for process in stopped.iter().rev() {
        // Gone, or somebody else's by now: then it was nobody's to go on.
        let _ = process.send(Signal::CONT);
    }
}

/// Has all processes of a container stand still: its first one, and all that come of it. `note` is told of all that are stopped, before the
/// last of them are.
///
/// # Errors
/// [`JustEnded`], or [`Kind::Conflict`] when something in it does not stand still; those of `note`. All go on then.
pub fn pause(first: &KnownProcess, note: &mut dyn FnMut(&[KnownProcess]) -> Result<()>) -> Result<Paused> {
    let signals = HeldSignals::hold(&HELD).map_err(|error| Error::io("cannot hold signals back", error))?;
    let mut paused = Paused { stopped: Vec::new(), _signals: signals };
    let (mut asked, mut noted) = (HashSet::new(), Vec::new());
    let (begin, mut was_still) = (Instant::now(), false);
    loop {
        let processes = descendants(&[*first]);
        if !first.is_there() {
            return Err(JustEnded.into());
        }
        let moving: Vec<&Process> = processes.iter().filter(|process| !process.stands_still()).collect();
        // Once more, since one may have come of another before that one stood still.
        if moving.is_empty() && was_still {
            return Ok(paused);
        }
        was_still = moving.is_empty();
        let new: Vec<KnownProcess> =
            moving.iter().map(|process| process.known).filter(|one| asked.insert(*one)).collect();
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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_of_processes_stands_still_and_goes_on() {
        let script = "sleep 1000 & while :; do :; done";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().expect("a shell");
        let first = KnownProcess::of(child.id()).expect("the shell");
        let begin = Instant::now();
        while descendants(&[first]).len() < 2 && begin.elapsed() < PATIENCE {
            sleep(BREATH);
        }
        let states = || descendants(&[first]).iter().map(Process::stands_still).collect::<Vec<_>>();
        let sleeper = descendants(&[first]).last().map(|process| process.known).expect("a sleeper");
        let goes_on = || {
            let begin = Instant::now();
            while states().contains(&true) && begin.elapsed() < PATIENCE {
                sleep(BREATH);
            }
            assert_eq!(states(), [false, false]);
        };
        let mut noted = Vec::new();
        let mut note = |stopped: &[KnownProcess]| {
            noted = stopped.to_vec();
            Ok(())
        };
        let paused = pause(&first, &mut note).expect("a pause");
        assert_eq!(states(), [true, true]);
        drop(paused);
        goes_on();
        // Who stopped them is gone without a word: somebody else lets them go on, by what was noted.
        let mut paused = pause(&first, &mut note).expect("a pause");
        paused.stopped.clear();
        drop(paused);
        assert_eq!(states(), [true, true]);
        let later: Vec<KnownProcess> = noted.iter().map(|one| KnownProcess { start: one.start + 1, ..*one }).collect();
        resume(&later);
        assert_eq!(states(), [true, true], "others of the same numbers");
        resume(&noted);
        goes_on();
        let another = KnownProcess { start: first.start + 1, ..first };
        assert!(pause(&another, &mut |_| Ok(())).is_err(), "another process");
        let _ = sleeper.kill();
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(descendants(&[first]), []);
    }
}
