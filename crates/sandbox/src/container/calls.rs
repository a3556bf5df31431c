//! System calls that no safe binding offers, or that are only safe in a process with one thread.

#![allow(unsafe_code, reason = "what this module is for; each block says why it holds")]

use std::ffi::{CString, c_char};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;
use std::time::Instant;

use dhow_base::error::words;
use dhow_base::{Error, Kind};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// What fails when a process cannot have mounts of its own, in messages.
pub(super) const LEAVING: &str = "cannot leave the machine's mounts";

/// The highest number of a signal (signal(7)).
pub(crate) const SIGNALS_MAX: i32 = 64;

/// Words of what the kernel does at a signal: handler, flags, restorer and signals blocked meanwhile, some of which not every machine has.
const KERNEL_ACTION_WORDS: usize = 4;

/// Bytes of the kernel's sets of signals.
const KERNEL_SIGNALS_BYTES: usize = 8;

/// What to say when the machine's namespaces cannot be left: most often since this is root in a container that is not privileged.
pub(super) fn not_left(what: &str, error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Error::io(what, error);
    }
    let message = format!(
        "{what}: {}: it takes CAP_SYS_ADMIN, which root in a container has only if the container is privileged",
        words(&error)
    );
    Error::new(Kind::Denied, message)
        .with_hint("the files of images are had without it: by `cp`, `cat`, `export` and `unpack`")
}

/// Leaves namespaces for new ones. The caller has one thread, or asks for what counts for the thread alone.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES), "descriptors stay shared");
    // SAFETY: what other code knows descriptors by stays true, since CLONE_FILES is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Has the kernel say, to this process and what it starts, that it is one of 32 bits: personality(2).
pub(crate) fn become_32_bit() -> io::Result<()> {
    /// `PER_LINUX32` of linux/personality.h.
    const PER_LINUX32: libc::c_ulong = 8;
    // SAFETY: no memory is passed.
    match unsafe { libc::personality(PER_LINUX32) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Adds attributes to a mount, and with `recursive` to all below it: mount_setattr(2).
pub(crate) fn add_mount_attributes(mount: impl AsFd, attributes: u64, recursive: bool) -> io::Result<()> {
    // A time of reading is one field of several bits, which is cleared before it is set.
    let clear = if attributes & libc::MOUNT_ATTR__ATIME == 0 { 0 } else { libc::MOUNT_ATTR__ATIME };
    change_mount(
        mount,
        libc::mount_attr { attr_set: attributes, attr_clr: clear, propagation: 0, userns_fd: 0 },
        recursive,
    )
}

/// Says whether mounts pass from and to a mount, and with `recursive` all below it: mount_setattr(2).
pub(crate) fn change_propagation(mount: impl AsFd, propagation: u32, recursive: bool) -> io::Result<()> {
    let propagation = propagation.into();
    change_mount(mount, libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 }, recursive)
}

fn change_mount(mount: impl AsFd, change: libc::mount_attr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant that ends with a zero, and the structure is as long as the call is told.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(outcome)
}

/// Has all descriptors from this one on closed when a program is started.
pub(crate) fn close_at_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: no memory is passed, and nothing is closed yet.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
}

/// Keeps a descriptor open, or not, when a program is started.
pub(crate) fn inherit(descriptor: impl AsFd) -> io::Result<()> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty()).map_err(io::Error::from)
}

/// Takes ownership of a descriptor that this process was started with.
pub(crate) fn adopt(descriptor: RawFd) -> io::Result<std::fs::File> {
    // SAFETY: asks only; a number that stands for nothing is an error.
    checked(i64::from(unsafe { libc::fcntl(descriptor, libc::F_GETFD) }))?;
    // SAFETY: it is open, and nobody else in this process knows of it: it was named on the command line for this.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(descriptor) })
}

/// Filters this thread's system calls: seccomp(2), which says what the flags are. Of several filters that refuse a call, the last one says how.
pub(crate) fn filter_calls(program: &[seccompiler::sock_filter], flags: u32) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the program is as long as it says, of the kernel's own layout, and only read during the call.
    checked(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
}

/// Becomes another program; returns only when that fails.
pub(crate) fn execute(path: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let terminated = |texts: &[CString]| -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (terminated(arguments), terminated(environment));
    // SAFETY: all texts end with a zero and outlive the call, and both lists end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Makes a process like this one, which has one thread. Nothing in the child, the child's number in the parent.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with one thread nothing is half done in the child's copy of the memory.
    let child = unsafe { libc::fork() };
    checked(i64::from(child))?;
    Ok(Pid::from_raw(child))
}

/// Closes all descriptors from a number on. Whoever owns one must not be dropped any more: it is for who ends by exit(3).
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: plain numbers; that nobody uses the descriptors again is the caller's promise, and an error of theirs if they do.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })
}

/// Whether this process was started with a signal ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros are a valid action, which the call only fills in.
    let (known, action) = unsafe {
        let mut action: libc::sigaction = zeroed();
        (libc::sigaction(signal, ptr::null(), &raw mut action), action)
    };
    known == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Takes back what this program, and whoever started it, did to signals: a new one starts with none blocked and none ignored.
pub(crate) fn reset_signals() {
    // SAFETY: plain numbers, and an action of zeros, which is the default one, and a set on this stack.
    unsafe {
        // Those that cannot be changed stay as they are. The kernel is asked, since the library keeps two for itself, and has them ignored
        // in what it starts (glibc, posix_spawn(3)).
        let default = [0_u64; KERNEL_ACTION_WORDS];
        for signal in 1..=SIGNALS_MAX {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                KERNEL_SIGNALS_BYTES,
            );
        }
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Signals that are held back until somebody waits for them. Threads made later hold them back too.
#[derive(Debug)]
pub(crate) struct HeldSignals {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl HeldSignals {
    pub(crate) fn hold(signals: &[i32]) -> io::Result<Self> {
        // SAFETY: both sets are on this stack and are filled before they are read.
        unsafe {
            let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = (zeroed(), zeroed());
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) {
                0 => Ok(Self { set, before }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Waits for the next one.
    pub(crate) fn wait(&self) -> io::Result<i32> {
        self.wait_until(None).and_then(|signal| signal.ok_or_else(|| io::ErrorKind::TimedOut.into()))
    }

    /// Waits for the next one; nothing if there is none until then.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> io::Result<Option<i32>> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.map(|left| libc::timespec {
                tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
            // SAFETY: the set is initialised, the time, if there is one, outlives the call, and what is known of the signal is not asked for.
            let signal = unsafe { libc::sigtimedwait(&raw const self.set, ptr::null_mut(), left) };
            if signal > 0 {
                return Ok(Some(signal));
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set was filled by the system.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// Sends a signal to a process, by number.
pub(crate) fn send_signal(process: u32, signal: i32) -> io::Result<()> {
    let process = i32::try_from(process).map_err(io::Error::other)?;
    // SAFETY: plain numbers. The process is a child that was not waited for, so that the number is still its own.
    checked(i64::from(unsafe { libc::kill(process, signal) }))
}

/// Switches the loopback interface of this network namespace on: netdevice(7), `SIOCSIFFLAGS`.
pub(crate) fn raise_loopback() -> io::Result<()> {
    // SAFETY: plain numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    checked(i64::from(socket))?;
    let socket = adopt(socket)?;
    // SAFETY: all zeros are a valid request.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the request outlives the call and is of the kind that this call reads.
    checked(i64::from(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }))
}

fn checked(outcome: i64) -> io::Result<()> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
