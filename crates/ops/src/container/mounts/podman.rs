//! `--mount` as podman reads it (podman, `pkg/specgenutil/volumes.go`).

use std::path::Path;

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{Habits, Propagation};

use super::long::source_from;
use super::volume::not_mapped;
use super::{Mount, MountKind, cleaned, csv};

/// What podman says behind what lacks a value, or has too many.
const NO_VALUE: &str = "must provide an argument for option";
const BAD: &str = "invalid mount option";

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, message)
}

impl Mount {
    pub(super) fn podman_s_long(text: &str, here: &Path) -> Result<Self> {
        let fields = csv::fields(text).map_err(invalid)?;
        let kind = fields.iter().find_map(|field| field.strip_prefix("type=")).unwrap_or("volume");
        let kind = match kind {
            "bind" => MountKind::Bind,
            "volume" => MountKind::Volume,
            "tmpfs" => MountKind::Tmpfs,
            "image" => MountKind::Image,
            "devpts" => {
                let hint = "there are bind, volume, tmpfs and image";
                let message = format!("mounts of type {kind:?} are not supported");
                return Err(Error::new(Kind::Unsupported, message).with_hint(hint));
            }
            _ => return Err(invalid(format!("invalid filesystem type {kind:?}"))),
        };
        let mut long = Long { mount: Self::new(kind, "", "").with_habits(Habits::Podman), ..Long::default() };
        long.mount.manner.no_suid = kind == MountKind::Volume;
        long.mount.read_only = kind == MountKind::Image;
        let mut is_typed = false;
        for field in &fields {
            // A second type is an option that there is not.
            match field.strip_prefix("type=").filter(|_| !is_typed) {
                Some(_) => is_typed = true,
                None => long.read(field)?,
            }
        }
        if kind != MountKind::Image {
            long.mount.source = source_from(here, &long.mount.source);
        }
        long.finish()
    }
}

/// What is read of a mount.
struct Long {
    mount: Mount,
    has_source: bool,
    /// Words that rule each other out.
    words: Vec<String>,
    /// What may be said once, and was.
    said: Vec<&'static str>,
}

impl Default for Long {
    fn default() -> Self {
        let mount = Mount::new(MountKind::Volume, "", "");
        Self { mount, has_source: false, words: Vec::new(), said: Vec::new() }
    }
}

impl Long {
    fn read(&mut self, field: &str) -> Result<()> {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let kind = self.mount.kind;
        if kind == MountKind::Image {
            return self.read_of_image(key, value);
        }
        let needed = || value.ok_or_else(|| invalid(format!("{key}: {NO_VALUE}")));
        match (key, kind) {
            ("ro" | "rw" | "readonly", _) => self.writing(key, value)?,
            ("exec" | "noexec", _) => self.once("'noexec' and 'exec' options", key)?,
            ("suid" | "nosuid", _) => self.once("'nosuid' and 'suid' options", key)?,
            ("dev" | "nodev", _) => self.once("'nodev' and 'dev' options", key)?,
            ("bind-nonrecursive", MountKind::Bind) => self.mount.manner.shallow = true,
            ("bind-propagation", MountKind::Bind) => self.words.push(needed()?.to_owned()),
            ("z" | "Z", MountKind::Bind) => self.words.push(key.to_owned()),
            ("relabel", MountKind::Bind) => self.relabel(value)?,
            ("idmap", MountKind::Bind) => return Err(not_mapped()),
            ("tmpcopyup" | "notmpcopyup", MountKind::Tmpfs) => {
                self.said_once("'tmpcopyup' and 'notmpcopyup' options")?;
                self.mount.filled = key == "tmpcopyup";
            }
            ("tmpfs-size" | "tmpfs-mode", MountKind::Tmpfs) => {
                self.mount.set_option(&key["tmpfs-".len()..], needed()?);
            }
            ("src" | "source", MountKind::Tmpfs) => {
                return Err(invalid("source is not supported with tmpfs mounts".to_owned()));
            }
            ("src" | "source", _) => {
                let source = needed()?;
                if source.is_empty() && kind == MountKind::Bind {
                    return Err(invalid(format!("host directory cannot be empty: {NO_VALUE}")));
                }
                source.clone_into(&mut self.mount.source);
                self.has_source = true;
            }
            ("target" | "dst" | "destination", _) => self.mount.target = target(needed()?)?,
            ("consistency", _) => {}
            ("U" | "chown", _) => self.owner(value)?,
            ("volume-label", MountKind::Volume) => {
                return Err(invalid("the --volume-label option is not presently implemented".to_owned()));
            }
            ("volume-opt", MountKind::Volume) => self.mount.add_driver_option(value.unwrap_or_default()),
            (word, MountKind::Bind) if Propagation::parse(word).is_some() => self.words.push(word.to_owned()),
            _ => return Err(invalid(format!("{key}: {BAD}"))),
        }
        Ok(())
    }

