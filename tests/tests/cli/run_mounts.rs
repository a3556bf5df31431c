//! Containers that are mounted, containers whose reader is killed, and control groups of other machines.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::cell::RefCell;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::run::{archive, import, is_running, says, scene, wait};
use super::unshare::User;

/// The state of a process: `S` sleeps, `R` runs, `T` stands still.
fn state(process: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    text.rsplit(')').next().unwrap_or_default().split_whitespace().next().unwrap_or("gone").to_owned()
}

fn is_mounted(path: &str) -> bool {
    fs::read_to_string("/proc/self/mountinfo")
        .expect("a table")
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(path))
}

#[test]
fn a_container_is_mounted_and_unmounted() {
    let Some(scene) = scene() else { return };
    let id = scene.must(&["create", "--name", "work", "box", "sh", "-c", "cat /from-outside; echo in > /from-inside"]);
    let id = id.trim();
    let path = scene.command(&["mount", "work"]).output().expect("dhow").stdout;
    let path = String::from_utf8(path).expect("a path").trim().to_owned();
    assert!(is_mounted(&path), "{path}");
    assert_eq!(fs::read_to_string(format!("{path}/data/seed")).expect("a file"), "seed\n");
    fs::write(format!("{path}/from-outside"), "out\n").expect("a file");
    let shown = path.replace(scene.path("").to_string_lossy().trim_end_matches('/'), "[FOLDER]");
    assert_eq!(scene.must(&["mount"]), format!("{}  {shown}\n", &id[..12]));
    let json = scene.must(&["mount", "--format", "json"]);
    assert_eq!(
        json,
        format!(
            "[\n {{\n  \"id\": \"{id}\",\n  \"Names\": [\n   \"work\"\n  ],\n  \"mountpoint\": \"{shown}\"\n }}\n]\n"
        )
    );
    // What runs, and who copies, has the very same files.
    assert_eq!(scene.must(&["start", "-a", "work"]), "out\n");
    assert_eq!(fs::read_to_string(format!("{path}/from-inside")).expect("a file"), "in\n");
    scene.must(&["cp", "work:/from-inside", "copied"]);
    assert_eq!(fs::read_to_string(scene.path("copied")).expect("a file"), "in\n");
    assert_eq!(scene.must(&["diff", "work"]), "A /from-inside\nA /from-outside\n");
    // It counts, as podman's does.
    scene.must(&["mount", "work"]);
    assert_eq!(scene.must(&["umount", "work"]), "work\n");
    assert!(is_mounted(&path));
    assert_eq!(scene.must(&["container", "unmount", "work"]), "work\n");
    assert!(!is_mounted(&path) && !fs::exists(&path).expect("a look"));
    assert_eq!(scene.must(&["mount"]), "");
    assert_eq!(scene.must(&["umount", "work"]), "work\n", "what is not mounted is left alone");
    // A view of what runs; it goes with the container.
    let mut child =
        scene.command(&["run", "--name", "busy", "box", "sh", "-c", "echo x > /x; sleep 1000"]).spawn().expect("dhow");
    wait("it runs", || is_running(&scene, "busy") && scene.must(&["diff", "busy"]).contains("A /x\n"));
    let busy = String::from_utf8(scene.command(&["mount", "busy"]).output().expect("dhow").stdout).expect("a path");
    let busy = busy.trim();
    assert_eq!(fs::read_to_string(format!("{busy}/x")).expect("a file"), "x\n");
    assert!(!fs::exists(format!("{busy}/proc/1")).expect("a look"), "without what is mounted in it");
    scene.must(&["mount", "-a"]);
    assert!(is_mounted(&path));
    scene.must(&["rm", "-f", "busy", "work"]);
    child.wait().expect("its end");
    assert!(!is_mounted(busy) && !is_mounted(&path));
    assert!(fs::read_dir(scene.path("store/containers")).expect("a folder").next().is_none());
    let refused = |arguments: &[&str], words: &str| {
        let transcript = scene.dhow(arguments);
        assert_eq!((transcript.code, transcript.stderr.as_str()), (1, words), "{arguments:?}");
    };
    refused(&["mount", "work"], "No such container: work\n");
    refused(&["umount"], "you must provide at least one name or id\n");
    refused(&["mount", "-a", "work"], "no arguments are needed with --all\n");
    refused(&["mount", "--format", "odd"], "unknown --format argument: \"odd\"\n");
    let podman = scene.podman(&["mount", "work"]);
    let words = "Error: no container with name or ID \"work\" found: no such container\n";
    assert_eq!((podman.code, podman.stderr.as_str()), (125, words));
    // A name that no container has may be an image's, read-only.
    let image = String::from_utf8(scene.command(&["mount", "box"]).output().expect("dhow").stdout).expect("a path");
    assert!(is_mounted(image.trim()) && fs::write(format!("{}/x", image.trim()), "").is_err());
    assert!(scene.must(&["mount"]).starts_with("docker.io/library/box:latest  [FOLDER]"));
    assert_eq!(scene.must(&["umount", "box"]), "box\n");
    assert!(!is_mounted(image.trim()));
}

