//! What options of the driver `local` make of a volume: a view of a directory of the machine, memory, or a directory with an owner.

use std::collections::BTreeMap;
use std::fs::metadata;
use std::path::{Path, PathBuf};

use dhow_base::error::words;
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{Manner, MountSource, Tmpfs};
use serde::{Deserialize, Serialize};

use super::mounts::{Dialect, Mount};
use crate::naming::Naming;
use crate::size::parse_size;

/// The options that docker's driver knows, and those that each of them needs beside it (moby, `volume/local`).
const KNOWN: [(&str, &[&str]); 4] =
    [("device", &["type"]), ("o", &["device", "type"]), ("size", &[]), ("type", &["device"])];

/// Those that podman's driver knows, in small letters (podman, `libpod/runtime_volume_common.go`).
const KNOWN_TO_PODMAN: [&str; 10] =
    ["device", "o", "type", "uid", "gid", "size", "inodes", "noquota", "copy", "nocopy"];

/// What a volume is made with, as the store keeps it beside the labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Names and values, as they are shown: those that were given, and with podman what it reads out of `o`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Whose directory it is, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Of which group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// Where the files of a volume are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    /// In the store.
    Own,
    /// In a directory of the machine.
    View { source: PathBuf, recursive: bool, words: Vec<String> },
    /// In memory, each time that a container runs.
    Memory(Box<Mount>),
}

impl VolumeOptions {
    /// Reads what the store keeps of a volume. What cannot be read says nothing.
    pub(super) fn parse(configuration: &str) -> Self {
        serde_json::from_str(configuration).unwrap_or_default()
    }

    /// What is said to the driver of a volume that is made for a container.
    ///
    /// # Errors
    /// As [`VolumeOptions::docker`] and [`VolumeOptions::podman`].
    pub(super) fn of_new(naming: Naming, mount: &Mount) -> Result<Self> {
        let given = mount.driver_options.clone();
        match naming {
            Naming::Docker => {
                Self::docker(given).map_err(|error| error.context(format_args!("create {}", mount.source)))
            }
            Naming::Podman => Self::podman(given, None, None),
        }
    }

