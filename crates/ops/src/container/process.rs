//! The first process of a container.

use std::path::Path;

use dhow_base::fs::read_limited;
use dhow_sandbox::container::KnownProcess;

use super::directory;
use crate::context::Context;

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
