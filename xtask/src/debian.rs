//! Real root file systems of the host's own distribution, made by debootstrap from the mirror that apt uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use dhow_testkit::peers;

use crate::shell;

/// Longest time a mirror may take for a whole system, in seconds.
const PATIENCE_SECONDS: &str = "400";

/// A minimal system with `packages` (comma-separated, may be empty), made at `target` unless it is there already.
///
/// # Errors
/// That this machine cannot make one: not Debian, not root, no debootstrap, or no mirror that answers.
pub(crate) fn tree(target: &Path, packages: &str) -> Result<PathBuf> {
    let complete = target.join("etc/debian_version");
    if complete.is_file() && !target.join("debootstrap").exists() {
        return Ok(target.to_owned());
    }
    if !peers::is_root() {
        bail!("debootstrap needs root");
    }
    let debootstrap = peers::find("debootstrap")?;
    let (mirror, suite) = mirror()?;
    println!("   debootstrap of {suite} (once; kept in {})", target.display());
    // What an interrupted run left.
    let _ = fs::remove_dir_all(target);
    fs::create_dir_all(target)?;
    let mut command = Command::new("timeout");
    command.arg(PATIENCE_SECONDS).arg(debootstrap).arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={packages}"));
    }
    shell::output(command.arg(&suite).arg(target).arg(mirror)).context("debootstrap failed")?;
    // What no image ships: downloaded packages, lists, logs and debootstrap's own notes.
    for leftover in ["var/cache/apt", "var/lib/apt/lists", "var/log", "debootstrap"] {
        let _ = fs::remove_dir_all(target.join(leftover));
    }
    for folder in ["var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log"] {
        fs::create_dir_all(target.join(folder))?;
    }
    Ok(target.to_owned())
}

/// The mirror and suite that this machine's apt is set up for.
fn mirror() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let Some(suite) = field("VERSION_CODENAME") else {
        bail!("/etc/os-release names no VERSION_CODENAME: not a distribution that debootstrap makes");
    };
    let targets = shell::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(RELEASE) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let mirror = targets.lines().find_map(|line| line.split_once(' ').filter(|(release, _)| *release == suite));
    let (_, uri) = mirror.with_context(|| format!("apt has no source for {suite}"))?;
    Ok((uri.to_owned(), suite))
}
