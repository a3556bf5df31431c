//! System calls that no safe binding offers. With `sandbox`, the only place where code may be unsafe.

#![allow(unsafe_code, reason = "what this module is for; each block says why it holds")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Starts writing the dirty pages of a whole file back, without waiting for them and without dropping any from the page
/// cache: sync_file_range(2) with `SYNC_FILE_RANGE_WRITE`.
///
/// # Errors
/// The operating system's; file systems in user space refuse it.
pub(crate) fn start_writeback(file: &File) -> io::Result<()> {
    // SAFETY: no memory is passed, and the descriptor is open as long as `file` is borrowed.
    let outcome = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
