//! Limits of a container: a control group of its own in whatever hierarchies the machine has (cgroups(7)).
//!
//! The old hierarchies take a group below that of the caller. The unified one takes none below a group that has processes, so that root's
//! are below `/dhow`, and those of others below their own group if it was given to them (delegation) and holds nobody else. What cannot be
//! limited is said, and goes without a limit.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use dhow_base::fs::read_limited;
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, unlinkat};
use serde::{Deserialize, Serialize};

/// Longest file of the kernel that is read, in bytes.
const KERNEL_FILE_BYTES_MAX: u64 = 1 << 20;

/// A period that processor time is counted in, in microseconds (docker's).
const PERIOD_MICROSECONDS: u64 = 100_000;

/// The group of the unified hierarchy that all of root's containers are below.
const ABOVE: &str = "dhow";

/// How often a group is asked to go whose last process has just ended.
const TRIES: u32 = 50;

/// What a container may take at most; nothing stands for no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Time of processors, in billionths of one.
    pub nano_cpus: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

impl Limits {
    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is to be written: for each controller its name, what it limits, and files with their content in the old form and in the new one.
    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if let Some(bytes) = self.memory_bytes {
            let old = vec![("memory.limit_in_bytes", bytes.to_string())];
            settings.push(Setting {
                controller: "memory",
                what: "memory",
                old,
                new: vec![("memory.max", bytes.to_string())],
            });
        }
        if let Some(nano) = self.nano_cpus {
            let quota =
                u64::try_from(u128::from(nano) * u128::from(PERIOD_MICROSECONDS) / 1_000_000_000).unwrap_or(u64::MAX);
            let old =
                vec![("cpu.cfs_period_us", PERIOD_MICROSECONDS.to_string()), ("cpu.cfs_quota_us", quota.to_string())];
            let new = vec![("cpu.max", format!("{quota} {PERIOD_MICROSECONDS}"))];
            settings.push(Setting { controller: "cpu", what: "time of processors", old, new });
        }
        if let Some(count) = self.processes {
            let files = vec![("pids.max", count.to_string())];
            settings.push(Setting { controller: "pids", what: "processes", old: files.clone(), new: files });
        }
        settings
    }
}

