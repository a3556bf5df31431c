//! The end of a container whose processes are in a namespace with others: no first process takes them along.
//!
//! They are known by the namespace of their mounts, which each container has of its own, by whom they come of, and by their control group if
//! there is one. Whoever watches kills them when the program ends; a second process does so if it is the watcher that is killed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::calls;
use super::cgroup::end_group;
use super::processes::{KnownProcess, Process, all, descendants};

/// The word that makes this program the one that ends a container nobody watches any more: what is known of its processes follows.
pub const END_OF_CONTAINER: &str = "__container-end";

/// How long processes may take to end that were killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long they are left alone before they are looked for again.
const BREATH: Duration = Duration::from_millis(1);

/// What is known of a container's processes.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    first: KnownProcess,
    /// Device and number of the namespace of its mounts. Whoever has this has that open, too, so that the number is no other's meanwhile.
    mounts: (u64, u64),
    groups: Vec<PathBuf>,
}

impl Rest {
    /// Kills all of them. Whether none is left: there may be one that the kernel does not let go, or that are made faster than they are killed.
    fn end(&self) -> bool {
        let begin = Instant::now();
        loop {
            let left = self.processes();
            for process in &left {
                // One that is gone already is none.
                let _ = process.known.send(Signal::KILL);
            }
            let is_any_left = !left.is_empty() || self.groups.iter().map(|group| end_group(group)).sum::<usize>() > 0;
            if !is_any_left || begin.elapsed() > PATIENCE {
                return !is_any_left;
            }
            sleep(BREATH);
        }
    }

    fn processes(&self) -> Vec<Process> {
        let is_one = |process: &Process| {
            let mounts = fs::metadata(format!("/proc/{}/ns/mnt", process.known.id));
            process.known == self.first || mounts.is_ok_and(|mounts| (mounts.dev(), mounts.ino()) == self.mounts)
        };
        let found: Vec<KnownProcess> = all().filter(is_one).map(|process| process.known).collect();
        if found.is_empty() {
            return Vec::new();
        }
        descendants(&found).into_iter().filter(|process| !process.has_ended).collect()
    }
}

/// Who ends the processes of a container, of which the watcher is one.
pub(super) struct Ending {
    rest: Rest,
    _mounts: OwnedFd,
    substitute: Child,
    /// Closed with this process, which the substitute hears of.
    watched: Option<PipeWriter>,
}

impl Ending {
    /// `mounts` is the namespace of the mounts of `first`, which has not become the program yet.
    pub(super) fn prepare(first: u32, mounts: OwnedFd, groups: &[PathBuf]) -> io::Result<Self> {
        let first = KnownProcess::of(first).ok_or(io::ErrorKind::NotFound)?;
        let about = fstat(&mounts)?;
        let rest = Rest { first, mounts: (about.st_dev, about.st_ino), groups: groups.to_owned() };
        let (hears, watched) = io::pipe()?;
        // The substitute keeps it open.
        calls::inherit(&mounts)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("dhow").arg(END_OF_CONTAINER).arg(serde_json::to_string(&rest)?).env_clear();
        // Out of reach of the terminal's keys.
        command.process_group(0).stdin(hears).stdout(Stdio::null()).stderr(Stdio::null());
        let substitute = command.spawn()?;
        Ok(Self { rest, _mounts: mounts, substitute, watched: Some(watched) })
    }

    /// Kills what is left once the program has ended. Whether none is left.
    pub(super) fn end(&self) -> bool {
        self.rest.end()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // It looks for what is left once more.
        drop(self.watched.take());
        let _ = self.substitute.wait();
    }
}

/// Waits until nobody watches a container any more, and ends its processes. Returns the exit code.
pub fn end_unwatched(arguments: &[impl AsRef<OsStr>]) -> i32 {
    let rest = arguments.first().and_then(|text| serde_json::from_str::<Rest>(text.as_ref().to_str()?).ok());
    let Some(rest) = rest else { return 1 };
    let _ = io::stdin().read_to_end(&mut Vec::new());
    i32::from(!rest.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a namespace and a group of its own, what is left is known by whom it comes of.
    #[test]
    fn all_that_come_of_the_first_process_end() {
        let script = "sleep 1000 & sleep 1000; true";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().expect("a shell");
        let first = KnownProcess::of(child.id()).expect("the shell");
        let rest = Rest { first, mounts: (0, 0), groups: Vec::new() };
        let begin = Instant::now();
        while rest.processes().len() < 3 {
            assert!(begin.elapsed() < PATIENCE, "{:?}", rest.processes());
            sleep(BREATH);
        }
        let another = KnownProcess { start: first.start + 1, ..first };
        assert!(Rest { first: another, groups: Vec::new(), ..rest }.end(), "it has another's number");
        assert_eq!(child.try_wait().expect("its state"), None);
        assert!(rest.end());
        assert!(!child.wait().expect("its end").success());
    }
}
