//! What can go wrong in a step on a database, and how it reads to the user.

use std::path::Path;

use dhow_base::{Error, Kind};
use dhow_spec::digest::DigestError;
use dhow_spec::reference::ReferenceError;
use rusqlite::{ErrorCode, ffi};

use crate::wait::LOCK_PATIENCE;

/// The result of a step inside a transaction.
pub(crate) type Step<T> = Result<T, Failure>;

/// Why a step failed. It does not know the file yet: [`Failure::at`] adds it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// A column holds what never was written there.
    Row(String),
    /// Something else failed; the error is complete.
    Other(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<DigestError> for Failure {
    fn from(error: DigestError) -> Self {
        Self::Row(error.to_string())
    }
}

impl From<ReferenceError> for Failure {
    fn from(error: ReferenceError) -> Self {
        Self::Row(error.to_string())
    }
}

impl Failure {
    /// Whether SQLite could not open or make one of the files that belong to a database, because nothing can be written
    /// where it lies.
    pub(crate) fn is_read_only(&self) -> bool {
        self.sqlite().is_some_and(|error| matches!(error.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly))
    }

    /// Whether there was no room for the memory that processes share.
    pub(crate) fn is_without_shared_memory(&self) -> bool {
        const SHARED_MEMORY: [i32; 3] =
            [ffi::SQLITE_IOERR_SHMOPEN, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMMAP];
        self.sqlite().is_some_and(|error| SHARED_MEMORY.contains(&error.extended_code))
    }

    fn sqlite(&self) -> Option<&ffi::Error> {
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(error, _)) => Some(error),
            _ => None,
        }
    }

    /// The error for the user, naming the database.
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Self::Other(error) => error,
            Self::Row(what) => damaged(path, &what),
            Self::Sql(error) => sql_error(path, error),
        }
    }
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the database {path:?} is damaged: {what}"))
        .with_hint("`dhow system check --repair` makes it anew and deletes nothing")
}

fn sql_error(path: &Path, error: rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    let text = match &error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    let message = format!("database {path:?}: {text}");
    let made = match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, &text),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let seconds = LOCK_PATIENCE.as_secs();
            let message = format!("the database {path:?} is locked by another process for more than {seconds} seconds");
            Error::new(Kind::Unavailable, message).with_hint("wait for that process, or end it: `fuser` names it")
        }
        Some(ErrorCode::DiskFull) => {
            Error::new(Kind::NoSpace, format!("cannot write {path:?}: no space left on device"))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            Error::new(Kind::Denied, format!("cannot write {path:?}: {text}"))
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::FileLockingProtocolFailed) => {
            Error::new(Kind::Io, message)
        }
        Some(ErrorCode::OperationInterrupted) => Error::new(Kind::Cancelled, message),
        // Column types and counts that do not fit the schema come without a code.
        None => damaged(path, &text),
        Some(_) => Error::new(Kind::Internal, message),
    };
    made.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_and_the_way_out() {
        let error = Failure::from(rusqlite::Error::QueryReturnedNoRows).at(Path::new("/x/meta.db"));
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("/x/meta.db"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("dhow system check")));
        let busy = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None);
        assert_eq!(Failure::from(busy).at(Path::new("/x/meta.db")).kind(), Kind::Unavailable);
    }
}
