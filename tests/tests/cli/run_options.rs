//! Options of `run` that say how its program is started and what it may take, the user's terminal and signals, and the files of images of
//! many layers.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dhow_tests::scene::{Scene, signal};

use super::run::{is_running, says, scene, wait};
use super::unpack::limited;

/// Layers on top of each other: each changes what the ones below have.
fn layered(scene: &Scene) {
    let steps = [
        "echo 1 > /one; mkdir /dir; echo a > /dir/a; ln /dir/a /dir/b",
        "echo 2 > /two; rm /one; chmod 711 /dir",
        "rm -r /dir; mkdir /dir; echo c > /dir/c; ln -s c /dir/link",
        "echo 4 > /one; touch -d @1700000002 /dir/c; chmod 4755 /two",
        "mkdir -p /deep/er; echo x > /deep/er/x; rm /data/seed",
    ];
    let mut below = "box".to_owned();
    for (number, step) in steps.into_iter().enumerate() {
        let above = format!("layered:{number}");
        assert_eq!(scene.dhow(&["run", "--name", "step", &below, "sh", "-c", step]).code, 0, "{step}");
        scene.must(&["commit", "step", &above]);
        scene.must(&["rm", "step"]);
        below = above;
    }
    scene.must(&["tag", &below, "layered"]);
}

