//! The first process of a container.

use std::path::Path;
use std::time::Duration;

use dhow_base::fs::read_limited;
use dhow_sandbox::container::KnownProcess;

use super::directory;
use super::run::remove_recorded_groups;
use crate::context::Context;

/// How long a process that was killed may take to end.
const TO_END: Duration = Duration::from_secs(10);

/// Longest record of a process that is read, in bytes.
const PROCESS_BYTES_MAX: u64 = 4 << 10;

/// The process of a running container.
pub(crate) fn process(directory: &Path) -> Option<KnownProcess> {
    let bytes = read_limited(&directory.join("process"), PROCESS_BYTES_MAX).ok()?;
    serde_json::from_slice(&bytes).ok().filter(KnownProcess::is_there)
}

/// The first process of a container that runs.
pub fn process_of(context: &Context, id: &str) -> Option<KnownProcess> {
    let store = context.store().ok()?;
    process(&directory(store, id).ok()?)
}

/// Ends a container's processes at once.
pub(crate) fn kill(directory: &Path) {
    if let Some(process) = process(directory) {
        let _ = process.kill();
    }
}

/// Ends what a watcher left that was killed, whose lock is held instead, and waits for that: as long as a process is there it writes to the
/// container's files. It was to be killed with its watcher; a change of user in it can undo that. Returns whether it has ended.
pub(crate) fn end_left(directory: &Path) -> bool {
    let ended = process(directory).is_none_or(|process| {
        process.end(TO_END).unwrap_or_else(|error| {
            tracing::warn!(%error, process = process.id(), "cannot end what is left of a container");
            false
        })
    });
    if ended {
        remove_recorded_groups(directory);
    }
    ended
}
