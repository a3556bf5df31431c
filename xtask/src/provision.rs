//! Programs that the interop tests and the benchmark need, and how they come onto a Debian machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use dhow_testkit::peers;

use crate::shell;

/// Program, and the Debian package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("podman", "podman"),
    ("skopeo", "skopeo"),
    ("buildah", "buildah"),
    ("docker-registry", "docker-registry"),
    ("nginx", "nginx-light"),
    ("fusermount3", "fuse3"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("chromium", "chromium"),
    ("debootstrap", "debootstrap"),
    ("mkfs.ext4", "e2fsprogs"),
    ("setpriv", "util-linux"),
    ("time", "time"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("umoci", "umoci"),
    ("python3", "python3"),
    ("wrk", "wrk"),
    ("busybox", "busybox-static"),
    ("newuidmap", "uidmap"),
    ("rootlesskit", "rootlesskit"),
    // It fetches SeaweedFS from PyPI.
    ("pip3", "python3-pip"),
];

/// What is missing, as (program, package).
pub(crate) fn missing() -> Vec<(&'static str, &'static str)> {
    NEEDED.iter().copied().filter(|(program, _)| peers::find(program).is_err()).collect()
}

/// Installs what is missing when we are root on a Debian machine. Says what will be skipped otherwise.
pub(crate) fn install() -> Result<()> {
    open_fuse();
    let missing = missing();
    if missing.is_empty() {
        println!("   everything is installed");
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    if !peers::is_root() || peers::find("apt-get").is_err() {
        for (program, package) in missing {
            println!("   {program} is missing: tests that need it are skipped (Debian package {package})");
        }
        return Ok(());
    }
    println!("   installing {}", packages.join(" "));
    // Lists may be old or absent; a mirror that fails here may still have the packages.
    let _ = Command::new("apt-get").args(["-qq", "update"]).status();
    let services = HeldServices::hold()?;
    let installed = shell::run(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "--yes", "--no-install-recommends", "install"])
            .args(&packages),
    );
    drop(services);
    installed.context("cannot install what the tests need")
}

/// Lets everybody mount over FUSE, as udev does where it runs.
fn open_fuse() {
    const EVERYBODY: u32 = 0o666;
    let device = Path::new("/dev/fuse");
    let mode = fs::metadata(device).map(|metadata| metadata.permissions().mode());
    if !peers::is_root() || mode.is_err() || mode.is_ok_and(|mode| mode & EVERYBODY == EVERYBODY) {
        return;
    }
    if let Err(error) = fs::set_permissions(device, fs::Permissions::from_mode(EVERYBODY)) {
        println!(
            "   tests of ordinary users' mounts will fail: cannot open {} for everybody: {error}",
            device.display()
        );
    }
}

/// Keeps packages from starting their daemons on machines without systemd; the tests start their own.
struct HeldServices {
    made: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl HeldServices {
    fn hold() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { made: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { made: true })
    }
}

impl Drop for HeldServices {
    fn drop(&mut self) {
        if self.made {
            // Left behind, it would only keep services from starting by themselves.
            let _ = fs::remove_file(POLICY);
        }
    }
}