/// As root, the kernel mounts all layers of an image as one file system; where that is not to be had, each of them.
#[test]
fn many_layers_are_mounted_as_one() {
    let Some(scene) = scene() else { return };
    layered(&scene);
    let look = "head -1 /proc/self/mountinfo; ls -AR /deep /dir /data; cat /one /two /deep/er/x; stat -c '%a %u %Y' /two /dir /dir/c";
    let run = || {
        let said = scene.must(&["run", "--rm", "layered", "sh", "-c", look]);
        let (mounts, rest) = said.split_once('\n').expect("lines");
        (mounts.contains("/scratch/stack"), rest.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let (is_one, files) = run();
    assert!(is_one);
    let changed = "echo new > /deep/er/y; rm /two && echo more >> /dir/c";
    scene.must(&["create", "--name", "work", "layered", "sh", "-c", changed]);
    scene.must(&["start", "-a", "work"]);
    let work = || {
        scene.must(&["export", "-o", "work.tar", "work"]);
        (scene.must(&["diff", "work"]), fs::read(scene.path("work.tar")).expect("an archive"))
    };
    let as_one = work();
    // What cannot be read is no stack, nor is it made anew.
    let layers = fs::read_dir(scene.path("store/layers/v1")).expect("layers").flatten().map(|entry| entry.path());
    let stacks: Vec<_> = layers.filter(|path| path.to_string_lossy().contains(".stack.")).collect();
    assert!(!stacks.is_empty(), "no stack");
    for stack in &stacks {
        fs::remove_file(stack).and_then(|()| fs::create_dir(stack)).expect("a folder in its place");
    }
    assert_eq!(run(), (false, files));
    // Nor does a container mind that was made on the one and goes on on the others.
    assert!(work() == as_one);
    assert_eq!(scene.dhow(&["start", "-a", "work"]).code, 1, "/two is gone");
}

#[test]
fn what_each_process_may_take_is_limited() {
    let Some(scene) = scene() else { return };
    let limits = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nofile=90:200"];
    says(&scene, &limits, "ulimit -n; ulimit -Hn; ulimit -c", "90\n200\n0\n");
    says(&scene, &["--ulimit", "nofile=50"], "ulimit -n; ulimit -Hn", "50\n50\n");
    let inherited = limited(&scene, "-S -n 77", &["run", "--rm", "box", "sh", "-c", "ulimit -n"]);
    assert_eq!(
        (inherited.code, inherited.stdout.as_str()),
        (0, "77\n"),
        "what dhow takes for itself is not the program's: {inherited}"
    );
    let refused = |text: &str, why: &str| {
        let transcript = scene.dhow(&["run", "--rm", "--ulimit", text, "box", "true"]);
        let words = format!("invalid argument {text:?} for \"--ulimit\" flag: {why}");
        assert!(transcript.code == 125 && transcript.stderr.contains(&words), "{text}: {transcript}");
    };
    refused("x", "invalid ulimit argument: x");
    refused("nope=1", "invalid ulimit type: nope");
    refused("nofile=5:4", "ulimit soft limit must be less than or equal to hard limit: 5 > 4");
    let podman = scene.podman(&["run", "--rm", "--ulimit", "x", "box", "true"]);
    let words = "Error: ulimit option \"x\" requires name=SOFT:HARD, failed to be parsed: invalid ulimit argument: x\n";
    assert_eq!((podman.code, podman.stderr.as_str()), (125, words));
    scene.must(&["create", "--name", "work", "--ulimit", "nofile=100:200", "box"]);
    let shown = scene.must(&["inspect", "--format", "{{json .HostConfig.Ulimits}}", "work"]);
    assert_eq!(shown, "[{\"Name\":\"nofile\",\"Hard\":200,\"Soft\":100}]\n");
}

/// With `--init` the program is no first process: signals do what they do elsewhere, and what others left behind is waited for.
#[test]
fn a_first_process_stays_and_looks_after_the_others() {
    let Some(scene) = scene() else { return };
    let orphans = "sh -c 'sleep 0.1 & exec true'; sleep 0.4; cat /proc/[0-9]*/stat | grep -c ' Z ' || true";
    says(&scene, &["--init"], &format!("test $$ != 1 && {orphans}"), "0\n");
    let code = |options: &[&str], words: &[&str]| {
        let transcript = scene.dhow(&[&["run", "--rm", "--init"], options, &["box"], words].concat());
        (transcript.code, transcript.stderr)
    };
    assert_eq!(code(&[], &["sh", "-c", "exit 42"]), (42, String::new()));
    assert_eq!(code(&[], &["sh", "-c", "kill -9 $$"]), (137, String::new()));
    assert_eq!(code(&["--user", "bob"], &["sh", "-c", "exit 3"]), (3, String::new()));
    assert_eq!(code(&["-t"], &["sh", "-c", "stty size > /dev/null && exit 5"]).0, 5);
    assert_eq!(code(&[], &["nope"]).0, 127);
    for (options, signal_name, expected) in [(&["--init"][..], "TERM", 143), (&["--init"], "INT", 130)] {
        let mut child =
            scene.command(&[&["run", "--rm", "--name", "sleepy"], options, &["box", "sleep", "1000"]].concat());
        let mut child = child.spawn().expect("dhow");
        wait("it sleeps", || is_running(&scene, "sleepy"));
        signal(&child, signal_name);
        assert_eq!(child.wait().expect("its end").code(), Some(expected), "{signal_name}");
    }
}

/// As docker and podman check them.
#[test]
fn what_a_container_may_take_is_checked() {
    let Some(scene) = scene() else { return };
    let check = |options: &str, docker: &str, podman: &str| {
        let words: Vec<&str> = ["run", "--rm"].into_iter().chain(options.split(' ')).chain(["box", "true"]).collect();
        let said = scene.run(&mut scene.command_as("docker", &words));
        assert!(said.code == 125 && said.stderr.contains(docker), "{options}: {said}");
        let said = scene.podman(&words);
        assert_eq!(
            (said.code, said.stderr.lines().next()),
            (125, Some(format!("Error: {podman}").as_str())),
            "{options}"
        );
    };
    let integer = "strconv.ParseInt: parsing \"x\": invalid syntax";
    for (options, docker, podman) in [
        (
            "--memory-swap 64m",
            "You should always set the Memory limit when using Memoryswap limit, see usage",
            "you should always set a memory limit when using a memoryswap limit, see usage",
        ),
        (
            "-m 64m --memory-swap 32m",
            "Minimum memoryswap limit should be larger than memory limit, see usage",
            "minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            "-m 64m --memory-swap -2",
            "invalid argument \"-2\" for \"--memory-swap\" flag: invalid size: '-2'",
            "invalid value for memory: invalid size: '-2'",
        ),
        (
            "-m 64m --memory-reservation 128m",
            "Minimum memory limit can not be less than memory reservation limit, see usage",
            "minimum memory limit cannot be less than memory reservation limit, see usage",
        ),
        (
            "--cpu-period 100",
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            "CPU cfs period cannot be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (
            "--cpu-period 2000000",
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            "CPU cfs period cannot be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (
            "--cpu-quota 100",
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
            "CPU cfs quota cannot be less than 1ms (i.e. 1000)",
        ),
        (
            "--cpus 1 --cpu-quota 50000",
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            "--cpu-quota and --cpus cannot be set together",
        ),
        (
            "--cpu-shares -1",
            "invalid CPU shares (-1): value must be a positive integer",
            "invalid argument \"-1\" for \"-c, --cpu-shares\" flag: strconv.ParseUint: parsing \"-1\": invalid syntax",
        ),
        (
            "--cpuset-cpus 1-0",
            "Invalid value 1-0 for cpuset cpus: invalid format: 1-0",
            "invalid value 1-0 for cpuset cpus",
        ),
        (
            "--cpuset-mems 77",
            "Requested memory nodes are not available - requested 77, available: ",
            &format!("requested memory nodes are not available - requested 77, available: {}", online("node")),
        ),
        (
            "--cpu-quota x",
            &format!("invalid argument \"x\" for \"--cpu-quota\" flag: {integer}"),
            &format!("invalid argument \"x\" for \"--cpu-quota\" flag: {integer}"),
        ),
        (
            "--memory-swappiness 101",
            "invalid value: 101. Valid memory swappiness range is 0-100",
            "invalid value: 101, valid memory swappiness range is 0-100",
        ),
    ] {
        check(options, docker, podman);
    }
    let score = "Invalid value 1001, range for oom score adj is [-1000, 1000]";
    let said = scene.dhow(&["run", "--rm", "--oom-score-adj", "1001", "box", "true"]);
    assert!(said.code == 125 && said.stderr.contains(score), "{said}");
}

/// What this machine has of something, as its kernel lists it.
fn online(what: &str) -> String {
    let path = format!("/sys/devices/system/{what}/online");
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// What a container may take is given to its control group, whatever hierarchies there are, and shown as docker shows it.
#[test]
fn what_a_container_may_take_is_set() {
    let Some(scene) = scene() else { return };
    let options = "-m 64m --memory-swap 96m --memory-reservation 32m -c 512 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 \
                   --oom-score-adj 500";
    let options: Vec<&str> = options.split_whitespace().collect();
    let seen = scene
        .dhow(&[&["run", "--rm"], &options[..], &["box", "sh", "-c", "cat /proc/self/oom_score_adj; nproc"]].concat());
    // Without a control group for processors, all of them are there.
    let cpus =
        if seen.stderr.contains("a choice of processors") { seen.stdout.lines().nth(1).unwrap_or("?") } else { "1" };
    assert_eq!((seen.code, seen.stdout.as_str()), (0, format!("500\n{cpus}\n").as_str()), "{seen}");
    scene.must(&[&["create", "--name", "work"], &options[..], &["box"]].concat());
    let shown = "{{with .HostConfig}}{{.Memory}} {{.MemorySwap}} {{.MemoryReservation}} {{.CpuShares}} {{.CpuPeriod}} {{.CpuQuota}} \
                 {{.CpusetCpus}} {{.OomScoreAdj}} {{.OomKillDisable}}{{end}}";
    let expected = "67108864 100663296 33554432 512 50000 25000 0 500 false\n";
    assert_eq!(scene.must(&["inspect", "--format", shown, "work"]), expected);
    scene.must(&["create", "--name", "twice", "-m", "64m", "box"]);
    assert_eq!(scene.must(&["inspect", "--format", "{{.HostConfig.MemorySwap}}", "twice"]), "134217728\n");
}

/// A name is changed whatever the container does; podman has words of its own.
#[test]
fn containers_are_renamed() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "one", "box"]);
    let other = scene.must(&["create", "--name", "two", "box"]);
    let say = |who: &str, old: &str, new: &str| {
        let said = scene.run(&mut scene.command_as(who, &["rename", old, new]));
        (said.code, said.stderr)
    };
    let conflict = format!(
        "Error response from daemon: Error when allocating new name: Conflict. The container name \"/two\" is already in use by container \
         {:?}. You have to remove (or rename) that container to be able to reuse that name.\nError: failed to rename container named one\n",
        other.trim()
    );
    assert_eq!(say("docker", "one", "two"), (1, conflict));
    let id = scene.must(&["inspect", "--format", "{{.Id}}", "one"]);
    let words = format!("name two already in use, cannot rename container {}", id.trim());
    let words = format!("Error: renaming container {}: {words}: container already exists\n", id.trim());
    assert_eq!(say("podman", "one", "two"), (125, words));
    assert_eq!(say("podman", "one", "one"), (0, String::new()));
    let words = "Error: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument\n";
    assert_eq!(say("podman", "one", "/three"), (125, words.to_owned()));
    let mut child = scene.command(&["run", "--rm", "--name", "busy", "box", "sleep", "1000"]).spawn().expect("dhow");
    wait("it sleeps", || is_running(&scene, "busy"));
    assert_eq!(say("docker", "busy", "idle"), (0, String::new()));
    assert!(is_running(&scene, "idle"));
    signal(&child, "KILL");
    child.wait().expect("its end");
}

