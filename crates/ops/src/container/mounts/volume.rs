//! `--volume`.

use dhow_base::{Error, Kind, Result};

use super::words::Group;
use super::{Dialect, Mount, MountKind, Refusal, cleaned};
use crate::container::names::check_named;

impl Mount {
    /// Reads `--volume`: `target`, `source:target` or `source:target:options`.
    ///
    /// # Errors
    /// In the words of docker's client or of its engine; podman's, for its options.
    pub fn volume(text: &str, dialect: Dialect) -> Result<Self, Refusal> {
        let client = |message: String| Refusal::Client(Error::new(Kind::Invalid, message));
        if text.is_empty() && dialect != Dialect::Podman {
            return Err(client("invalid empty volume spec".to_owned()));
        }
        let parts: Vec<&str> = text.split(':').collect();
        if parts.iter().any(|part| part.is_empty()) && dialect != Dialect::Podman {
            return Err(client(format!("invalid spec: {text}: empty section between colons")));
        }
        if dialect != Dialect::Podman && sections(&parts) > 3 {
            return Err(client(format!("invalid spec: {text}: too many colons")));
        }
        let invalid = || Refusal::Engine(Error::new(Kind::Invalid, format!("invalid volume specification: '{text}'")));
        // The place of one without a name is looked up from the root (moby, `container.GetResourcePath`).
        let rooted = format!("/{}", parts[0]);
        let (source, target, options) = match parts.as_slice() {
            [target] if dialect == Dialect::Podman => ("", *target, None),
            [_] => ("", rooted.as_str(), None),
            // A mode without a source is for nothing.
            [_, mode] if dialect == Dialect::Docker && are_docker_s(mode) => return Err(invalid()),
            [source, target] => (*source, *target, None),
            [source, target, options] => (*source, *target, Some(*options)),
            _ => return Err(invalid()),
        };
        let mut mount = Self::of_volume(text, source, target).map_err(Refusal::Engine)?;
        mount.manner.no_suid = dialect == Dialect::Podman && mount.kind == MountKind::Volume;
        match (options, dialect) {
            (None, _) => {}
            (Some(options), Dialect::Podman) => mount.heed_podman(options).map_err(Refusal::Client)?,
            (Some(options), dialect) => mount.heed_docker(text, options, dialect).map_err(Refusal::Engine)?,
        }
        Ok(mount)
    }

    /// A volume without a name where an image wants one. Images are made by others: what they say is a path, whatever signs are in it, and no
    /// source or option. Nothing for the root.
    pub(in crate::container) fn of_image(place: &str, dialect: Dialect) -> Option<Self> {
        let target = place_in_image(place)?;
        let mut mount = Self { anonymous: true, ..Self::new(MountKind::Volume, "", &target) };
        mount.manner.no_suid = dialect == Dialect::Podman;
        Some(mount)
    }

    fn of_volume(text: &str, source: &str, target: &str) -> Result<Self> {
        let path = cleaned(source);
        let kind = if path.is_some() { MountKind::Bind } else { MountKind::Volume };
        let target = cleaned(target).ok_or_else(|| {
            misplaced(text, kind, &format!("invalid mount path: '{target}' mount path must be absolute"))
        })?;
        if target == "/" {
            return Err(misplaced(text, kind, "invalid specification: destination can't be '/'"));
        }
        if kind == MountKind::Volume && !source.is_empty() {
            check_named(source)?;
        }
        let source = path.as_deref().unwrap_or(source);
        let anonymous = kind == MountKind::Volume && source.is_empty();
        Ok(Self { make_source: kind == MountKind::Bind, anonymous, ..Self::new(kind, source, &target) })
    }

    fn heed_docker(&mut self, text: &str, options: &str, dialect: Dialect) -> Result<()> {
        if dialect == Dialect::Docker && !are_docker_s(options) {
            return Err(Error::new(Kind::Invalid, format!("invalid mode: {options}")));
        }
        for option in options.split(',') {
            let is_known = match option {
                "readonly" => self.heed("ro"),
                "idmap" => return Err(not_mapped()),
                _ => Group::of(option).is_some() && self.heed(option),
            };
            if !is_known {
                return Err(Error::new(Kind::Invalid, format!("invalid mode: {options}")));
            }
        }
        if dialect == Dialect::Docker && self.kind == MountKind::Bind && self.no_copy {
            return Err(misplaced(text, self.kind, "field VolumeOptions must not be specified"));
        }
        if self.kind == MountKind::Volume && self.manner.propagation.is_some() && dialect == Dialect::Docker {
            return Err(misplaced(text, self.kind, "field BindOptions must not be specified"));
        }
        Ok(())
    }

