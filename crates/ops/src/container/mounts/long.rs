//! `--mount`: the long way to say what is mounted, as docker reads it (docker/cli, `opts/mount.go`).

use std::path::Path;

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::Propagation;

use super::volume::not_mapped;
use super::{Dialect, Mount, MountKind, Refusal, cleaned, csv};
use crate::size::parse_size;
use crate::strconv::parse_bool;

impl Mount {
    /// Reads `--mount`: `type=bind,source=/a,target=/b,readonly`. A source that begins with a dot is seen from `here`.
    ///
    /// # Errors
    /// In the words of docker's client, or of its engine; in podman's.
    pub fn long(text: &str, dialect: Dialect, here: &Path) -> Result<Self, Refusal> {
        let value = |message: String| Refusal::Value(Error::new(Kind::Invalid, message));
        if dialect == Dialect::Podman {
            return Self::podman_s_long(text, here).map_err(Refusal::Client);
        }
        let mut long = Long::new(dialect);
        for field in csv::fields(text).map_err(value)? {
            long.read(&field).map_err(Refusal::Value)?;
        }
        long.check().map_err(value)?;
        let Long { mut mount, unknown, unheeded, writable, .. } = long;
        match mount.kind {
            MountKind::Image if writable => mount.make_writable(),
            MountKind::Image => mount.read_only = true,
            _ => mount.source = source_from(here, &mount.source),
        }
        let engine = |message: String| Refusal::Engine(Error::new(Kind::Invalid, message));
        if let Some(kind) = unknown {
            return Err(engine(format!("invalid mount config for type {kind:?}: mount type unknown")));
        }
        if let Some(propagation) = unheeded {
            let of = format!("invalid mount config for type {:?}", mount.kind.word());
            return Err(engine(format!("{of}: invalid propagation mode: {propagation}")));
        }
        mount.checked().map_err(Refusal::Engine)
    }
}

/// A source, with one that begins with a dot as a path seen from a directory.
pub(super) fn source_from(here: &Path, source: &str) -> String {
    let whole = Some(here.join(source)).filter(|_| source.starts_with('.'));
    whole.and_then(|whole| cleaned(&whole.to_string_lossy())).unwrap_or_else(|| source.to_owned())
}

/// How far what is below a mount that can only be read can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Usual,
    Writable,
    /// It must not be.
    ReadOnly,
}

/// What `--mount` says, as far as it was read.
struct Long {
    mount: Mount,
    dialect: Dialect,
    /// A type that there is not.
    unknown: Option<String>,
    /// A way for mounts to pass that there is not.
    unheeded: Option<String>,
    /// The types whose own options were used.
    used: Vec<&'static str>,
    below: Below,
    /// Whether an image can be written to, which it cannot with docker.
    writable: bool,
}

impl Long {
    fn new(dialect: Dialect) -> Self {
        let mount = Mount::new(MountKind::Volume, "", "");
        Self { mount, dialect, unknown: None, unheeded: None, used: Vec::new(), below: Below::Usual, writable: false }
    }

    fn read(&mut self, field: &str) -> Result<()> {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let key = key.to_ascii_lowercase();
        let is_read = match value {
            None => self.read_word(&key),
            Some(value) => {
                self.read_common(&key, value)?
                    || self.read_bind(&key, value)?
                    || self.read_volume(&key, value)?
                    || self.read_tmpfs(&key, value)?
                    || self.read_image(&key, value)
            }
        };
        if is_read || self.dialect == Dialect::Either && self.read_podman(&key, field, value)? {
            return Ok(());
        }
        let message = match value {
            None => format!("invalid field '{field}' must be a key=value pair"),
            Some(_) => format!("unexpected key '{key}' in '{field}'"),
        };
        Err(Error::new(Kind::Invalid, message))
    }

    /// What needs no value; whether it is that.
    fn read_word(&mut self, key: &str) -> bool {
        match key {
            "readonly" | "ro" => self.mount.read_only = true,
            "volume-nocopy" => self.use_volume().no_copy = true,
            "bind-nonrecursive" => self.use_bind().manner.shallow = true,
            _ => return false,
        }
        true
    }