/// Who does not heed three interruptions is killed, and docker's client says that it gives up.
#[test]
fn the_third_interruption_ends_what_heeds_none() {
    let Some(scene) = scene() else { return };
    for (who, code, words) in [("docker", 1, "\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n"), ("podman", 137, "")] {
        let deaf = "trap '' INT TERM; touch /ready; while :; do sleep 0.05; done";
        let mut command = scene.command_as(who, &["run", "--name", who, "box", "sh", "-c", deaf]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("dhow");
        wait("it is deaf", || is_running(&scene, who) && scene.dhow(&["diff", who]).stdout.contains("A /ready"));
        signal(&child, "INT");
        signal(&child, "TERM");
        // Two of one kind may be taken for one.
        let begin = Instant::now();
        while child.try_wait().expect("a state").is_none() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{who} heeds no interruption");
            std::thread::sleep(Duration::from_millis(100));
            signal(&child, "INT");
        }
        let output = child.wait_with_output().expect("its end");
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(code), words),
            "{who}"
        );
        assert_eq!(scene.must(&["inspect", "--format", "{{.State.ExitCode}}", who]), "137\n");
    }
}

/// A privileged container has all that its caller has, whatever is said of single capabilities, and it says so.
#[test]
fn privileged_containers_have_what_the_caller_has() {
    let Some(scene) = scene() else { return };
    let own = fs::read_to_string("/proc/self/status").expect("a status");
    let bounds = own.lines().find(|line| line.starts_with("CapBnd")).expect("capabilities");
    let script = "grep -E '^(CapBnd|Seccomp):' /proc/self/status; mknod /made c 1 5 && head -c1 /made | wc -c; \
                  test -c /dev/loop-control && echo devices; touch /proc/sys/kernel/hostname && grep -c ' /proc/' /proc/mounts";
    let said = scene.dhow(&["run", "--rm", "--privileged", "--cap-drop", "ALL", "box", "sh", "-c", script]);
    assert_eq!(said.stdout, format!("{bounds}\nSeccomp:\t0\n1\ndevices\n0\n"), "{}", said.stderr);
    scene.must(&["create", "--name", "work", "--privileged", "box", "true"]);
    assert_eq!(scene.must(&["inspect", "--format", "{{.HostConfig.Privileged}}", "work"]), "true\n");
}

