//! Real root file systems of the host's own distribution, made by debootstrap from the mirror that apt uses.

#![allow(clippy::disallowed_methods, reason = "makes scratch trees, and reads how the host is set up")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peers::{self, find, is_root};

/// Longest time a mirror may take for a whole system, in seconds.
const PATIENCE_SECONDS: &str = "400";

/// The folder beside the build's other products where the systems and packages of tests are kept between runs.
///
/// # Panics
/// When a test cannot tell where it is itself.
pub fn cache() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(3).expect("target/<profile>/deps/<test>").join("demo-cache")
}

/// A minimal system with `packages` (comma-separated, may be empty) at `target`, made unless it is there already. Test programs
/// that run at once may ask for the same: one makes it, the others wait.
///
/// # Errors
/// Why this machine cannot make one: not Debian, not root, no debootstrap, or no mirror that answers in time.
pub fn tree(target: &Path, packages: &str) -> io::Result<()> {
    let _lock = lock(target)?;
    let is_complete = target.join("etc/debian_version").is_file() && !target.join("debootstrap").exists();
    if is_complete {
        return Ok(());
    }
    if !is_root() {
        return Err(io::Error::other("debootstrap needs root"));
    }
    let debootstrap = find("debootstrap")?;
    let (mirror, suite) = mirror()?;
    // What interrupted runs left.
    let part = target.with_extension("part");
    for left in [target, &part] {
        let _ = fs::remove_dir_all(left);
    }
    fs::create_dir_all(&part)?;
    let mut command = Command::new("timeout");
    command.arg(PATIENCE_SECONDS).arg(debootstrap).arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={packages}"));
    }
    peers::run(command.arg(&suite).arg(&part).arg(mirror))?;
    // What no image ships: downloaded packages, lists, logs and debootstrap's own notes.
    for leftover in ["var/cache/apt", "var/lib/apt/lists", "var/log", "debootstrap"] {
        let _ = fs::remove_dir_all(part.join(leftover));
    }
    for folder in ["var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log"] {
        fs::create_dir_all(part.join(folder))?;
    }
    fs::rename(&part, target)
}

/// Keeps others out of `target` until it is dropped.
fn lock(target: &Path) -> io::Result<File> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(target.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Packages with all that they need and the system at `tree` has not, each unpacked into a folder of its own below `target`, as an
/// image's layers might have them; fetched unless they are there already. The folders, by name.
///
/// # Errors
/// Why this machine has none: not Debian, or no mirror that answers.
pub fn packages(tree: &Path, wanted: &[&str], target: &Path) -> io::Result<Vec<PathBuf>> {
    let _lock = lock(target)?;
    let whole = target.join("whole");
    if !whole.is_file() {
        let _ = fs::remove_dir_all(target);
        fs::create_dir_all(target)?;
        let mut names = needed(tree, wanted)?;
        names.sort();
        let mut download = Command::new("timeout");
        download.arg(PATIENCE_SECONDS).arg(find("apt-get")?).args(["-qq", "download"]).args(&names);
        peers::run(download.current_dir(target))?;
        // `/lib` and its like are links in the system, through which its package manager writes.
        let script = "for deb in *.deb; do
            folder=layer-${deb%%_*}; dpkg-deb -x \"$deb\" \"$folder\"; rm \"$deb\"
            for name in bin sbin lib lib64; do
                [ -d \"$folder/$name\" ] || continue
                mkdir -p \"$folder/usr/$name\"; cp -a \"$folder/$name/.\" \"$folder/usr/$name/\"; rm -r \"$folder/$name\"
            done
        done";
        peers::run(Command::new("sh").args(["-euc", script]).current_dir(target))?;
        fs::write(whole, "")?;
    }
    let entries = fs::read_dir(target)?.map(|entry| entry.map(|entry| entry.path()));
    let mut folders: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    Ok(folders)
}

/// What packages depend on only to be set up, and other ways to be.
const UNWANTED: [&str; 7] = ["perl", "debconf", "debian-installer", "newt", "slang", "textwrap", "install-info"];

/// The names of packages and of all that they depend on, without those that a system has.
fn needed(tree: &Path, wanted: &[&str]) -> io::Result<Vec<String>> {
    let status = fs::read_to_string(tree.join("var/lib/dpkg/status"))?;
    let has = |name: &str| status.lines().any(|line| line.strip_prefix("Package: ") == Some(name));
    let mut apt = Command::new(find("apt-cache")?);
    let quiet =
        ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(|kind| format!("--no-{kind}"));
    let told = peers::stdout_of(apt.args(["depends", "--recurse", "--important"]).args(quiet).args(wanted))?;
    let is_name = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let is_wanted = |name: &&str| !UNWANTED.iter().any(|part| name.contains(part));
    let names = told.lines().filter(is_name).map(str::trim).filter(|name| !name.contains(':') && !has(name));
    Ok(names.filter(is_wanted).map(str::to_owned).collect())
}

/// The mirror and suite that this machine's apt is set up for.
fn mirror() -> io::Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release")?;
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let Some(suite) = field("VERSION_CODENAME") else {
        return Err(io::Error::other(
            "/etc/os-release names no VERSION_CODENAME: debootstrap does not make this system",
        ));
    };
    let mut apt = Command::new(find("apt-get")?);
    let targets =
        peers::stdout_of(apt.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]))?;
    let mirror = targets.lines().find_map(|line| line.split_once(' ').filter(|(release, _)| *release == suite));
    match mirror {
        Some((_, uri)) => Ok((uri.to_owned(), suite)),
        // Its lists were never fetched, or it has none.
        None => Err(io::Error::other(format!("apt knows no mirror for {suite}: run apt-get update first"))),
    }
}
