//! Who owns the files beside a database.
//!
//! Run by root, SQLite gives the log and the shared memory to the owner of the database at every opening, so that nobody is
//! locked out of a store that root looked into. It does so also when they are his already, and on a journaled file system
//! even such a change waits until a flush that is under way has ended: `images` was seen to stand still for seconds while
//! another process pulled. Here the owner is looked at first.

#![allow(unsafe_code, reason = "SQLite takes another system call only through its C interface")]

use std::ffi::c_int;
use std::mem::transmute;
use std::os::fd::BorrowedFd;
use std::sync::Once;

use rusqlite::ffi;
use rustix::process::{Gid, RawGid, RawUid, Uid};

/// Has SQLite change an owner only where there is something to change, from now on and in this process.
///
/// `xSetSystemCall` of <https://www.sqlite.org/c3ref/vfs.html>. A SQLite without it goes on as it was.
pub(super) fn change_only_when_needed() {
    static ONCE: Once = Once::new();
    // SQLite itself leaves owners alone for everybody but root.
    if rustix::process::geteuid().is_root() {
        ONCE.call_once(|| _ = replace_fchown());
    }
}

fn replace_fchown() -> Option<()> {
    type Fchown = extern "C" fn(c_int, RawUid, RawGid) -> c_int;
    type SystemCall = unsafe extern "C" fn();
    // SAFETY: null asks for the default VFS, which lives as long as the process and is only changed here, once, before the
    // first database is opened. SQLite calls back what it is given under the name "fchown" with the arguments of fchown(2).
    unsafe {
        let vfs = ffi::sqlite3_vfs_find(std::ptr::null());
        let set = vfs.as_ref().filter(|vfs| vfs.iVersion >= 3)?.xSetSystemCall?;
        let replacement = transmute::<Fchown, SystemCall>(fchown);
        set(vfs, c"fchown".as_ptr(), Some(replacement));
    }
    Some(())
}

extern "C" fn fchown(file: c_int, owner: RawUid, group: RawGid) -> c_int {
    // SAFETY: SQLite holds the file open for the length of this call.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    let is_so = rustix::fs::fstat(file).is_ok_and(|found| found.st_uid == owner && found.st_gid == group);
    let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(group));
    if is_so || rustix::fs::fchown(file, Some(owner), Some(group)).is_ok() { 0 } else { -1 }
}