    /// What every mount has; whether it is that.
    fn read_common(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "type" => match value.to_ascii_lowercase().as_str() {
                "bind" => self.mount.kind = MountKind::Bind,
                "volume" => self.mount.kind = MountKind::Volume,
                "tmpfs" => self.mount.kind = MountKind::Tmpfs,
                "image" => self.mount.kind = MountKind::Image,
                other => self.unknown = Some(other.to_owned()),
            },
            "source" | "src" => value.clone_into(&mut self.mount.source),
            "target" | "dst" | "destination" => value.clone_into(&mut self.mount.target),
            "readonly" | "ro" => self.mount.read_only = flag(key, value)?,
            "consistency" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_bind(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "bind-propagation" => match Propagation::parse(&value.to_ascii_lowercase()) {
                Some(Propagation::Unbindable | Propagation::RUnbindable) | None => {
                    self.use_bind();
                    self.unheeded = Some(value.to_ascii_lowercase());
                }
                propagation => self.use_bind().manner.propagation = propagation,
            },
            "bind-nonrecursive" => self.use_bind().manner.shallow = flag(key, value)?,
            "bind-recursive" => self.read_recursive(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_volume(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "volume-subpath" => value.clone_into(&mut self.use_volume().manner.subpath),
            "volume-nocopy" => self.use_volume().no_copy = flag(key, value)?,
            "volume-label" => {
                let (name, text) = value.split_once('=').unwrap_or((value, ""));
                self.use_volume().labels.extend(Some((name.to_owned(), text.to_owned())).filter(|_| !name.is_empty()));
            }
            "volume-driver" if matches!(value, "" | "local") => drop(self.use_volume()),
            "volume-driver" => {
                return Err(Error::new(Kind::Unsupported, format!("volume driver {value:?} is not supported"))
                    .with_hint("a volume is a directory of the store, which is the driver \"local\""));
            }
            "volume-opt" => self.use_volume().add_driver_option(value),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_tmpfs(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "tmpfs-size" => {
                let size = parse_size(value).map_err(|_| wrong(key, value))?;
                let memory = self.use_tmpfs();
                // None is as much as there is, to docker.
                memory.options.retain(|(name, _)| name != "size");
                memory.options.extend(Some(("size".to_owned(), size.to_string())).filter(|_| size > 0));
            }
            "tmpfs-mode" => {
                u32::from_str_radix(value, 8).map_err(|_| wrong(key, value))?;
                self.use_tmpfs().set_option("mode", value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_image(&mut self, key: &str, value: &str) -> bool {
        let is_known = key == "image-subpath";
        if is_known {
            value.clone_into(&mut self.use_image().manner.subpath);
        }
        is_known
    }

    /// What podman has besides; whether it is that.
    fn read_podman(&mut self, key: &str, field: &str, value: Option<&str>) -> Result<bool> {
        match (key, value) {
            ("u" | "chown", value) => match value.map_or(Ok(true), parse_bool) {
                Ok(is_set) => self.mount.manner.owned = is_set,
                Err(_) => return Ok(false),
            },
            ("relabel", Some("shared" | "private")) => {}
            ("idmap", _) => return Err(not_mapped()),
            ("rw" | "readwrite", Some(value)) => match parse_bool(value) {
                Ok(is_set) => {
                    self.use_image();
                    self.writable = is_set;
                }
                Err(_) => return Ok(false),
            },
            ("subpath", Some(path)) => path.trim_start_matches('/').clone_into(&mut self.use_image().manner.subpath),
            (_, None) => {
                self.writable |= key == "rw";
                return Ok(!matches!(field, "O" | "copy" | "bind" | "rbind") && self.mount.heed(field));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_recursive(&mut self, key: &str, value: &str) -> Result<()> {
        self.use_bind();
        match value {
            "enabled" => {}
            "disabled" => self.mount.manner.shallow = true,
            "writable" => self.below = Below::Writable,
            "readonly" => self.below = Below::ReadOnly,
            _ => {
                let known = "must be \"enabled\", \"disabled\", \"writable\", or \"readonly\"";
                return Err(Error::new(Kind::Invalid, format!("invalid value for {key}: {value} ({known})")));
            }
        }
        Ok(())
    }

    fn use_volume(&mut self) -> &mut Mount {
        self.used.push("volume");
        &mut self.mount
    }

    fn use_image(&mut self) -> &mut Mount {
        self.used.push("image");
        &mut self.mount
    }

    fn use_bind(&mut self) -> &mut Mount {
        self.used.push("bind");
        &mut self.mount
    }

    fn use_tmpfs(&mut self) -> &mut Mount {
        self.used.push("tmpfs");
        &mut self.mount
    }

    /// Whether it goes together, once all of it is read.
    fn check(&mut self) -> Result<(), String> {
        let kind = self.unknown.as_deref().unwrap_or(self.mount.kind.word());
        if kind.is_empty() {
            return Err("type is required".to_owned());
        }
        // In docker's order, whichever came first.
        for used in ["volume", "image", "bind", "tmpfs"] {
            if used != kind && self.used.contains(&used) {
                return Err(format!("cannot mix '{used}-*' options with mount type '{kind}'"));
            }
        }
        let needs = |what: &str, needed: &str| {
            Err(format!("option 'bind-recursive={what}' requires '{needed}' to be specified in conjunction"))
        };
        match self.below {
            Below::Writable if !self.mount.read_only => return needs("writable", "readonly"),
            Below::ReadOnly if !self.mount.read_only => return needs("readonly", "readonly"),
            Below::ReadOnly if self.mount.manner.propagation != Some(Propagation::RPrivate) => {
                return needs("readonly", "bind-propagation=rprivate");
            }
            below => self.mount.manner.writable_below = below == Below::Writable,
        }
        if kind == "image" && self.mount.manner.owned {
            return Err("option 'U' is not for mount type 'image'".to_owned());
        }
        if self.mount.target.is_empty() { Err("target is required".to_owned()) } else { Ok(()) }
    }
}

fn flag(key: &str, value: &str) -> Result<bool> {
    parse_bool(value).map_err(|_| wrong(key, value))
}

fn wrong(key: &str, value: &str) -> Error {
    Error::new(Kind::Invalid, format!("invalid value for {key}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::shown;
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, text: &str, expected: &str) {
        assert_eq!(shown(Mount::long(text, dialect, Path::new("/here"))), expected, "{text}");
    }

    #[test]
    fn long_mounts_read_as_docker_reads_them() {
        let check = |text: &str, expected: &str| check(Dialect::Docker, text, expected);
        check("type=bind,src=/a,dst=/b,readonly", "bind /a->/b ro");
        check("type=bind,src=./a/../c,dst=/b", "bind /here/c->/b");
        check("type=bind,src=../a,dst=/b", "bind /a->/b");
        check("type=bind,src=..,dst=/b", "bind /->/b");
        check("type=bind,src=.a,dst=/b", "bind /here/.a->/b");
        check("type=bind,\"src=/a,b\",dst=/b", "bind /a,b->/b");
        check("target=/b", "volume ->/b anonymous");
        check("source=vol,target=/b,volume-nocopy,ro=false", "volume vol->/b nocopy");
        check("source=v,target=/b", "volume v->/b");
        check(
            "source=v,target=/b,volume-subpath=a/b,volume-label=c=d,volume-label=e",
            "volume v->/b  at a/b label c=d label e=",
        );
        check("source=v,target=/b,volume-driver=local,volume-opt=type=tmpfs", "volume v->/b driver");
        check("type=bind,src=/a,dst=/b,bind-propagation=RShared,consistency=x", "bind /a->/b rshared");
        check("type=bind,src=/a,dst=/b,bind-nonrecursive", "bind /a->/b shallow");
        check("type=bind,src=/a,dst=/b,bind-nonrecursive=0", "bind /a->/b");
        check("type=bind,src=/a,dst=/b,bind-recursive=disabled", "bind /a->/b shallow");
        check("type=bind,src=/a,dst=/b,bind-recursive=enabled", "bind /a->/b");
        check("type=bind,src=/a,dst=/b,ro,bind-recursive=writable", "bind /a->/b ro,writable-below");
        check(
            "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate",
            "bind /a->/b ro,rprivate",
        );
        check("type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=1770", "tmpfs ->/b  size=1048576 mode=1770");
        check("type=tmpfs,target=/b,tmpfs-size=0", "tmpfs ->/b");
        check("type=image,source=a:1,target=/b", "image a:1->/b ro");
        check("source=./a,type=image,target=/b,image-subpath=etc/x,readonly=false", "image ./a->/b ro at etc/x");
    }

    #[test]
    fn long_mounts_that_cannot_be_are_refused_as_docker_refuses_them() {
        let check = |text: &str, expected: &str| check(Dialect::Docker, text, expected);
        check(
            "source=-,target=/b",
            "create -: volume name is too short, names should be at least two alphanumeric characters",
        );
        check("type=bind,target=/b", "invalid mount config for type \"bind\": field Source must not be empty");
        check("type=odd,target=/b", "invalid mount config for type \"odd\": mount type unknown");
        let invalid = |text: &str, kind: &str, what: &str| {
            check(text, &format!("invalid mount config for type {kind:?}: {what}"));
        };
        invalid("type=bind,src=/a,dst=/b,bind-propagation=odd", "bind", "invalid propagation mode: odd");
        invalid("dst=/b,ro", "volume", "must not set ReadOnly mode when using anonymous volumes");
        invalid("dst=/b,volume-subpath=a", "volume", "must not set Subpath when using anonymous volumes");
        invalid("src=v,dst=/b,volume-subpath=../a", "volume", "subpath must be a relative path within the volume");
        invalid("type=image,dst=/b", "image", "field Source must not be empty");
        invalid("type=image,src=a,dst=/", "image", "invalid specification: destination can't be '/'");
        invalid(
            "type=image,src=a,dst=/b,image-subpath=/x",
            "image",
            "subpath must be a relative path within the volume",
        );
        for (text, words) in [
            ("", "EOF"),
            ("type=bind,source=/a", "target is required"),
            ("type=,dst=/b", "type is required"),
            ("odd=1", "unexpected key 'odd' in 'odd=1'"),
            ("odd", "invalid field 'odd' must be a key=value pair"),
            ("type", "invalid field 'type' must be a key=value pair"),
            ("type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("type=tmpfs,dst=/x,tmpfs-size=z", "invalid value for tmpfs-size: z"),
            ("type=bind,src=/a,dst=/x,ro=x", "invalid value for ro: x"),
            ("type=bind,src=/a,dst=/x,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'bind'"),
            ("dst=/x,bind-propagation=x", "cannot mix 'bind-*' options with mount type 'volume'"),
            ("dst=/x,image-subpath=x", "cannot mix 'image-*' options with mount type 'volume'"),
            ("type=image,src=a,dst=/x,volume-subpath=x", "cannot mix 'volume-*' options with mount type 'image'"),
            ("type=image,src=a,dst=/x,rw=true", "unexpected key 'rw' in 'rw=true'"),
            ("type=image,src=a,dst=/x,subpath=/x", "unexpected key 'subpath' in 'subpath=/x'"),
            ("src=v,dst=/x,volume-driver=odd", "volume driver \"odd\" is not supported"),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=x",
                "invalid value for bind-recursive: x (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
            (
                "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly",
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
            ),
            ("type=bind,src=/a,dst=/b,U", "invalid field 'U' must be a key=value pair"),
            ("type=bind,src=/a,dst=/b,relabel=shared", "unexpected key 'relabel' in 'relabel=shared'"),
        ] {
            check(text, &format!("value: {words}"));
        }
    }

    #[test]
    fn dhow_takes_what_podman_has_besides() {
        let check = |text: &str, expected: &str| check(Dialect::Either, text, expected);
        check("type=bind,src=/a,dst=/b,U,noexec,relabel=shared,shared", "bind /a->/b noexec,owned,shared");
        check("type=bind,src=/a,dst=/b,chown=false,z", "bind /a->/b");
        check("type=tmpfs,dst=/b,exec,noatime", "tmpfs ->/b exec,noatime");
        check("type=image,src=a,dst=/b,rw=true,noexec", "image a->/b overlaid,noexec");
        check("rw,type=image,src=a,dst=/b", "image a->/b overlaid");
        check("type=image,src=a,dst=/b,readwrite=false,subpath=/x", "image a->/b ro at x");
        check("type=image,src=a,dst=/b,U", "value: option 'U' is not for mount type 'image'");
        check("src=a,dst=/b,rw=true", "value: cannot mix 'image-*' options with mount type 'volume'");
        check("type=bind,src=/a,dst=/b,odd", "value: invalid field 'odd' must be a key=value pair");
        check(
            "type=bind,src=/a,dst=/b,idmap",
            "value: mount option \"idmap\" is not supported: owners are the same inside and outside",
        );
    }
}
