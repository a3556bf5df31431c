//! Containers in namespaces of the machine's and of each other.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use super::run::{archive, is_running, scene, wait};
use super::unshare::User;

/// A program that leaves two processes behind: one that nobody waits for, and one in a session of its own. Both keep its output open. Their
/// numbers are the machine's where its processes are seen.
const LEAVES: &str = "(sleep 1000 & echo $!); busybox setsid sleep 1000 & echo $!;";

/// Whether no process has one of the numbers that a program said.
fn are_gone(said: &str) -> bool {
    let is_gone = |number: &str| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    said.split_whitespace().all(is_gone)
}

/// What is left of a container among the machine's processes ends with its program, or with whoever watches it.
fn nothing_is_left(command: &dyn Fn(&[&str]) -> Command) {
    let output = |arguments: &[&str]| {
        let output = command(arguments).output().expect("dhow");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let own = link("self", "pid");
    let seen = "readlink /proc/self/ns/pid; cat /proc/sys/kernel/hostname > /dev/null && echo > /proc/sys/kernel/hostname; wc -c < /proc/keys";
    let (code, said) = output(&["run", "--rm", "--pid", "host", "box", "sh", "-c", seen]);
    assert_eq!((code, said), (Some(0), format!("{own}\n0\n")));
    for (end, expected) in [("exit 42", 42), ("kill -9 $$", 137), ("exec kill $$", 143)] {
        let (code, said) = output(&["run", "--rm", "--pid", "host", "box", "sh", "-c", &format!("{LEAVES} {end}")]);
        assert_eq!((code, said.lines().count()), (Some(expected), 2), "{said}");
        assert!(are_gone(&said), "{said}");
    }
    let script = format!("{LEAVES} echo $$; exec sleep 1000");
    let watched = command(&["run", "--name", "watched", "--pid", "host", "box", "sh", "-c", &script]);
    let said = end_watcher(watched);
    wait("all of it ends", || are_gone(&said));
    wait("it is known", || output(&["ps", "-a"]).1.contains("Exited (255)"));
}

/// Kills who watches a container, once that has said three numbers, which are returned.
fn end_watcher(mut command: Command) -> String {
    use std::io::{BufRead, BufReader};
    let mut child = command.stdout(Stdio::piped()).spawn().expect("dhow");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let said: Vec<String> = lines.take(3).map(|line| line.expect("a number")).collect();
    child.kill().expect("kill the watcher");
    child.wait().expect("its end");
    said.join(" ")
}

#[test]
fn nothing_is_left_among_the_machine_s_processes() {
    let Some(scene) = scene() else { return };
    nothing_is_left(&|arguments| scene.command(arguments));
}

#[test]
fn nothing_of_an_ordinary_user_s_is_left_among_the_machine_s_processes() {
    for has_ranges in [false, true] {
        let Some(user) = User::new(has_ranges) else { return };
        fs::write(user.path("root.tar"), archive(&[])).expect("an archive");
        user.must(&["import", "root.tar", "box"]);
        nothing_is_left(&|arguments| user.command(arguments));
    }
}

/// A process that left the container's mounts is found all the same, by its control group.
#[test]
fn who_leaves_the_container_s_mounts_ends_with_it() {
    let Some(scene) = scene() else { return };
    let script = "busybox unshare -m busybox setsid sleep 1000 & echo $!; \
                  while [ $(busybox readlink /proc/$!/ns/mnt) = $(busybox readlink /proc/$$/ns/mnt) ]; do sleep 0.01; done";
    let said = scene.must(&["run", "--rm", "--privileged", "--pid", "host", "box", "sh", "-c", script]);
    assert!(said.trim().parse::<u32>().is_ok() && are_gone(&said), "{said}");
}

#[test]
fn a_container_among_the_machine_s_processes_is_told_and_removed() {
    let Some(scene) = scene() else { return };
    let script = format!("{LEAVES} exec sleep 1000");
    let child = scene.command(&["run", "--name", "shared", "--pid", "host", "--init", "box", "sh", "-c", &script]);
    let child = { child }.stdout(Stdio::piped()).spawn().expect("dhow");
    wait("it runs", || is_running(&scene, "shared"));
    let modes = "{{.HostConfig.PidMode}},{{.HostConfig.UTSMode}},{{.HostConfig.IpcMode}},{{.HostConfig.Init}}";
    assert_eq!(scene.must(&["inspect", "--format", modes, "shared"]), "host,,private,true\n");
    // There is a first process already.
    let process = scene.must(&["inspect", "--format", "{{.State.Pid}}", "shared"]);
    wait("it is the program", || {
        fs::read(format!("/proc/{}/cmdline", process.trim())).is_ok_and(|words| words.starts_with(b"sleep\0"))
    });
    scene.must(&["rm", "-f", "shared"]);
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.code() == Some(137) && said.lines().count() == 2 && are_gone(&said), "{said}");
    let refused = scene.dhow(&["--compat", "podman", "run", "--pid", "host", "--init", "box", "true"]);
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (125, "Error: cannot add init binary as PID 1 (PID namespace isn't private)\n")
    );
}

