//! What of `/proc` and `/sys` a container does not see, or cannot write to.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::mount::MountAttrFlags;

use super::super::inside::{Inside, attach, file_system, restrict, view};
use super::super::spec::{Habits, Masking, Spec, StartFailure};
use super::devices::Nodes;
use super::{NOTHING_SPECIAL, beneath, failed};

/// What tells of the machine or reaches into it (moby, `oci/defaults.go`).
const MASKED: [(&str, &str); 12] = [
    ("proc", "asound"),
    ("proc", "acpi"),
    ("proc", "interrupts"),
    ("proc", "kcore"),
    ("proc", "keys"),
    ("proc", "latency_stats"),
    ("proc", "timer_list"),
    ("proc", "timer_stats"),
    ("proc", "sched_debug"),
    ("proc", "scsi"),
    ("sys", "firmware"),
    ("sys", "devices/virtual/powercap"),
];

/// What podman hides besides (podman, `pkg/specgen/generate/config_linux.go`).
const MASKED_BY_PODMAN: [(&str, &str); 1] = [("sys", "dev/block")];

/// What may be read and not written.
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

impl Masking {
    /// The places that are hidden, whether the machine has them or not.
    pub fn masked(&self, habits: Habits) -> Vec<String> {
        let usual = MASKED.iter().chain(besides(habits)).map(|(place, name)| format!("/{place}/{name}"));
        usual.filter(|path| !self.leaves(path)).chain(self.masked.iter().cloned()).collect()
    }

    /// The places that can only be read, likewise.
    pub fn sealed(&self) -> Vec<String> {
        READ_ONLY.iter().map(|name| format!("/proc/{name}")).filter(|path| !self.leaves(path)).collect()
    }

    /// Whether a place that is hidden or sealed as a rule is left as it is.
    fn leaves(&self, path: &str) -> bool {
        self.unmasked.iter().any(|pattern| pattern.eq_ignore_ascii_case("all") || matches(pattern, path))
    }
}

/// What is hidden besides the usual.
fn besides(habits: Habits) -> &'static [(&'static str, &'static str)] {
    match habits {
        Habits::Docker => &[],
        Habits::Podman => &MASKED_BY_PODMAN,
    }
}

/// Makes parts of `/proc` such that they can only be read.
pub(super) fn seal(masking: &Masking, processes: &OwnedFd) -> Result<(), StartFailure> {
    for name in READ_ONLY.into_iter().filter(|name| !masking.leaves(&format!("/proc/{name}"))) {
        let Ok(found) = beneath(processes, name) else { continue };
        let read_only = view(&found, true).map_err(failed(name))?;
        restrict(&read_only, MountAttrFlags::MOUNT_ATTR_RDONLY, true).map_err(failed(name))?;
        attach(&read_only, &found).map_err(failed(name))?;
    }
    Ok(())
}

/// Hides what is not a container's business in `/proc` and `/sys`, and what else is asked for. The empty file is a node that was made here
/// after the machine's, which is looked at, not what the container has by its name and may be something else (CVE-2025-31133).
pub(super) fn hide(
    spec: &Spec,
    inside: &Inside,
    [processes, system]: [Option<&OwnedFd>; 2],
    nodes: &Nodes,
) -> Result<(), StartFailure> {
    for (place, name) in MASKED.iter().chain(besides(spec.habits)) {
        let mount = if *place == "proc" { processes } else { system };
        let Some(mount) = mount.filter(|_| !spec.masking.leaves(&format!("/{place}/{name}"))) else { continue };
        if let Ok(found) = beneath(mount, name) {
            cover(&found, name, nodes)?;
        }
    }
    for path in &spec.masking.masked {
        if let Ok(found) = inside.find(Path::new(path)) {
            cover(&found, path, nodes)?;
        }
    }
    Ok(())
}

/// Lays an empty directory, or the null device, over something.
fn cover(found: &OwnedFd, name: &str, nodes: &Nodes) -> Result<(), StartFailure> {
    let kind = FileType::from_raw_mode(fstat(found).map_err(failed(name))?.st_mode);
    let cover = match kind {
        FileType::Directory => {
            file_system("tmpfs", &[("size", "0k")], NOTHING_SPECIAL | MountAttrFlags::MOUNT_ATTR_RDONLY)
        }
        _ => {
            check_null()?;
            Ok(nodes.like(Path::new("/dev/null"))?)
        }
    };
    attach(cover.map_err(failed(name))?, found).map_err(failed(name))
}

fn check_null() -> Result<(), StartFailure> {
    let null = openat(CWD, "/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("/dev/null"))?;
    let stat = fstat(&null).map_err(failed("/dev/null"))?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3);
    if is_null { Ok(()) } else { Err(StartFailure::setup("this machine's /dev/null is not the null device")) }
}

/// Whether a path has the form of a pattern in which `*` is anything but a slash, and `?` one character that is none (Go's `path.Match`,
/// without its classes).
fn matches(pattern: &str, path: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return path.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => {
            let end = path.find('/').unwrap_or(path.len());
            (0..=end).filter(|at| path.is_char_boundary(*at)).any(|at| matches(rest, &path[at..]))
        }
        first => path.chars().next().is_some_and(|found| {
            let fits = if first == '?' { found != '/' } else { found == first };
            fits && matches(rest, &path[found.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_leave_places_as_they_are() {
        let check = |left: &[&str], path: &str, expected: bool| {
            let masking =
                Masking { unmasked: left.iter().map(|text| (*text).to_owned()).collect(), masked: Vec::new() };
            assert_eq!(masking.leaves(path), expected, "{left:?} {path}");
        };
        check(&[], "/proc/acpi", false);
        check(&["ALL"], "/proc/acpi", true);
        check(&["/proc/*"], "/proc/acpi", true);
        check(&["/proc/*"], "/sys/firmware", false);
        check(&["/*"], "/proc/acpi", false);
        check(&["/proc/acp?", "/proc/k*s"], "/proc/keys", true);
        check(&["/proc/acp?"], "/proc/acpi", true);
        check(&["/proc/acp?"], "/proc/acp", false);
        check(&["/proc/acp"], "/proc/acpi", false);
    }
}
