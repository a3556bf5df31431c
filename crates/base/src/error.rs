//! The one error type that crosses crate boundaries, and the closed set of kinds a caller may act on.
//!
//! Crates keep precise `thiserror` enums of their own where a caller can tell variants apart; at a boundary they become
//! an [`Error`] with a [`Kind`]. Nothing decides by the text of a message.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller would act differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The object exists already.
    AlreadyExists,
    /// The user or the caller stopped the operation; what was done so far is kept.
    Cancelled,
    /// The request contradicts the state of the store, such as removing an image that a container uses.
    Conflict,
    /// Bytes are not what their digest, size or format says.
    Corrupt,
    /// The other side knows who is asking and refuses.
    Denied,
    /// A bug in dhow.
    Internal,
    /// The caller's input cannot be understood.
    Invalid,
    /// The operating system failed a file operation.
    Io,
    /// A limit that protects against hostile input was passed.
    LimitExceeded,
    /// No space is left, or a quota is used up.
    NoSpace,
    /// The object does not exist.
    NotFound,
    /// The other side asks to slow down (HTTP 429).
    RateLimited,
    /// The other side wants credentials, or rejects those given.
    Unauthorized,
    /// The other side cannot be reached or answers with a failure that may pass.
    Unavailable,
    /// Understood, but this program or the other side does not do it.
    Unsupported,
}

impl Kind {
    /// Whether the same request may succeed when it is simply made again.
    pub fn is_transient(self) -> bool {
        matches!(self, Kind::Unavailable | Kind::RateLimited)
    }
}

/// An error with a kind, a message that names object and cause, and optionally a hint that says what to do.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error. `message` is a whole sentence without a final full stop and names the object.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Wraps an I/O error; `what` says what was being done to which path (`cannot read "/x/y"`).
    ///
    /// The kind follows the error: a full disk is [`Kind::NoSpace`], a missing file [`Kind::NotFound`].
    pub fn io(what: impl fmt::Display, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::AlreadyExists => Kind::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
            io::ErrorKind::Interrupted => Kind::Cancelled,
            _ => Kind::Io,
        };
        let message = match error.kind() {
            // A full disk reads the same whether a file or a database ran into it.
            io::ErrorKind::StorageFull => format!("{what}: no space left on device"),
            io::ErrorKind::QuotaExceeded => format!("{what}: disk quota exceeded"),
            _ => format!("{what}: {}", words(&error)),
        };
        Self { kind, message, hint: None, source: Some(Box::new(error)) }
    }

    /// Adds what the user can do about it; shown as a `hint:` line on a terminal.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one. Its text should already be part of the message where the user needs it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `context` and a colon before the message; kind, hint and source stay.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The kind, the only thing callers decide on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The first cause of this type, however far down.
    pub fn cause<T: StdError + 'static>(&self) -> Option<&T> {
        let mut next = self.source();
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Whether whoever was to read went away.
    pub fn is_broken_pipe(&self) -> bool {
        self.cause().is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the user can do, if known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// What the system says, as Go's programs write it: in small letters, and without Rust's `(os error 2)`.
pub fn words(error: &io::Error) -> String {
    // For a kind alone Rust has words of its own ("entity not found").
    let is_kind_alone = error.raw_os_error().is_none() && error.get_ref().is_none();
    let text = match error.kind() {
        io::ErrorKind::NotFound if is_kind_alone => "no such file or directory".to_owned(),
        io::ErrorKind::AlreadyExists if is_kind_alone => "file exists".to_owned(),
        _ => error.to_string(),
    };
    // Errors that were made of others end with their number too. What is no system's text keeps its letters.
    let Some((said, _)) = text.rsplit_once(" (os error ").filter(|(_, number)| number.ends_with(')')) else {
        return text;
    };
    let mut letters = said.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_below_others() {
        let broken = Error::io("cannot write", io::ErrorKind::BrokenPipe.into());
        let deep = Error::new(Kind::Invalid, "a copy").with_source(broken);
        assert!(deep.is_broken_pipe() && deep.cause::<Error>().is_some());
        assert!(!Error::io("cannot write", io::ErrorKind::NotFound.into()).is_broken_pipe());
        assert!(!Error::new(Kind::Invalid, "Broken pipe").is_broken_pipe());
    }

    #[test]
    fn kind_of_io_errors() {
        let full = io::Error::from_raw_os_error(28);
        let full = Error::io("cannot write \"/x\"", full);
        assert_eq!(full.kind(), Kind::NoSpace);
        assert_eq!(full.to_string(), "cannot write \"/x\": no space left on device");
        let missing = Error::io("cannot read \"/x\"", io::Error::from_raw_os_error(2));
        assert_eq!(missing.kind(), Kind::NotFound);
        assert_eq!(missing.to_string(), "cannot read \"/x\": no such file or directory");
        let exists = Error::io("cannot make \"/x\"", io::ErrorKind::AlreadyExists.into());
        assert_eq!(
            (exists.kind(), exists.to_string()),
            (Kind::AlreadyExists, "cannot make \"/x\": file exists".to_owned())
        );
        let own = Error::io("cannot read \"/x\"", io::Error::other("Version 3 of the file"));
        assert_eq!(own.to_string(), "cannot read \"/x\": Version 3 of the file");
    }

    #[test]
    fn context_comes_first_and_keeps_the_kind() {
        let error = Error::new(Kind::Corrupt, "digest mismatch").context("layer 3").with_hint("pull it again");
        assert_eq!(error.to_string(), "layer 3: digest mismatch");
        assert_eq!((error.kind(), error.hint()), (Kind::Corrupt, Some("pull it again")));
    }
}
