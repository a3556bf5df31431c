//! Docker that an ordinary user runs: rootlesskit gives its daemon users of its own, as `dhow` takes them itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dhow_testkit::peers::{self, available, is_root};
use dhow_tests::interop::{Bench, must};

use crate::NAME;
use crate::images::odd_image;
use crate::listing::{Except, LIST, assert_equal, listed, listing, told};
use crate::users::{home_of_user, user_of_many, without_privileges};

/// Longest time that the daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon of the user whose folder it is; it ends when this is dropped.
struct Rootless {
    child: Child,
    socket: PathBuf,
}

impl Rootless {
    fn start(folder: &Path) -> Self {
        let (at, socket) = (folder.join("docker").display().to_string(), folder.join("docker.sock"));
        // The network stays the machine's: another would need a device, and containers get none here.
        let daemon = format!(
            "rm -f /run/docker /run/containerd /run/xtables.lock; exec dockerd --rootless --iptables=false --ip6tables=false \
             --ip-forward=false --bridge=none --config-file={at}/daemon.json --data-root={at}/root --exec-root={at}/exec \
             --pidfile={at}/pid --host=unix://{}",
            socket.display()
        );
        let make = "mkdir docker; echo '{}' > docker/daemon.json";
        must(&mut user_of_many(folder, &["sh", "-euc", make]));
        let kit = ["setpriv", "--pdeathsig", "TERM", "rootlesskit", "--net=host", "--copy-up=/etc", "--copy-up=/run"];
        let mut command = user_of_many(folder, &[&kit[..], &["sh", "-euc", &daemon]].concat());
        let log = folder.join("dockerd.log");
        let output = File::create(&log).expect("a log");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a log")).stderr(output);
        let mut rootless = Self { child: command.spawn().expect("a daemon"), socket };
        let begun = Instant::now();
        while !rootless.docker().arg("version").output().is_ok_and(|output| output.status.success()) {
            let is_over = begun.elapsed() > PATIENCE || rootless.child.try_wait().is_ok_and(|ended| ended.is_some());
            assert!(!is_over, "{}", fs::read_to_string(&log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(50));
        }
        rootless
    }

    fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.env_remove("DOCKER_CONTEXT").env("DOCKER_CONFIG", "/nonexistent");
        command.arg("--host").arg(format!("unix://{}", self.socket.display()));
        command
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// What is in a container, said by a program that is mounted into it: sorted, without what engines put there.
fn seen_inside(mut run: Command) -> Vec<String> {
    let list = "/busybox find / -xdev -exec /busybox stat -c '%n|%F|%a|%u:%g|%s|%Y' {} ';'";
    let output = run.args([NAME, "sh", "-c", list]).output().expect("a container");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
    let own = [
        "/.dockerenv",
        "/dev",
        "/proc",
        "/sys",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/etc/mtab",
        "/busybox",
    ];
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        if own.iter().any(|own| cells[0].strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        {
            continue;
        }
        lines.push(match cells[..] {
            // The mount points above were made in these just now.
            [path @ ("/" | "/etc"), kind, mode, owner, ..] => [path, kind, mode, owner].join("|"),
            [path, "directory", mode, owner, _, time] => [path, "directory", mode, owner, time].join("|"),
            _ => line.to_owned(),
        });
    }
    lines.sort();
    lines
}

/// Docker and dhow of the same ordinary user make the same files of an image, owners as they are seen inside; and containers of
/// both see the same.
#[test]
fn an_ordinary_user_beside_docker() {
    if !is_root() {
        eprintln!("skipped: the image that is unpacked is made by root");
        return;
    }
    if available(peers::find("rootlesskit").and(peers::find("dockerd"))).is_none() {
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let folder = home_of_user(&bench, &image);
    must(&mut user_of_many(&folder, &["./dhow", "load", "-q", "-i", "layout"]));
    must(&mut user_of_many(&folder, &["./dhow", "tag", &image.id(), NAME]));
    must(&mut user_of_many(&folder, &["./dhow", "save", "-o", "image.tar", NAME]));
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "./dhow", "unpack", NAME, "files"]));
    let engine = Rootless::start(&folder);
    must(engine.docker().args(["load", "--quiet", "--input"]).arg(folder.join("image.tar")));
    let container = must(engine.docker().args(["create", "--network", "none", NAME]));
    let (exported, target) = (bench.path("exported.tar"), bench.path("by-docker"));
    must(engine.docker().args(["export", "--output"]).arg(&exported).arg(container.trim()));
    fs::create_dir(&target).expect("a folder");
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]).arg(&exported).arg("-C").arg(&target);
    must(&mut tar);
    let except = Except { fractions: true, container: true, user_xattrs: true, habits: true, ..Except::default() };
    let mine = told(user_of_many(&folder, &["./dhow", "unshare", "python3", "-c", LIST, "files"]));
    assert_equal(&without_privileges(listed(&mine, except)), &without_privileges(listing(&target, except)), "docker");

    let options = ["run", "--rm", "--network", "none", "-v", "/bin/busybox:/busybox:ro", "--entrypoint", "/busybox"];
    let mut docker = engine.docker();
    docker.args(options);
    let mine = seen_inside(user_of_many(&folder, &[&["./dhow"][..], &options].concat()));
    let theirs = seen_inside(docker);
    assert!(mine.len() > 30, "{mine:?}");
    assert_eq!(mine, theirs);
    drop(engine);
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "sh", "-c", "rm -rf files docker store"]));
}
