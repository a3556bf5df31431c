//! Options of podman's `create` and `run` that it reads as docker does not.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::process::Stdio;

use dhow_tests::scene::Scene;

use super::run::scene;

#[track_caller]
fn refuses(scene: &Scene, arguments: &[&str], words: &str) {
    let transcript = scene.podman(arguments);
    let words = format!("Error: {words}");
    assert_eq!((transcript.code, transcript.stderr.trim_end()), (125, words.as_str()), "{transcript}");
}

/// Docker's daemon refuses what the machine has not.
#[test]
fn limits_may_be_more_than_there_is() {
    let Some(scene) = scene() else { return };
    for limit in [["--cpus", "4096"], ["--memory", "1m"]] {
        let create = [&["create"], &limit[..], &["box"]].concat();
        assert_eq!((scene.podman(&create).code, scene.docker(&create).code), (0, 1), "{limit:?}");
    }
    refuses(&scene, &["create", "--cpus", "0.001", "box"], "CPU cfs quota cannot be less than 1ms (i.e. 1000)");
}

/// Several streams go into one option, and of a container that nobody hears its ID is told.
#[test]
fn streams_are_attached_by_lists() {
    let Some(scene) = scene() else { return };
    let script = "echo out; echo error >&2";
    let run =
        |streams: &str| scene.podman(&["run", "--name", "one", "--replace", "-a", streams, "box", "sh", "-c", script]);
    let heard = |streams: &str| {
        let said = run(streams);
        (said.code, said.stdout, said.stderr)
    };
    assert_eq!(heard("stdin,STDOUT"), (0, "out\n".to_owned(), String::new()));
    assert_eq!(heard("stdout,stderr"), (0, "out\n".to_owned(), "error\n".to_owned()));
    let alone = heard("stdin");
    let id = scene.podman(&["ps", "-aq", "--no-trunc"]).stdout;
    assert_eq!(alone, (0, id, String::new()));
    let known = "must be one of stdin, stdout, or stderr: invalid argument";
    refuses(&scene, &["run", "-a", "stdin,x", "box"], &format!("invalid stream \"x\" for --attach - {known}"));
    let mut docker = scene.command_as("docker", &["run", "-a", "stdin,stdout", "box"]);
    assert_eq!(scene.run(docker.stdin(Stdio::null())).code, 125);
}

#[test]
fn what_says_nothing_to_podman_is_refused() {
    let Some(scene) = scene() else { return };
    let check = |options: &[&str], words: &str| refuses(&scene, &[&["create"], options, &["box"]].concat(), words);
    check(&["--no-hosts", "--add-host", "a:1.2.3.4"], "--no-hosts and --add-host cannot be set together");
    check(&["--annotation", "a"], "annotations must be formatted KEY=VALUE");
    check(&["--cgroups", "odd"], "running container create option: invalid cgroup mode \"odd\": invalid argument");
    let known = "must be one of \"true, false, always\": invalid configuration";
    check(&["--systemd", "odd"], &format!("invalid config provided: --systemd values {known}"));
    let known = "must be conmon, container, healthy or ignore";
    let why = "invalid config provided: invalid argument: invalid sdnotify value";
    check(&["--sdnotify", "odd"], &format!("{why} \"odd\": {known}"));
    let known = "supported actions are none,kill,restart,stop";
    check(&["--health-on-failure", "odd"], &format!("invalid on-failure action \"odd\" for health check: {known}"));
    let health = |option: &str, value: &str, words: &str| check(&["--health-cmd", "true", option, value], words);
    health("--health-retries", "0", "healthcheck-retries must be greater than 0");
    health("--health-timeout", "0s", "healthcheck-timeout must be at least 1 second");
    health("--health-start-period", "-1s", "healthcheck-start-period must be 0 seconds or greater");
    let fine = [
        "create",
        "--name",
        "one",
        "--health-retries",
        "0",
        "--systemd",
        "always",
        "--cgroups",
        "split",
        "--annotation",
        "a=b",
    ];
    assert_eq!(scene.podman(&[&fine[..], &["box"]].concat()).code, 0);
    // What is noted is told.
    assert_eq!(scene.podman(&["inspect", "--format", "{{.Config.Annotations}}", "one"]).stdout, "map[a:b]\n");
    assert_eq!(scene.must(&["inspect", "--format", "{{.HostConfig.Annotations}}", "one"]), "map[a:b]\n");
}

/// The image's list of name servers stays, and may be replaced.
#[test]
fn an_image_s_resolver_is_left_alone() {
    let Some(scene) = scene() else { return };
    let script = "rm /etc/resolv.conf && echo own > /etc/resolv.conf && cat /etc/resolv.conf";
    let said = scene.podman(&["run", "--rm", "--dns", "none", "box", "sh", "-c", script]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "own\n"), "{said}");
    let why = "none is not allowed to be specified with other DNS ip addresses";
    refuses(&scene, &["create", "--dns", "none", "--dns", "1.1.1.1", "box"], why);
    refuses(
        &scene,
        &["create", "--tz", "../etc/passwd", "box"],
        "running container create option: finding timezone: time: invalid location name",
    );
}

