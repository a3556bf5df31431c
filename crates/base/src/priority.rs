//! How urgent a thread is.

/// Lets other work of the machine go first, from now on, for the thread that calls: it still gets every idle core.
///
/// A transfer has threads that hash and inflate for seconds on all cores. Commands that a person waits for, such as a
/// listing, and whatever else the machine is there for, should not queue behind them. Without the right to do this (it
/// needs none on Linux) nothing happens.
pub fn lower() {
    /// As much as `nice` lowers without being told how much.
    const INCREMENT: i32 = 10;
    // On Linux niceness belongs to the thread, unlike what POSIX says.
    let _ = rustix::process::nice(INCREMENT);
}
