//! `run`, `create`, `start`, `ps`, `rm`, `commit`: containers in the foreground.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dhow_testkit::peers;
use dhow_tests::scene::{Scene, Transcript, signal};

use super::nobody::Nobody;

/// Programs of the image, all of them busybox.
const PROGRAMS: &[&str] = &[
    "sh", "true", "false", "cat", "id", "env", "ls", "ps", "sleep", "pwd", "hostname", "mount", "mkdir", "mknod",
    "chmod", "touch", "rm", "grep", "stat", "tty", "stty", "head", "readlink", "kill", "echo", "su", "dd", "ip", "wc",
    "ln", "cp",
];

pub(crate) fn may_run() -> io::Result<()> {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    match (peers::is_root(), filesystems.contains("erofs") && filesystems.contains("overlay")) {
        (true, true) => fs::metadata("/bin/busybox").map(drop),
        (false, _) => Err(io::Error::other("this test runs containers as root")),
        (true, false) => Err(io::Error::other("this kernel has no EROFS or no overlayfs")),
    }
}

/// Files of an image by name; a name that ends with a slash is a directory, and a content that begins with `->` a link.
pub(crate) fn archive(more: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8], mode: u32, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(kind);
        if kind == tar::EntryType::Symlink {
            header.set_size(0);
            let target = String::from_utf8_lossy(content).into_owned();
            builder.append_link(&mut header, name, target).expect("append");
        } else {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content).expect("append");
        }
    };
    add("bin/", b"", 0o755, tar::EntryType::Directory);
    add("bin/busybox", &fs::read("/bin/busybox").expect("busybox"), 0o755, tar::EntryType::Regular);
    for program in PROGRAMS {
        add(&format!("bin/{program}"), b"busybox", 0o777, tar::EntryType::Symlink);
    }
    add("etc/", b"", 0o755, tar::EntryType::Directory);
    add(
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh\n",
        0o644,
        tar::EntryType::Regular,
    );
    add("etc/group", b"root:x:0:\nusers:x:100:\naudio:x:29:bob\n", 0o644, tar::EntryType::Regular);
    add("root/", b"", 0o700, tar::EntryType::Directory);
    add("tmp/", b"", 0o1777, tar::EntryType::Directory);
    add("data/", b"", 0o750, tar::EntryType::Directory);
    add("data/seed", b"seed\n", 0o600, tar::EntryType::Regular);
    for (name, content) in more {
        match (name.strip_suffix('/'), content.strip_prefix("->")) {
            (Some(_), _) => add(name, b"", 0o755, tar::EntryType::Directory),
            (None, Some(target)) => add(name, target.as_bytes(), 0o777, tar::EntryType::Symlink),
            (None, None) => add(name, content.as_bytes(), 0o755, tar::EntryType::Regular),
        }
    }
    builder.into_inner().expect("finish")
}

pub(crate) fn import(scene: &Scene, name: &str, changes: &[&str], more: &[(&str, &str)]) {
    fs::write(scene.path("root.tar"), archive(more)).expect("an archive");
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let arguments: Vec<&str> = ["import"].into_iter().chain(changes).chain(["root.tar", name]).collect();
    scene.must(&arguments);
}

/// A scene with an image `box`, where containers can run.
pub(crate) fn scene() -> Option<Scene> {
    peers::available(may_run())?;
    let scene = Scene::new();
    import(&scene, "box", &["CMD [\"sh\"]", "ENV A=1 B=2"], &[]);
    Some(scene)
}

/// What a container's shell says.
fn shell(scene: &Scene, options: &[&str], script: &str) -> Transcript {
    let arguments: Vec<&str> =
        ["run", "--rm"].iter().chain(options).copied().chain(["box", "sh", "-c", script]).collect();
    scene.dhow(&arguments)
}

#[track_caller]
pub(crate) fn says(scene: &Scene, options: &[&str], script: &str, expected: &str) {
    let transcript = shell(scene, options, script);
    assert_eq!((transcript.code, transcript.stdout.as_str()), (0, expected), "{script}: {transcript}");
}