/// Tools read there what they are in.
#[test]
fn a_privileged_container_is_told_of_itself() {
    let Some(scene) = scene() else { return };
    let read = |options: &[&str]| {
        let run = [&["run", "--rm", "--name", "one"], options, &["box", "cat", "/run/.containerenv"]].concat();
        scene.podman(&run).stdout
    };
    assert_eq!(read(&[]), "");
    let told = read(&["--privileged"]);
    let names: Vec<&str> = told.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, ["engine", "name", "id", "image", "imageid", "rootless"], "{told}");
    assert!(told.starts_with("engine=\"podman-") && told.contains("\nname=\"one\"\n"), "{told}");
    let variables = |options: &[&str]| {
        let create = [&["create", "--replace", "--name", "two", "-e", "A=b"], options, &["box"]].concat();
        scene.podman(&create);
        scene.podman(&["inspect", "--format", "{{range .Config.Env}}{{.}} {{end}}", "two"]).stdout
    };
    assert!(variables(&[]).starts_with("TERM=xterm container=podman "), "{}", variables(&[]));
    assert!(!variables(&["--unsetenv", "container"]).contains("container="));
    assert!(
        variables(&["-e", "TERM=dumb"]).contains("TERM=dumb") && !variables(&["-e", "TERM=dumb"]).contains("xterm")
    );
}

/// An image comes out of an archive or a folder on the way.
#[test]
fn containers_are_made_of_archives() {
    let Some(scene) = scene() else { return };
    let name = scene.podman(&["image", "inspect", "--format", "{{index .RepoTags 0}}", "box"]).stdout;
    let name = name.trim_end();
    for (options, place) in [
        (&["save", "-q", "-o", "one.tar", "box"][..], "docker-archive:one.tar"),
        (&["push", "-q", "box", "oci-archive:two.tar"], "oci-archive:two.tar"),
        (&["push", "-q", "box", "dir:three"], "dir:three"),
    ] {
        assert_eq!(scene.podman(options).code, 0, "{options:?}");
        let said = scene.podman(&["run", "--rm", "-q", place, "echo", "hi"]);
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, "hi\n", ""), "{place}: {said}");
    }
    scene.podman(&["rmi", "box"]);
    assert_eq!(scene.podman(&["create", "--name", "one", "docker-archive:one.tar"]).code, 0);
    let shown = scene.podman(&["inspect", "--format", "{{.ImageName}}", "one"]).stdout;
    assert_eq!(shown.trim_end(), name);
    assert_eq!(scene.podman(&["run", "--rm", "docker-archive:nope.tar"]).code, 125);
}

/// What came with podman 5.
#[test]
fn names_of_hosts_are_the_image_s_or_the_user_s() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("base"), "1.2.3.4 based\n").expect("a file");
    let run = |options: &[&str], script: &str| {
        scene.podman(&[&["run", "--rm", "--hostname", "own"], options, &["box", "sh", "-c", script]].concat())
    };
    assert_eq!(run(&["--no-hostname"], "test ! -e /etc/hostname && hostname").stdout, "own\n");
    assert_eq!(run(&[], "cat /etc/hostname").stdout, "own\n");
    let hosts = run(&["--hosts-file", "base"], "cat /etc/hosts").stdout;
    assert!(hosts.starts_with("1.2.3.4 based\n") && hosts.contains("own"), "{hosts}");
    let hosts = run(&["--hosts-file", "none"], "cat /etc/hosts").stdout;
    assert!(!hosts.contains("based") && hosts.contains("own") && hosts.ends_with("::1\tlocalhost\n"), "{hosts}");
    assert!(hosts.contains("host.containers.internal host.docker.internal\n"), "{hosts}");
    refuses(
        &scene,
        &["create", "--no-hosts", "--hosts-file", "base", "box"],
        "--no-hosts and --hosts-file cannot be set together",
    );
    let proc = run(&["--security-opt", "proc-opts=nosuid,exec,hidepid=2"], "grep ' /proc proc ' /proc/mounts").stdout;
    assert!(proc.contains("hidepid"), "{proc}");
    refuses(
        &scene,
        &["create", "--hosts-file", "nope", "box"],
        "hosts file \"nope\" could not be read: no such file or directory",
    );
    let idle =
        ["create", "--health-startup-cmd", "true", "--health-max-log-count", "3", "--shm-size-systemd", "1m", "box"];
    assert_eq!(scene.podman(&idle).code, 0);
    // Who to be at the registry.
    let server = scene.serve();
    let asked = ["create", "--pull", "always", "--retry", "1", "--creds", "user:word", &server.name("nope:1")];
    let asked = scene.podman(&asked);
    assert!(asked.code == 125 && asked.stderr.contains("manifest unknown"), "{asked}");
}

/// To root everybody has his own number already.
#[test]
fn root_keeps_numbers_as_they_are() {
    let Some(scene) = scene() else { return };
    if !dhow_testkit::peers::is_root() {
        return;
    }
    let user = |mode: &str| {
        let said = scene.podman(&["run", "--rm", "--userns", mode, "box", "sh", "-c", "echo $(id -u):$(id -g)"]);
        (said.code, said.stdout)
    };
    assert_eq!(user("keep-id"), (0, "0:0\n".to_owned()));
    assert_eq!(user("keep-id:uid=10,gid=12"), (0, "10:12\n".to_owned()));
}
