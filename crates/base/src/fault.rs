//! Named fault points: places where a test can make a durable write fail or the process die.
//!
//! A point costs one relaxed load when no fault is armed. Faults are armed by tests (in-process through [`arm`]); the
//! binary arms them from `DHOW_FAULT` only when it is built with debug assertions.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);
static FAULTS: Mutex<Vec<Armed>> = Mutex::new(Vec::new());

/// What happens when execution reaches an armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process is gone, as after SIGKILL: nothing is cleaned up.
    Abort,
    /// The operation fails with `EIO`.
    Error,
    /// The operation fails with `ENOSPC`.
    NoSpace,
}

struct Armed {
    point: String,
    /// The only file that it happens to.
    path: Option<PathBuf>,
    skip: u32,
    effect: Effect,
}

enum Effect {
    Act(Action),
    /// Something that happens in between, such as what another process does.
    Call(Box<dyn FnOnce() + Send>),
}

/// Arms `action` at `point`, to happen once after `skip` passes.
pub fn arm(point: &str, skip: u32, action: Action) {
    push(Armed { point: point.to_owned(), path: None, skip, effect: Effect::Act(action) });
}

/// As [`arm`] for one file alone: other threads go on with theirs. Only a point that is told the file heeds it.
pub fn arm_at(point: &str, path: &Path, skip: u32, action: Action) {
    push(Armed { point: point.to_owned(), path: Some(path.to_owned()), skip, effect: Effect::Act(action) });
}

/// Has `call` run once when execution reaches `point` for one file, which then goes on: two threads meet in an order that is
/// the same each time.
pub fn call_at(point: &str, path: &Path, call: impl FnOnce() + Send + 'static) {
    push(Armed { point: point.to_owned(), path: Some(path.to_owned()), skip: 0, effect: Effect::Call(Box::new(call)) });
}

fn push(fault: Armed) {
    if let Ok(mut faults) = FAULTS.lock() {
        faults.push(fault);
        ARMED.store(true, Ordering::Release);
    }
}

/// Disarms everything.
pub fn disarm_all() {
    if let Ok(mut faults) = FAULTS.lock() {
        faults.clear();
        ARMED.store(false, Ordering::Release);
    }
}

/// Marks a fault point. Succeeds unless a test armed a fault here.
///
/// # Errors
/// The armed error, as an operating-system error.
#[inline]
pub fn point(name: &str) -> io::Result<()> {
    if ARMED.load(Ordering::Relaxed) { fire(name, None) } else { Ok(()) }
}

/// As [`point`], where something is done to the file at `path`.
///
/// # Errors
/// As those of [`point`].
#[inline]
pub fn point_at(name: &str, path: &Path) -> io::Result<()> {
    if ARMED.load(Ordering::Relaxed) { fire(name, Some(path)) } else { Ok(()) }
}

#[cold]
fn fire(name: &str, path: Option<&Path>) -> io::Result<()> {
    let Ok(mut faults) = FAULTS.lock() else { return Ok(()) };
    let is_meant = |fault: &Armed| fault.point == name && (fault.path.is_none() || fault.path.as_deref() == path);
    let Some(index) = faults.iter().position(is_meant) else { return Ok(()) };
    if faults[index].skip > 0 {
        faults[index].skip -= 1;
        return Ok(());
    }
    let effect = faults.remove(index).effect;
    drop(faults);
    match effect {
        Effect::Act(Action::Abort) => std::process::abort(),
        Effect::Act(Action::Error) => Err(io::Error::from_raw_os_error(5)),
        Effect::Act(Action::NoSpace) => Err(io::Error::from_raw_os_error(28)),
        Effect::Call(call) => {
            call();
            Ok(())
        }
    }
}

/// Parses `point=action` or `point:skip=action` with action `abort`, `error` or `nospace`, and arms it.
///
/// # Errors
/// Says what is wrong with the text.
pub fn arm_from_text(text: &str) -> Result<(), String> {
    let (place, action) = text.split_once('=').ok_or_else(|| format!("no '=' in fault {text:?}"))?;
    let (point, skip) = match place.rsplit_once(':') {
        Some((point, skip)) => (point, skip.parse().map_err(|_| format!("bad count in fault {text:?}"))?),
        None => (place, 0),
    };
    let action = match action {
        "abort" => Action::Abort,
        "error" => Action::Error,
        "nospace" => Action::NoSpace,
        other => return Err(format!("unknown action {other:?} in fault {text:?}")),
    };
    arm(point, skip, action);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_once_after_the_skipped_passes() {
        assert!(point("base.test").is_ok());
        arm_from_text("base.test:1=nospace").expect("well-formed");
        assert!(point("base.other").is_ok());
        assert!(point("base.test").is_ok());
        assert_eq!(point("base.test").map_err(|e| e.raw_os_error()), Err(Some(28)));
        assert!(point("base.test").is_ok());
        assert!(arm_from_text("base.test").is_err());
    }

    #[test]
    fn fires_for_the_file_that_is_meant() {
        let [one, other] = ["/one", "/other"].map(Path::new);
        arm_at("base.file", one, 1, Action::Error);
        assert!(point_at("base.file", one).is_ok());
        assert!(point_at("base.file", other).is_ok());
        assert!(point("base.file").is_ok());
        assert_eq!(point_at("base.file", one).map_err(|e| e.raw_os_error()), Err(Some(5)));
        assert!(point_at("base.file", one).is_ok());
        arm("base.file", 0, Action::Error);
        assert!(point_at("base.file", other).is_err());
    }

    #[test]
    fn a_call_may_pass_points_itself() {
        let path = Path::new("/called");
        call_at("base.call", path, move || assert!(point_at("base.call", path).is_ok()));
        assert!(point_at("base.call", path).is_ok());
    }
}
