//! The places that `copy` and its kin go between, as users spell them, and each of them opened as a source or a sink.

pub(crate) mod choose;
mod open;
mod sink;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Reference, Repository};

pub(crate) use open::{Opened, images_in, open};
pub(crate) use sink::{AnySink, Destination};
pub(crate) use source::{AnySource, Joined, Overlay};

/// A place and what is meant in it, in the spelling of skopeo's transports (containers-transports(5)).
///
/// Without a transport, a name or ID means the local store, as it does for every other verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `docker://NAME`: a registry.
    Registry(Reference),
    /// `store:NAME`, or the name or ID alone: the local store.
    Store(String),
    /// `oci:DIRECTORY[:NAME]`: an OCI image layout in a directory.
    OciDirectory {
        /// The directory.
        path: PathBuf,
        /// Which image in it; the name is any text.
        name: Option<String>,
        /// Another folder with its blobs, which several layouts can share.
        shared: Option<PathBuf>,
    },
    /// `oci-archive:FILE[:NAME]`: an OCI image layout in a tar.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// Which image in it; the name is any text.
        name: Option<String>,
    },
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// Which image in it: its name with tag, or `@N` for the one at that position.
        name: Option<String>,
    },
    /// `dir:DIRECTORY`: skopeo's folder of one image.
    Directory(PathBuf),
    /// `docker-daemon:NAME`: the images of a Docker engine.
    DockerDaemon {
        /// The name or ID.
        name: String,
        /// Where the engine is, as in `DOCKER_HOST`; its usual socket if nothing is said.
        host: Option<String>,
    },
    /// `containers-storage:NAME`: podman's images.
    ContainersStorage(String),
}

/// How each transport is written.
const SPELLINGS: &str = "docker://NAME, store:NAME, oci:DIRECTORY[:NAME], oci-archive:FILE[:NAME], \
                         docker-archive:FILE[:NAME], dir:DIRECTORY, docker-daemon:NAME, containers-storage:NAME";

impl Location {
    /// Reads a place.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a transport that is not known, and for what is missing behind one.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((scheme, rest)) = text.split_once("://") {
            if scheme != "docker" {
                let message = format!("{text:?}: there is no transport {scheme:?}");
                return Err(Error::new(Kind::Invalid, message).with_hint(format!("the transports are {SPELLINGS}")));
            }
            let reference =
                Reference::parse(rest).map_err(|error| Error::from(error).context(format_args!("{text:?}")))?;
            return Ok(Location::Registry(reference));
        }
        // `docker:27` and `oci` are names of images like any other.
        let Some((transport, rest)) = text.split_once(':') else { return Self::store(text, text) };
        match transport {
            "store" => Self::store(text, rest),
            "oci" => Self::with_name(text, rest, |path, name| Location::OciDirectory { path, name, shared: None }),
            "oci-archive" => Self::with_name(text, rest, |path, name| Location::OciArchive { path, name }),
            "docker-archive" => Self::with_name(text, rest, |path, name| Location::DockerArchive { path, name }),
            "dir" => Ok(Location::Directory(given(text, rest, "a directory")?.into())),
            "docker-daemon" => {
                let name = given(text, rest, "the name of an image")?.to_owned();
                Ok(Location::DockerDaemon { name, host: None })
            }
            "containers-storage" => {
                Ok(Location::ContainersStorage(given(text, rest, "the name of an image")?.to_owned()))
            }
            _ => Self::store(text, text),
        }
    }

    fn store(text: &str, name: &str) -> Result<Self> {
        Ok(Location::Store(given(text, name, "the name or ID of an image")?.to_owned()))
    }

    fn with_name(text: &str, rest: &str, make: impl FnOnce(PathBuf, Option<String>) -> Self) -> Result<Self> {
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (rest, None),
        };
        Ok(make(given(text, path, "a path")?.into(), name))
    }

    /// As [`Location::parse`] for a name beside another place: without a transport it is a name in the same registry or store
    /// that `other` is in.
    ///
    /// # Errors
    /// As [`Location::parse`].
    pub fn parse_beside(text: &str, other: Option<&Location>) -> Result<Self> {
        let parsed = Self::parse(text)?;
        match (&parsed, other) {
            (Location::Store(name), Some(Location::Registry(_))) if name == text => Ok(Location::Registry(
                Reference::parse(name).map_err(|error| Error::from(error).context(format_args!("{text:?}")))?,
            )),
            _ => Ok(parsed),
        }
    }

    /// The same place with the Docker engine at `host`, if that is what it is about.
    #[must_use]
    pub fn at_engine(self, host: Option<&str>) -> Self {
        match self {
            Location::DockerDaemon { name, .. } => Location::DockerDaemon { name, host: host.map(str::to_owned) },
            other => other,
        }
    }

    /// The same place with its path as seen from a directory, so that it can be found from another one.
    #[must_use]
    pub fn seen_from(self, here: &Path) -> Self {
        match self {
            Location::OciDirectory { path, name, shared } => {
                Location::OciDirectory { path: here.join(path), name, shared: shared.map(|folder| here.join(folder)) }
            }
            Location::OciArchive { path, name } => Location::OciArchive { path: here.join(path), name },
            Location::DockerArchive { path, name } => Location::DockerArchive { path: here.join(path), name },
            Location::Directory(path) => Location::Directory(here.join(path)),
            other => other,
        }
    }

    /// The same place with the blobs in a folder that several layouts share, if it is a layout in a directory.
    #[must_use]
    pub fn sharing(self, folder: Option<PathBuf>) -> Self {
        match self {
            Location::OciDirectory { path, name, .. } => Location::OciDirectory { path, name, shared: folder },
            other => other,
        }
    }

    /// Whether an archive goes to standard output, by one of the names that it has as a file.
    pub fn is_standard_output(&self) -> bool {
        match self {
            Location::OciArchive { path, .. } | Location::DockerArchive { path, .. } => is_standard_output(path),
            _ => false,
        }
    }

    /// The repository that the image's name is of, if it has such a name.
    pub fn repository(&self) -> Option<Repository> {
        let name = match self {
            Location::Registry(reference) => return Some(reference.repository().clone()),
            Location::DockerArchive { name, .. } => name.as_ref()?,
            Location::Store(name) | Location::DockerDaemon { name, .. } => name,
            Location::ContainersStorage(name) => crate::podman::place(name).ok()?.name,
            Location::OciDirectory { .. } | Location::OciArchive { .. } | Location::Directory(_) => return None,
        };
        Reference::parse(name).ok().map(|reference| reference.repository().clone())
    }

    /// The registry that the place is in, if it is in one.
    pub fn domain(&self) -> Option<&str> {
        match self {
            Location::Registry(reference) => Some(reference.repository().domain()),
            _ => None,
        }
    }
}