/// Who is not root mounts containers in the shell of `unshare`, as with podman: there they are seen, until it ends.
#[test]
fn who_is_not_root_mounts_containers_in_a_namespace_that_stays() {
    for has_ranges in [false, true] {
        let Some(user) = User::new(has_ranges) else { return };
        fs::write(user.path("root.tar"), archive(&[])).expect("an archive");
        user.must(&["import", "root.tar", "box"]);
        user.must(&["create", "--name", "work", "box", "cat", "/x"]);
        let (code, _, said) = user.dhow(&["mount", "work"]);
        let words = "mounting a container takes root's rights, or `dhow unshare`: in the shell that it starts, `dhow mount` shows the files \
                     until the shell ends\n";
        assert_eq!((code, said.as_str()), (Some(1), words));
        let (code, _, said) = user.dhow(&["--compat", "podman", "mount", "nope"]);
        let words =
            "Error: cannot run command \"podman mount\" in rootless mode, must execute `podman unshare` first\n";
        assert_eq!((code, said.as_str()), (Some(125), words));
        let program = user.path("dhow").to_string_lossy().into_owned();
        let in_a_shell = |script: &str| user.must(&["unshare", "sh", "-euc", script, &program]);
        let script = "at=$($0 mount work); cat $at/data/seed; echo out > $at/x; $0 start -a work; test $($0 mount work) = $at
                      $0 umount work; cat $at/x; $0 umount work; test ! -e $at; $0 mount; $0 run --rm box true; echo ended";
        assert_eq!(in_a_shell(script), "seed\nout\nwork\nout\nwork\nended\n", "{has_ranges}");
        assert_eq!(user.must(&["start", "-a", "work"]), "out\n");
        // Mounted there and not seen here, it is in nobody's hands but those of who sees it.
        let script =
            "$0 mount work > at; echo mounted > started; while test -e started; do sleep 0.05; done; cat $(cat at)/x";
        let shell = user.command(&["unshare", "sh", "-euc", script, &program]).stdout(Stdio::piped()).spawn();
        let shell = shell.expect("a shell");
        wait("it is mounted", || user.path("started").exists());
        for arguments in
            [&["start", "-a", "work"][..], &["rm", "work"], &["cp", "work:/x", "y"], &["export", "-o", "y", "work"]]
        {
            let (code, _, said) = user.dhow(arguments);
            assert!(
                code != Some(0) && said.contains("is mounted in another mount namespace, mnt:["),
                "{arguments:?}: {said}"
            );
        }
        fs::remove_file(user.path("started")).expect("a file");
        assert_eq!(shell.wait_with_output().expect("its end").stdout, b"out\n");
        // With the shell the mount ended. The kernel may give the number of its mount namespace to another one at once, for a while.
        wait("the mount ended", || user.dhow(&["start", "-a", "work"]).1 == "out\n");
        assert_eq!(user.must(&["rm", "work"]), "work\n");
        assert!(
            fs::read_dir(user.path("store/mounts"))
                .expect("a folder")
                .all(|entry| entry.is_ok_and(|entry| entry.file_name() == "lock"))
        );
    }
}

