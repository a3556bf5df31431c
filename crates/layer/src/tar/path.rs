//! Names inside of a root.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest path in bytes: `PATH_MAX` of Linux without its final zero byte.
pub(super) const PATH_BYTES_MAX: usize = 4095;

/// Longest name of one component in bytes: `NAME_MAX` of Linux.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// A name below a root: no component is empty, `.` or `..`, and none has a zero byte. The empty path is the root itself.
///
/// It says nothing about symbolic links on the way: whoever opens it has to refuse them.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath {
    /// Components joined by single slashes.
    bytes: Vec<u8>,
}

/// Why bytes are no [`RelativePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More `..` than components before them.
    #[error("the path leads out of the root")]
    Escapes,
    /// A zero byte, which no file system takes.
    #[error("the path contains a zero byte")]
    ZeroByte,
    /// Longer than `PATH_MAX`.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A component longer than `NAME_MAX`; that of a whiteout may be longer by its prefix.
    #[error("a name in the path is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
}

impl RelativePath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Cleans a name from an archive as Go's `filepath.Clean` does: leading slashes, empty and `.` components go, `..` takes
    /// the component before it along.
    ///
    /// # Errors
    /// [`PathError`]; a `..` without a component before it is refused even behind a leading slash.
    pub fn parse(name: &[u8]) -> Result<Self, PathError> {
        if name.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        let mut bytes = Vec::with_capacity(name.len());
        for component in name.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    if bytes.is_empty() {
                        return Err(PathError::Escapes);
                    }
                    let end = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    bytes.truncate(end);
                }
                _ if is_too_long(component) => return Err(PathError::NameTooLong),
                _ if component.contains(&0) => return Err(PathError::ZeroByte),
                _ => {
                    if !bytes.is_empty() {
                        bytes.push(b'/');
                    }
                    bytes.extend_from_slice(component);
                }
            }
        }
        Ok(Self { bytes })
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// [`PathError`] when the name is no single component or the whole gets too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        match name {
            b"" | b"." | b".." => return Err(PathError::Escapes),
            _ if name.contains(&b'/') => return Err(PathError::Escapes),
            _ if name.contains(&0) => return Err(PathError::ZeroByte),
            _ if is_too_long(name) => return Err(PathError::NameTooLong),
            _ if self.bytes.len() + 1 + name.len() > PATH_BYTES_MAX => return Err(PathError::TooLong),
            _ => {}
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() + 1 + name.len());
        bytes.extend_from_slice(&self.bytes);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Ok(Self { bytes })
    }

    /// Whether it is the root itself.
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The components joined by slashes; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same as a path; empty for the root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.bytes))
    }

    /// The components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// The directory it is in, and its name there; nothing for the root.
    pub fn split(&self) -> Option<(&[u8], &[u8])> {
        (!self.is_root()).then(|| split(&self.bytes))
    }

    /// The directory it is in; nothing for the root.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| Self { bytes: parent.to_vec() })
    }

    /// The last component; nothing for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.split().map(|(_, name)| name)
    }

    /// Whether it is `above` or lies below it.
    pub(crate) fn is_within(&self, above: &Self) -> bool {
        above.is_root()
            || self.bytes.strip_prefix(above.bytes.as_slice()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }
}

/// A file's whiteout is no file, so that its prefix does not count.
fn is_too_long(name: &[u8]) -> bool {
    name.strip_prefix(b".wh.").unwrap_or(name).len() > NAME_BYTES_MAX
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_path(), formatter)
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_path().display(), formatter)
    }
}

/// The directory that a path is in, and its last name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_or_refused() {
        let long_name = [b'n'; 256];
        let long_path = b"d/".repeat(2048);
        for (name, expected) in [
            (&b""[..], Ok("")),
            (b".", Ok("")),
            (b"./", Ok("")),
            (b"/", Ok("")),
            (b"a/..", Ok("")),
            (b"./usr//bin/.", Ok("usr/bin")),
            (b"/etc/passwd", Ok("etc/passwd")),
            (b"a/../b", Ok("b")),
            (b"a/b/../../c/..d", Ok("c/..d")),
            (b"...", Ok("...")),
            (b"..", Err(PathError::Escapes)),
            (b"/..", Err(PathError::Escapes)),
            (b"a/../../b", Err(PathError::Escapes)),
            (b"a\0b", Err(PathError::ZeroByte)),
            (&long_name, Err(PathError::NameTooLong)),
            (&long_path, Err(PathError::TooLong)),
        ] {
            let parsed = RelativePath::parse(name).map(|path| path.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{:?}", OsStr::from_bytes(name));
        }
    }

    #[test]
    fn a_join_takes_one_component() {
        let path = RelativePath::parse(b"a/b").expect("a path");
        assert_eq!(path.join(b"c").map(|path| path.to_string()), Ok("a/b/c".to_owned()));
        for name in [&b""[..], b".", b"..", b"c/d", b"/"] {
            assert_eq!(path.join(name), Err(PathError::Escapes));
        }
        assert_eq!(path.parent(), RelativePath::parse(b"a").ok());
        assert_eq!((path.name(), RelativePath::root().name()), (Some(&b"b"[..]), None));
        assert!(path.is_within(&RelativePath::root()) && path.is_within(&path));
        assert!(!RelativePath::parse(b"a/bc").expect("a path").is_within(&path));
    }
}