#[test]
fn the_exit_code_is_the_program_s() {
    let Some(scene) = scene() else { return };
    let code = |arguments: &[&str]| {
        let transcript = scene.dhow(&[&["run", "--rm"], arguments].concat());
        (transcript.code, transcript.stderr.trim_end().to_owned())
    };
    let quiet = |code: i32| (code, String::new());
    assert_eq!(code(&["box", "true"]), quiet(0));
    assert_eq!(code(&["box", "false"]), quiet(1));
    assert_eq!(code(&["box", "sh", "-c", "exit 42"]), quiet(42));
    assert_eq!(code(&["box", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).0, 137);
    let said = |number: i32, text: &str| (number, format!("dhow: {text}"));
    assert_eq!(code(&["box", "nope"]), said(127, "exec: \"nope\": executable file not found in $PATH"));
    assert_eq!(code(&["box", "/nope"]), said(127, "exec: \"/nope\": stat /nope: no such file or directory"));
    assert_eq!(code(&["box", "/etc"]), said(126, "exec: \"/etc\": is a directory"));
    assert_eq!(code(&["box", "/etc/passwd"]), said(126, "exec: \"/etc/passwd\": permission denied"));
    assert_eq!(code(&["--user", "none", "box", "true"]).0, 125);
    assert_eq!(code(&["--pull", "never", "absent", "true"]).0, 125);
    assert_eq!(code(&["--odd", "box", "true"]).0, 125);
    let (detached, why) = code(&["-d", "box", "true"]);
    assert!(detached == 125 && why.contains("--detach is not supported"), "{why}");
    // Nothing is left of any of them.
    assert_eq!(scene.must(&["ps", "-aq"]), "");
    assert!(fs::read_dir(scene.path("store/containers")).expect("a folder").next().is_none());
    let docker = scene.docker(&["run", "--rm", "box", "nope"]);
    assert_eq!(docker.code, 127);
    assert!(
        docker.stderr.starts_with("docker: Error response from daemon: failed to create task for container: "),
        "{docker}"
    );
    assert!(docker.stderr.ends_with(": unknown\n\nRun 'docker run --help' for more information\n"), "{docker}");
}

#[test]
fn streams_are_passed_on() {
    let Some(scene) = scene() else { return };
    says(&scene, &[], "cat; echo out; echo err >&2", "out\n");
    assert_eq!(shell(&scene, &[], "echo err >&2").stderr, "err\n");
    let fed = scene.fed(&["run", "--rm", "-i", "box", "cat"], b"through\n");
    assert_eq!((fed.code, fed.stdout.as_str()), (0, "through\n"));
    // Much of it, and the user may open the streams by name.
    let much = vec![b'x'; 3 << 20];
    let fed = scene.fed(&["run", "--rm", "-i", "--user", "bob", "box", "sh", "-c", "cat | wc -c > /dev/stdout"], &much);
    assert_eq!(fed.stdout.trim(), "3145728", "{fed}");
    let refused = scene.dhow(&["run", "--rm", "-it", "box", "true"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (1, "the input device is not a TTY\n"));
}

#[test]
fn the_environment_is_docker_s() {
    let Some(scene) = scene() else { return };
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let options = ["--hostname", "ship", "-e", "C=3", "-e", "A=9"];
    let transcript = scene.dhow(&[&["run", "--rm"][..], &options, &["box", "env"]].concat());
    assert_eq!(transcript.stdout, format!("{path}\nHOSTNAME=ship\nC=3\nA=9\nB=2\nHOME=/root\n"));
    fs::write(scene.path("vars"), "# no\nD=4\nHOME\n\nNOT_SET_ANYWHERE\n").expect("a file");
    let transcript = scene.dhow(&["run", "--rm", "--env-file", "vars", "box", "env"]);
    assert!(
        transcript.stdout.contains("D=4\nHOME=[FOLDER]/home\n") && !transcript.stdout.contains("NOT_SET"),
        "{transcript}"
    );
    says(&scene, &["--hostname", "ship"], "hostname; cat /etc/hostname", "ship\nship\n");
    says(
        &scene,
        &["--user", "bob"],
        "id; echo $HOME",
        "uid=1000(bob) gid=100(users) groups=29(audio),100(users)\n/home/bob\n",
    );
    says(&scene, &["--user", "7:8", "--group-add", "audio"], "id -u; id -G", "7\n8 29\n");
    says(&scene, &["--workdir", "/made/here"], "pwd", "/made/here\n");
    says(&scene, &["--add-host", "pier:10.1.2.3"], "grep pier /etc/hosts", "10.1.2.3\tpier\n");
    let transcript = scene.dhow(&["run", "--rm", "--entrypoint", "echo", "box", "a", "b"]);
    assert_eq!(transcript.stdout, "a b\n");
    for (user, words) in [
        ("4294967296", "uids and gids must be in range 0-2147483647"),
        ("none", "unable to find user none: no matching entries in passwd file"),
    ] {
        let refused = scene.dhow(&["run", "--rm", "--user", user, "box", "true"]);
        assert_eq!((refused.code, refused.stderr.trim_end()), (125, format!("dhow: {words}").as_str()));
    }
}

#[test]
fn a_container_is_shut_off() {
    let Some(scene) = scene() else { return };
    says(&scene, &[], "echo $$; set -- /proc/[0-9]*; echo $#", "1\n1\n");
    says(
        &scene,
        &[],
        "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status",
        "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n",
    );
    says(
        &scene,
        &["--user", "bob"],
        "grep -E 'CapEff|CapPrm|CapInh' /proc/self/status",
        "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n",
    );
    says(
        &scene,
        &["--cap-drop", "all", "--cap-add", "chown"],
        "grep CapEff /proc/self/status",
        "CapEff:\t0000000000000001\n",
    );
    says(
        &scene,
        &["--security-opt", "no-new-privileges"],
        "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status",
        "NoNewPrivs:\t1\nSeccomp:\t2\n",
    );
    // Nothing but the three streams is open: a directory of the machine would be a way out (CVE-2024-21626).
    says(&scene, &[], "ls /proc/self/fd", "0\n1\n2\n3\n");
    says(&scene, &[], "mount -t tmpfs none /tmp 2>&1 | grep -c 'ermi'", "1\n");
    // What is masked is empty; not every kernel has all of it.
    let masked = "for file in kcore keys timer_list; do test ! -e /proc/$file || wc -c < /proc/$file; done";
    says(&scene, &[], &format!("{{ {masked}; ls /sys/firmware | wc -l; }} | sort -u"), "0\n");
    says(&scene, &[], "(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no", "no\n");
    says(&scene, &[], "touch /sys/x 2>/dev/null || echo no", "no\n");
    // A device that is made is no way to the machine's.
    says(
        &scene,
        &[],
        "mknod /x c 1 5 && head -c 1 /x >/dev/null 2>&1 || echo no; mknod /dev/x c 1 5 && head -c 1 /dev/x 2>/dev/null || echo no",
        "no\nno\n",
    );
    says(&scene, &[], "head -c 4 /dev/zero | wc -c; echo x > /dev/null; readlink /dev/stdin", "4\n/proc/self/fd/0\n");
    says(&scene, &["--network", "none"], "ls /sys/class/net; ip addr show lo | grep -c 'inet 127.0.0.1'", "lo\n1\n");
    says(
        &scene,
        &["--read-only", "--tmpfs", "/tmp"],
        "touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes",
        "no\nyes\n",
    );
}

#[test]
fn images_that_attack_get_nowhere() {
    let Some(scene) = scene() else { return };
    // CVE-2024-21626: a working directory through a descriptor that leads out.
    for number in 3..12 {
        let directory = format!("/proc/self/fd/{number}");
        let refused = scene.dhow(&["run", "--rm", "--workdir", &directory, "box", "ls", "../../../.."]);
        // Docker's client has a code of its own for what is not there, whatever it is.
        assert!(matches!(refused.code, 125 | 127) && refused.stdout.is_empty(), "{refused}");
    }
    // CVE-2019-5736: the image makes this program its own program, and writes to it.
    import(&scene, "box", &[], &[("evil", "#!/proc/self/exe\n")]);
    let before = fs::read(dhow_tests::binary::path()).map(|bytes| bytes.len()).expect("the program");
    scene.dhow(&["run", "--rm", "box", "/evil"]);
    scene.dhow(&["run", "--rm", "box", "/proc/self/exe", "version"]);
    let after = fs::read(dhow_tests::binary::path()).map(|bytes| bytes.len()).expect("the program");
    assert_eq!(before, after);
    // CVE-2026-41579 and its kin: what is to be mounted on leads elsewhere.
    fs::create_dir(scene.path("victim")).expect("a folder");
    let victim = scene.path("victim").to_string_lossy().into_owned();
    for name in ["dev", "proc", "sys"] {
        import(&scene, "bad", &[], &[(name, &format!("->{victim}"))]);
        let refused = scene.dhow(&["run", "--rm", "bad", "true"]);
        assert_eq!(refused.code, 125, "{name}: {refused}");
    }
    // A volume over a link stays in the container.
    fs::create_dir(scene.path("source")).expect("a folder");
    let source = scene.path("source").to_string_lossy().into_owned();
    import(&scene, "linked", &[], &[("out", "->/../../../../victim"), ("up", "->../../../../../../..")]);
    let volume = format!("{source}:/out/inner");
    let ran = scene.dhow(&["run", "--rm", "-v", &volume, "linked", "ls", "-d", "/victim/inner"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "/victim/inner\n"), "a link that leads nowhere: {ran}");
    let volume = format!("{source}:/up/made");
    let ran = scene.dhow(&["run", "--rm", "-v", &volume, "linked", "ls", "-d", "/made"]);
    assert_eq!(ran.stdout, "/made\n", "{ran}");
    assert!(fs::read_dir(&victim).expect("a folder").next().is_none());
    // CVE-2025-31133 and CVE-2025-52565: what masks is the machine's, whatever the image has in /dev.
    import(
        &scene,
        "masks",
        &[],
        &[("dev/", ""), ("dev/null", "->/proc/sys/kernel/core_pattern"), ("dev/console", "->/proc/sysrq-trigger")],
    );
    let ran = scene.dhow(&["run", "--rm", "masks", "sh", "-c", "wc -c < /proc/keys; stat -c %t:%T /dev/null"]);
    assert_eq!(ran.stdout, "0\n1:3\n", "{ran}");
}

#[test]
fn containers_are_listed_kept_and_removed() {
    let Some(scene) = scene() else { return };
    let id = scene
        .must(&["create", "--name", "one", "--label", "a=b", "box", "sh", "-c", "echo ran; exit 3"])
        .trim()
        .to_owned();
    assert_eq!(id.len(), 64);
    assert_eq!(scene.must(&["ps", "-q"]), "");
    assert_eq!(scene.must(&["ps", "-aq", "--no-trunc"]).trim(), id);
    let row = scene.must(&["ps", "-a", "--format", "{{.Image}} {{.Command}} {{.Status}} {{.Names}} {{.Labels}}"]);
    assert_eq!(row, "box \"sh -c 'echo ran; ex…\" Created one a=b\n");
    let refused = scene.dhow(&["create", "--name", "one", "box"]);
    assert!(
        refused
            .stderr
            .starts_with(&format!("Conflict. The container name \"/one\" is already in use by container \"{id}\".")),
        "{refused}"
    );
    let used = scene.dhow(&["rmi", "box"]);
    assert!(
        used.code == 1 && used.stderr.contains(&format!("container {} is using its referenced image", &id[..12])),
        "{used}"
    );
    let ran = scene.dhow(&["start", "-a", "one"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "ran\n"));
    let state =
        scene.must(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{.Name}} {{.Path}}", "one"]);
    assert_eq!(state, "exited 3 /one sh\n");
    assert!(scene.must(&["ps", "-a"]).contains("Exited (3)"));
    assert_eq!(
        scene.must(&["ps", "-aq", "--filter", "exited=3", "--filter", "name=on", "--filter", "label=a"]).trim(),
        &id[..12]
    );
    assert_eq!(scene.must(&["ps", "-aq", "--filter", "status=running"]), "");
    // Codes of their own, and words around the engine's, are for run.
    scene.must(&["create", "--name", "none", "box", "nope"]);
    let transcript = scene.docker(&["start", "-a", "none"]);
    let begins = transcript.stderr.starts_with("Error response from daemon: failed to create task for container: ");
    let ends = transcript.stderr.ends_with("exec: \"nope\": executable file not found in $PATH: unknown\n");
    assert!(transcript.code == 1 && begins && ends, "{transcript}");
    let transcript = scene.docker(&["start", "-a", "none", "one"]);
    assert_eq!(transcript.stderr, "you cannot start and attach multiple containers at once\n");
    scene.must(&["rm", "none"]);
    assert_eq!(scene.must(&["rm", "one"]), "one\n");
    assert_eq!(scene.dhow(&["rm", "one"]).stderr, "No such container: one\n");
    assert!(fs::read_dir(scene.path("store/containers")).expect("a folder").next().is_none());
    scene.must(&["create", "--name", "two", "box"]);
    let pruned = scene.must(&["container", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted Containers:\n") && pruned.contains("Total reclaimed space: "), "{pruned}");
    for word in ["exec", "stop", "logs", "network"] {
        let refused = scene.dhow(&[word, "one"]);
        assert!(refused.code == 1 && refused.stderr.starts_with(&format!("{word} is not supported: ")), "{refused}");
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        sleep(Duration::from_millis(20));
    }
}

pub(crate) fn is_running(scene: &Scene, name: &str) -> bool {
    !scene.must(&["ps", "-q", "--filter", &format!("name={name}")]).is_empty()
        && scene.must(&["inspect", "--format", "{{.State.Pid}}", name]).trim() != "0"
}

#[test]
fn what_runs_is_known_and_ends_with_its_watcher() {
    let Some(scene) = scene() else { return };
    let begin = |arguments: &[&str]| {
        let mut command = scene.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start dhow")
    };
    // A signal is passed on; the program heeds it.
    let script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = begin(&["run", "--name", "polite", "box", "sh", "-c", script]);
    let mut said = [0; 6];
    child.stdout.as_mut().expect("its output").read_exact(&mut said).expect("a line");
    assert_eq!(&said, b"ready\n");
    wait("it runs", || is_running(&scene, "polite"));
    let refused = scene.dhow(&["rm", "polite"]);
    assert!(
        refused.stderr.contains("container is running: stop the container before removing or force remove"),
        "{refused}"
    );
    let id = scene.must(&["images", "-q", "--no-trunc", "box"]);
    let busy = scene.dhow(&["rmi", "-f", id.trim()]);
    assert!(busy.code == 1 && busy.stderr.contains("cannot be forced"), "{busy}");
    signal(&child, "TERM");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(9), "bye\n"));
    scene.must(&["rm", "polite"]);
    // Killed, the watcher takes it along, and the next command knows.
    let mut child = begin(&["run", "--name", "lost", "box", "sleep", "1000"]);
    wait("it runs", || is_running(&scene, "lost"));
    let process: u32 = scene.must(&["inspect", "--format", "{{.State.Pid}}", "lost"]).trim().parse().expect("a number");
    child.kill().expect("kill the watcher");
    assert_eq!(child.wait().expect("its end").signal(), Some(9));
    wait("its process ends", || fs::metadata(format!("/proc/{process}")).is_err());
    assert!(scene.must(&["ps", "-a"]).contains("Exited (255)"));
    scene.must(&["rm", "lost"]);
    // Removal by force ends it; its watcher says so.
    let child = begin(&["run", "--name", "forced", "box", "sleep", "1000"]);
    wait("it runs", || is_running(&scene, "forced"));
    assert_eq!(scene.must(&["rm", "-f", "forced"]), "forced\n");
    assert_eq!(child.wait_with_output().expect("its end").status.code(), Some(137));
    assert_eq!(scene.must(&["ps", "-aq"]), "");
}

#[test]
fn volumes_and_directories_are_mounted() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("shared")).expect("a folder");
    fs::write(scene.path("shared/file"), "mine\n").expect("a file");
    let shared = scene.path("shared").to_string_lossy().into_owned();
    says(&scene, &["-v", &format!("{shared}:/s")], "cat /s/file; echo more > /s/new", "mine\n");
    assert_eq!(fs::read_to_string(scene.path("shared/new")).expect("a file"), "more\n");
    says(&scene, &["-v", &format!("{shared}:/s:ro")], "touch /s/x 2>/dev/null || echo no", "no\n");
    says(
        &scene,
        &["--mount", &format!("type=bind,src={shared}/file,dst=/deep/one,readonly")],
        "cat /deep/one",
        "mine\n",
    );
    says(&scene, &["--tmpfs", "/mem:size=1m"], "mount | grep -c ' /mem type tmpfs (rw,nosuid,nodev,noexec'", "1\n");
    let refused = shell(&scene, &["--mount", "type=bind,src=/not/there,dst=/x"], "true");
    assert!(refused.code == 125 && refused.stderr.contains("bind source path does not exist: /not/there"), "{refused}");
    // A new volume begins with what the image has there, owner and mode included.
    says(&scene, &["-v", "kept:/data"], "cat /data/seed; stat -c %a /data; echo 2 > /data/two", "seed\n750\n");
    says(&scene, &["-v", "kept:/elsewhere"], "cat /elsewhere/two", "2\n");
    says(&scene, &["-v", "fresh:/data:nocopy"], "ls /data", "");
    assert_eq!(scene.must(&["volume", "ls", "-q"]), "fresh\nkept\n");
    assert_eq!(scene.must(&["volume", "ls"]), "DRIVER    VOLUME NAME\nlocal     fresh\nlocal     kept\n");
    // One without a name goes with its container.
    says(&scene, &["-v", "/data"], "cat /data/seed", "seed\n");
    assert_eq!(scene.must(&["volume", "ls", "-q"]), "fresh\nkept\n");
    let id = scene.must(&["create", "-v", "kept:/data", "box"]).trim().to_owned();
    let used = scene.dhow(&["volume", "rm", "kept"]);
    assert_eq!(used.stderr, format!("remove kept: volume is in use - [{id}]\n"));
    scene.must(&["rm", "-v", &id]);
    assert_eq!(scene.must(&["volume", "rm", "kept"]), "kept\n");
    assert_eq!(scene.dhow(&["volume", "rm", "kept"]).stderr, "get kept: no such volume\n");
    assert!(scene.must(&["volume", "prune", "-f", "-a"]).starts_with("Deleted Volumes:\nfresh\n"));
    assert!(fs::read_dir(scene.path("store/volumes")).expect("a folder").next().is_none());
}

