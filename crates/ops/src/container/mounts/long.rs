//! `--mount`: the long way to say what is mounted.

use dhow_base::{Error, Kind, Result};

use super::{Mount, MountKind};
use crate::container::size;

impl Mount {
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
                let size = size(needed()?).map_err(|_| wrong())?;
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

#[cfg(test)]
mod tests {
    use super::super::tests::shown;
    use super::*;

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
}