/// Whoever has a container stand still is killed: it goes on at once, and the next one who looks finds nothing odd.
#[test]
fn a_commit_that_is_killed_leaves_nothing_standing() {
    let Some(scene) = scene() else { return };
    // So much that there is time to hit it.
    let script =
        "dd if=/dev/zero of=/much bs=1M count=300 2>/dev/null; echo ready > /ready; while :; do sleep 0.05; done";
    let mut child = scene.command(&["run", "--name", "busy", "box", "sh", "-c", script]).spawn().expect("dhow");
    wait("it is ready", || is_running(&scene, "busy") && scene.must(&["diff", "busy"]).contains("A /ready\n"));
    let process = scene.must(&["inspect", "--format", "{{.State.Pid}}", "busy"]).trim().to_owned();
    let mut hits = 0;
    for _ in 0..20 {
        let mut commit = scene.command(&["commit", "busy", "made"]).stdout(Stdio::null()).spawn().expect("dhow");
        let own = commit.id().to_string();
        while state(&process) != "T" && state(&own) != "Z" {
            sleep(Duration::from_micros(200));
        }
        let _ = commit.kill();
        hits += i32::from(commit.wait().expect("its end").code().is_none());
        // No other command looks at it meanwhile.
        wait("it goes on", || state(&process) != "T");
        if hits == 2 {
            break;
        }
    }
    assert!(hits > 0, "no commit was hit");
    assert!(scene.must(&["commit", "busy", "made"]).starts_with("sha256:"));
    // With the watcher stopped too, the next command does it.
    let mut commit = scene.command(&["commit", "busy", "made"]).stdout(Stdio::null()).spawn().expect("dhow");
    let own = commit.id().to_string();
    wait("it stands still", || state(&process) == "T" || state(&own) == "Z");
    dhow_tests::scene::signal(&child, "STOP");
    let _ = commit.kill();
    let was_hit = commit.wait().expect("its end").code().is_none();
    scene.must(&["ps"]);
    if was_hit {
        assert_ne!(state(&process), "T");
    }
    dhow_tests::scene::signal(&child, "CONT");
    scene.must(&["rm", "-f", "busy"]);
    child.wait().expect("its end");
}

#[test]
fn variables_that_are_not_set_are_docker_s() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "one", "-e", "NOT_SET", "-e", "A", "-e", "HOME", "box", "env"]);
    let shown = scene.must(&["inspect", "--format", "{{json .Config.Env}}", "one"]);
    assert_eq!(shown, "[\"NOT_SET\",\"A\",\"HOME=[FOLDER]/home\",\"B=2\"]\n");
    // What the image says of it goes, too.
    let ran = scene.must(&["start", "-a", "one"]);
    assert!(ran.contains("B=2\n") && !ran.contains("A=1") && !ran.contains("NOT_SET"), "{ran}");
    let podman = scene.podman(&["create", "-e", "NOT_SET", "--name", "two", "box", "env"]);
    assert_eq!(podman.code, 0, "{podman}");
    assert_eq!(scene.must(&["inspect", "--format", "{{json .Config.Env}}", "two"]), "[\"A=1\",\"B=2\"]\n");
}