/// What says something to an engine is refused with a sentence, what changes nothing here is accepted.
#[test]
fn options_for_an_engine_are_refused_or_idle() {
    let Some(scene) = scene() else { return };
    for (options, why) in [
        (&["-d"][..], "--detach is not supported: it is for a container engine"),
        (&["-p", "80:80"], "--publish is not supported: a container has this machine's network"),
        (&["--restart", "always"], "conflicting options: cannot specify both --restart and --rm"),
        (&["--health-start-interval=-1s"], "--health-start-interval cannot be negative"),
        (&["--health-interval=1x"], "invalid argument \"1x\" for \"--health-interval\" flag: time: unknown unit \"x\""),
        (&["--network", "mine"], "network \"mine\" is not supported: networks are for a container engine"),
        (&["--ip", "1.2.3.4"], "--ip is not supported: networks are for a container engine"),
        (&["--sysctl", "a=b"], "invalid argument \"a=b\" for \"--sysctl\" flag: sysctl 'a=b' is not allowed"),
        (&["--sysctl", "net.core.x=1"], "sysctl \"net.core.x\" not allowed in host network namespace"),
        (
            &["--ipc", "host", "--sysctl", "kernel.msgmax=1"],
            "sysctl \"kernel.msgmax\" is not allowed in the hosts ipc namespace",
        ),
        (&["--ipc", "container:x"], "No such container: x"),
        (&["--pid", "container:"], "invalid config provided: namespace mode container requires a value"),
        (&["--uts", "ns:/nope"], "cannot find specified UTS namespace path: stat /nope: no such file or directory"),
        (&["--network", "container:x"], "No such container: x"),
        (&["--network", "container:x", "-p", "80"], "conflicting options: port publishing and the container type"),
        (&["--cgroupns", "container:x"], "--cgroupns container:x is not supported: a container sees its own groups"),
        (&["--ipc", "odd"], "invalid IPC mode: odd"),
        (&["--uts", "odd"], "--uts: invalid UTS mode"),
        (&["--uts", "host", "-h", "own"], "conflicting options: hostname and the UTS mode"),
        (&["--cgroupns", "odd"], "--cgroupns: invalid CGROUP mode"),
        (&["--uidmap", "0:1:1"], "--uidmap is not supported: --userns keep-id has the caller's number"),
        (&["--rootfs"], "--rootfs is not supported: `import` makes an image"),
        (&["--device-read-bps", "/dev/x:1mb"], "--device-read-bps is not supported: --blkio-weight limits"),
        (&["--stop-timeout", "x"], "invalid argument \"x\" for \"--stop-timeout\" flag: strconv.ParseInt"),
        (&["--gpus", "all"], "--gpus is not supported: devices are shown by --device"),
        (&["--device-cgroup-rule", "x"], "--device-cgroup-rule is not supported: devices are shown by --device"),
        (
            &["--userns", "auto"],
            "--userns auto is not supported: root's containers have no user namespace of their own",
        ),
        (&["-u", "-1"], "uids and gids must be in range 0-2147483647"),
        (&["--cpus=-1"], "range of CPUs is from 0.01 to "),
        (&["-m", "10x"], "invalid argument \"10x\" for \"-m, --memory\" flag: invalid suffix: 'x'"),
        (&["--kernel-memory", "x"], "invalid argument \"x\" for \"--kernel-memory\" flag: invalid size: 'x'"),
        (&["--platform", "a/b/c/d"], "platform: \"a/b/c/d\": cannot parse platform specifier: invalid argument\n"),
        (&["--env-file", "."], "invalid env file (.): read .: is a directory"),
        (&["--label-file="], "open : no such file or directory"),
        (&["-a", "odd"], "valid streams are STDIN, STDOUT and STDERR"),
        (&["--security-opt", "odd"], "Invalid --security-opt: \"odd\""),
        (
            &["--security-opt", "seccomp=/not/there"],
            "opening seccomp profile (/not/there) failed: open /not/there: no such file or directory",
        ),
        (
            &["--security-opt", "seccomp=/etc/passwd"],
            "loading seccomp profile (/etc/passwd) failed: expected value at line 1",
        ),
        (&["--security-opt", "no-new-privileges=x"], "invalid --security-opt 2: \"no-new-privileges=x\""),
        (
            &["--add-host", "a:b"],
            "invalid argument \"a:b\" for \"--add-host\" flag: invalid IP address in add-host: \"b\"",
        ),
        (&["--network", "none", "--add-host", "a:host-gateway"], "unable to derive the IP value for host-gateway"),
        (&["--dns", "x"], "invalid argument \"x\" for \"--dns\" flag: IP address is not correctly formatted: x"),
        (&["--platform", "a//b"], "error parsing specified platform: "),
        (&["--runtime", "runsc"], "dhow: --runtime \"runsc\" is not supported: dhow runs containers itself"),
        (
            &["--storage-opt", "size=1g"],
            "dhow: --storage-opt \"size=1g\" is not supported: dhow runs containers itself",
        ),
    ] {
        let transcript = scene.dhow(&[&["run", "--rm"], options, &["box", "true"]].concat());
        assert!(transcript.code == 125 && transcript.stderr.contains(why), "{options:?}: {transcript}");
    }
    let kept = scene.dhow(&["create", "--restart", "always", "box", "true"]);
    assert!(
        kept.code != 0 && kept.stderr.contains("--restart is not supported: it is for a container engine"),
        "{kept}"
    );
    let idle = "--health-cmd x --health-retries 3 --log-driver local --log-opt a=b --stop-timeout 3 --detach-keys ctrl-x \
                --annotation a=b --expose 80 --restart no --ipc private --cgroupns private --uts= --pid= --restart= --disable-content-trust -a stdin -a stdout -a stderr --sig-proxy";
    says(&scene, &["--add-host", "up:host-gateway"], "grep up /etc/hosts", "127.0.0.1\tup\n");
    says(&scene, &["-v", "/tmp:/x", "-v", "/tmp:/x"], "echo once", "once\n");
    says(&scene, &idle.split_whitespace().collect::<Vec<_>>(), "echo ran", "ran\n");
}

