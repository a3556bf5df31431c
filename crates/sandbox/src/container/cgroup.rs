//! Limits of a container: a control group of its own in whatever hierarchies the machine has (cgroups(7)).
//!
//! The old hierarchies take a group below that of the caller. The unified one takes none below a group that has processes, so that root's
//! are below `/dhow`, and those of others below their own group if it was given to them (delegation) and holds nobody else, or below one that
//! their service manager gives them. What cannot be limited is said, and goes without a limit.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use dhow_base::Result;
use dhow_base::error::words;
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

pub use hierarchy::{Controllers, controllers};
pub use limits::Limits;

use hierarchy::Hierarchy;
use limits::Setting;

use super::processes::handle_of;

mod hierarchy;
mod limits;
mod scope;

/// The group of the unified hierarchy that all of root's containers are below, and the beginning of the names of others.
const ABOVE: &str = "dhow";

/// How often a group is asked to go whose last process has just ended, or one is made whose parent goes meanwhile.
const TRIES: u32 = 50;

/// The control group of a container: a directory for each hierarchy.
#[derive(Debug, Default)]
pub struct Group {
    directories: Vec<PathBuf>,
}

impl Group {
    /// Makes one with limits; one that `gathers` is made without them, too, where that takes nobody's help. Returns a sentence for each limit that
    /// cannot be set here, besides. An ordinary user's process may be in another
    /// group of the unified hierarchy afterwards. `record` is told of all directories that may be made, before any of them is.
    ///
    /// # Errors
    /// Those of `record`; nothing is made then.
    pub fn make(
        name: &str,
        limits: &Limits,
        gathers: bool,
        record: &mut dyn FnMut(&[PathBuf]) -> Result<()>,
    ) -> Result<(Self, Vec<String>)> {
        let mut group = Self::default();
        let hierarchies = hierarchy::present();
        let mut trees = Trees { hierarchies, ask_manager: Some(scope::enter), candidates: Vec::new(), record };
        trees.record_candidates(name)?;
        let notes =
            limits.settings(gathers).iter().filter_map(|setting| group.set(name, setting, &mut trees)).collect();
        Ok((group, notes))
    }

    /// Where it is.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Whether the kernel killed a process of it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.directories.iter().any(|directory| {
            // The unified hierarchy has it in the first, old ones in the second (Linux 4.13).
            ["memory.events", "memory.oom_control"]
                .iter()
                .any(|file| counts_kills(&hierarchy::text(&directory.join(file))))
        })
    }

    /// Puts a process into it, and with it all that come of it.
    pub(crate) fn take(&self, process: u32) -> io::Result<()> {
        self.directories.iter().try_for_each(|directory| write(directory, "cgroup.procs", &process.to_string()))
    }

    /// Returns what the container goes without, if it does and somebody asked for it.
    fn set(&mut self, name: &str, setting: &Setting, trees: &mut Trees<'_>) -> Option<String> {
        let error = self.limit(name, setting, trees).err()?;
        match setting.discarded {
            _ if setting.is_implied => None,
            Some(words) => Some(words.to_owned()),
            None => Some(format!("the container goes without {}: {}", setting.what, why(&error))),
        }
    }

    fn limit(&mut self, name: &str, setting: &Setting, trees: &mut Trees<'_>) -> io::Result<()> {
        let (directory, files) = match trees.old(setting.controller) {
            Some(old) => {
                let directory = old.beside(name);
                make(&directory)?;
                if setting.controller == "cpuset" {
                    inherit_places(&old.own, &directory)?;
                }
                (directory, &setting.old)
            }
            None if setting.new.is_empty() => return Err(missing()),
            None => (trees.below(name, setting)?, &setting.new),
        };
        if !self.directories.contains(&directory) {
            self.directories.push(directory.clone());
        }
        files.iter().try_for_each(|(file, content)| write(&directory, file, content))
    }
}

/// Whether a table of the kernel's about memory tells of processes that were killed for want of it.
fn counts_kills(table: &str) -> bool {
    let mut counts = table.lines().filter_map(|line| line.strip_prefix("oom_kill "));
    counts.any(|count| count.trim() != "0")
}

