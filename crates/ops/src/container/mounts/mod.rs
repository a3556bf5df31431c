//! What is mounted in a container: `--volume`, `--mount`, `--tmpfs` and `--device`, as docker reads them.

mod csv;
mod device;
mod long;
mod podman;
mod tmpfs;
mod volume;
mod words;

use std::collections::BTreeMap;

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::Manner;
use dhow_spec::Digest;
use serde::{Deserialize, Serialize};

use super::names::check_named;

/// Something that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// What it is.
    #[serde(rename = "Type")]
    pub kind: MountKind,
    /// The path or the name, also of an image; empty for memory, and for a volume that gets its name by chance.
    #[serde(default)]
    pub source: String,
    /// The image that the name stood for when the container was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
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
    /// What else is said of how it is mounted.
    #[serde(default)]
    pub manner: Manner,
    /// Labels of a volume, if it is made for this.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What is said to the driver of a volume, if it is made for this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
    /// How the user said it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
}

/// How the user said what is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Given {
    /// By `--volume`, in these words.
    Volume(String),
    /// By `--mount`.
    Long,
    /// By `--tmpfs`, with these options.
    Memory(String),
    /// By `--device`, with these rights.
    Device(String),
}

/// Whose way to say what is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Docker's.
    Docker,
    /// Podman's.
    Podman,
    /// Docker's, with what podman has besides.
    Either,
}

/// Who refuses a mount.
#[derive(Debug)]
pub enum Refusal {
    /// Whoever reads the command line: this value cannot be understood.
    Value(Error),
    /// Whoever reads the command line, when all of it is read.
    Client(Error),
    /// Whoever mounts: there is no such thing.
    Engine(Error),
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
    /// The files of an image.
    Image,
}

impl Mount {
    fn new(kind: MountKind, source: &str, target: &str) -> Self {
        Self {
            kind,
            source: source.to_owned(),
            image: None,
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
            manner: Manner::default(),
            labels: BTreeMap::new(),
            driver_options: BTreeMap::new(),
            given: None,
        }
    }

    /// Something is said to the driver of a volume.
    fn add_driver_option(&mut self, said: &str) {
        let (name, value) = said.split_once('=').unwrap_or((said, ""));
        self.driver_options.insert(name.to_owned(), value.to_owned());
    }

    /// What is changed in it is laid over it, and gone with the run.
    fn make_writable(&mut self) {
        self.read_only = false;
        self.overlaid = true;
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
            MountKind::Bind | MountKind::Image if self.source.is_empty() => {
                return Err(of("field Source must not be empty"));
            }
            MountKind::Bind if !self.source.starts_with('/') => {
                return Err(of(&format!("invalid mount path: '{}' mount path must be absolute", self.source)));
            }
            MountKind::Tmpfs if !self.source.is_empty() => return Err(of("field Source must not be specified")),
            MountKind::Volume if self.source.is_empty() && !self.manner.subpath.is_empty() => {
                return Err(of("must not set Subpath when using anonymous volumes"));
            }
            MountKind::Volume if self.source.is_empty() && self.read_only => {
                return Err(of("must not set ReadOnly mode when using anonymous volumes"));
            }
            MountKind::Volume if self.source.is_empty() => self.anonymous = true,
            MountKind::Volume | MountKind::Image if !is_below(&self.manner.subpath) => {
                return Err(of("subpath must be a relative path within the volume"));
            }
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
            Self::Image => "image",
        }
    }
}

/// Whether a relative path does not lead out of where it starts (Go's `filepath.IsLocal`).
fn is_below(path: &str) -> bool {
    let mut depth = 0_i64;
    let stays = path.split('/').all(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth >= 0
    });
    stays && !path.starts_with('/')
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
    use dhow_sandbox::container::AccessTimes;

    use super::*;

    /// A mount in a line, for the tests of what reads it.
    pub(super) fn shown(mount: Result<Mount, Refusal>) -> String {
        match mount {
            Ok(mount) => {
                let manner = &mount.manner;
                let flags = [
                    ("ro", mount.read_only),
                    ("nocopy", mount.no_copy),
                    ("anonymous", mount.anonymous),
                    ("exec", mount.executable),
                    ("suid", mount.gives_rights),
                    ("overlaid", mount.overlaid),
                    ("driver", !mount.driver_options.is_empty()),
                    ("shallow", manner.shallow),
                    ("writable-below", manner.writable_below),
                    ("noexec", manner.no_exec),
                    ("nosuid", manner.no_suid),
                    ("dev", manner.devices == Some(true)),
                    ("nodev", manner.devices == Some(false)),
                    ("owned", manner.owned),
                    ("noatime", manner.access_times == AccessTimes::Never),
                    ("strictatime", manner.access_times == AccessTimes::Always),
                    ("nodiratime", manner.no_directory_access_times),
                ];
                let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
                let flags: Vec<&str> = flags.chain(manner.propagation.map(|propagation| propagation.word())).collect();
                let options: String = mount.options.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                let subpath = Some(format!(" at {}", manner.subpath)).filter(|_| !manner.subpath.is_empty());
                let labels: String =
                    mount.labels.iter().map(|(name, value)| format!(" label {name}={value}")).collect();
                let flags = flags.join(",");
                let rest = format!("{flags}{options}{}{labels}", subpath.unwrap_or_default());
                format!("{} {}->{} {rest}", mount.kind.word(), mount.source, mount.target).trim_end().to_owned()
            }
            Err(Refusal::Value(error)) => format!("value: {error}"),
            Err(Refusal::Client(error)) => format!("client: {error}"),
            Err(Refusal::Engine(error)) => error.to_string(),
        }
    }

    #[test]
    fn paths_below_stay_there() {
        for (path, expected) in
            [("", true), ("a/b", true), ("a/../b", true), ("..", false), ("a/../../b", false), ("/a", false)]
        {
            assert_eq!(is_below(path), expected, "{path}");
        }
    }
}