    /// Podman's options of volumes (containers/podman, `pkg/util/mountOpts.go`, and buildah's `parse.ValidateVolumeOpts`).
    pub(super) fn heed_podman(&mut self, options: &str) -> Result<()> {
        let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
        let mut seen: Vec<Group> = Vec::new();
        for option in options.split(',') {
            if option == "idmap" || option.starts_with("idmap=") {
                return Err(not_mapped());
            }
            let Some(group) = Group::of(option) else { return invalid(format!("invalid option type {option:?}")) };
            if group != Group::Consistency && seen.contains(&group) {
                let given = options.split(',').collect::<Vec<_>>().join(", ");
                return invalid(format!("invalid options {given:?}, can only specify 1 {} option", group.called()));
            }
            seen.push(group);
            self.heed(option);
        }
        if self.overlaid && seen.len() > 1 {
            return invalid("can't use 'O' with other options".to_owned());
        }
        Ok(())
    }
}

/// Where the volume of an image is; engines look it up from the root.
pub(super) fn place_in_image(place: &str) -> Option<String> {
    cleaned(&format!("/{place}")).filter(|place| place != "/")
}

/// How many parts docker's client sees, to which a letter before a colon is a drive of Windows (docker/cli, `volumespec.Parse`).
fn sections(parts: &[&str]) -> usize {
    let mut rest = parts;
    let mut count = 0;
    while let [first, more @ ..] = rest {
        let is_drive = matches!(first.as_bytes(), [letter] if letter.is_ascii_alphabetic());
        rest = if is_drive && !more.is_empty() { &more[1..] } else { more };
        count += 1;
    }
    count
}

fn misplaced(text: &str, kind: MountKind, what: &str) -> Error {
    let message = format!("invalid volume specification: '{text}': invalid mount config for type");
    Error::new(Kind::Invalid, format!("{message} {:?}: {what}", kind.word()))
}

/// What is said of owners that are to be others inside than outside.
pub(super) fn not_mapped() -> Error {
    Error::new(Kind::Unsupported, "mount option \"idmap\" is not supported: owners are the same inside and outside")
        .with_hint("U gives the files to the container's user")
}

