//! Paths in containers, as docker and podman read them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::cp::means_contents;
use crate::naming::Naming;

/// A path as docker takes it: from the root, and cleaned without looking (Go's `filepath.Clean`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) parts: Vec<Vec<u8>>,
    /// It ends with `/` or `/.`.
    pub(super) wants_directory: bool,
    /// Its last name is `.`.
    pub(super) contents_only: bool,
}

impl Way {
    pub(super) fn parse(path: &[u8]) -> Self {
        let contents_only = means_contents(path);
        let mut way = Self { parts: Vec::new(), wants_directory: contents_only || path.ends_with(b"/"), contents_only };
        way.walk(path);
        way
    }

    /// As [`Way::parse`], of what is copied: with podman only `/.` at the end stands for what is in a directory.
    pub(super) fn to_source(path: &[u8], naming: Naming) -> Self {
        let way = Self::parse(path);
        let contents_only = way.contents_only && (naming == Naming::Docker || path.ends_with(b"/."));
        Self { contents_only, ..way }
    }

    fn walk(&mut self, path: &[u8]) {
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(self.parts.pop()),
                part => self.parts.push(part.to_vec()),
            }
        }
    }

    /// The directory that its last name is in.
    pub(super) fn above(&self) -> &[Vec<u8>] {
        self.parts.split_last().map_or(&[][..], |(_, above)| above)
    }

    /// Where the link at its end leads.
    pub(super) fn through(&self, target: &[u8]) -> Self {
        let mut way = Self { contents_only: false, ..self.clone() };
        match target.starts_with(b"/") {
            true => way.parts.clear(),
            false => drop(way.parts.pop()),
        }
        way.walk(target);
        way
    }
}

/// The path of the directory above, as docker tells it.
pub(super) fn above(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(above, _)| if above.is_empty() { "/" } else { above })
}

pub(super) fn joined(parts: &[Vec<u8>]) -> PathBuf {
    OsString::from_vec(parts.join(&b'/')).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_cleaned_as_docker_cleans_them() {
        let check = |path: &str, expected: &str, wants_directory: bool, contents_only: bool| {
            let way = Way::parse(path.as_bytes());
            let found = (joined(&way.parts), way.wants_directory, way.contents_only);
            assert_eq!(found, (expected.into(), wants_directory, contents_only), "{path}");
        };
        check("/etc/passwd", "etc/passwd", false, false);
        check("etc//./x/", "etc/x", true, false);
        check("/a/../../b/.", "b", true, true);
        check("/", "", true, false);
        check(".", "", true, true);
        check("./", "", true, true);
        check("a/.//", "a", true, true);
        check("a/b.", "a/b.", false, false);
        check("/..", "", false, false);
    }

    #[test]
    fn links_lead_on_from_where_they_are() {
        let check = |path: &str, target: &str, expected: &str| {
            let way = Way::parse(path.as_bytes()).through(target.as_bytes());
            assert_eq!(joined(&way.parts).to_str(), Some(expected), "{path} -> {target}");
        };
        check("/a/b", "c", "a/c");
        check("/a/b", "/c/d", "c/d");
        check("/a/b", "../../../x", "x");
    }
}
