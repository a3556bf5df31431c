//! What is to be told of a container's last run besides how it ended: why it did not start, and whether memory ran out.

use std::path::Path;

use dhow_base::Result;
use dhow_base::fs::{read_limited, remove_file};
use dhow_sandbox::container::{StartCause, StartFailure, StartStage};
use serde::{Deserialize, Serialize};

use super::run::{RECORD_BYTES_MAX, write_record};

/// Where it is kept, in the container's directory; there is none of a run of which there is nothing to tell.
const FILE: &str = "last-run";

/// What is to be told of the last run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastRun {
    /// Why the program was not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<StartFailure>,
    /// Whether the kernel killed something in it for want of memory.
    pub ran_out_of_memory: bool,
}

impl LastRun {
    /// The exit code of a container that `ended` with one when it last ran, or was not started since, as docker's engine has it.
    pub fn exit_code(&self, ended: Option<i64>) -> Option<i64> {
        match self.failure.as_ref().map(|failure| failure.cause) {
            None => ended,
            Some(StartCause::NotFound) => Some(127),
            Some(StartCause::NotExecutable | StartCause::IsDirectory) => Some(126),
            // An older one is left as it is.
            Some(StartCause::Setup) => ended.filter(|code| *code != 0).or(Some(128)),
        }
    }

    /// Reads it. What cannot be read tells nothing.
    pub(crate) fn read(directory: &Path) -> Self {
        let text = read_limited(&directory.join(FILE), RECORD_BYTES_MAX).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn keep(&self, directory: &Path) -> Result<()> {
        write_record(&directory.join(FILE), self)
    }

    /// Forgets it: the next run has begun.
    pub(crate) fn forget(directory: &Path) {
        let _ = remove_file(&directory.join(FILE));
    }

    /// Why a program was not started, if that is kept: docker's engine keeps nothing of what it finds out before it makes anything, such as a
    /// source of a mount that is gone.
    pub(crate) fn of_failure(failure: &StartFailure) -> Option<Self> {
        (failure.stage == StartStage::Program).then(|| Self { failure: Some(failure.clone()), ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let directory = dhow_testkit::peers::scratch().expect("a folder");
        assert_eq!(LastRun::read(directory.path()), LastRun::default());
        let failure = |stage| StartFailure { message: "no such thing".to_owned(), cause: StartCause::Setup, stage };
        let kept = LastRun::of_failure(&failure(StartStage::Program)).unwrap();
        kept.keep(directory.path()).unwrap();
        let read = LastRun::read(directory.path());
        assert_eq!((&read, read.exit_code(None), read.exit_code(Some(3))), (&kept, Some(128), Some(3)));
        assert_eq!(LastRun::of_failure(&failure(StartStage::Container)), None);
        LastRun { ran_out_of_memory: true, failure: None }.keep(directory.path()).unwrap();
        let read = LastRun::read(directory.path());
        assert!(read.ran_out_of_memory && read.exit_code(Some(137)) == Some(137));
        LastRun::forget(directory.path());
        assert_eq!(LastRun::read(directory.path()), LastRun::default());
    }
}
