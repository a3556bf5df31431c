//! Reading files of configuration: what may be missing, limits, and mistakes that name their place.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result, fs, limits};
use serde::de::DeserializeOwned;

/// Most drop-ins of one folder that are read.
const DROP_INS_MAX: usize = 1000;

/// The files of a folder of drop-ins, in the order of their names.
pub(super) fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(format_args!("cannot read {folder:?}"), error);
    let mut paths = Vec::new();
    if is_absent(folder) {
        return Ok(paths);
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "conf") && !path.is_dir() {
            paths.push(path);
        }
        if paths.len() > DROP_INS_MAX {
            let message = format!("{folder:?} has more than {DROP_INS_MAX} files");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether there is nothing at a path, as for a user whose home is `/dev/null`.
pub(super) fn is_absent(path: &Path) -> bool {
    let found = std::fs::metadata(path).map_err(|error| error.kind());
    matches!(found, Err(ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Reads a file of a daemon; `None` also when it is not for this user, since only the daemon is sure to be able to.
pub(super) fn read_daemon(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Err(error) if error.kind() == Kind::Denied => {
            tracing::debug!(%error, "what it says of registries does not count");
            Ok(None)
        }
        read => read,
    }
}

/// Reads a file; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    if is_absent(path) {
        return Ok(None);
    }
    match fs::read_limited(path, limits::API_BODY_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn toml<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("not a text in UTF-8"))?;
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let at = line.map_or_else(String::new, |line| format!("line {line}: "));
        invalid(format!("{at}{}", one_line(&error)))
    })
}

/// The parser's message without the picture of the place.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', ", ")
}

pub(super) fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, why)
}
