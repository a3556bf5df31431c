//! What is mounted in a container: `--volume`, `--mount`, `--tmpfs` and `--device`, as docker reads them.

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::Habits;
use serde::{Deserialize, Serialize};

use crate::naming::Naming;

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
        }
    }

    /// Reads `--volume`: `target`, `source:target` or `source:target:options`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words.
    pub fn volume(text: &str) -> Result<Self> {
        let invalid = || Error::new(Kind::Invalid, format!("invalid volume specification: '{text}'"));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts.as_slice() {
            [target] => ("", *target, ""),
            [source, target] => (*source, *target, ""),
            [source, target, options] => (*source, *target, *options),
            _ => return Err(invalid()),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(invalid());
        }
        let path = cleaned(source);
        let kind = if path.is_some() { MountKind::Bind } else { MountKind::Volume };
        let of = |what: &str| {
            let message = format!("invalid volume specification: '{text}': invalid mount config for type");
            Error::new(Kind::Invalid, format!("{message} {:?}: {what}", kind.word()))
        };
        let target = cleaned(target)
            .ok_or_else(|| of(&format!("invalid mount path: '{target}' mount path must be absolute")))?;
        if target == "/" {
            return Err(of("invalid specification: destination can't be '/'"));
        }
        if kind == MountKind::Volume && !source.is_empty() {
            check_named(source)?;
        }
        let source = path.as_deref().unwrap_or(source);
        let mut mount = Self { make_source: kind == MountKind::Bind, ..Self::new(kind, source, &target) };
        mount.anonymous = kind == MountKind::Volume && source.is_empty();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" | "readonly" => mount.read_only = true,
                "rw" => mount.read_only = false,
                "nocopy" => mount.no_copy = true,
                // Labels of SELinux, and how mounts of the machine travel: a container sees what was there when it was started.
                "z" | "Z" | "cached" | "delegated" | "consistent" | "private" | "rprivate" => {}
                "shared" | "rshared" | "slave" | "rslave" | "U" => {
                    return Err(Error::new(Kind::Unsupported, format!("volume option {option:?} is not supported"))
                        .with_hint("a container sees the mounts that were there when it was started"));
                }
                _ => return Err(Error::new(Kind::Invalid, format!("invalid mode: {options}"))),
            }
        }
        Ok(mount)
    }

    /// Reads `--mount`: `type=bind,source=/a,target=/b,readonly`.
    ///
    /// # Errors
    /// In the words of docker's client, or of its engine.
    pub fn long(text: &str) -> Result<Self, Refusal> {
        let mut long = Long { mount: Self::new(MountKind::Volume, "", ""), unknown: None, used: None };
        for field in text.split(',') {
            long.read(field).map_err(Refusal::Client)?;
        }
        let Long { mount, unknown, used } = long;
        let client = |message: String| Refusal::Client(Error::new(Kind::Invalid, message));
        let kind = unknown.as_deref().unwrap_or(mount.kind.word());
        if mount.target.is_empty() {
            return Err(client("target is required".to_owned()));
        }
        if let Some(used) = used.map(MountKind::word).filter(|used| *used != kind) {
            return Err(client(format!("cannot mix '{used}-*' options with mount type '{kind}'")));
        }
        if let Some(kind) = unknown {
            let message = format!("invalid mount config for type {kind:?}: mount type unknown");
            return Err(Refusal::Engine(Error::new(Kind::Invalid, message)));
        }
        mount.checked().map_err(Refusal::Engine)
    }

    /// The same, with what podman has of its own accord where it is podman's: memory that begins with what the image has there, and in which
    /// programs can be started (podman, `pkg/util/mountOpts.go`).
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Self {
        let is_podman_s_memory = self.kind == MountKind::Tmpfs && habits == Habits::Podman;
        Self { executable: self.executable || is_podman_s_memory, filled: is_podman_s_memory, ..self }
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

    /// Reads `--device`: `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`. Whether it is there is found out when the container starts.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words (docker/cli, `validateLinuxPath`).
    pub fn device(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_mode = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"rwm".contains(&byte));
        let bad = |what: &str, of: &str| Err(Error::new(Kind::Invalid, format!("bad {what}: {of}")));
        let (source, target, mode) = match parts.as_slice() {
            ["", ..] => return bad("format for path", text),
            [source] => (*source, *source, "rwm"),
            [source, mode] if is_mode(mode) => (*source, *source, *mode),
            [source, target] => (*source, *target, "rwm"),
            [source, target, mode] if is_mode(mode) => (*source, *target, *mode),
            [_, _, mode] => return bad("mode specified", mode),
            _ => return bad("format for path", text),
        };
        let absolute = |path: &str| {
            cleaned(path).ok_or_else(|| Error::new(Kind::Invalid, format!("{path} is not an absolute path")))
        };
        let target = absolute(target)?;
        let mount = Self::new(MountKind::Device, &absolute(source)?, &target);
        Ok(Self { read_only: !mode.contains('w'), ..mount })
    }
}

