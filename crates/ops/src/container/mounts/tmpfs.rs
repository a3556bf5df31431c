//! `--tmpfs`, and what memory is like in a container.

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::Habits;

use super::{Mount, MountKind, cleaned};

impl Mount {
    /// Reads `--tmpfs`: `/path` or `/path:options`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for paths and options that there are not.
    pub fn tmpfs(text: &str, habits: Habits) -> Result<Self> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let target = cleaned(target).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("invalid mount path: '{target}' mount path must be absolute"))
        })?;
        let mut mount = Self::new(MountKind::Tmpfs, "", &target).with_habits(habits);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some((name @ ("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks"), value)) => {
                    mount.options.push((name.to_owned(), value.to_owned()));
                }
                None if option == "ro" => mount.read_only = true,
                None if option == "rw" => mount.read_only = false,
                None if option == "exec" => mount.executable = true,
                None if option == "noexec" => mount.executable = false,
                None if option == "suid" => mount.gives_rights = true,
                None if option == "nosuid" => mount.gives_rights = false,
                None if option == "tmpcopyup" && habits == Habits::Podman => mount.filled = true,
                None if option == "notmpcopyup" && habits == Habits::Podman => mount.filled = false,
                None if option == "dev" => {
                    return Err(Error::new(Kind::Unsupported, "tmpfs option \"dev\" is not supported")
                        .with_hint("--device shows a device in the container"));
                }
                None if matches!(option, "nodev" | "noatime" | "relatime") => {}
                _ => return Err(Error::new(Kind::Invalid, format!("invalid tmpfs option [{option:?}]"))),
            }
        }
        mount.checked()
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
    use super::super::tests::shown;
    use super::*;

    #[test]
    fn memory_reads_as_docker_reads_it() {
        let check =
            |text: &str, expected: &str| assert_eq!(shown(Mount::tmpfs(text, Habits::Docker)), expected, "{text}");
        check("/run", "tmpfs ->/run");
        check("/run:rw,exec,size=64k,mode=1777", "tmpfs ->/run exec size=64k mode=1777");
        check("x", "invalid mount path: 'x' mount path must be absolute");
        check("/run:dev", "tmpfs option \"dev\" is not supported");
        check("/run:odd", "invalid tmpfs option [\"odd\"]");
    }
}
