//! What a container has when little is said, and what gives way when more is: working directories, homes, settings of the kernel, places
//! that are given twice.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;

use super::run::{import, says, scene};

/// Scripts copy into it before they start the container.
#[test]
fn a_working_directory_is_there_before_the_start() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("file"), "copied\n").expect("a file");
    for (name, path) in [("one", "/made/deep/"), ("two", "/none/../made/deep")] {
        scene.must(&["create", "--name", name, "-w", path, "box", "sh", "-c", "cat file; pwd; stat -c %a ."]);
        scene.must(&["cp", "-q", "file", &format!("{name}:/made/deep")]);
        assert_eq!(scene.must(&["diff", name]), "A /made\nA /made/deep\nA /made/deep/file\n");
        assert_eq!(scene.must(&["start", "-a", name]), "copied\n/made/deep\n755\n");
        assert_eq!(scene.must(&["inspect", "-f", "{{.Config.WorkingDir}}", name]), "/made/deep\n");
    }
    // One that the image has is left as it is.
    scene.must(&["create", "--name", "three", "-w", "/data/", "box", "pwd"]);
    assert_eq!(scene.must(&["diff", "three"]) + &scene.must(&["start", "-a", "three"]), "/data\n");
    import(&scene, "odd", &["WORKDIR /a/../app", "CMD [\"pwd\"]"], &[]);
    assert_eq!(scene.must(&["run", "--rm", "odd"]), "/app\n");
    let file = scene.docker(&["create", "--name", "four", "-w", "/etc/passwd", "box"]);
    assert!(file.code == 1 && file.stderr.contains("Cannot mkdir: /etc/passwd is not a directory"), "{file}");
    assert_eq!(scene.must(&["ps", "-aq", "-f", "name=four"]), "");
    // Podman's is made when it starts.
    let podman = scene.podman(&["create", "--name", "five", "odd"]);
    assert_eq!((podman.code, scene.must(&["diff", "five"])), (0, String::new()), "{podman}");
}

/// A variable that is empty counts as missing here, as with runc.
#[test]
fn an_empty_home_is_the_user_s() {
    let Some(scene) = scene() else { return };
    says(&scene, &["-e", "HOME="], "echo $HOME", "/root\n");
    says(&scene, &["-e", "HOME=", "-u", "bob"], "echo $HOME", "/home/bob\n");
    let podman = scene.podman(&["run", "--rm", "-e", "HOME=", "box", "sh", "-c", "echo $HOME"]);
    assert_eq!((podman.code, podman.stdout.as_str()), (0, "/root\n"), "{podman}");
}

/// Whoever has a network of his own may ping and, with docker, serve on any port.
#[test]
fn a_network_of_its_own_is_open_to_everybody() {
    let Some(scene) = scene() else { return };
    let script = "cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let machine = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).expect("a setting");
    let unchanged = machine("ping_group_range") + &machine("ip_unprivileged_port_start");
    says(&scene, &["--network", "none", "-u", "bob"], script, "0\t2147483647\n0\n");
    says(&scene, &["--network", "host"], script, &unchanged);
    let told = ["--network", "none", "--sysctl", "net.ipv4.ip_unprivileged_port_start=700"];
    says(&scene, &told, script, "0\t2147483647\n700\n");
    let podman = scene.podman(&["run", "--rm", "--network", "none", "box", "sh", "-c", script]);
    assert_eq!((podman.code, podman.stdout.as_str()), (0, "0\t0\n1024\n"), "{podman}");
    assert_eq!(machine("ping_group_range") + &machine("ip_unprivileged_port_start"), unchanged);
}

/// Docker's long way to name a network says what the short one does where it says nothing more.
#[test]
fn networks_have_a_long_name() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "one", "--network", "name=none", "box"]);
    assert_eq!(scene.must(&["inspect", "-f", "{{.HostConfig.NetworkMode}}", "one"]), "none\n");
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    says(&scene, &["--network", "name=host"], "hostname", &machine);
    let refused = scene.dhow(&["run", "--rm", "--network", "name=none,ip=1.2.3.4", "box", "true"]);
    assert!(refused.code == 125 && refused.stderr.contains("networks are for a container engine"), "{refused}");
}