/// Who refuses a mount.
#[derive(Debug)]
pub enum Refusal {
    /// Whoever reads the command line: it cannot be understood.
    Client(Error),
    /// Whoever mounts: there is no such thing.
    Engine(Error),
}

/// What `--mount` says, as far as it was read.
struct Long {
    mount: Mount,
    /// A type that there is not.
    unknown: Option<String>,
    /// The type whose own options were used.
    used: Option<MountKind>,
}

impl Long {
    fn read(&mut self, field: &str) -> Result<()> {
        let invalid = |message: String| Error::new(Kind::Invalid, message);
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let wrong = || invalid(format!("invalid value for {key}: {}", value.unwrap_or_default()));
        let flag = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(wrong()),
        };
        let needed = || value.ok_or_else(|| invalid(format!("invalid field '{field}' must be a key=value pair")));
        let mount = &mut self.mount;
        match key.as_str() {
            "type" => match needed()?.to_ascii_lowercase().as_str() {
                "bind" => mount.kind = MountKind::Bind,
                "volume" => mount.kind = MountKind::Volume,
                "tmpfs" => mount.kind = MountKind::Tmpfs,
                other => self.unknown = Some(other.to_owned()),
            },
            "source" | "src" => needed()?.clone_into(&mut mount.source),
            "target" | "dst" | "destination" => needed()?.clone_into(&mut mount.target),
            "readonly" | "ro" => mount.read_only = flag()?,
            "volume-nocopy" => {
                mount.no_copy = flag()?;
                self.used = Some(MountKind::Volume);
            }
            "tmpfs-size" => {
                let size = bytes(needed()?).map_err(|_| wrong())?;
                mount.options.push(("size".to_owned(), size.to_string()));
                self.used = Some(MountKind::Tmpfs);
            }
            "tmpfs-mode" => {
                let mode = needed()?;
                u32::from_str_radix(mode, 8).map_err(|_| wrong())?;
                mount.options.push(("mode".to_owned(), mode.to_owned()));
                self.used = Some(MountKind::Tmpfs);
            }
            "consistency" => {}
            "bind-propagation" if matches!(value, Some("private" | "rprivate")) => self.used = Some(MountKind::Bind),
            "bind-propagation" | "bind-recursive" | "bind-nonrecursive" | "volume-driver" | "volume-opt"
            | "volume-label" | "volume-subpath" | "image-subpath" => {
                return Err(Error::new(Kind::Unsupported, format!("mount option '{key}' is not supported")));
            }
            _ if value.is_none() => drop(needed()?),
            _ => return Err(invalid(format!("unexpected key '{key}' in '{field}'"))),
        }
        Ok(())
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

/// As [`check_volume_name`], of a volume that a container is to use.
pub(crate) fn check_named(name: &str) -> Result<()> {
    check_volume_name(name).map_err(|error| error.context(format_args!("create {name}")))
}

/// Refuses what is no name of a volume, in docker's words.
///
/// # Errors
/// [`Kind::Invalid`].
pub(crate) fn check_volume_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    if name.len() == 1 {
        return Err(too_short());
    }
    let rule =
        "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path";
    Err(Error::new(Kind::Invalid, format!("{name:?} includes invalid characters for a local volume name, {rule}")))
}

/// Refuses a volume's name of one character where docker's rules count; podman takes it.
///
/// # Errors
/// [`Kind::Invalid`].
pub(super) fn check_length(naming: Naming, name: &str) -> Result<()> {
    if name.len() == 1 && naming == Naming::Docker { Err(too_short()) } else { Ok(()) }
}

fn too_short() -> Error {
    let message = "volume name is too short, names should be at least two alphanumeric characters";
    Error::new(Kind::Invalid, message)
}

