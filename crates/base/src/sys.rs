//! System calls that no safe binding offers. With `sandbox`, and one call of SQLite's in `store::db`, the only place where code may
//! be unsafe.

#![allow(unsafe_code, reason = "what this module is for; each block says why it holds")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Starts writing the dirty pages of a part of a file back, without waiting for them and without dropping any from the page
/// cache: sync_file_range(2) with `SYNC_FILE_RANGE_WRITE`.
///
/// # Errors
/// The operating system's; file systems in user space refuse it.
pub(crate) fn start_writeback(file: &File, range: Range<u64>) -> io::Result<()> {
    let offset = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
    let (start, length) = (offset(range.start)?, offset(range.end.saturating_sub(range.start))?);
    // SAFETY: no memory is passed, and the descriptor is open as long as `file` is borrowed.
    let outcome = unsafe { libc::sync_file_range(file.as_raw_fd(), start, length, libc::SYNC_FILE_RANGE_WRITE) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has a write beyond the process's limit of file sizes (`RLIMIT_FSIZE`) fail with `EFBIG`: by default SIGXFSZ ends the process.
///
/// The signal is caught, not ignored: unlike what is ignored, what is caught is as ever in programs that are started.
pub(crate) fn catch_size_limit() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int);
    // SAFETY: all zeroes are an action without flags and with an empty mask, and a handler that does nothing may run anywhere.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGXFSZ, &raw const action, std::ptr::null_mut());
    }
}