/// An old group takes no process before it has processors and memory.
fn inherit_places(above: &Path, directory: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(directory.join(file))?.trim().is_empty() {
            write(directory, file, fs::read_to_string(above.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// The system's error without its number, and what is known of it here.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let lend = "systemd-run --user --scope -p Delegate=yes lends one";
            format!("the control group of this process is not this user's ({lend})")
        }
        _ => words(error),
    }
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this machine has no control groups for it")
}

/// Kills what is in a group, and in those below. Returns how many processes there were.
pub(super) fn end_group(directory: &Path) -> usize {
    let members = || -> Vec<u32> {
        let text = hierarchy::text(&directory.join("cgroup.procs"));
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    // Those of the unified hierarchy at once, where the kernel can (Linux 5.14).
    let _ = write(directory, "cgroup.kill", "1");
    let mut handles: Vec<_> = members().into_iter().filter_map(|id| Some((id, handle_of(id).ok()?))).collect();
    // Who is still there has the number that the handle was made for.
    let still = members();
    handles.retain(|(id, _)| still.contains(id));
    for (_, handle) in &handles {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
    let below = fs::read_dir(directory).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.fold(handles.len(), |count, entry| count + end_group(&entry.path()))
}

/// Removes groups, and ends what is left in them.
pub fn remove_groups(directories: &[PathBuf]) {
    for directory in directories {
        // Its last process may be on its way out, or be left by a watcher that was killed.
        for _ in 0..TRIES {
            match unlinkat(CWD, directory, AtFlags::REMOVEDIR) {
                Err(Errno::BUSY) => {
                    end_group(directory);
                    remove_below(directory);
                    sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
        if let Some(above) = directory.parent().filter(|above| above.ends_with(ABOVE)) {
            // With the last of root's; it stays as long as there are others.
            let _ = unlinkat(CWD, above, AtFlags::REMOVEDIR);
        }
    }
}

/// Removes the groups below one that are empty, the lowest first.
fn remove_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
            let _ = unlinkat(CWD, entry.path(), AtFlags::REMOVEDIR);
        }
    }
}

/// The hierarchies that are there, and how a user's service manager is asked for a group.
struct Trees<'a> {
    hierarchies: Vec<Hierarchy>,
    /// Nothing once it was asked.
    ask_manager: Option<fn() -> bool>,
    /// Where groups may be made.
    candidates: Vec<PathBuf>,
    /// Is told of them.
    record: &'a mut dyn FnMut(&[PathBuf]) -> Result<()>,
}

impl Trees<'_> {
    fn record_candidates(&mut self, name: &str) -> Result<()> {
        for one in &self.hierarchies {
            let below_root = one.is_unified.then(|| one.below_root_of(name));
            for directory in below_root.into_iter().chain([one.beside(name)]) {
                if !self.candidates.contains(&directory) {
                    self.candidates.push(directory);
                }
            }
        }
        (self.record)(&self.candidates)
    }

    fn old(&self, controller: &str) -> Option<&Hierarchy> {
        let controller = if controller == "io" { "blkio" } else { controller };
        self.hierarchies.iter().find(|one| one.controllers.iter().any(|known| known == controller))
    }

    /// Makes a group in the unified hierarchy that has a controller.
    fn below(&mut self, name: &str, setting: &Setting) -> io::Result<PathBuf> {
        let controller = setting.controller;
        let unified = |trees: &Self| trees.hierarchies.iter().find(|one| one.is_unified).cloned().ok_or_else(missing);
        let one = unified(self)?;
        if !hierarchy::has(&one.point, controller) {
            return Err(missing());
        }
        match one.below_root(name, controller).or_else(|_| one.below_own(name, controller)) {
            // Not for what nobody asked for: that takes its time.
            Err(_) if !setting.is_implied && self.ask_manager.take().is_some_and(|ask| ask()) => {
                self.hierarchies = hierarchy::present();
                self.record_candidates(name).map_err(io::Error::other)?;
                unified(self)?.below_own(name, controller)
            }
            made => made,
        }
    }
}

impl Hierarchy {
    /// The group of a container of root's.
    fn below_root_of(&self, name: &str) -> PathBuf {
        self.point.join(ABOVE).join(name)
    }

    /// The group of a container below that of this process.
    fn beside(&self, name: &str) -> PathBuf {
        self.own.join(format!("{ABOVE}-{name}"))
    }

    fn below_root(&self, name: &str, controller: &str) -> io::Result<PathBuf> {
        let above = self.point.join(ABOVE);
        let directory = self.below_root_of(name);
        let step = || {
            make(&above)?;
            enable(&self.point, controller)?;
            enable(&above, controller)?;
            make(&directory)
        };
        // The group above goes with the last container: that may be just now, between two calls or (ENODEV) while its file is open.
        let is_going = |error: &io::Error| matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NODEV));
        for _ in 1..TRIES {
            match step() {
                Err(error) if is_going(&error) => {}
                made => return made.map(|()| directory),
            }
        }
        step().map(|()| directory)
    }

    /// Moves this process out of the way first, into a group beside the container's: a group that has processes gives its groups no controllers,
    /// or such as no process can be moved to.
    fn below_own(&self, name: &str, controller: &str) -> io::Result<PathBuf> {
        if self.own == self.point {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if !hierarchy::has(&self.own, controller) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("this user is given no control of {controller}"),
            ));
        }
        if !hierarchy::is_empty(&self.own)? {
            let watcher = self.own.join(format!("{ABOVE}-watch"));
            make(&watcher)?;
            let own = std::process::id().to_string();
            write(&watcher, "cgroup.procs", &own)?;
            if !hierarchy::is_empty(&self.own)? {
                let _ = write(&self.own, "cgroup.procs", &own);
                let _ = unlinkat(CWD, &watcher, AtFlags::REMOVEDIR);
                let message = "others are in the control group of this process, which has to be alone there";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
        }
        enable(&self.own, controller)?;
        let directory = self.beside(name);
        make(&directory)?;
        Ok(directory)
    }
}

fn enable(directory: &Path, controller: &str) -> io::Result<()> {
    write(directory, "cgroup.subtree_control", &format!("+{controller}"))
}

fn make(directory: &Path) -> io::Result<()> {
    match mkdirat(CWD, directory, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file of the kernel's, which is there already.
fn write(directory: &Path, file: &str, content: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).truncate(true).open(directory.join(file))?.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests;
