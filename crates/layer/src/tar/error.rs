//! What can be wrong with an archive, and where.

use std::fmt;
use std::io;

use dhow_base::{Error, Kind};

use super::path::PathError;
use crate::decode_error;

/// Why an archive cannot be read, with the place.
#[derive(Debug)]
pub struct TarError {
    /// What the stream is, such as `layer sha256:…`.
    pub(super) stream: String,
    /// Number of the entry, from 1, and its name as far as it was known.
    pub(super) entry: Option<(u64, Vec<u8>)>,
    /// Position of the entry in the uncompressed stream, in bytes.
    pub(super) offset: u64,
    pub(crate) cause: TarCause,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarCause {
    /// The header's checksum does not fit; the usual sign of a stream that is no tar or lost its step.
    #[error("the header is damaged or this is no tar archive")]
    Checksum,
    /// A field of the header is no number or out of its range.
    #[error("the field {0:?} has no valid number")]
    Number(&'static str),
    /// An owner or group that no Linux has.
    #[error("{0} {1} is out of range")]
    Owner(&'static str, i64),
    /// A PAX record breaks the format.
    #[error("the PAX header is malformed: {0}")]
    Pax(&'static str),
    /// The same property is stated twice, differently, so that readers would disagree.
    #[error("{0} is stated twice with different values")]
    Ambiguous(String),
    /// Extension headers that no entry follows.
    #[error("extension headers do not belong to an entry")]
    Orphaned,
    /// The map of a sparse file is no ordered list of extents, or does not fit its data.
    #[error("the sparse map is malformed: {0}")]
    Sparse(&'static str),
    /// A type that is no part of a file system.
    #[error("entries of type {:?} are not supported", char::from(*.0))]
    Type(u8),
    /// The name is no path below the root.
    #[error("{0}")]
    Path(#[from] PathError),
    /// The target of a link is no path, empty or too long.
    #[error("the link target is not valid: {0}")]
    LinkTarget(&'static str),
    /// A whiteout that names nothing that could be removed.
    #[error("the whiteout does not name a file")]
    Whiteout,
    /// An extended attribute with an impossible name or value.
    #[error("the extended attribute is not valid: {0}")]
    Xattr(&'static str),
    /// The stream ends inside of an entry.
    #[error("unexpected EOF")]
    Truncated,
    /// A zero block with something behind it, where readers disagree on whether the archive ends.
    #[error("a single zero block stands between entries")]
    LoneZeroBlock,
    /// A limit was passed.
    #[error("{0} exceeds the limit of {1}")]
    Limit(&'static str, u64),
    /// Reading the stream failed.
    #[error("{0}")]
    Read(io::Error),
}

impl TarError {
    /// What is wrong.
    pub fn cause(&self) -> &TarCause {
        &self.cause
    }

    /// The kind callers act on.
    fn kind(&self) -> Kind {
        match self.cause {
            TarCause::Limit(..) | TarCause::Path(PathError::TooLong | PathError::NameTooLong) => Kind::LimitExceeded,
            TarCause::Type(_) => Kind::Unsupported,
            _ => Kind::Corrupt,
        }
    }

    fn place(&self) -> String {
        match &self.entry {
            Some((number, name)) if !name.is_empty() => {
                format!("{}: entry {number} {:?}", self.stream, String::from_utf8_lossy(name))
            }
            Some((number, _)) => format!("{}: entry {number} at byte {}", self.stream, self.offset),
            None => self.stream.clone(),
        }
    }
}

impl fmt::Display for TarError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place(), self.cause)
    }
}

impl std::error::Error for TarError {}

impl From<TarError> for Error {
    fn from(error: TarError) -> Self {
        match error.cause {
            TarCause::Read(cause) => {
                let place = TarError { cause: TarCause::Truncated, ..error }.place();
                decode_error(place, cause)
            }
            _ => Error::new(error.kind(), error.to_string()).with_source(error),
        }
    }
}
