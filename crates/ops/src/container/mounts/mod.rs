//! What is mounted in a container: `--volume`, `--mount`, `--tmpfs` and `--device`, as docker reads them.

mod device;
mod long;
mod tmpfs;
mod volume;

use dhow_base::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

pub use self::long::Refusal;
use super::names::check_named;

/// Something that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// What it is.
    #[serde(rename = "Type")]
    pub kind: MountKind,
    /// The path or the name; empty for memory, and for a volume that gets its name by chance.
    #[serde(default)]
    pub source: String,
    /// Where, as the container sees it.
    pub target: String,
    /// Whether it can only be read.
    #[serde(default)]
    pub read_only: bool,
    /// Whether a new volume stays empty.
    #[serde(default)]
    pub no_copy: bool,
    /// Whether a directory that is missing on the machine is made.
    #[serde(default)]
    pub make_source: bool,
    /// Options of a file system in memory.
    #[serde(default)]
    pub options: Vec<(String, String)>,
    /// Whether programs in memory can be started.
    #[serde(default)]
    pub executable: bool,
    /// Whether programs in memory can give the rights of their owners.
    #[serde(default)]
    pub gives_rights: bool,
    /// Whether memory begins with what the image has in its place.
    #[serde(default)]
    pub filled: bool,
    /// Whether the volume got its name by chance.
    #[serde(default)]
    pub anonymous: bool,
    /// Whether what the container changes is laid over it, and gone with the run, as with podman's `O`.
    #[serde(default)]
    pub overlaid: bool,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A file or directory of the machine.
    Bind,
    /// A volume of the store.
    Volume,
    /// Memory.
    Tmpfs,
    /// A device of the machine.
    Device,
}

impl Mount {
    fn new(kind: MountKind, source: &str, target: &str) -> Self {
        Self {
            kind,
            source: source.to_owned(),
            target: target.to_owned(),
            read_only: false,
            no_copy: false,
            make_source: false,
            options: Vec::new(),
            executable: false,
            gives_rights: false,
            filled: false,
            anonymous: false,
            overlaid: false,
        }
    }

    fn checked(mut self) -> Result<Self> {
        let kind = self.kind.word();
        let of = |what: &str| Error::new(Kind::Invalid, format!("invalid mount config for type {kind:?}: {what}"));
        self.target = cleaned(&self.target)
            .ok_or_else(|| of(&format!("invalid mount path: '{}' mount path must be absolute", self.target)))?;
        if self.target == "/" {
            return Err(of("invalid specification: destination can't be '/'"));
        }
        match self.kind {
            MountKind::Bind if self.source.is_empty() => return Err(of("field Source must not be empty")),
            MountKind::Bind if !self.source.starts_with('/') => {
                return Err(of(&format!("invalid mount path: '{}' mount path must be absolute", self.source)));
            }
            MountKind::Tmpfs if !self.source.is_empty() => return Err(of("field Source must not be specified")),
            MountKind::Volume if self.source.is_empty() => self.anonymous = true,
            MountKind::Volume => check_named(&self.source)?,
            _ => {}
        }
        Ok(self)
    }
}

impl MountKind {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
            Self::Device => "device",
        }
    }
}

/// An absolute path without detours.
pub(crate) fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount in a line, for the tests of what reads it.
    pub(super) fn shown(mount: Result<Mount>) -> String {
        match mount {
            Ok(mount) => {
                let flags = [
                    ("ro", mount.read_only),
                    ("nocopy", mount.no_copy),
                    ("anonymous", mount.anonymous),
                    ("exec", mount.executable),
                ];
                let flags: Vec<&str> = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect();
                let options: String = mount.options.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                format!("{} {}->{} {}{options}", mount.kind.word(), mount.source, mount.target, flags.join(","))
                    .trim_end()
                    .to_owned()
            }
            Err(error) => error.to_string(),
        }
    }
}