/// Namespaces are the machine's where that is asked for, and settings of the kernel the container's.
#[test]
fn namespaces_are_as_told() {
    let Some(scene) = scene() else { return };
    let machine = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
        link.to_string_lossy().into_owned() + "\n"
    };
    let is_own = |options: &[&str], kind: &str| {
        let transcript =
            scene.dhow(&[&["run", "--rm"], options, &["box", "readlink", &format!("/proc/self/ns/{kind}")]].concat());
        assert_eq!(transcript.code, 0, "{transcript}");
        transcript.stdout != machine(kind)
    };
    for kind in ["uts", "ipc", "cgroup"] {
        assert!(is_own(&[], kind), "{kind}");
        let flag = if kind == "cgroup" { "--cgroupns" } else { &format!("--{kind}") };
        assert!(!is_own(&[flag, "host"], kind), "{kind}");
    }
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    says(&scene, &["--uts", "host"], "hostname", &name);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("a name"), name);
    says(
        &scene,
        &["-h", "me", "--domainname", "example"],
        "hostname; cat /proc/sys/kernel/domainname",
        "me\nexample\n",
    );
    says(&scene, &["--ipc", "none"], "ls -d /dev/shm 2> /dev/null || echo none", "none\n");
    let seen = format!("/dev/shm/dhow-test-{}", std::process::id());
    fs::write(&seen, "shared\n").expect("a file");
    says(&scene, &["--ipc", "host"], &format!("cat {seen}"), "shared\n");
    fs::remove_file(&seen).expect("the file");
    let settings = ["--network", "none", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=100"];
    says(&scene, &settings, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", "1\n100\n");
    // As docker's client ends when its engine does not find a file.
    let refused = scene.dhow(&["run", "--rm", "--network", "none", "--sysctl", "net.nope=1", "box", "true"]);
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (127, "dhow: open /proc/sys/net/nope: no such file or directory\n")
    );
    // They are kept with the container.
    scene.must(&["create", "--name", "work", "--sysctl", "kernel.msgmax=200", "box", "cat", "/proc/sys/kernel/msgmax"]);
    assert_eq!(scene.must(&["start", "-a", "work"]), "200\n");
}

