//! What podman says of options of `create` and `run` that it does not understand, where docker has other words.

use std::path::Path;

use dhow_base::error::words;
use dhow_ops::container::{NamespaceKind, Other};

use crate::errors::{Failure, Outcome};

/// Podman's rule for names of volumes and containers.
pub(in crate::commands) const NAMES: &str = "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument";

/// What podman cannot do with a size that it cannot read.
pub(in crate::commands) const MEMORY: &str = "invalid value for memory";
pub(in crate::commands) const SHM: &str = "unable to translate --shm-size";

fn refuse(message: String) -> Outcome {
    Err(Failure::Client(message))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn check_target(target: &str) -> Outcome {
    match target.starts_with('/') {
        true => Ok(()),
        false if target.is_empty() => refuse("container directory cannot be empty".to_owned()),
        false => refuse(format!("invalid container path {target:?}, must be an absolute path")),
    }
}

/// Refuses what is not there: podman makes no directories on the machine.
///
/// # Errors
/// Its words.
pub(in crate::commands) fn check_source(source: &str) -> Outcome {
    match Path::new(source).exists() {
        true => Ok(()),
        false => refuse(format!("statfs {source}: no such file or directory")),
    }
}

/// Refuses what podman refuses of a volume's source and target; its options are read later.
///
/// # Errors
/// Its words.
pub(in crate::commands) fn check_volume(text: &str) -> Outcome {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target) = match parts.as_slice() {
        [target] => (None, *target),
        [source, target] | [source, target, _] => (Some(*source), *target),
        _ => return refuse(format!("{text}: incorrect volume format, should be [host-dir:]ctr-dir[:option]")),
    };
    if source == Some("") {
        return refuse("host directory cannot be empty".to_owned());
    }
    check_target(target)?;
    match source {
        Some(path) if path.starts_with('/') => check_source(path),
        Some(name) if !is_name(name) => {
            refuse(format!("creating named volume {name:?}: running volume create option: {NAMES}"))
        }
        _ => Ok(()),
    }
}

/// Podman looks for a device when the container is made.
///
/// # Errors
/// Its words for one that is not there.
pub(in crate::commands) fn check_device(text: &str) -> Outcome {
    let source = text.split(':').next().unwrap_or_default();
    match source.is_empty() || Path::new(source).exists() {
        true => Ok(()),
        false => refuse(format!("stat {source}: no such file or directory")),
    }
}

/// What podman says of a limit of processes that it cannot read.
pub(in crate::commands) fn about_ulimit(text: &str, why: &str) -> String {
    format!("ulimit option {text:?} requires name=SOFT:HARD, failed to be parsed: {why}")
}

/// What podman says of an annotation without a value.
pub(in crate::commands) const ANNOTATION: &str = "annotations must be formatted KEY=VALUE";

/// Refuses what is no name of a container.
///
/// # Errors
/// Podman's words.
pub(in crate::commands) fn check_name(name: &str) -> Outcome {
    // Docker's names may begin so, and podman 5 takes them.
    match is_name(name.strip_prefix('/').unwrap_or(name)) {
        true => Ok(()),
        false => refuse(format!("running container create option: {NAMES}")),
    }
}

/// Refuses what is no new name of a container.
///
/// # Errors
/// Podman's words.
pub(in crate::commands) fn check_renamed(name: &str) -> Outcome {
    if is_name(name) { Ok(()) } else { refuse(NAMES.to_owned()) }
}

/// What podman says of another's namespace that is not named.
pub(in crate::commands) fn nameless_namespace(what: &str) -> Failure {
    Failure::Client(format!("invalid config provided: namespace mode {what} requires a value"))
}

/// The file that stands for a namespace.
///
/// # Errors
/// Podman's words for one that is not there.
pub(in crate::commands) fn namespace_file(kind: NamespaceKind, path: &str) -> Outcome<Other> {
    let name = match kind {
        NamespaceKind::User => "user",
        NamespaceKind::Network => "network",
        NamespaceKind::Pid => "PID",
        NamespaceKind::Ipc => "IPC",
        NamespaceKind::Uts => "UTS",
    };
    match std::fs::metadata(path) {
        // The container may be started from another directory.
        Ok(_) => Ok(Other::Path(std::path::absolute(path).unwrap_or_else(|_| Path::new(path).to_owned()))),
        Err(error) => {
            let why = words(&error);
            Err(Failure::Client(format!("cannot find specified {name} namespace path: stat {path}: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: Outcome, expected: &str) {
        let text = match outcome {
            Ok(()) => String::new(),
            Err(Failure::Client(message)) => message,
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(text, expected);
    }

    /// What podman 4.3.1 says.
    #[test]
    fn refusals_are_podman_s() {
        check(check_volume("/etc:/x:ro,z"), "");
        check(check_volume("name:/x"), "");
        check(check_volume("/x"), "");
        check(check_volume("/not/there:/x"), "statfs /not/there: no such file or directory");
        check(
            check_volume("rel/x:/x"),
            "creating named volume \"rel/x\": running volume create option: names must match \
             [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument",
        );
        check(check_volume("a:b:c:d"), "a:b:c:d: incorrect volume format, should be [host-dir:]ctr-dir[:option]");
        check(check_volume("/etc:x"), "invalid container path \"x\", must be an absolute path");
        check(check_volume("/etc:"), "container directory cannot be empty");
        check(check_device("/dev/null:/dev/x"), "");
        check(check_device("/dev/nope:/dev/x"), "stat /dev/nope: no such file or directory");
        check(check_name("a_b"), "");
        check(check_name("/a_b"), "");
        check(
            check_name("a b"),
            "running container create option: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument",
        );
    }
}
