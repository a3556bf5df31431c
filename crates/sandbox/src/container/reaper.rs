//! A first process that stays, for programs that are none: it waits for the children that others left behind, and passes signals on, which
//! the kernel keeps from a first process that does not ask for them. It is what docker's `--init` puts before a program (tini).

use std::io;

use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, setpgid, wait};
use rustix::termios::tcsetpgrp;

use super::calls::{self, HeldSignals, SIGNALS_MAX};

/// Goes on as a child of this process, which stays and ends with its exit code. The caller has one thread.
///
/// # Errors
/// Those of making a process; nothing has changed then.
pub(super) fn stay_behind() -> io::Result<()> {
    let kept_from_nobody = [libc::SIGKILL, libc::SIGSTOP];
    let all: Vec<i32> = (1..=SIGNALS_MAX).filter(|signal| !kept_from_nobody.contains(signal)).collect();
    let signals = HeldSignals::hold(&all)?;
    match calls::fork()? {
        None => {
            // The terminal's keys are for the program, if there is a terminal. Signals are held as long as this takes: who is not in front
            // is stopped for it otherwise.
            let _ = setpgid(None, None);
            let _ = tcsetpgrp(io::stdin(), getpid());
            Ok(())
        }
        Some(child) => {
            // Whoever watches waits for the ends of the pipes that are open here too.
            let _ = calls::close_from(3);
            #[allow(
                clippy::exit,
                reason = "this process is nobody's any more: what others own in it must not be dropped"
            )]
            std::process::exit(reap(child, &signals))
        }
    }
}

/// Waits for all children until the first one has ended. Returns its exit code.
fn reap(child: Pid, signals: &HeldSignals) -> i32 {
    loop {
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == child {
                return code(status);
            }
        }
        match signals.wait() {
            Ok(libc::SIGCHLD) => {}
            Ok(signal) => drop(calls::send_signal(child.as_raw_nonzero().get().unsigned_abs(), signal)),
            Err(_) => return i32::from(u8::MAX),
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(i32::from(u8::MAX))
}