/// What is hidden of the kernel's files is podman's to say, also when it is not called so; `/sys` can only be read whatever is said.
#[test]
fn what_is_hidden_is_as_told() {
    let Some(scene) = scene() else { return };
    let look = "grep -E '^[^ ]+ /(proc|sys)[/a-z]* ' /proc/mounts | cut -d' ' -f2,4 | cut -d, -f1 | grep -v cgroup";
    says(&scene, &["--security-opt", "systempaths=unconfined"], look, "/proc rw\n/sys ro\n");
    says(&scene, &["--security-opt", "unmask=ALL"], look, "/proc rw\n/sys ro\n");
    let script = "wc -c < /etc/passwd; ls -A /data | wc -l; grep -c ' /proc/sys ro' /proc/mounts";
    let options = ["--security-opt", "mask=/etc/passwd:/data", "--security-opt", "unmask=/proc/sys:/proc/a*"];
    says(&scene, &options, &format!("{script} || true"), "0\n0\n0\n");
    let transcript = scene.dhow(&["--compat", "docker", "run", "--rm", "--security-opt", "mask=/data", "box", "true"]);
    assert!(transcript.stderr.contains("invalid --security-opt 2: \"mask=/data\""), "{transcript}");
}

/// Podman's `--personality`, which stays with the container.
#[test]
fn the_kernel_says_that_it_is_one_of_32_bits_to_whoever_wants_so() {
    let Some(scene) = scene() else { return };
    let said = scene.must(&["run", "--rm", "--personality", "LINUX", "box", "busybox", "uname", "-m"]);
    assert_eq!(said.trim(), std::env::consts::ARCH);
    scene.must(&["create", "--name", "old", "--personality", "LINUX32", "box", "busybox", "uname", "-m"]);
    assert_ne!(scene.must(&["start", "-a", "old"]), said);
    let refused = scene.podman(&["run", "--rm", "--personality", "odd", "box", "true"]);
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (125, "Error: invalid --personality \"odd\": there are \"LINUX\" and \"LINUX32\"\n")
    );
}

