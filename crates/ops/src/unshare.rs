//! `unshare`: another program in this process's place, once it is root in a user namespace.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Why a program did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    /// Whether there is none of that name.
    pub is_missing: bool,
    /// In podman's words.
    pub message: String,
}

/// Goes on as another program, with its arguments; only returns when there is none to go on as.
pub fn become_program(words: &[String], search_path: &OsStr) -> NotStarted {
    let Some((program, arguments)) = words.split_first() else {
        return NotStarted { is_missing: true, message: "no command specified".to_owned() };
    };
    dhow_base::descriptors::restore();
    let error = Command::new(program).args(arguments).exec();
    // A folder of the search path that may not be looked into is no reason why there should be a program in it.
    let is_there = || std::env::split_paths(search_path).any(|folder| folder.join(program).is_file());
    let is_missing = error.kind() == io::ErrorKind::NotFound || !program.contains('/') && !is_there();
    let message = match (is_missing, program.contains('/')) {
        (true, false) => format!("exec: {program:?}: executable file not found in $PATH"),
        (true, true) => format!("fork/exec {program}: no such file or directory"),
        (false, _) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("fork/exec {program}: permission denied")
        }
        (false, _) => format!("fork/exec {program}: {}", dhow_base::error::words(&error)),
    };
    NotStarted { is_missing, message }
}