    /// Takes what docker's driver is given.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words; [`Kind::Unsupported`] for file systems that are mounted by nobody here.
    pub fn docker(options: BTreeMap<String, String>) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
        if let Some(name) = options.keys().find(|name| !KNOWN.iter().any(|(known, _)| known == name)) {
            return invalid(format!("invalid option: {name:?}"));
        }
        let size = options.get("size").map(|size| parse_size(size)).transpose();
        if size.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?.is_some_and(|size| size > 0) {
            return invalid("quota size requested but no quota support".to_owned());
        }
        let needed = KNOWN.iter().filter(|(name, _)| options.contains_key(*name)).flat_map(|(_, needed)| *needed);
        if let Some(missing) = needed.into_iter().find(|needed| !options.contains_key(**needed)) {
            return invalid(format!("missing required option: {missing:?}"));
        }
        Self { options, uid: None, gid: None }.checked()
    }

    /// Takes what podman's driver is given, and whose the volume is to be.
    ///
    /// # Errors
    /// As [`VolumeOptions::docker`], in podman's words.
    pub fn podman(given: BTreeMap<String, String>, uid: Option<u32>, gid: Option<u32>) -> Result<Self> {
        let mut made = Self { options: BTreeMap::new(), uid, gid };
        for (name, value) in given {
            match name.as_str() {
                "o" => made.read_podman_s(&value)?,
                _ if KNOWN_TO_PODMAN.contains(&name.to_ascii_lowercase().as_str()) => {
                    made.options.insert(name, value);
                }
                _ => {
                    let message = format!("invalid mount option {name} for driver 'local': invalid argument");
                    return Err(Error::new(Kind::Invalid, message));
                }
            }
        }
        made.check_quota()?;
        if let (Some("bind"), Some(device)) = (made.kind(), made.options.get("device"))
            && let Err(error) = metadata(device)
        {
            let message =
                format!("invalid volume option device for driver 'local': faccessat {device}: {}", words(&error));
            return Err(Error::new(Kind::Invalid, message));
        }
        made.checked()
    }

    /// What podman takes out of `o` stands beside it (podman, `pkg/domain/infra/abi/parse`).
    fn read_podman_s(&mut self, words: &str) -> Result<()> {
        let invalid = |message: String| Error::new(Kind::Invalid, message);
        let mut kept = Vec::new();
        for word in words.split(',') {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let name = name.to_ascii_uppercase();
            match name.as_str() {
                "UID" | "GID" => {
                    let value = value.ok_or_else(|| {
                        invalid(format!("{} option must provide a {name}: invalid argument", name.to_ascii_lowercase()))
                    })?;
                    let number = value
                        .parse()
                        .map_err(|_| invalid(format!("cannot convert {name} {value} to integer: invalid syntax")))?;
                    *(if name == "UID" { &mut self.uid } else { &mut self.gid }) = Some(number);
                    self.options.insert(name, value.to_owned());
                    kept.push(word);
                }
                "SIZE" | "INODES" => {
                    self.options.insert(name, value.unwrap_or_default().to_owned());
                    kept.push(word);
                }
                "NOQUOTA" => drop(self.options.insert(name, "true".to_owned())),
                // How long a plug-in may take to answer.
                "TIMEOUT" => {}
                _ => kept.push(word),
            }
        }
        if !kept.is_empty() {
            self.options.insert("o".to_owned(), kept.join(","));
        }
        Ok(())
    }

    fn check_quota(&self) -> Result<()> {
        let has = |name: &str| self.options.keys().any(|known| known.eq_ignore_ascii_case(name));
        let message = match (has("noquota"), self.kind() == Some("tmpfs")) {
            (true, _) if has("size") || has("inodes") => "volume options size and inodes cannot be used without quota",
            (false, true) if has("inodes") => "volume option inodes not supported on tmpfs filesystem",
            (false, false) if has("size") || has("inodes") => {
                "volume options size and inodes not supported. Filesystem does not support Project Quota"
            }
            _ => return Ok(()),
        };
        Err(Error::new(Kind::Invalid, message))
    }

    fn checked(self) -> Result<Self> {
        match self.backing()? {
            Backing::View { source, .. } if !source.is_absolute() => {
                let message = format!("volume option \"device\" is no absolute path: {source:?}");
                Err(Error::new(Kind::Invalid, message))
            }
            _ => Ok(self),
        }
    }

    fn kind(&self) -> Option<&str> {
        self.options.get("type").map(String::as_str)
    }

    /// Whether it says whose the files are.
    pub(super) fn has_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    /// Whether nothing of an image is put in.
    pub(super) fn stays_empty(&self) -> bool {
        self.options.contains_key("nocopy")
    }

    /// Where the files are.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for what the kernel would have to mount on the machine, [`Kind::Invalid`] for words that memory does not know.
    pub(super) fn backing(&self) -> Result<Backing> {
        let device = self.options.get("device").map(String::as_str);
        let words: Vec<&str> = self.options.get("o").map(|words| words.split(',').collect()).unwrap_or_default();
        let says = |word: &str| words.contains(&word);
        match (self.kind(), device) {
            (None, None) if !says("bind") && !says("rbind") => Ok(Backing::Own),
            (Some("tmpfs"), _) => {
                let memory = Mount::tmpfs(&format!("/memory:exec,suid,{}", words.join(",")), Dialect::Docker)?;
                Ok(Backing::Memory(Box::new(memory)))
            }
            (kind, Some(device)) if says("bind") || says("rbind") || matches!(kind, Some("bind" | "rbind")) => {
                Ok(Backing::View {
                    source: PathBuf::from(device),
                    recursive: says("rbind") || kind == Some("rbind"),
                    words: words.into_iter().map(str::to_owned).collect(),
                })
            }
            (kind, _) => {
                let kind = kind.unwrap_or_default();
                let message = format!("a volume of the type {kind:?} is not supported");
                Err(Error::new(Kind::Unsupported, message).with_hint(
                    "mount it on this machine; type=none with o=bind and device=/where/it/is makes a volume of that, type=tmpfs one in memory",
                ))
            }
        }
    }
}

impl Backing {
    /// The directory of the files while nothing runs; memory has none.
    pub(super) fn files<'a>(&'a self, own: &'a Path) -> Option<&'a Path> {
        match self {
            Self::Own => Some(own),
            Self::View { source, .. } => Some(source),
            Self::Memory(_) => None,
        }
    }

