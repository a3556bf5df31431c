//! Words for how something is mounted that several options have in common.

use dhow_sandbox::container::{AccessTimes, Propagation};

use super::{Mount, MountKind};

/// Words of which one rules the others out, as podman tells of them. Docker has those of the first four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Writing,
    Labels,
    Propagation,
    Consistency,
    Copying,
    Starting,
    Rights,
    Devices,
    Depth,
    Owner,
}

impl Group {
    /// The one that a word of `--volume` belongs to.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "ro" | "rw" => Self::Writing,
            "z" | "Z" | "O" => Self::Labels,
            "cached" | "delegated" | "consistent" => Self::Consistency,
            "copy" | "nocopy" => Self::Copying,
            "exec" | "noexec" => Self::Starting,
            "suid" | "nosuid" => Self::Rights,
            "dev" | "nodev" => Self::Devices,
            "bind" | "rbind" => Self::Depth,
            "U" => Self::Owner,
            word => Propagation::parse(word).map(|_| Self::Propagation)?,
        })
    }

    /// How podman calls its words.
    pub(super) fn called(self) -> &'static str {
        match self {
            Self::Writing => "'rw' or 'ro'",
            Self::Labels => "'z', 'Z', or 'O'",
            Self::Propagation => "'[r]shared', '[r]private', '[r]slave' or '[r]unbindable'",
            Self::Consistency => "'consistency'",
            Self::Copying => "'copy' or 'nocopy'",
            Self::Starting => "'noexec' or 'exec'",
            Self::Rights => "'nosuid' or 'suid'",
            Self::Devices => "'nodev' or 'dev'",
            Self::Depth => "'[r]bind'",
            Self::Owner => "'U'",
        }
    }
}

impl Mount {
    /// Heeds a word for how something is mounted; whether it is one.
    pub(super) fn heed(&mut self, word: &str) -> bool {
        let is_memory = self.kind == MountKind::Tmpfs;
        match word {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "exec" | "noexec" if is_memory => self.executable = word == "exec",
            "exec" | "noexec" => self.manner.no_exec = word == "noexec",
            "suid" | "nosuid" if is_memory => self.gives_rights = word == "suid",
            "suid" | "nosuid" => self.manner.no_suid = word == "nosuid",
            "dev" | "nodev" => self.manner.devices = Some(word == "dev"),
            "copy" | "nocopy" => self.no_copy = word == "nocopy",
            "bind" | "rbind" => self.manner.shallow = word == "bind",
            "U" => self.manner.owned = true,
            "O" => self.overlaid = true,
            "noatime" => self.manner.access_times = AccessTimes::Never,
            "strictatime" => self.manner.access_times = AccessTimes::Always,
            "nodiratime" => self.manner.no_directory_access_times = true,
            "diratime" => self.manner.no_directory_access_times = false,
            "atime" | "relatime" | "norelatime" | "nostrictatime" => self.manner.access_times = AccessTimes::Relative,
            // Labels of SELinux, and what is for other systems' file sharing.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            word => match Propagation::parse(word) {
                Some(propagation) => self.manner.propagation = Some(propagation),
                None => return false,
            },
        }
        true
    }
}