    /// What can be said of an image; podman 5 has `subpath` besides.
    fn read_of_image(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let needed = || value.ok_or_else(|| invalid(format!("{key}: {NO_VALUE}")));
        match key {
            "src" | "source" => needed()?.clone_into(&mut self.mount.source),
            "target" | "dst" | "destination" => self.mount.target = target(needed()?)?,
            "rw" | "readwrite" => match value.unwrap_or_default() {
                "true" => self.mount.make_writable(),
                "false" => {}
                value => return Err(invalid(format!("invalid rw value {value:?}: {BAD}"))),
            },
            "subpath" => match needed()? {
                path if path.starts_with('/') => self.mount.manner.subpath = path.trim_start_matches('/').to_owned(),
                path => return Err(invalid(format!("volume subpath {path:?} must be an absolute path"))),
            },
            "consistency" => {}
            _ => return Err(invalid(format!("{key}: {BAD}"))),
        }
        Ok(())
    }

    fn said_once(&mut self, what: &'static str) -> Result<()> {
        if self.said.contains(&what) {
            return Err(invalid(format!("cannot pass {what} more than once: {NO_VALUE}")));
        }
        self.said.push(what);
        Ok(())
    }

    fn once(&mut self, what: &'static str, word: &str) -> Result<()> {
        self.said_once(what)?;
        self.mount.heed(word);
        Ok(())
    }

    fn writing(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        self.said_once("'readonly', 'ro', or 'rw' options")?;
        let says = match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => {
                let given = value.unwrap_or_default();
                let what = "'readonly', 'ro', or 'rw' must be set to true or false, instead received";
                return Err(invalid(format!("{what} {given:?}: {NO_VALUE}")));
            }
        };
        self.mount.read_only = (key != "rw") == says;
        Ok(())
    }

    fn relabel(&mut self, value: Option<&str>) -> Result<()> {
        self.said_once("'relabel' option")?;
        match value {
            Some("private" | "shared") => Ok(()),
            _ => Err(invalid(format!("relabel mount option must be 'private' or 'shared': {BAD}"))),
        }
    }

    fn owner(&mut self, value: Option<&str>) -> Result<()> {
        self.said_once("'U' or 'chown' option")?;
        self.mount.manner.owned = match value {
            None => true,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => {
                let what = "'U' or 'chown' must be set to true or false, instead received";
                return Err(invalid(format!("{what} {value:?}: {NO_VALUE}")));
            }
        };
        Ok(())
    }

    fn finish(self) -> Result<Mount> {
        let Self { mut mount, has_source, words, .. } = self;
        if mount.kind == MountKind::Image && (mount.source.is_empty() || mount.target.is_empty()) {
            return Err(invalid("must set source and destination for image volume".to_owned()));
        }
        if mount.target.is_empty() {
            return Err(invalid("must set volume destination".to_owned()));
        }
        if mount.kind == MountKind::Bind && !has_source {
            mount.source.clone_from(&mount.target);
        }
        if !words.is_empty() {
            mount.heed_podman(&words.join(","))?;
        }
        mount.anonymous = mount.kind == MountKind::Volume && mount.source.is_empty();
        Ok(mount)
    }
}