    /// What a container mounts, as it says itself and as the volume was made. `own` is the directory in the store.
    pub(super) fn mounted(&self, own: PathBuf, mount: &Mount, has_owner: bool) -> (MountSource, bool, Manner) {
        let mut manner = mount.manner.clone();
        match self {
            // Whose files they are was said: they are not given to the program's user.
            Self::Own if has_owner => {
                manner.devices = Some(false);
                (MountSource::Bind { source: own, recursive: false }, mount.read_only, manner)
            }
            Self::Own => (MountSource::Volume(own), mount.read_only, manner),
            Self::View { source, recursive, words } => {
                manner.devices = Some(false);
                let says = |word: &str| words.iter().any(|said| said == word);
                manner.no_exec |= says("noexec");
                manner.no_suid |= says("nosuid");
                let what = MountSource::Bind { source: source.clone(), recursive: *recursive };
                (what, mount.read_only || says("ro"), manner)
            }
            Self::Memory(memory) => {
                let what = MountSource::Tmpfs(Tmpfs {
                    options: memory.options.clone(),
                    executable: memory.executable && !manner.no_exec,
                    suid: memory.gives_rights && !manner.no_suid,
                    copy_up: false,
                });
                (what, mount.read_only || memory.read_only, manner)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> BTreeMap<String, String> {
        let split = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        text.split(' ').filter_map(split).collect()
    }

    fn shown(made: Result<VolumeOptions>) -> String {
        let made = match made {
            Ok(made) => made,
            Err(error) => return error.to_string(),
        };
        let owner = [("uid", made.uid), ("gid", made.gid)];
        let owner = owner.iter().filter_map(|(name, id)| id.map(|id| format!(" {name} {id}"))).collect::<String>();
        let options = made.options.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
        let backing = match made.backing() {
            Ok(Backing::Own) => "own".to_owned(),
            Ok(Backing::View { source, recursive, .. }) => {
                format!("{}{}", source.display(), if recursive { " and below" } else { "" })
            }
            Ok(Backing::Memory(memory)) => {
                memory.options.iter().fold("memory".to_owned(), |text, (name, value)| format!("{text} {name}:{value}"))
            }
            Err(error) => error.to_string(),
        };
        format!("{backing}{owner} |{options}")
    }

    #[test]
    fn options_are_docker_s() {
        let check =
            |text: &str, expected: &str| assert_eq!(shown(VolumeOptions::docker(map(text))), expected, "{text}");
        check("", "own |");
        check("type=none o=bind device=/srv", "/srv | device=/srv o=bind type=none");
        check("type=none o=rbind,ro device=/srv", "/srv and below | device=/srv o=rbind,ro type=none");
        check(
            "type=tmpfs device=tmpfs o=size=1m,uid=5",
            "memory size:1m uid:5 | device=tmpfs o=size=1m,uid=5 type=tmpfs",
        );
        check("type=tmpfs device=tmpfs o=odd", "invalid tmpfs option [\"odd\"]");
        check("odd=1", "invalid option: \"odd\"");
        check("type=tmpfs", "missing required option: \"device\"");
        check("o=bind device=/srv", "missing required option: \"type\"");
        check("size=1g", "quota size requested but no quota support");
        check("type=nfs o=addr=10.0.0.1 device=:/x", "a volume of the type \"nfs\" is not supported");
        check("type=none o=bind device=srv", "volume option \"device\" is no absolute path: \"srv\"");
    }

    #[test]
    fn options_are_podman_s() {
        let check =
            |text: &str, expected: &str| assert_eq!(shown(VolumeOptions::podman(map(text), None, None)), expected);
        check("type=tmpfs", "memory | type=tmpfs");
        check("type=bind device=/", "/ | device=/ type=bind");
        check(
            "type=bind device=/not/here",
            "invalid volume option device for driver 'local': faccessat /not/here: no such file or directory",
        );
        check("o=uid=5,gid=6", "own uid 5 gid 6 | GID=6 UID=5 o=uid=5,gid=6");
        check("o=timeout=9,noquota", "own | NOQUOTA=true");
        check("type=tmpfs o=size=2m", "memory size:2m | SIZE=2m o=size=2m type=tmpfs");
        check("o=uid", "uid option must provide a UID: invalid argument");
        check("o=uid=x", "cannot convert UID x to integer: invalid syntax");
        check("o=noquota,size=1", "volume options size and inodes cannot be used without quota");
        check("type=tmpfs o=inodes=1", "volume option inodes not supported on tmpfs filesystem");
        check("odd=1", "invalid mount option odd for driver 'local': invalid argument");
        check("type=ext4 device=/dev/sda", "a volume of the type \"ext4\" is not supported");
    }
}