/// A profile of system calls is kept with the container: the file may go.
#[test]
fn a_profile_of_system_calls_stays_with_the_container() {
    let Some(scene) = scene() else { return };
    let rule = r#"{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}"#;
    let profile = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}"#);
    fs::write(scene.path("calls.json"), profile).expect("a profile");
    scene.must(&["create", "--name", "judged", "--security-opt", "seccomp=calls.json", "box", "mkdir", "/new"]);
    fs::write(scene.path("calls.json"), "{}").expect("a profile");
    let transcript = scene.dhow(&["start", "-a", "judged"]);
    assert!(transcript.code == 1 && transcript.stderr.contains("No space left on device"), "{transcript}");
    says(&scene, &["--security-opt", "seccomp=calls.json"], "mkdir /new && echo made", "made\n");
}

/// A terminal without keys has the size of the one where it is seen, as with docker.
#[test]
fn a_terminal_that_is_only_seen_has_its_size() {
    let Some(scene) = scene() else { return };
    let script = r#"
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
while True:
    try:
        some = os.read(master, 4096)
    except OSError:
        break
    if not some:
        break
    said += some
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode().split())
"#;
    scene.must(&["version"]);
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(scene.path("dhow")).args(["run", "--rm", "-t", "box", "stty", "size"]);
    let output = command.env("DHOW_ROOT", scene.path("store")).env("HOME", scene.path("home")).output();
    assert_eq!(String::from_utf8_lossy(&output.expect("python3").stdout), "0 ['33', '77']\n");
}

