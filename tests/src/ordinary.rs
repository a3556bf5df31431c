//! An ordinary user of this machine, for tests that root runs.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a user may be in containers besides itself (subuid(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Four million others.
    Many,
    /// Nobody else.
    One,
}

/// Runs what is added as an ordinary user whose home is `folder`, in a mount namespace where it has such users of its own.
///
/// # Panics
/// When the folder cannot be written.
pub fn user(folder: &Path, ids: Ids, words: &[&str]) -> Command {
    let script = "mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
        exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"";
    let ranges = match ids {
        Ids::Many => "nobody:300000:4000000\n",
        Ids::One => "\n",
    };
    fs::write(folder.join("ranges"), ranges).expect("the ranges");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", script, "sh"]).args(words).current_dir(folder);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", folder);
    command.env("DHOW_ROOT", folder.join("store")).env("XDG_RUNTIME_DIR", folder.join("run"));
    command
}