struct Setting {
    controller: &'static str,
    what: &'static str,
    old: Vec<(&'static str, String)>,
    new: Vec<(&'static str, String)>,
}

/// The control group of a container: a directory for each hierarchy.
#[derive(Debug, Default)]
pub struct Group {
    directories: Vec<PathBuf>,
}

impl Group {
    /// Makes one with limits. Returns a sentence for each limit that cannot be set here, besides.
    pub fn make(name: &str, limits: &Limits) -> (Self, Vec<String>) {
        let mut group = Self::default();
        let mut notes = Vec::new();
        let read = |path: &str| {
            String::from_utf8_lossy(&read_limited(Path::new(path), KERNEL_FILE_BYTES_MAX).unwrap_or_default())
                .into_owned()
        };
        let hierarchies = hierarchies(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        for setting in limits.settings() {
            if let Err(error) = group.limit(name, &setting, &hierarchies) {
                notes.push(format!("the container goes without a limit of {}: {error}", setting.what));
            }
        }
        (group, notes)
    }

    /// Where it is.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Puts a process into it, and with it all that come of it.
    pub(crate) fn take(&self, process: u32) -> io::Result<()> {
        self.directories.iter().try_for_each(|directory| write(directory, "cgroup.procs", &process.to_string()))
    }

    fn limit(&mut self, name: &str, setting: &Setting, hierarchies: &[Hierarchy]) -> io::Result<()> {
        let missing = || io::Error::new(io::ErrorKind::Unsupported, "this machine has no control groups for it");
        let old = hierarchies.iter().find(|one| one.controllers.iter().any(|known| known == setting.controller));
        if let Some(old) = old {
            let directory = old.own.join(format!("{ABOVE}-{name}"));
            return self.write(directory, &setting.old);
        }
        let unified = hierarchies.iter().find(|one| one.is_unified).ok_or_else(missing)?;
        let controllers = fs::read_to_string(unified.point.join("cgroup.controllers"))?;
        if !controllers.split_whitespace().any(|known| known == setting.controller) {
            return Err(missing());
        }
        let directory =
            unified.below_root(name, setting.controller).or_else(|_| unified.below_own(name, setting.controller))?;
        self.write(directory, &setting.new)
    }

    fn write(&mut self, directory: PathBuf, files: &[(&str, String)]) -> io::Result<()> {
        make(&directory)?;
        if !self.directories.contains(&directory) {
            self.directories.push(directory.clone());
        }
        files.iter().try_for_each(|(file, content)| write(&directory, file, content))
    }
}

/// Removes groups whose processes have ended.
pub fn remove_groups(directories: &[PathBuf]) {
    for directory in directories {
        // Its last process may be on its way out.
        for _ in 0..TRIES {
            match unlinkat(CWD, directory, AtFlags::REMOVEDIR) {
                Err(rustix::io::Errno::BUSY) => sleep(Duration::from_millis(1)),
                _ => break,
            }
        }
    }
}

/// One tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    point: PathBuf,
    /// The group that this process is in.
    own: PathBuf,
    /// Of an old one.
    controllers: Vec<String>,
    is_unified: bool,
}

impl Hierarchy {
    fn below_root(&self, name: &str, controller: &str) -> io::Result<PathBuf> {
        let above = self.point.join(ABOVE);
        make(&above)?;
        enable(&self.point, controller)?;
        enable(&above, controller)?;
        Ok(above.join(name))
    }

    /// Moves this process out of the way first, into a group beside the container's.
    fn below_own(&self, name: &str, controller: &str) -> io::Result<PathBuf> {
        if self.own == self.point {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        if enable(&self.own, controller).is_err() {
            let watcher = self.own.join(format!("{ABOVE}-watch"));
            make(&watcher)?;
            write(&watcher, "cgroup.procs", &std::process::id().to_string())?;
            enable(&self.own, controller)?;
        }
        Ok(self.own.join(format!("{ABOVE}-{name}")))
    }
}

fn enable(directory: &Path, controller: &str) -> io::Result<()> {
    write(directory, "cgroup.subtree_control", &format!("+{controller}"))
}

fn make(directory: &Path) -> io::Result<()> {
    match mkdirat(CWD, directory, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file of the kernel's, which is there already.
fn write(directory: &Path, file: &str, content: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(directory.join(file))?.write_all(content.as_bytes())
}

/// The hierarchies that are mounted (proc_pid_mountinfo(5)), with the groups that this process is in (cgroups(7), `/proc/pid/cgroup`).
fn hierarchies(mounts: &str, groups: &str) -> Vec<Hierarchy> {
    mounts.lines().filter_map(|line| hierarchy(line, groups)).collect()
}

fn hierarchy(line: &str, groups: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, PathBuf::from(fields.next()?));
    let mut kinds = file_system.split(' ');
    let is_unified = match kinds.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let options: Vec<&str> = kinds.nth(1)?.split(',').collect();
    let mut rows = groups.lines().filter_map(|row| {
        let mut parts = row.splitn(3, ':').skip(1);
        Some((parts.next()?.split(',').collect::<Vec<_>>(), parts.next()?))
    });
    let (controllers, path) = rows.find(|(names, _)| match is_unified {
        true => names == &[""],
        false => names.iter().all(|name| !name.is_empty() && options.contains(name)),
    })?;
    // A mount may show a part of the tree only; what is outside of it begins with `/..`.
    let below = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
    let own = if below.starts_with("..") { point.clone() } else { point.join(below) };
    let controllers = if is_unified { Vec::new() } else { controllers.into_iter().map(str::to_owned).collect() };
    Some(Hierarchy { point, own, controllers, is_unified })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mounts: &str, groups: &str) -> Vec<String> {
        let show = |one: Hierarchy| format!("{} {} {}", one.own.display(), one.controllers.join("+"), one.is_unified);
        hierarchies(mounts, groups).into_iter().map(show).collect()
    }

    #[test]
    fn hierarchies_of_all_kinds_are_found() {
        let old = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                   32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                   31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n";
        let new = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/a/b\n3:cpu,cpuacct:/\n1:name=systemd:/x\n0::/user.slice/s.scope\n";
        assert_eq!(
            shown(&format!("{old}{new}"), groups),
            [
                "/sys/fs/cgroup/memory/a/b memory false",
                "/sys/fs/cgroup/cpu,cpuacct/ cpu+cpuacct false",
                "/sys/fs/cgroup/unified/user.slice/s.scope  true",
            ]
        );
        let container = "35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(shown(container, "4:memory:/docker/1/x\n"), ["/sys/fs/cgroup/memory/x memory false"]);
        assert_eq!(shown(container, "4:memory:/../other\n"), ["/sys/fs/cgroup/memory memory false"]);
        assert!(shown("", groups).is_empty() && shown(old, "").is_empty());
    }

    #[test]
    fn limits_have_both_forms() {
        let limits = Limits { memory_bytes: Some(64 << 20), nano_cpus: Some(1_500_000_000), processes: Some(7) };
        let settings = limits.settings();
        let new: Vec<String> =
            settings.iter().flat_map(|one| &one.new).map(|(file, text)| format!("{file}={text}")).collect();
        assert_eq!(new, ["memory.max=67108864", "cpu.max=150000 100000", "pids.max=7"]);
        let old: Vec<String> =
            settings.iter().flat_map(|one| &one.old).map(|(file, text)| format!("{file}={text}")).collect();
        assert_eq!(
            old,
            ["memory.limit_in_bytes=67108864", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000", "pids.max=7"]
        );
        assert!(Limits::default().are_none() && Limits::default().settings().is_empty());
    }
}