/// A way to run dhow.
type Way<'w> = &'w dyn Fn(&[&str]) -> Command;

fn output(way: Way<'_>, arguments: &[&str]) -> Output {
    way(arguments).output().expect("dhow")
}

fn said(way: Way<'_>, arguments: &[&str]) -> String {
    let output = output(way, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// Who watches a container that sleeps; the container ends with it.
struct Watcher(Child);

impl Watcher {
    /// Waits until the container has ended. Returns the exit code.
    fn code(&mut self) -> Option<i32> {
        self.0.wait().expect("its end").code()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Begins a container that sleeps, and waits until it does.
fn begin(way: Way<'_>, name: &str, options: &[&str]) -> Watcher {
    let arguments =
        [&["run", "--name", name], options, &["box", "sh", "-c", "echo ours > /dev/shm/x; exec sleep 1000"]];
    let child = Watcher(way(&arguments.concat()).stdout(Stdio::null()).spawn().expect("dhow"));
    wait("it runs", || {
        let process = output(way, &["inspect", "--format", "{{.State.Pid}}", name]).stdout;
        let process = String::from_utf8_lossy(&process).trim().to_owned();
        fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| words.starts_with(b"sleep\0"))
    });
    child
}

/// The namespaces of a process.
fn links(process: &str) -> [String; 4] {
    ["pid", "ipc", "net", "uts"].map(|kind| link(process, kind))
}

fn link(process: &str, kind: &str) -> String {
    fs::read_link(format!("/proc/{process}/ns/{kind}")).expect("a namespace").to_string_lossy().into_owned()
}

const ALL: [&str; 4] = ["--pid=container:one", "--ipc=container:one", "--network=container:one", "--uts=container:one"];

fn containers_join_each_other(way: Way<'_>) {
    let one = begin(way, "one", &["--ipc", "shareable", "--network", "none", "-h", "first", "--add-host", "a:1.2.3.4"]);
    let process = said(way, &["inspect", "--format", "{{.State.Pid}}", "one"]);
    let script = "for kind in pid ipc net uts; do readlink /proc/self/ns/$kind; done
        hostname; cat /dev/shm/x; tail -1 /etc/hosts; ls /sys/class/net; tr '\\0' ' ' < /proc/1/cmdline";
    let seen = said(way, &[&["run", "--rm"], &ALL[..], &["box", "sh", "-c", script]].concat());
    let namespaces = links(&process);
    assert_eq!(seen, format!("{}\nfirst\nours\n1.2.3.4\ta\nlo\nsleep 1000", namespaces.join("\n")));
    // What it leaves ends with it, though orphans belong to the other one's first process, and nothing else does.
    let script = format!("{LEAVES} exit 9");
    let leaving = output(way, &["run", "--rm", "--pid", "container:one", "box", "sh", "-c", &script]);
    assert_eq!((leaving.status.code(), leaving.stdout.is_empty()), (Some(9), false));
    let is_in = |process: &fs::DirEntry| {
        let link = fs::read_link(process.path().join("ns/pid"));
        link.is_ok_and(|link| link.to_string_lossy() == namespaces[0])
            && !are_gone(&process.file_name().to_string_lossy())
    };
    assert_eq!(fs::read_dir("/proc").expect("processes").flatten().filter(is_in).count(), 1);
    // Who has the same users may join several.
    let two = begin(way, "two", &["--userns", "container:one", "--network", "none"]);
    let both =
        ["run", "--rm", "--pid", "container:one", "--network", "container:two", "box", "readlink", "/proc/self/ns/net"];
    let process = said(way, &["inspect", "--format", "{{.State.Pid}}", "two"]);
    assert_eq!(said(way, &both), link(&process, "net"));
    said(way, &["rm", "-f", "two"]);
    drop(two);
    // It is kept with the container.
    said(way, &[&["create", "--name", "kept"], &ALL[..], &["box", "cat", "/dev/shm/x"]].concat());
    let modes = "{{.HostConfig.PidMode}},{{.HostConfig.IpcMode}},{{.HostConfig.NetworkMode}},{{.HostConfig.UTSMode}}";
    let id = said(way, &["inspect", "--format", "{{.Id}}", "one"]);
    assert_eq!(
        said(way, &["inspect", "--format", modes, "kept"]),
        [(); 4].map(|()| format!("container:{id}")).join(",")
    );
    assert_eq!(said(way, &["start", "-a", "kept"]), "ours");
    // Whose processes are among those of one that ends, ends. Another namespace outlives it.
    let mut among = begin(way, "among", &["--pid", "container:one"]);
    let mut beside = begin(way, "beside", &["--network", "container:one", "--ipc", "container:one"]);
    drop(one);
    assert_eq!(among.code(), Some(137));
    assert_eq!(said(way, &["ps", "--format", "{{.Names}}"]), "beside");
    let refused = output(way, &["start", "-a", "kept"]);
    let words = format!("cannot join network of a non running container: {id}\n");
    assert_eq!((refused.status.success(), String::from_utf8_lossy(&refused.stderr).as_ref()), (false, words.as_str()));
    // Whose network comes from one that is gone tells where names are asked for all the same.
    said(way, &["rm", "kept", "one"]);
    let asks = ["sh", "-c", "grep -c ' /etc/resolv.conf ' /proc/mounts"];
    assert_eq!(said(way, &[&["run", "--rm", "--network", "container:beside", "box"], &asks[..]].concat()), "1");
    said(way, &["rm", "-f", "beside", "among"]);
    assert_eq!(beside.code(), Some(137));
}

#[test]
fn root_s_containers_join_each_other() {
    let Some(scene) = scene() else { return };
    containers_join_each_other(&|arguments| scene.command(arguments));
}

#[test]
fn an_ordinary_user_s_containers_join_each_other() {
    for has_ranges in [false, true] {
        let Some(user) = User::new(has_ranges) else { return };
        fs::write(user.path("root.tar"), archive(&[])).expect("an archive");
        user.must(&["import", "root.tar", "box"]);
        let way = |arguments: &[&str]| user.command(arguments);
        containers_join_each_other(&way);
        let (one, two) = (begin(&way, "one", &[]), begin(&way, "two", &[]));
        let refused = output(&way, &["run", "--pid", "container:one", "--network", "container:two", "box", "true"]);
        let words = "its users are others; containers join several others where all have the users of one (--userns container:NAME)";
        assert!(String::from_utf8_lossy(&refused.stderr).contains(words), "{refused:?}");
        drop((one, two));
    }
}

/// Podman joins namespaces that files stand for, too.
#[test]
fn files_stand_for_namespaces() {
    let Some(scene) = scene() else { return };
    let way = |arguments: &[&str]| scene.command(arguments);
    let one = begin(&way, "one", &["--network", "none"]);
    let process = said(&way, &["inspect", "--format", "{{.State.Pid}}", "one"]);
    let options = [("--pid", "pid"), ("--ipc", "ipc"), ("--network", "net"), ("--uts", "uts")]
        .map(|(flag, kind)| format!("{flag}=ns:/proc/{process}/ns/{kind}"));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let script = "for kind in pid ipc net uts; do readlink /proc/self/ns/$kind; done; ls -A /dev/shm";
    let seen = said(&way, &[&["run", "--rm"], &options[..], &["box", "sh", "-c", script]].concat());
    assert_eq!(seen, links(&process).join("\n"));
    drop(one);
}