#[test]
fn what_a_container_changed_becomes_an_image() {
    let Some(scene) = scene() else { return };
    let script = "echo new > /new; rm /data/seed; echo x >> /etc/group; mkdir /dir; ln -s /new /dir/link";
    assert_eq!(scene.dhow(&["run", "--name", "work", "-e", "C=3", "box", "sh", "-c", script]).code, 0);
    let changed = "C /data\nD /data/seed\nA /dir\nA /dir/link\nC /etc\nC /etc/group\nA /new\n";
    assert_eq!(scene.must(&["diff", "work"]), changed);
    let id = scene.must(&[
        "commit",
        "-a",
        "me",
        "-m",
        "made",
        "-c",
        "CMD [\"cat\", \"/new\"]",
        "-c",
        "ENV D=4",
        "work",
        "made:1",
    ]);
    assert!(id.starts_with("sha256:"), "{id}");
    let config = scene.must(&[
        "inspect",
        "--format",
        "{{.Author}} {{.Comment}} {{json .Config.Cmd}} {{json .Config.Env}}",
        "made:1",
    ]);
    assert_eq!(config, "me made [\"cat\",\"/new\"] [\"C=3\",\"A=1\",\"B=2\",\"D=4\"]\n");
    assert_eq!(scene.must(&["run", "--rm", "made:1"]), "new\n");
    assert_eq!(scene.must(&["run", "--rm", "made:1", "ls", "/data"]), "");
    assert_eq!(
        scene.must(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1"]).lines().next(),
        Some(&*format!("sh -c {script}|made"))
    );
    scene.must(&["export", "-o", "files.tar", "work"]);
    let names = Command::new("tar").arg("-tf").arg(scene.path("files.tar")).output().expect("tar");
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    for name in [".dockerenv", "new", "dir/link", "etc/hosts", "dev/shm/", "proc/", "sys/", "bin/busybox"] {
        assert!(names.lines().any(|line| line == name), "{name}: {names}");
    }
    assert!(!names.contains("data/seed"));
    scene.must(&["rm", "work"]);
    // Nothing changed: a step of the history without a layer.
    scene.must(&["create", "--name", "idle", "box"]);
    scene.must(&["commit", "idle", "same"]);
    let layers = |name: &str| scene.must(&["inspect", "--format", "{{len .RootFS.Layers}}", name]);
    assert_eq!(
        (layers("box"), layers("same"), layers("made:1")),
        ("1\n".to_owned(), "1\n".to_owned(), "2\n".to_owned())
    );
}

#[test]
fn a_terminal_is_a_terminal() {
    let Some(scene) = scene() else { return };
    let transcript =
        scene.dhow(&["run", "--rm", "-t", "box", "sh", "-c", "tty; echo $TERM; stat -c %F /dev/console; echo err >&2"]);
    assert_eq!(transcript.stdout, "/dev/pts/0\r\nxterm\r\ncharacter special file\r\nerr\r\n", "{transcript}");
    // A user at a terminal: keys arrive, its size is the container's, and it is as it was afterwards.
    let script = r#"
import os, pty, sys, fcntl, struct, termios, time, select
command = sys.argv[1:]
pid, master = pty.fork()
if pid == 0:
    os.execv(command[0], command)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
before = termios.tcgetattr(master)
said = b''
sent = False
while True:
    ready, _, _ = select.select([master], [], [], 60)
    if not ready:
        break
    try:
        some = os.read(master, 4096)
    except OSError:
        break
    if not some:
        break
    said += some
    if b'ready' in said and not sent:
        sent = True
        os.write(master, b'stty size\nexit 5\n')
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
print('33 77' in said.decode())
"#;
    let program = scene.path("dhow");
    scene.must(&["version"]);
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(&program).args(["run", "--rm", "-it", "box", "sh", "-c", "echo ready; exec sh"]);
    command.env("DHOW_ROOT", scene.path("store")).env("HOME", scene.path("home"));
    let output = command.output().expect("python3");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "5\nTrue\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn who_is_not_root_runs_containers_too() {
    let Some(nobody) = Nobody::new() else { return };
    let says = |arguments: &[&str], expected: &str| assert_eq!(nobody.must(arguments), expected, "{arguments:?}");
    nobody.must(&["import", "-c", "CMD [\"sh\"]", "root.tar", "box"]);
    says(&["run", "--rm", "box", "sh", "-c", "id -u; echo $$; cat /data/seed"], "0\n1\nseed\n");
    says(&["run", "--rm", "--network", "none", "box", "ls", "/sys/class/net"], "lo\n");
    assert_eq!(nobody.run(&["run", "--rm", "box", "nope"]).0, Some(127));
    // It has no ranges of other users.
    for verb in ["run --rm", "run", "create"] {
        let words: Vec<&str> = verb.split(' ').chain(["--userns", "keep-id", "box", "true"]).collect();
        let (code, _, said) = nobody.run(&words);
        assert!(code != Some(0) && said.contains("takes newuidmap, and ranges of 65534"), "{verb}: {said}");
    }
    says(&["run", "--rm", "-v", "kept:/data", "box", "sh", "-c", "echo two > /data/two; cat /data/seed"], "seed\n");
    says(&["run", "--rm", "-v", "kept:/data", "box", "cat", "/data/two"], "two\n");
    says(&["run", "--name", "work", "box", "sh", "-c", "echo new > /new; rm /data/seed"], "");
    says(&["diff", "work"], "C /data\nD /data/seed\nA /new\n");
    nobody.must(&["commit", "work", "made"]);
    says(&["run", "--rm", "made", "cat", "/new"], "new\n");
    says(&["rm", "work"], "work\n");
    says(&["ps", "-aq"], "");
    assert!(fs::read_dir(nobody.path("store/containers")).expect("a folder").next().is_none());
}

/// Root in a container without the machine's rights, as LXC and rootless engines make them, may mount no layer files either.
#[test]
fn who_is_root_in_somebody_s_user_namespace_runs_containers_too() {
    let Some(scene) = scene() else { return };
    let dhow = |arguments: &[&str]| {
        let command = scene.command(arguments);
        let mut inside = Command::new("/usr/bin/unshare");
        inside.args(["--user", "--map-root-user", "--mount"]).arg(command.get_program()).args(arguments);
        inside.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        scene.run(inside.current_dir(scene.path("")).stdin(Stdio::null()))
    };
    let ran = dhow(&["run", "--name", "one", "box", "sh", "-c", "id -u; echo new > /made"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "0\n"), "{ran}");
    let pulled = dhow(&["run", "--rm", "--pull", "never", "absent", "true"]);
    assert!(pulled.stderr.contains("No such image: absent:latest"), "{pulled}");
    assert_eq!(dhow(&["commit", "one", "kept"]).code, 0);
    assert_eq!(dhow(&["run", "--rm", "kept", "cat", "/made"]).stdout, "new\n");
}
