//! What goes wrong with one entry.

use std::io;

use dhow_base::{Error, Kind};

use crate::tar::{Entry, TarError};

/// Why an entry could not be made; the entry is named by who knows it.
#[derive(Debug)]
pub(super) struct Failure {
    error: Error,
    /// Whether the error names layer and entry already.
    is_named: bool,
    is_denied: bool,
    is_missing: bool,
}

impl Failure {
    pub(super) fn say(message: String) -> Self {
        Self::from(Error::new(Kind::Corrupt, message))
    }

    pub(super) fn io(what: impl std::fmt::Display, error: io::Error) -> Self {
        let (is_denied, is_missing) = match error.kind() {
            io::ErrorKind::PermissionDenied => (true, false),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (false, true),
            _ => (false, false),
        };
        Self { error: Error::io(what, error), is_named: false, is_denied, is_missing }
    }

    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self { error: self.error.with_hint(hint), ..self }
    }

    pub(super) fn context(self, context: String) -> Self {
        Self { error: self.error.context(context), ..self }
    }

    pub(super) fn is_denied(&self) -> bool {
        self.is_denied
    }

    pub(super) fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// The error, of a layer as a whole.
    pub(super) fn of_layer(self, layer: &str) -> Error {
        self.error.context(layer)
    }

    pub(super) fn named(self, layer: &str, entry: &Entry) -> Error {
        if self.is_named {
            return self.error;
        }
        let path = if entry.path.is_root() { "/".to_owned() } else { entry.path.to_string() };
        self.error.context(format_args!("{layer}: entry {} {path:?}", entry.number))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_named: false, is_denied: false, is_missing: false }
    }
}

impl From<TarError> for Failure {
    fn from(error: TarError) -> Self {
        Self { error: error.into(), is_named: true, is_denied: false, is_missing: false }
    }
}
