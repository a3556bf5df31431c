//! Trees of control groups that a machine has.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dhow_base::fs::read_limited;

use crate::table::unescaped;

/// Longest file of the kernel that is read, in bytes.
const KERNEL_FILE_BYTES_MAX: u64 = 1 << 20;

/// One tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) point: PathBuf,
    /// The group that this process is in.
    pub(super) own: PathBuf,
    /// Of an old one.
    pub(super) controllers: Vec<String>,
    pub(super) is_unified: bool,
}

/// Those that this process sees.
pub(super) fn present() -> Vec<Hierarchy> {
    hierarchies(&text(Path::new("/proc/self/mountinfo")), &text(Path::new("/proc/self/cgroup")))
}

/// What a machine has of control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// Whether there is the unified hierarchy alone.
    pub is_unified: bool,
    /// What can be limited, by the kernel's names.
    pub names: Vec<String>,
    /// Whether swap space can be.
    pub has_swap: bool,
}

/// What this machine has of them.
pub fn controllers() -> Controllers {
    let (unified, old): (Vec<_>, Vec<_>) = present().into_iter().partition(|one| one.is_unified);
    let mut names: Vec<String> = old.iter().flat_map(|one| one.controllers.iter().cloned()).collect();
    for one in &unified {
        let more = text(&one.point.join("cgroup.controllers"));
        names.extend(more.split_whitespace().map(str::to_owned));
    }
    let has_swap = |one: &Hierarchy| match one.is_unified {
        // The topmost group has no limits, so no file tells.
        true => one.own == one.point || one.own.join("memory.swap.max").exists(),
        false => one.own.join("memory.memsw.limit_in_bytes").exists(),
    };
    let counts_memory = |one: &&Hierarchy| {
        one.controllers.iter().any(|name| name == "memory") || (one.is_unified && has(&one.point, "memory"))
    };
    Controllers {
        is_unified: !unified.is_empty() && !old.iter().any(|one| !one.controllers.is_empty()),
        has_swap: old.iter().chain(&unified).filter(counts_memory).any(has_swap),
        names,
    }
}

/// What a file of the kernel's says; nothing where it cannot be read.
pub(super) fn text(path: &Path) -> String {
    String::from_utf8_lossy(&read_limited(path, KERNEL_FILE_BYTES_MAX).unwrap_or_default()).into_owned()
}

/// Whether a group of the unified hierarchy can give a controller to those below.
pub(super) fn has(group: &Path, controller: &str) -> bool {
    text(&group.join("cgroup.controllers")).split_whitespace().any(|known| known == controller)
}

/// Whether no process is in a group itself.
pub(super) fn is_empty(group: &Path) -> io::Result<bool> {
    Ok(File::open(group.join("cgroup.procs"))?.read(&mut [0])? == 0)
}

/// The hierarchies that are mounted (proc_pid_mountinfo(5)), with the groups that this process is in (cgroups(7), `/proc/pid/cgroup`).
fn hierarchies(mounts: &str, groups: &str) -> Vec<Hierarchy> {
    mounts.lines().filter_map(|line| hierarchy(line, groups)).collect()
}

fn hierarchy(line: &str, groups: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields =
        mount.split(' ').skip(3).map(|field| PathBuf::from(OsString::from_vec(unescaped(field.as_bytes()))));
    let (root, point) = (fields.next()?, fields.next()?);
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
    // A mount may show a part of the tree only; what is outside of it begins with `/..`, or is not below that part.
    let below = Path::new(path).strip_prefix(&root).unwrap_or(Path::new(".."));
    let below = below.strip_prefix("/").unwrap_or(below);
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
        assert_eq!(shown(container, "4:memory:/docker/12/x\n"), ["/sys/fs/cgroup/memory memory false"]);
        let odd = "35 31 0:32 /a\\040b /mnt/c\\040d ro - cgroup cgroup rw,memory\n";
        assert_eq!(shown(odd, "4:memory:/a b/..x\n"), ["/mnt/c d/..x memory false"]);
        assert!(shown("", groups).is_empty() && shown(old, "").is_empty());
    }
}
