//! Work that nobody waits for: a process of its own goes on with it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use dhow_ops::{Context, system};

/// Removes the trees that were put into the trash, after this program has ended. If that cannot be, or is cut, the next
/// removal of images does it.
pub(crate) fn empty_trash(context: &Context) {
    if !system::has_trashed_trees(context) {
        return;
    }
    let root = &context.settings().store_root;
    let mut program = Command::new("/proc/self/exe");
    // The name decides whose habits the program has.
    program.arg0("dhow").arg("--root").arg(root).args(["system", "empty-trash"]);
    program.current_dir("/").process_group(0);
    let started = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        tracing::debug!(%error, "cannot start the removal of trees");
    }
}
