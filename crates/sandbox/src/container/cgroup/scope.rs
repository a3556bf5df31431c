//! A control group of the user's service manager (systemd), which gives it to the user with all controllers that the user has.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What tells where this process is.
const OWN: &str = "/proc/self/cgroup";

/// How long the manager may take to move this process, and how long it is left alone before it is looked again.
const PATIENCE: Duration = Duration::from_secs(2);
const BREATH: Duration = Duration::from_millis(2);

/// Has the manager move this process into a scope of its own (`org.freedesktop.systemd1(5)`, `StartTransientUnit`), which goes with it. Whether
/// it did: there may be no manager.
pub(super) fn enter() -> bool {
    let Ok(before) = fs::read_to_string(OWN) else { return false };
    let process = std::process::id().to_string();
    let unit = format!("dhow-{process}.scope");
    let mut command = Command::new("busctl");
    command.args(["--user", "--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"]);
    command.args(["org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", &unit, "fail", "4"]);
    command.args(["PIDs", "au", "1", &process, "Delegate", "b", "true"]);
    command.args(["CollectMode", "s", "inactive-or-failed", "Description", "s", "a container of dhow", "0"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        return false;
    }
    // It answers before it does so.
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        if fs::read_to_string(OWN).is_ok_and(|now| now != before) {
            return true;
        }
        sleep(BREATH);
        waited += BREATH;
    }
    false
}