/// Other machines have other hierarchies: what this one's limits come to there, in a mount namespace that shows only those.
#[test]
fn limits_fit_the_hierarchies_that_are_there() {
    let Some(scene) = scene() else { return };
    let ids = RefCell::new(Vec::new());
    let run = |mounts: &str, options: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        let program = scene.path("dhow");
        scene.must(&["version"]);
        let inner = format!("mount --make-rprivate / && umount -R /sys/fs/cgroup && {mounts} && exec \"$@\"");
        command.args(["-m", "sh", "-c", &inner, "sh"]).arg(program).args(["run", "--rm", "--cidfile"]);
        command.arg(scene.path("id")).args(options);
        command.args(["box", "sh", "-c", script]).env("DHOW_ROOT", scene.path("store")).env("HOME", scene.path("home"));
        let transcript = scene.run(&mut command);
        ids.borrow_mut().extend(fs::read_to_string(scene.path("id")));
        let _ = fs::remove_file(scene.path("id"));
        transcript
    };
    let limits = ["--memory", "64m", "--pids-limit", "20", "--cpus", "0.5"];
    let warnings = |transcript: &dhow_tests::scene::Transcript| transcript.stderr.lines().count();
    // None at all: each limit is missed once, and the program runs.
    let none = run("true", &limits, "echo ran");
    assert_eq!((none.code, none.stdout.as_str(), warnings(&none)), (0, "ran\n", 3), "{none}");
    for what in ["memory", "processes", "time of processors"] {
        let words = format!(
            "WARNING: the container goes without a limit of {what}: this machine has no control groups for it\n"
        );
        assert!(none.stderr.contains(&words), "{none}");
    }
    let quiet = run("true", &[], "ls /sys/fs/cgroup | wc -l");
    assert_eq!((quiet.code, quiet.stdout.trim(), quiet.stderr.as_str()), (0, "0", ""), "{quiet}");
    // The unified one alone: a container sees its own part, and cannot change it. Its controllers may all be taken by the others here.
    let unified = "mount -t cgroup2 none /sys/fs/cgroup";
    let seen = run(
        unified,
        &[],
        "test -e /sys/fs/cgroup/cgroup.controllers && mkdir /sys/fs/cgroup/x 2>/dev/null || echo shut",
    );
    assert_eq!((seen.code, seen.stdout.as_str()), (0, "shut\n"), "{seen}");
    let limited = run(unified, &limits, "echo ran");
    let controllers = Command::new("unshare")
        .args(["-m", "sh", "-c", &format!("mount --make-rprivate / && umount -R /sys/fs/cgroup && {unified} && cat /sys/fs/cgroup/cgroup.controllers")])
        .output()
        .expect("unshare");
    let controllers = String::from_utf8_lossy(&controllers.stdout).into_owned();
    let missing =
        ["memory", "pids", "cpu"].iter().filter(|name| !controllers.split_whitespace().any(|known| known == **name));
    assert_eq!((limited.code, limited.stdout.as_str(), warnings(&limited)), (0, "ran\n", missing.count()), "{limited}");
    // An old one alone.
    let old = "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/pids && mount -t cgroup -o pids none /sys/fs/cgroup/pids";
    let crowd = "for i in 1 2 3 4 5 6; do sleep 5 & done; kill 0";
    let alone = run(old, &["--pids-limit", "4"], crowd);
    if !alone.stderr.contains("mount:") {
        assert!(alone.stderr.contains("can't fork"), "{alone}");
    }
    let left = Command::new("find").args(["/sys/fs/cgroup", "-name", "dhow-*"]).output().expect("find");
    // Others may run containers meanwhile.
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(ids.borrow().len() >= 4 && !ids.borrow().iter().any(|id| left.contains(id)), "{left}");
}