/// Whether docker knows all of these options of a volume, each kind at most once (moby, `linuxValidMountMode`).
fn are_docker_s(options: &str) -> bool {
    let mut seen: Vec<Group> = Vec::new();
    options.split(',').all(|option| {
        let docker_has = match Group::of(option) {
            Some(Group::Writing | Group::Labels | Group::Consistency) => option != "O",
            Some(Group::Propagation) => !option.ends_with("unbindable"),
            _ => option == "nocopy",
        };
        let group = Group::of(option).filter(|group| docker_has && !seen.contains(group));
        seen.extend(group);
        group.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::shown;
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, text: &str, expected: &str) {
        assert_eq!(shown(Mount::volume(text, dialect)), expected, "{text}");
    }

    #[test]
    fn volumes_read_as_docker_reads_them() {
        let check = |text: &str, expected: &str| check(Dialect::Docker, text, expected);
        check("/data", "volume ->/data anonymous");
        check("data/../x", "volume ->/x anonymous");
        check("/a:/b", "bind /a->/b");
        check("/a:/b/../c:ro,z", "bind /a->/c ro");
        check("name:/b:nocopy", "volume name->/b nocopy");
        check("/a:/b:rshared,cached,Z", "bind /a->/b rshared");
        check("/a:/b:slave,ro", "bind /a->/b ro,slave");
        check("a:b:c:d", "invalid volume specification: 'a:b:c:d'");
        check("/a:/b:/c:d", "client: invalid spec: /a:/b:/c:d: too many colons");
        check("", "client: invalid empty volume spec");
        check(":/b", "client: invalid spec: :/b: empty section between colons");
        check("/a:/b:", "client: invalid spec: /a:/b:: empty section between colons");
        check("/data:nocopy", "invalid volume specification: '/data:nocopy'");
        for mode in
            ["odd", "bind", "U", "O", "readonly", "ro,rw", "z,Z", "private,shared", "exec", "copy", "unbindable"]
        {
            check(&format!("/a:/b:{mode}"), &format!("invalid mode: {mode}"));
        }
        let misplaced = |text: &str, kind: &str, what: &str| {
            check(
                text,
                &format!("invalid volume specification: '{text}': invalid mount config for type {kind:?}: {what}"),
            );
        };
        misplaced("/a:b", "bind", "invalid mount path: 'b' mount path must be absolute");
        misplaced("/a:/", "bind", "invalid specification: destination can't be '/'");
        misplaced("/a:/b:nocopy", "bind", "field VolumeOptions must not be specified");
        misplaced("name:/b:shared", "volume", "field BindOptions must not be specified");
        check(
            "./x:/b",
            "create ./x: \"./x\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
             If you intended to pass a host directory, use absolute path",
        );
    }

    #[test]
    fn what_an_image_says_is_a_path() {
        let check = |place: &str, expected: Option<&str>| {
            let volume = Mount::of_image(place, Dialect::Docker).map(|mount| shown(Ok(mount)));
            let target = expected.map(|target| format!("volume ->{target} anonymous"));
            assert_eq!(volume, target, "{place}");
            let memory = Mount::memory_of_image(place).map(|mount| shown(Ok(mount)));
            assert_eq!(memory, expected.map(|target| format!("tmpfs ->{target} exec")), "{place}");
        };
        check("/data/../x/", Some("/x"));
        check("data", Some("/data"));
        check("/etc:/host", Some("/etc:/host"));
        check("name:/data:ro", Some("/name:/data:ro"));
        check("/data:dev,suid", Some("/data:dev,suid"));
        check("", None);
        check("/..", None);
        let podman_s = Mount::of_image("/data", Dialect::Podman).map(|mount| shown(Ok(mount)));
        assert_eq!(podman_s.as_deref(), Some("volume ->/data anonymous,nosuid"));
    }

    #[test]
    fn volumes_read_as_podman_reads_them() {
        let check = |text: &str, expected: &str| check(Dialect::Podman, text, expected);
        check("/a:/b:ro,z,nosuid,noexec,nodev", "bind /a->/b ro,noexec,nosuid,nodev");
        check("/a:/b:bind,dev,suid,exec,runbindable", "bind /a->/b shallow,dev,runbindable");
        check("/a:/b:U", "bind /a->/b owned");
        check("/a:/b:O", "bind /a->/b overlaid");
        check("name:/b", "volume name->/b nosuid");
        check("name:/b:suid,nocopy,shared", "volume name->/b nocopy,shared");
        check("/data", "volume ->/data anonymous,nosuid");
        check("/a:/b:O,ro", "client: can't use 'O' with other options");
        check("/a:/b:", "client: invalid option type \"\"");
        check("/a:/b:readonly", "client: invalid option type \"readonly\"");
        let twice = |options: &str, called: &str| {
            let listed = options.replace(',', ", ");
            let words = format!("client: invalid options {listed:?}, can only specify 1 {called} option");
            check(&format!("/a:/b:{options}"), &words);
        };
        twice("rw,ro", "'rw' or 'ro'");
        twice("z,O", "'z', 'Z', or 'O'");
        twice("U,U", "'U'");
        twice("bind,rbind", "'[r]bind'");
        twice("private,shared", "'[r]shared', '[r]private', '[r]slave' or '[r]unbindable'");
        check("/a:/b:idmap", "client: mount option \"idmap\" is not supported: owners are the same inside and outside");
    }

    #[test]
    fn dhow_takes_either_s_options() {
        let check = |text: &str, expected: &str| check(Dialect::Either, text, expected);
        check("/a:/b:U,readonly,rshared,noexec", "bind /a->/b ro,noexec,owned,rshared");
        check("/a:/b:nocopy", "bind /a->/b nocopy");
        check("/a:/b:noatime", "invalid mode: noatime");
    }
}