/// A program starts with no signal ignored, whatever its caller ignores. One that is to outlive a terminal does so.
#[test]
fn signals_are_passed_on_but_for_a_hangup_that_is_ignored() {
    let Some(scene) = scene() else { return };
    let script =
        "grep SigIgn /proc/self/status >&2; trap 'echo hung up' HUP; trap 'echo alarm' ALRM; trap 'echo ends; exit 7' TERM
                  echo ready > /ready; while :; do sleep 0.05; done";
    for (ignored, expected) in [("", "hung up\nalarm\nends\n"), ("HUP", "alarm\nends\n")] {
        let program = scene.command(&["run", "--rm", "--name", "deaf", "box", "sh", "-c", script]);
        let mut command = Command::new("sh");
        let trap = if ignored.is_empty() { String::new() } else { format!("trap '' {ignored}; ") };
        command.args(["-c", &format!("{trap}exec \"$@\""), "sh"]).arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(scene.path(""));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh");
        wait("it listens", || is_running(&scene, "deaf") && scene.dhow(&["diff", "deaf"]).stdout.contains("A /ready"));
        for (name, seen) in [("HUP", 0.1), ("ALRM", 0.1), ("TERM", 0.0)] {
            signal(&child, name);
            std::thread::sleep(Duration::from_secs_f64(seen));
        }
        let output = child.wait_with_output().expect("its end");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(7), expected.to_owned()), "{ignored}");
        let said = text(&output.stderr);
        let mask = said.split_whitespace().nth(1).and_then(|mask| u64::from_str_radix(mask, 16).ok()).expect("a mask");
        assert_eq!(mask, 0, "{ignored}: {said}");
    }
}

/// Nothing is shown in place of `/proc` and what is in it, but for what tells a program how much of the machine it has.
#[test]
fn what_programs_trust_is_not_covered() {
    let Some(scene) = scene() else { return };
    super::run::import(&scene, "linked", &[], &[("away", "->/proc"), ("deep", "->proc/sys")]);
    for (image, target, why) in [
        ("box", "/proc", "not of type proc"),
        ("box", "/proc/sys", "inside /proc"),
        ("box", "/proc/self", "inside /proc"),
        ("linked", "/away/sys/kernel", "inside /proc"),
        ("linked", "/deep", "inside /proc"),
        ("linked", "/away", "inside /proc"),
    ] {
        for options in [&["-v", &format!("/tmp:{target}")][..], &["--tmpfs", target], &["-v", target]] {
            let transcript = scene.dhow(&[&["run", "--rm"], options, &[image, "true"]].concat());
            let words = format!("rootfs at {target:?}: {target:?} cannot be mounted because it is {why}");
            assert!(transcript.code == 125 && transcript.stderr.contains(&words), "{options:?}: {transcript}");
        }
    }
    let said = scene.dhow(&["run", "--rm", "-v", "/tmp:/dev/null", "box", "true"]);
    let words = "error reopening /dev/null inside container: open /dev/null: is a directory";
    assert!(said.code == 126 && said.stderr.contains(words), "{said}");
    fs::write(scene.path("up"), "1.00 2.00\n").expect("a file");
    let volume = format!("{}:/proc/uptime", scene.path("up").display());
    says(&scene, &["-v", &volume], "cat /proc/uptime", "1.00 2.00\n");
}

/// As with docker, what is the same as before was not changed, whoever opened it or gave it another name.
#[test]
fn what_is_the_same_was_not_changed() {
    let Some(scene) = scene() else { return };
    let script = "touch /tmp/x; rm /tmp/x; chmod 1777 /tmp; true >> /data/seed; touch -d @1700000000 /data/seed; ln /etc/passwd /root/too
                  touch -d @1700000000 /etc/passwd";
    assert_eq!(scene.dhow(&["run", "--name", "work", "box", "sh", "-c", script]).code, 0);
    assert_eq!(scene.must(&["diff", "work"]), "C /root\nA /root/too\n");
}

/// As with docker, whose client opens the file before it asks for a container.
#[test]
fn a_file_that_cannot_be_written_for_the_id_is_told_before_anything_is_made() {
    let Some(scene) = scene() else { return };
    for (verb, code) in [("create", 1), ("run", 127)] {
        let refused = scene.dhow(&[verb, "--cidfile", "none/id", "box", "true"]);
        let words = "failed to create the container ID file: open none/id: no such file or directory";
        assert!(refused.code == code && refused.stderr.contains(words), "{refused}");
        assert_eq!(scene.must(&["ps", "-aq"]), "", "{verb}");
        let file = format!("id-{verb}");
        scene.must(&[verb, "--cidfile", &file, "box", "true"]);
        let id = fs::read_to_string(scene.path(&file)).expect("the file");
        scene.must(&["rm", &id]);
    }
}