/// Which characters names of containers and volumes have.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A number of bytes with docker's units: `64m`, `1g`, `1024`.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words.
pub fn bytes(text: &str) -> Result<u64> {
    let invalid = || Error::new(Kind::Invalid, format!("invalid size: '{text}'"));
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(invalid()),
    };
    digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mount: Result<Mount>) -> String {
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

    #[test]
    fn volumes_read_as_docker_reads_them() {
        let check = |text: &str, expected: &str| assert_eq!(shown(Mount::volume(text)), expected, "{text}");
        check("/data", "volume ->/data anonymous");
        check("/a:/b", "bind /a->/b");
        check("/a:/b/../c:ro,z", "bind /a->/c ro");
        check("name:/b:nocopy", "volume name->/b nocopy");
        check("/a:/b:odd", "invalid mode: odd");
        check("a:b:c:d", "invalid volume specification: 'a:b:c:d'");
        check(":/b", "invalid volume specification: ':/b'");
        check(
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
        );
        check(
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        );
        check(
            "./x:/b",
            "create ./x: \"./x\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
             If you intended to pass a host directory, use absolute path",
        );
    }

    #[test]
    fn long_mounts_read_as_docker_reads_them() {
        let check = |text: &str, expected: &str| {
            let read = Mount::long(text).map_err(|refusal| match refusal {
                Refusal::Client(error) => error.context("client"),
                Refusal::Engine(error) => error,
            });
            assert_eq!(shown(read), expected, "{text}");
        };
        check("type=bind,src=/a,dst=/b,readonly", "bind /a->/b ro");
        check("target=/b", "volume ->/b anonymous");
        check("source=vol,target=/b,volume-nocopy,ro=false", "volume vol->/b nocopy");
        check("source=v,target=/b", "volume v->/b");
        check(
            "source=-,target=/b",
            "create -: volume name is too short, names should be at least two alphanumeric characters",
        );
        check("type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=1770", "tmpfs ->/b  size=1048576 mode=1770");
        check("type=bind,target=/b", "invalid mount config for type \"bind\": field Source must not be empty");
        check("type=odd,target=/b", "invalid mount config for type \"odd\": mount type unknown");
        check("type=bind,source=/a", "client: target is required");
        check("odd=1", "client: unexpected key 'odd' in 'odd=1'");
        check("odd", "client: invalid field 'odd' must be a key=value pair");
        check("type", "client: invalid field 'type' must be a key=value pair");
        check("type=tmpfs,dst=/x,tmpfs-mode=9", "client: invalid value for tmpfs-mode: 9");
        check("type=tmpfs,dst=/x,tmpfs-size=z", "client: invalid value for tmpfs-size: z");
        check("type=bind,src=/a,dst=/x,tmpfs-size=1", "client: cannot mix 'tmpfs-*' options with mount type 'bind'");
    }

    #[test]
    fn memory_and_devices() {
        let tmpfs =
            |text: &str, expected: &str| assert_eq!(shown(Mount::tmpfs(text, Habits::Docker)), expected, "{text}");
        tmpfs("/run", "tmpfs ->/run");
        tmpfs("/run:rw,exec,size=64k,mode=1777", "tmpfs ->/run exec size=64k mode=1777");
        tmpfs("x", "invalid mount path: 'x' mount path must be absolute");
        tmpfs("/run:dev", "tmpfs option \"dev\" is not supported");
        tmpfs("/run:odd", "invalid tmpfs option [\"odd\"]");
        let device = |text: &str, expected: &str| assert_eq!(shown(Mount::device(text)), expected, "{text}");
        device("/dev/fuse", "device /dev/fuse->/dev/fuse");
        device("/dev/a:/dev/b:r", "device /dev/a->/dev/b ro");
        device("/dev/a:rw", "device /dev/a->/dev/a");
        device("a", "a is not an absolute path");
        device("", "bad format for path: ");
        device("/dev/a:/b:c:d", "bad format for path: /dev/a:/b:c:d");
        device("/dev/a:/b:q", "bad mode specified: q");
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(bytes(text).ok(), expected, "{text}");
        check("64m", Some(64 << 20));
        check("1GB", Some(1 << 30));
        check("12", Some(12));
        check("x", None);
        check("99999999999999999999", None);
    }
}