/// Whether a path is what Linux calls this process's standard output.
fn is_standard_output(path: &Path) -> bool {
    ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

fn given<'t>(text: &str, part: &'t str, what: &str) -> Result<&'t str> {
    if part.is_empty() {
        return Err(Error::new(Kind::Invalid, format!("{text:?} lacks {what}")));
    }
    Ok(part)
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = |transport: &str, path: &PathBuf, name: &Option<String>| {
            let name = name.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
            write!(formatter, "{transport}:{}{name}", path.display())
        };
        match self {
            Location::OciDirectory { path, name, .. } => named("oci", path, name),
            Location::OciArchive { path, name } => named("oci-archive", path, name),
            Location::DockerArchive { path, name } => named("docker-archive", path, name),
            Location::Directory(path) => named("dir", path, &None),
            Location::Registry(reference) => write!(formatter, "docker://{reference}"),
            Location::Store(name) => write!(formatter, "store:{name}"),
            Location::DockerDaemon { name, .. } => write!(formatter, "docker-daemon:{name}"),
            Location::ContainersStorage(name) => write!(formatter, "containers-storage:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Location::parse(text).map_or_else(|error| error.to_string(), |location| format!("{location:?}"))
    }

    #[test]
    fn spellings() {
        for (text, expected) in [
            ("docker://alpine:3.20", "docker://docker.io/library/alpine:3.20"),
            ("store:alpine", "store:alpine"),
            ("alpine", "store:alpine"),
            ("docker:27", "store:docker:27"),
            ("localhost:5000/a/b:c", "store:localhost:5000/a/b:c"),
            ("store:oci:latest", "store:oci:latest"),
            ("oci:/a/b:example.test/app:1", "oci:/a/b:example.test/app:1"),
            ("oci:a", "oci:a"),
            ("oci-archive:a.tar:", "oci-archive:a.tar"),
            ("docker-archive:a.tar:@1", "docker-archive:a.tar:@1"),
            ("dir:/a:b", "dir:/a:b"),
            ("docker-daemon:app:1", "docker-daemon:app:1"),
            ("containers-storage:app", "containers-storage:app"),
        ] {
            assert_eq!(Location::parse(text).expect(text).to_string(), expected, "{text}");
        }
        let registry = Location::parse("docker://r.test/a").expect("a name");
        let beside = |text| Location::parse_beside(text, Some(&registry)).expect(text).to_string();
        assert_eq!(beside("r.test/b:1"), "docker://r.test/b:1");
        assert_eq!(beside("store:r.test/b:1"), "store:r.test/b:1");
        assert_eq!(beside("oci:dir"), "oci:dir");
        let store = Location::parse("a").expect("a name");
        assert_eq!(Location::parse_beside("b", Some(&store)).expect("b").to_string(), "store:b");
        assert_eq!(parsed("ostree://x"), "\"ostree://x\": there is no transport \"ostree\"");
        assert_eq!(parsed("dir:"), "\"dir:\" lacks a directory");
        assert_eq!(parsed("oci::v1"), "\"oci::v1\" lacks a path");
        assert_eq!(parsed(""), "\"\" lacks the name or ID of an image");
        assert_eq!(
            parsed("docker://UPPER"),
            "\"docker://UPPER\": invalid reference format: repository name (library/UPPER) must be lowercase"
        );
    }
}
