//! Containers in namespaces of the machine's and of each other beside the real docker, and mistakes beside the real podman.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Bench, Pair, pair, podman_and_dhow};

/// What a container among the machine's processes finds, and what it leaves behind.
const AMONG_OTHERS: &str = "read id name rest < /proc/1/stat; echo $id \"$name\"; test $$ -gt 1 && echo among others
    (/bin/busybox sleep 1000 &); /bin/busybox setsid /bin/busybox sleep 1000 & exit 7";

#[test]
fn the_machine_s_namespaces_are_shared_as_with_docker() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    pair.both(&["import", &bench.path("root.tar").to_string_lossy(), "box"]);
    for options in [&["--pid", "host"][..], &["--pid", "host", "--init"], &["--pid", "host", "--user", "bob"]] {
        let arguments = [&["run", "--rm", "--network", "none"], options, &["box", "/bin/sh", "-c", AMONG_OTHERS]];
        pair.say_the_same(&arguments.concat());
    }
    let modes = "{{.HostConfig.PidMode}},{{.HostConfig.IpcMode}},{{.HostConfig.UTSMode}},{{.HostConfig.UsernsMode}}";
    let cases: [&[&str]; 4] =
        [&[], &["--pid", "host", "--uts", "host"], &["--ipc", "host"], &["--ipc", "none", "--init"]];
    for (name, options) in ["aa", "bb", "cc", "dd"].into_iter().zip(cases) {
        pair.both(&[&["create", "--name", name], options, &["box", "/bin/true"]].concat());
        pair.say_the_same(&["inspect", "--format", modes, name]);
    }
}

/// A container that sleeps on both sides.
struct Sleeper<'p> {
    pair: &'p Pair,
    name: &'static str,
    watcher: Child,
}

impl<'p> Sleeper<'p> {
    fn begin(pair: &'p Pair, name: &'static str, options: &[&str]) -> Self {
        let words = ["box", "/bin/sh", "-c", "echo ours > /dev/shm/x; exec /bin/busybox sleep 1000"];
        let theirs = pair.docker(&[&["run", "-d", "--name", name], options, &words].concat());
        assert!(theirs.status.success(), "{theirs:?}");
        let arguments = [&["--compat", "docker", "run", "--name", name], options, &words].concat();
        let watcher = pair.dhow.command(&arguments).stdout(Stdio::null()).spawn().expect("dhow");
        let sleeper = Self { pair, name, watcher };
        let pid = ["inspect", "--format", "{{.State.Pid}}", name];
        let begin = Instant::now();
        for run in [Pair::docker, Pair::dhow] {
            while !is_asleep(&run(pair, &pid)) {
                assert!(begin.elapsed() < Duration::from_secs(60), "{name} does not run");
                sleep(Duration::from_millis(20));
            }
        }
        sleeper
    }
}

/// Whether a process, whose number was said, is the program at its end.
fn is_asleep(said: &Output) -> bool {
    let words = fs::read(format!("/proc/{}/cmdline", String::from_utf8_lossy(&said.stdout).trim()));
    words.is_ok_and(|words| words.starts_with(b"/bin/busybox\0sleep\0"))
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let _ = self.pair.docker(&["rm", "-f", self.name]);
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

/// What is said, with a word in place of each ID.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = text.split(|end: char| !end.is_ascii_alphanumeric()).filter(|word| is_id(word));
        words.fold(text.clone(), |text, id| text.replace(id, "<id>"))
    };
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Options that name others which are not there or do not run, or say what cannot be said of another's network.
const REFUSED: [&[&str]; 23] = [
    &["--pid", "odd"],
    &["--pid", "container"],
    &["--pid", "container:"],
    &["--pid", "container:nope"],
    &["--pid", "container:made"],
    &["--ipc", "container:nope"],
    &["--ipc", "container:made"],
    &["--ipc", "container:own"],
    &["--network", "container:nope"],
    &["--network", "container:made"],
    &["--network", "container:"],
    &["--uts", "container:one"],
    &["--userns", "container:one"],
    &["--network", "container:one", "--hostname", "x"],
    &["--network", "container:one", "-p", "80:80"],
    &["--network", "container:one", "-P"],
    &["--network", "container:one", "--expose", "80"],
    &["--network", "container:one", "--dns", "1.1.1.1"],
    &["--network", "container:one", "--add-host", "a:1.1.1.1"],
    &["--network", "container:one", "-P", "--dns", "1.1.1.1", "--expose", "80"],
    &["--uts", "host", "--hostname", "x"],
    &["--pid", "container:one", "--network", "container:nope"],
    &["--pid", "container:made", "--ipc", "container:one"],
];