/// A program that cannot be started, as each engine tells it.
#[test]
fn failures_of_a_start_are_each_engine_s() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[("secret/", ""), ("script", "#!/not/there\n")]);
    let run = |who: &str, arguments: &[&str]| {
        let transcript =
            scene.run(&mut scene.command_as(who, &[&["run", "--rm", "--network", "none"], arguments].concat()));
        (transcript.code, transcript.stderr)
    };
    let podman = |arguments: &[&str], code: i32, text: &str| {
        assert_eq!(run("podman", arguments), (code, format!("Error: {text}\n")), "{arguments:?}");
    };
    let runc = "runc: runc create failed: unable to start container process";
    let not_found = "OCI runtime attempted to invoke a command that was not found";
    podman(&["box", "nope"], 127, &format!("{runc}: exec: \"nope\": executable file not found in $PATH: {not_found}"));
    podman(
        &["box", "/nope"],
        127,
        &format!("{runc}: exec: \"/nope\": stat /nope: no such file or directory: {not_found}"),
    );
    podman(&["box", "/etc"], 126, &format!("{runc}: exec: \"/etc\": permission denied: OCI permission denied"));
    podman(
        &["box", "/etc/passwd"],
        126,
        &format!("{runc}: exec: \"/etc/passwd\": permission denied: OCI permission denied"),
    );
    podman(&["--user", "none", "box", "true"], 126, "unable to find user none: no matching entries in passwd file");
    podman(&["-v", "/not/there:/x", "box", "true"], 125, "statfs /not/there: no such file or directory");
    podman(&["--pull", "never", "absent", "true"], 125, "absent: image not known");
    podman(&["--pull", "odd", "box", "true"], 125, "unsupported pull policy \"odd\"");
    let (code, said) = run("podman", &["--workdir", "/nope", "box", "true"]);
    assert!(code == 126 && said.starts_with("Error: workdir \"/nope\" does not exist on container "), "{said}");
    let (code, said) = run("podman", &["--workdir", "/etc/passwd", "box", "true"]);
    assert!(code == 126 && said.ends_with(", but is not a directory\n"), "{said}");
    says(&scene, &["--workdir", "/made"], "pwd", "/made\n");
}

/// Killed at any moment, nothing is left that `ps`, `rm`, the prunes and `system check` cannot cope with, and what was there stays.
#[test]
fn whatever_is_killed_leaves_nothing_in_the_way() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "kept", "--label", "keep", "-v", "vol:/data", "box"]);
    let much = "dd if=/dev/zero of=/much bs=1M count=20 2>/dev/null";
    scene.must(&["run", "--name", "changed", "--label", "keep", "box", "sh", "-c", much]);
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(scene.path(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let settle = |command: &[&str]| {
        assert!(scene.must(&["ps", "-a"]).contains("kept"));
        scene.must(&["rm", "-f", "again"]);
        scene.must(&["container", "prune", "-f", "--filter", "label!=keep"]);
        scene.must(&["volume", "prune", "-f"]);
        // Making a container takes away what was never recorded.
        let id = scene.must(&["create", "box"]);
        scene.must(&["rm", id.trim()]);
        assert_eq!(scene.must(&["ps", "-aq"]).lines().count(), 2, "{command:?}");
        assert_eq!(names("store/containers").len(), 2, "{command:?}");
        assert_eq!(names("store/volumes"), ["vol"], "{command:?}");
        let check = scene.dhow(&["system", "check"]);
        assert_eq!(check.code, 0, "{command:?}: {check}");
    };
    let commands: [&[&str]; 5] = [
        &["run", "-v", "/data", "box", "sh", "-c", "echo x > /x"],
        &["create", "-v", "/data", "--name", "again", "box"],
        &["commit", "changed", "made"],
        &["import", "root.tar", "brought"],
        &["unpack", "box", "out"],
    ];
    for command in commands {
        let begin = Instant::now();
        scene.must(command);
        let whole = begin.elapsed();
        settle(command);
        for step in 0..8 {
            let _ = fs::remove_dir_all(scene.path("out"));
            let mut child = scene.command(command).stdout(Stdio::null()).spawn().expect("dhow");
            sleep(whole * step / 7);
            let _ = child.kill();
            child.wait().expect("its end");
            // A directory is there as a whole or not at all.
            assert!(!scene.path("out").exists() || scene.path("out/data/seed").exists(), "{command:?}");
            settle(command);
        }
    }
    let _ = fs::remove_dir_all(scene.path("out"));
    scene.must(&["unpack", "box", "out"]);
    assert!(names(".").iter().all(|name| !name.contains("dhow-unpack")), "{:?}", names("."));
    assert_eq!(scene.must(&["run", "--rm", "-v", "vol:/data", "box", "cat", "/data/seed"]), "seed\n");
}
