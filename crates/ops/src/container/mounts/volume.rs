//! `--volume`.

use dhow_base::{Error, Kind, Result};

use super::{Mount, MountKind, cleaned};
use crate::container::names::check_named;

impl Mount {
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
}

#[cfg(test)]
mod tests {
    use super::super::tests::shown;
    use super::*;

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
}