#[test]
fn containers_join_each_other_as_with_docker() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    pair.both(&["import", &bench.path("root.tar").to_string_lossy(), "box"]);
    pair.both(&["create", "--name", "made", "--network", "none", "box", "/bin/true"]);
    let options = ["--network", "none", "--ipc", "shareable", "--hostname", "first", "--domainname", "dom"];
    let _one = Sleeper::begin(&pair, "one", &options);
    let _own = Sleeper::begin(&pair, "own", &["--network", "none"]);
    for options in REFUSED {
        let arguments = [&["run", "--rm"], options, &["box", "/bin/true"]].concat();
        assert_eq!(told(&pair.dhow(&arguments)), told(&pair.docker(&arguments)), "{options:?}");
    }
    let script =
        "/bin/busybox hostname; cat /dev/shm/x /etc/hostname; /bin/busybox tr '\\0' ' ' < /proc/1/cmdline; echo
        /bin/busybox grep -v :: /etc/hosts; (/bin/busybox sleep 1000 &); exit 6";
    for options in [
        &["--pid", "container:one", "--ipc", "container:one", "--network", "container:one"][..],
        &["--pid", "container:one", "--ipc", "container:one", "--network", "container:one", "--init"],
        &["--pid", "container:one", "--ipc", "container:one", "--network", "container:one", "--shm-size", "1m"],
    ] {
        pair.say_the_same(&[&["run", "--rm"], options, &["box", "/bin/sh", "-c", script]].concat());
    }
    let arguments =
        ["create", "--name", "kept", "--pid", "container:one", "--network", "container:one", "box", "/bin/true"];
    assert!(pair.both(&arguments).iter().all(|made| made.status.success()));
    let modes = "{{.HostConfig.PidMode}},{{.HostConfig.NetworkMode}},{{.HostConfig.IpcMode}}";
    let inspect = ["inspect", "--format", modes, "kept"];
    assert_eq!(told(&pair.dhow(&inspect)), told(&pair.docker(&inspect)));
    pair.both(&["start", "-a", "kept"]);
    let names = ["inspect", "--format", "{{.Config.Hostname}}.{{.Config.Domainname}}", "kept"];
    pair.say_the_same(&names);
}

/// Called as podman, mistakes are podman's.
#[test]
fn containers_that_cannot_be_joined_are_told_as_by_podman() {
    let bench = Bench::new();
    let Some((podman, dhow)) = podman_and_dhow(&bench) else { return };
    let kinds = ["--pid", "--ipc", "--uts", "--network", "--userns"];
    let mut cases: Vec<Vec<&str>> = Vec::new();
    for kind in kinds {
        let modes = ["container:nope", "container:", "ns:/not/there", "ns:"];
        // Of users, the file is looked for by the runtime.
        let modes = modes.into_iter().filter(|mode| kind != "--userns" || !mode.starts_with("ns:"));
        cases.extend(modes.map(|mode| vec![kind, mode]));
    }
    cases.push(vec!["--pid", "host", "--init"]);
    cases.push(vec!["--uts", "container:nope", "--hostname", "x"]);
    cases.push(vec!["--network", "container:nope", "--dns", "1.1.1.1"]);
    cases.push(vec!["--network", "container:nope", "--add-host", "a:1.1.1.1"]);
    for options in cases {
        let arguments = [&["run", "--rm"], &options[..], &["box", "/bin/true"]].concat();
        let theirs = podman.command().args(&arguments).output().expect("podman");
        let ours = dhow.command(&[&["--compat", "podman"], &arguments[..]].concat()).output().expect("dhow");
        assert_eq!(told(&ours), told(&theirs), "{options:?}");
    }
}
