//! `--tmpfs`, and what memory is like in a container.

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{Habits, Propagation};

use super::volume::place_in_image;
use super::words::Group;
use super::{Dialect, Mount, MountKind, cleaned};

/// Options of memory that have a value, as docker has them.
const VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// Docker's options of every mount: those that are heeded alike, and those that the file system is told of (moby, `pkg/mount/flags_linux.go`).
const HEEDED: [&str; 16] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];
const TOLD: [&str; 3] = ["sync", "dirsync", "mand"];

impl Mount {
    /// Reads `--tmpfs`: `/path` or `/path:options`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in each engine's words for paths and options that there are not.
    pub fn tmpfs(text: &str, dialect: Dialect) -> Result<Self> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let target = cleaned(target).ok_or_else(|| {
            let message = match dialect {
                Dialect::Podman => format!("invalid container path {target:?}, must be an absolute path"),
                _ => format!("invalid mount path: '{target}' mount path must be absolute"),
            };
            Error::new(Kind::Invalid, message)
        })?;
        if target == "/" {
            return Err(Error::new(Kind::Invalid, "invalid specification: destination can't be '/'"));
        }
        let habits = if dialect == Dialect::Podman { Habits::Podman } else { Habits::Docker };
        let mut mount = Self::new(MountKind::Tmpfs, "", &target).with_habits(habits);
        match dialect {
            // What is behind another colon is nothing to podman.
            Dialect::Podman if text.contains(':') => {
                mount.heed_podman_s_memory(options.split(':').next().unwrap_or_default())?;
            }
            Dialect::Podman => {}
            _ => mount.heed_docker_s_memory(options)?,
        }
        Ok(mount)
    }

    /// Memory where an image wants a volume, as podman has it; as [`Mount::of_image`].
    pub(in crate::container) fn memory_of_image(place: &str) -> Option<Self> {
        let target = place_in_image(place)?;
        let mut mount = Self::new(MountKind::Tmpfs, "", &target).with_habits(Habits::Podman);
        mount.heed_podman_s_memory("exec").ok()?;
        Some(mount)
    }

    fn heed_docker_s_memory(&mut self, options: &str) -> Result<()> {
        for option in options.split(',').filter(|option| !matches!(*option, "" | "defaults" | "async" | "nomand")) {
            match option.split_once('=') {
                Some((name, value)) if VALUES.contains(&name) => self.set_option(name, value),
                None if HEEDED.contains(&option) || Propagation::parse(option).is_some() => drop(self.heed(option)),
                None if TOLD.contains(&option) => self.set_option(option, ""),
                None if matches!(option, "bind" | "rbind" | "remount") => {
                    return Err(Error::new(Kind::Unsupported, format!("tmpfs option {option:?} is not supported"))
                        .with_hint("memory is no view of something else"));
                }
                given => {
                    let parts = given.map_or(format!("{option:?}"), |(name, value)| format!("{name:?} {value:?}"));
                    return Err(Error::new(Kind::Invalid, format!("invalid tmpfs option [{parts}]")));
                }
            }
        }
        Ok(())
    }

    /// Podman's options of memory (podman, `pkg/util/mountOpts.go`).
    pub(super) fn heed_podman_s_memory(&mut self, options: &str) -> Result<()> {
        let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
        let mut seen: Vec<&str> = Vec::new();
        for option in options.split(',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let once = match name {
                "ro" | "rw" => "only one of 'rw' and 'ro' can be used",
                "exec" | "noexec" => "only one of 'noexec' and 'exec' can be used",
                "suid" | "nosuid" => "only one of 'nosuid' and 'suid' can be used",
                "dev" | "nodev" => "only one of 'nodev' and 'dev' can be used",
                "tmpcopyup" | "notmpcopyup" => "the 'tmpcopyup' or 'notmpcopyup' option can only be set once",
                "size" => "only one tmpfs size can be specified",
                "mode" => "only one tmpfs mode can be specified",
                "U" => "the 'U' option can only be set once",
                "consistency" => continue,
                "bind" | "rbind" | "z" | "Z" => {
                    let words =
                        if Group::of(name) == Some(Group::Depth) { "'bind' and 'rbind'" } else { "'z' and 'Z'" };
                    return invalid(format!(
                        "the {words} options are not allowed with tmpfs mounts: invalid mount option"
                    ));
                }
                word if Propagation::parse(word).is_some() => "only one root propagation mode can be used",
                _ => return invalid(format!("unknown mount option {option:?}: invalid mount option")),
            };
            if seen.contains(&once) {
                return invalid(format!("{once}: duplicate mount option passed"));
            }
            seen.push(once);
            match name {
                "size" | "mode" => self.set_option(name, value),
                "tmpcopyup" | "notmpcopyup" => self.filled = name == "tmpcopyup",
                word => drop(self.heed(word)),
            }
        }
        Ok(())
    }

    /// Of several with one name the last counts.
    pub(super) fn set_option(&mut self, name: &str, value: &str) {
        self.options.retain(|(known, _)| known != name);
        self.options.push((name.to_owned(), value.to_owned()));
    }

    /// The same, with what podman has of its own accord where it is podman's: memory that begins with what the image has there, and in which
    /// programs can be started (podman, `pkg/util/mountOpts.go`).
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Self {
        let is_podman_s_memory = self.kind == MountKind::Tmpfs && habits == Habits::Podman;
        Self { executable: self.executable || is_podman_s_memory, filled: is_podman_s_memory, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::super::tests::shown;
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, text: &str, expected: &str) {
        assert_eq!(shown(Mount::tmpfs(text, dialect).map_err(Refusal::Engine)), expected, "{text}");
    }

    #[test]
    fn memory_reads_as_docker_reads_it() {
        let check = |text: &str, expected: &str| check(Dialect::Docker, text, expected);
        check("/run", "tmpfs ->/run");
        check("/run:", "tmpfs ->/run");
        check("/run:rw,exec,size=64k,mode=1777", "tmpfs ->/run exec size=64k mode=1777");
        check("/run:exec,noexec,size=1m,size=2m,rw,ro", "tmpfs ->/run ro size=2m");
        check("/run:suid,dev,noatime,nodiratime,rshared", "tmpfs ->/run suid,dev,noatime,nodiratime,rshared");
        check(
            "/run:sync,dirsync,mand,async,nomand,defaults,mpol=default",
            "tmpfs ->/run  sync= dirsync= mand= mpol=default",
        );
        check("x", "invalid mount path: 'x' mount path must be absolute");
        check("/", "invalid specification: destination can't be '/'");
        check("/run:remount", "tmpfs option \"remount\" is not supported");
        check("/run:odd", "invalid tmpfs option [\"odd\"]");
        check("/run:odd=1", "invalid tmpfs option [\"odd\" \"1\"]");
        check("/run:size", "invalid tmpfs option [\"size\"]");
        check("/run:ro:rw", "invalid tmpfs option [\"ro:rw\"]");
    }

    #[test]
    fn memory_reads_as_podman_reads_it() {
        let check = |text: &str, expected: &str| check(Dialect::Podman, text, expected);
        check("/run", "tmpfs ->/run exec");
        check("/run:size=64k,mode=1777,noexec,dev,suid,shared", "tmpfs ->/run suid,dev,shared size=64k mode=1777");
        check("/run:ro:rw", "tmpfs ->/run ro,exec");
        check("/run:U,consistency=x", "tmpfs ->/run exec,owned");
        check("/run:U,U", "the 'U' option can only be set once: duplicate mount option passed");
        check("/run:", "unknown mount option \"\": invalid mount option");
        check("/run:uid=5", "unknown mount option \"uid=5\": invalid mount option");
        check("/run:noatime", "unknown mount option \"noatime\": invalid mount option");
        check("/run:z", "the 'z' and 'Z' options are not allowed with tmpfs mounts: invalid mount option");
        check("/run:bind", "the 'bind' and 'rbind' options are not allowed with tmpfs mounts: invalid mount option");
        check("/run:ro,rw", "only one of 'rw' and 'ro' can be used: duplicate mount option passed");
        check("/run:size=1m,size=2m", "only one tmpfs size can be specified: duplicate mount option passed");
        check("x", "invalid container path \"x\", must be an absolute path");
    }
}