fn target(path: &str) -> Result<String> {
    if path.is_empty() {
        return Err(invalid("container directory cannot be empty".to_owned()));
    }
    match cleaned(path) {
        None => Err(invalid(format!("invalid container path {path:?}, must be an absolute path"))),
        // The program's root is below it.
        Some(root) if root == "/" => Err(invalid("invalid specification: destination can't be '/'".to_owned())),
        Some(path) => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::shown;
    use super::super::{Dialect, Mount};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(Mount::long(text, Dialect::Podman, Path::new("/here"))), expected, "{text}");
    }

    #[test]
    fn long_mounts_read_as_podman_reads_them() {
        check("type=bind,src=/a,dst=/b,ro", "bind /a->/b ro");
        check("type=bind,src=/a,dst=/b,rw=false", "bind /a->/b ro");
        check("type=bind,src=/a,dst=/b,readonly=FALSE,bind-nonrecursive=x", "bind /a->/b shallow");
        check("ro,type=bind,src=/a,dst=/b,noexec,nosuid,nodev", "bind /a->/b ro,noexec,nosuid,nodev");
        check("type=bind,src=/a,dst=/b,U,relabel=shared,bind-propagation=rslave", "bind /a->/b owned,rslave");
        check("type=bind,dst=/b,chown=false,Z,shared", "bind /b->/b shared");
        check("type=volume,src=v,dst=/b,ro,volume-opt=a", "volume v->/b ro,driver,nosuid");
        check("type=volume,src=v,dst=/b,readonly", "volume v->/b ro,nosuid");
        check("type=volume,src=v,dst=/b,rw=false", "volume v->/b ro,nosuid");
        check("type=volume,src=v,dst=/b,ro=false", "volume v->/b nosuid");
        check("type=volume,src=,dst=/b,suid", "volume ->/b anonymous");
        check("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700,notmpcopyup,noexec", "tmpfs ->/b  size=1m mode=700");
        check("dst=/b", "volume ->/b anonymous,nosuid");
        check("type=image,src=a,dst=/b", "image a->/b ro");
        check("type=image,src=./a,dst=/b,rw=false,consistency=x", "image ./a->/b ro");
        check("type=image,source=a:1,destination=/b/../c,rw=true", "image a:1->/c overlaid");
        check("readwrite=true,type=image,src=a,target=/b,subpath=/etc/x", "image a->/b overlaid at etc/x");
    }

    #[test]
    fn long_mounts_that_cannot_be_are_refused_as_podman_refuses_them() {
        let check = |text: &str, words: &str| check(text, &format!("client: {words}"));
        check("type=odd,dst=/b", "invalid filesystem type \"odd\"");
        check("type=bind,src=/a,dst=/b,type=bind", "type: invalid mount option");
        check("type=bind", "must set volume destination");
        check("type=bind,src=/a,dst=b", "invalid container path \"b\", must be an absolute path");
        check("type=bind,dst=", "container directory cannot be empty");
        check("type=bind,src=/a,dst=/b/..", "invalid specification: destination can't be '/'");
        check("type=image,src=a,dst=/", "invalid specification: destination can't be '/'");
        check("type=bind,src,dst=/b", "src: must provide an argument for option");
        check("type=bind,src=,dst=/b", "host directory cannot be empty: must provide an argument for option");
        check("type=tmpfs,src=/a,dst=/b", "source is not supported with tmpfs mounts");
        check("type=bind,src=/a,dst=/b,bind-propagation=odd", "invalid option type \"odd\"");
        check("type=bind,src=/a,dst=/b,rbind", "rbind: invalid mount option");
        check("type=volume,dst=/b,volume-label=a", "the --volume-label option is not presently implemented");
        let twice = |text: &str, what: &str| {
            check(text, &format!("cannot pass {what} more than once: must provide an argument for option"));
        };
        twice("type=bind,src=/a,dst=/b,ro,rw", "'readonly', 'ro', or 'rw' options");
        twice("type=tmpfs,dst=/b,ro,rw", "'readonly', 'ro', or 'rw' options");
        twice("type=tmpfs,dst=/b,suid,nosuid", "'nosuid' and 'suid' options");
        twice("type=bind,src=/a,dst=/b,relabel=shared,relabel=shared", "'relabel' option");
        twice("type=tmpfs,dst=/b,tmpcopyup,notmpcopyup", "'tmpcopyup' and 'notmpcopyup' options");
        check(
            "type=bind,src=/a,dst=/b,ro=1",
            "'readonly', 'ro', or 'rw' must be set to true or false, instead received \"1\": must provide an argument for option",
        );
        check(
            "type=bind,src=/a,dst=/b,U=x",
            "'U' or 'chown' must be set to true or false, instead received \"x\": must provide an argument for option",
        );
        check(
            "type=bind,src=/a,dst=/b,relabel=x",
            "relabel mount option must be 'private' or 'shared': invalid mount option",
        );
        check("type=devpts,dst=/b", "mounts of type \"devpts\" are not supported");
        for incomplete in ["type=image", "type=image,src=a", "type=image,dst=/b", "type=image,src=,dst=/b"] {
            check(incomplete, "must set source and destination for image volume");
        }
        let of_image = |option: &str, words: &str| check(&format!("type=image,src=a,dst=/b,{option}"), words);
        of_image("rw=maybe", "invalid rw value \"maybe\": invalid mount option");
        of_image("rw", "invalid rw value \"\": invalid mount option");
        of_image("subpath=etc", "volume subpath \"etc\" must be an absolute path");
        of_image("dst=b", "invalid container path \"b\", must be an absolute path");
        of_image("src", "src: must provide an argument for option");
        for odd in ["ro", "U", "noexec", "z", "shared", "readonly", "type=image"] {
            of_image(odd, &format!("{}: invalid mount option", odd.split('=').next().unwrap_or_default()));
        }
    }
}
