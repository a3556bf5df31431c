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
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Denied,
    Missing,
    /// A symbolic link that leads nowhere has the name of a directory.
    LeadsNowhere,
    Other,
}

impl Failure {
    pub(super) fn say(message: String) -> Self {
        Self::from(Error::new(Kind::Corrupt, message))
    }

    pub(super) fn io(what: impl std::fmt::Display, error: io::Error) -> Self {
        let cause = match error.kind() {
            io::ErrorKind::PermissionDenied => Cause::Denied,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Cause::Missing,
            _ => Cause::Other,
        };
        Self { error: Error::io(what, error), is_named: false, cause }
    }

    pub(super) fn nowhere(what: &str) -> Self {
        let failure = Self::say(format!("{what}: a symbolic link that leads nowhere is in its place"));
        Self { cause: Cause::LeadsNowhere, ..failure }
    }

    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self { error: self.error.with_hint(hint), ..self }
    }

    pub(super) fn context(self, context: String) -> Self {
        Self { error: self.error.context(context), ..self }
    }

    pub(super) fn is_denied(&self) -> bool {
        self.cause == Cause::Denied
    }

    pub(super) fn is_missing(&self) -> bool {
        self.cause == Cause::Missing
    }

    pub(super) fn leads_nowhere(&self) -> bool {
        self.cause == Cause::LeadsNowhere
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
        Self { error, is_named: false, cause: Cause::Other }
    }
}

impl From<TarError> for Failure {
    fn from(error: TarError) -> Self {
        Self { error: error.into(), is_named: true, cause: Cause::Other }
    }
}
