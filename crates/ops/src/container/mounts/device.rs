//! `--device`.

use dhow_base::{Error, Kind, Result};

use super::{Given, Mount, MountKind, cleaned};

impl Mount {
    /// Reads `--device`: `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`. Whether it is there is found out when the container starts.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words (docker/cli, `validateLinuxPath`).
    pub fn device(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_mode = |text: &str| {
            let is_once = |letter: char| text.matches(letter).count() == 1;
            !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter) && is_once(letter))
        };
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
        Ok(Self { read_only: !mode.contains('w'), given: Some(Given::Device(mode.to_owned())), ..mount })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::super::tests::shown;
    use super::*;

    #[test]
    fn devices_read_as_docker_reads_them() {
        let check = |text: &str, expected: &str| {
            assert_eq!(shown(Mount::device(text).map_err(Refusal::Engine)), expected, "{text}");
        };
        check("/dev/fuse", "device /dev/fuse->/dev/fuse");
        check("/dev/a:/dev/b:r", "device /dev/a->/dev/b ro");
        check("/dev/a:rw", "device /dev/a->/dev/a");
        check("a", "a is not an absolute path");
        check("", "bad format for path: ");
        check("/dev/a:/b:c:d", "bad format for path: /dev/a:/b:c:d");
        check("/dev/a:/b:q", "bad mode specified: q");
        check("/dev/a:/b:rr", "bad mode specified: rr");
    }
}