/// A volume without a name and a device give way, or do not count, where something else has their place.
#[test]
fn what_is_only_a_place_gives_way() {
    let Some(scene) = scene() else { return };
    let shown = |options: &[&str]| {
        scene.must(&[&["create", "--name", "one"], options, &["box"]].concat());
        let format = "{{range .Mounts}}{{.Type}} {{.Destination}} {{end}}";
        let shown = scene.must(&["inspect", "-f", format, "one"]);
        scene.must(&["rm", "-v", "one"]);
        shown
    };
    assert_eq!(shown(&["-v", "/x", "-v", "/tmp:/x"]), "bind /x \n");
    assert_eq!(shown(&["-v", "kept:/x", "-v", "/x"]), "volume /x \n");
    assert_eq!(shown(&["-v", "/x", "--mount", "type=tmpfs,dst=/x"]), "tmpfs /x \n");
    assert_eq!(shown(&["-v", "/x", "-v", "/x/"]), "volume /x \n");
    assert_eq!(shown(&["-v", "/x", "--tmpfs", "/x"]), "\n");
    scene.must(&["create", "--name", "one", "-v", "/x/", "-v", "/y", "box"]);
    assert_eq!(scene.must(&["inspect", "-f", "{{json .Config.Volumes}}", "one"]), "{\"/x/\":{},\"/y\":{}}\n");
    let twice = scene.docker(&["create", "-v", "kept:/x", "-v", "/tmp:/x", "box"]);
    assert!(twice.code == 1 && twice.stderr.contains("Duplicate mount point: /x"), "{twice}");
    let podman = scene.podman(&["create", "-v", "/x", "-v", "/tmp:/x", "box"]);
    assert!(podman.code == 125 && podman.stderr.contains("/x: duplicate mount destination"), "{podman}");
    let zero = "head -c 1 /dev/zero | wc -c";
    says(&scene, &["--device", "/dev/zero", "--device", "/dev/zero:rw"], zero, "1\n");
    says(&scene, &["--device", "/dev/zero", "--device", "/dev/null:/dev/zero"], zero, "1\n");
    let device = format!("{}:/node", scene.path("node").display());
    let made = std::process::Command::new("mknod").arg(scene.path("node")).args(["c", "1", "5"]).status();
    assert!(made.expect("mknod").success());
    // What is mounted for itself cannot be opened; as a device it can.
    says(&scene, &["-v", &device, "--device", &device], "head -c 1 /node | wc -c", "1\n");
}

/// What docker's client and engine refuse, and what they take, where a name is said in another way.
#[test]
fn options_are_told_apart_as_by_docker() {
    let Some(scene) = scene() else { return };
    let check = |options: &[&str], code: i32, why: &str| {
        let refused = scene.docker(&[&["create"], options, &["box", "true"]].concat());
        assert!(refused.code == code && refused.stderr.starts_with(why), "{options:?}: {refused}");
        assert_eq!(scene.docker(&[&["run", "--rm"], options, &["box", "true"]].concat()).code, 125, "{options:?}");
    };
    let (client, engine) = ("docker: ", "Error response from daemon: ");
    let unknown = "invalid CapAdd: unknown capability: \"CAP_NET_ADMIN,SYS_TIME\"\n";
    check(&["--cap-add", "NET_ADMIN,SYS_TIME"], 1, &format!("{engine}{unknown}"));
    let twice = "network \"none\" is specified multiple times\n";
    check(&["--network", "none", "--network", "name=none"], 125, &format!("{client}{twice}"));
    let shared =
        "container sharing network namespace with another container or host cannot be connected to any other network";
    check(&["--network", "none", "--network", "host"], 1, &format!("{engine}{shared}\n"));
    let mixed = "conflicting options: cannot attach both user-defined and non-user-defined network-modes\n";
    check(&["--network", "none", "--network", "mine"], 125, &format!("{client}{mixed}"));
    let nameless = "invalid Annotations: the empty string is not permitted as an annotation key\n";
    check(&["--annotation", "=a"], 1, &format!("{engine}{nameless}"));
    // Podman takes several capabilities at once.
    let script = "grep CapBnd /proc/self/status";
    let bounds = |options: &[&str]| {
        let said = scene.podman(&[&["run", "--rm"], options, &["box", "sh", "-c", script]].concat());
        assert_eq!(said.code, 0, "{said}");
        said.stdout
    };
    assert_eq!(bounds(&["--cap-drop", "CHOWN,KILL"]), bounds(&["--cap-drop", "CHOWN", "--cap-drop", "KILL"]));
    let refused = scene.podman(&["create", "--network", "none", "--network", "host", "box", "true"]);
    let why = "cannot set multiple networks without bridge network mode, selected mode none: invalid argument";
    assert!(refused.code == 125 && refused.stderr.contains(why), "{refused}");
    // Of memory for one place the last counts.
    let memory = ["--tmpfs", "/x:size=1m", "--tmpfs", "/x:size=2m,ro"];
    says(&scene, &memory, "grep -c '^tmpfs /x tmpfs ro,.*size=2048k' /proc/mounts", "1\n");
}
