//! What containers see of the machine: its devices, directories by relative paths, and places that every container has.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use super::run::{is_running, says, scene, wait};

/// Whether a device is there is found out when the container starts; a directory stands for all devices in it.
#[test]
fn devices_are_docker_s() {
    let Some(scene) = scene() else { return };
    let missing =
        "error gathering device information while adding custom device \"/dev/nope\": no such file or directory";
    scene.must(&["create", "--name", "later", "--device", "/dev/nope", "box"]);
    for (arguments, code, words) in [
        (&["run", "--device", "/dev/nope", "box", "true"][..], 127, missing),
        (&["start", "-a", "later"], 1, missing),
        (&["run", "--device", "/etc/passwd", "box", "true"], 125, "\"/etc/passwd\": not a device node"),
        (&["run", "--device", "/dev/null:/a:b:c", "box", "true"], 125, "bad format for path: /dev/null:/a:b:c"),
        (&["run", "--device", "/dev/null:/a:q", "box", "true"], 125, "bad mode specified: q"),
    ] {
        let transcript = scene.dhow(arguments);
        assert!(transcript.code == code && transcript.stderr.contains(words), "{arguments:?}: {transcript}");
    }
    let node = |name: &str| {
        let made = Command::new("mknod").arg(scene.path(name)).args(["c", "1", "5"]).status();
        assert!(made.expect("mknod").success());
    };
    fs::create_dir_all(scene.path("nodes/deep")).expect("folders");
    node("nodes/zero");
    node("nodes/deep/more");
    fs::write(scene.path("nodes/none"), "").expect("a file");
    let device = format!("{}:/dev/all", scene.path("nodes").display());
    let script = "ls /dev/all /dev/all/deep; head -c 1 /dev/all/deep/more | wc -c";
    says(&scene, &["--device", &device], script, "/dev/all:\ndeep\nzero\n\n/dev/all/deep:\nmore\n1\n");
}

/// A file hidden behind the null device reads as empty, and a `/dev` of the user's has the devices that programs cannot be without.
#[test]
fn common_devices_work_wherever_they_are_mounted() {
    let Some(scene) = scene() else { return };
    let script = "cat /etc/passwd; echo lost > /etc/passwd; cat /etc/passwd";
    says(&scene, &["-v", "/dev/null:/etc/passwd"], script, "");
    says(&scene, &["--mount", "type=bind,src=/dev/null,dst=/etc/passwd,ro"], script, "");
    says(&scene, &["-v", "/dev:/dev"], "echo lost > /dev/null; head -c 1 /dev/zero | wc -c", "1\n");
    for options in [&["-v", "empty:/dev"][..], &["--tmpfs", "/dev"]] {
        let transcript = scene.dhow(&[&["run", "--rm"], options, &["box", "true"]].concat());
        let words = "stat /dev/null: no such file or directory";
        assert!(transcript.code == 127 && transcript.stderr.contains(words), "{options:?}: {transcript}");
    }
}

/// A source that begins with a dot is a path from where the program runs; one that begins with anything else is a name.
#[test]
fn sources_are_paths_from_here() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("below")).expect("a folder");
    fs::write(scene.path("below/file"), "below\n").expect("a file");
    for source in [".", "./", "./below/.."] {
        says(&scene, &["-v", &format!("{source}:/here:ro")], "cat /here/below/file", "below\n");
    }
    says(&scene, &["-v", "./below:/here", "-v", "./made:/made"], "touch /made/x; cat /here/file", "below\n");
    assert!(scene.path("made/x").exists());
    scene.must(&["create", "--name", "work", "-v", "./below/../made/:/x", "box"]);
    let shown = scene.must(&["container", "inspect", "--format", "{{range .Mounts}}{{.Source}}{{end}}", "work"]);
    assert_eq!(shown, "[FOLDER]/made\n");
    assert_eq!(scene.podman(&["run", "--rm", "-v", ".:/here", "box", "cat", "/here/below/file"]).stdout, "below\n");
    let podman = scene.podman(&["run", "--rm", "-v", "./nope:/here", "box", "true"]);
    assert!(podman.code == 125 && podman.stderr.contains("/nope: no such file or directory"), "{podman}");
}

/// Between two containers that do not run, volumes of both are there, whichever is looked into first.
#[test]
fn what_is_copied_between_containers_comes_from_and_to_their_volumes() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("bound")).expect("a folder");
    fs::write(scene.path("bound/file"), "bound\n").expect("a file");
    says(&scene, &["-v", "kept:/v"], "echo kept > /v/file", "");
    scene.must(&["create", "--name", "one", "-v", "kept:/v", "box"]);
    scene.must(&["create", "--name", "two", "-v", "./bound:/b", "box"]);
    scene.must(&["cp", "-q", "one:/v/file", "two:/b/from-one"]);
    scene.must(&["cp", "-q", "two:/b/file", "one:/v/from-two"]);
    assert_eq!(fs::read_to_string(scene.path("bound/from-one")).expect("a copy"), "kept\n");
    says(&scene, &["-v", "kept:/v"], "cat /v/from-two", "bound\n");
    // Nothing is below the volumes.
    assert_eq!(scene.must(&["diff", "one"]) + &scene.must(&["diff", "two"]), "A /v\nA /b\n");
}

/// What is mounted at `/etc` does not hide the names of hosts.
#[test]
fn a_volume_at_etc_hides_no_hosts() {
    let Some(scene) = scene() else { return };
    let options = ["--network", "none", "-h", "own", "-v", "etc:/etc"];
    says(&scene, &options, "cat /etc/hostname; grep -c localhost /etc/hosts; ls /etc/group", "own\n2\n/etc/group\n");
}

/// An image without layers has what every container has; an artifact is no image at all.
#[test]
fn an_image_without_layers_is_a_container_s_too() {
    let Some(scene) = scene() else { return };
    let mut builder = tar::Builder::new(Vec::new());
    let config =
        r#"{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = r#"[{"Config":"config.json","RepoTags":["bare:1"],"Layers":[]}]"#;
    for (name, content) in [("config.json", config), ("manifest.json", manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_bytes()).expect("append");
    }
    fs::write(scene.path("bare.tar"), builder.into_inner().expect("finish")).expect("an archive");
    scene.must(&["load", "-i", "bare.tar"]);
    let ran = scene.dhow(&["run", "--rm", "bare:1", "sh"]);
    assert!(ran.code == 127 && ran.stderr.contains("executable file not found in $PATH"), "{ran}");
    scene.must(&["create", "--name", "one", "bare:1"]);
    scene.must(&["cp", "bare.tar", "one:/new"]);
    scene.must(&["commit", "one", "made"]);
    assert_eq!(scene.must(&["ls", "made:/"]), "new\n");
    let server = scene.serve();
    let artifact = server.name("artifact:1");
    scene.must(&["artifact", "push", &artifact, "bare.tar"]);
    scene.must(&["pull", "-q", &artifact]);
    let refused = scene.dhow(&["create", &artifact, "sh"]);
    assert!(refused.code == 1 && refused.stderr.contains("is an artifact, which has no file system"), "{refused}");
}

/// In a container, a store is on the container's own files.
#[test]
fn a_store_on_overlayfs_is_told_as_that() {
    let Some(scene) = scene() else { return };
    let script = "mount -t tmpfs none below; mkdir below/lower below/upper below/work; \
                  mount -t overlay none -o lowerdir=below/lower,upperdir=below/upper,workdir=below/work over; \
                  cp -a store over; exec ./dhow --root over/store run --rm box true";
    for folder in ["below", "over"] {
        fs::create_dir(scene.path(folder)).expect("a folder");
    }
    let mut shell = Command::new("/usr/bin/unshare");
    let said = scene.run(shell.args(["--mount", "/bin/sh", "-c", script]).current_dir(scene.path("")));
    assert_eq!(said.code, 125, "{said}");
    assert!(said.stderr.contains("the store is on overlayfs, as the files of a container are"), "{said}");
    assert!(said.stderr.contains("choose a store elsewhere by --root"), "{said}");
}

/// What a container changes of a `:O` is gone with the run: one that cannot lose it does not run.
#[test]
fn changes_laid_over_a_mount_are_never_seen_by_another_run() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("shared")).expect("a folder");
    let overlaid = format!("{}:/shared:O", scene.path("shared").display());
    let id =
        scene.must(&["create", "--name", "one", "-v", &overlaid, "box", "sh", "-c", "ls /shared; touch /shared/new"]);
    assert_eq!(scene.must(&["start", "-a", "one"]), "");
    let script = format!(
        "mount -t tmpfs none store/containers/{}/overlays/0/work; exec ./dhow --root store start -a one",
        id.trim()
    );
    let mut shell = Command::new("/usr/bin/unshare");
    let said = scene.run(shell.args(["--mount", "/bin/sh", "-c", &script]).current_dir(scene.path("")));
    assert!(said.code == 1 && said.stderr.contains("cannot remove") && said.stdout.is_empty(), "{said}");
    assert_eq!(scene.must(&["start", "-a", "one"]), "");
    assert_eq!(fs::read_dir(scene.path("shared")).expect("a folder").count(), 0);
}

/// Root in a container has few capabilities, as a rule.
#[test]
fn that_root_may_make_no_containers_is_told() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "one", "box"]);
    for arguments in [&["run", "--rm", "box", "true"][..], &["cp", "one:/bin", "bin"], &["mount", "one"]] {
        let command = scene.command(arguments);
        let mut fewer = Command::new("/usr/bin/setpriv");
        fewer.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]).arg(command.get_program()).args(arguments);
        fewer.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let said = scene.run(fewer.current_dir(scene.path("")));
        assert!(said.code != 0 && said.stderr.contains("operation not permitted: it takes CAP_SYS_ADMIN, "), "{said}");
    }
}

/// What is made for a container is for every user in it, also where the machine's administrator keeps all new files to himself.
#[test]
fn what_is_made_for_a_container_is_readable_whatever_the_umask() {
    let Some(scene) = scene() else { return };
    let script = "stat -c '%a %n' /etc/hosts /etc/hostname /etc/resolv.conf /new";
    let options = ["-v", "./made/deep:/new", "--user", "bob"];
    let command = scene.command(&[&["run", "--rm"], &options[..], &["box", "sh", "-c", script]].concat());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = scene.run(shell.current_dir(scene.path("")));
    let expected = "644 /etc/hosts\n644 /etc/hostname\n644 /etc/resolv.conf\n755 /new\n";
    assert_eq!((said.code, said.stdout.as_str()), (0, expected), "{said}");
    assert_eq!(fs::metadata(scene.path("made")).expect("a folder").mode() & 0o777, 0o755);
}

#[test]
fn the_resolver_is_told_what_the_user_says() {
    let Some(scene) = scene() else { return };
    let options = ["--dns", "8.8.8.8", "--dns-search", "a.example", "--dns-option", "ndots:2", "--dns-opt", "rotate"];
    let expected = "nameserver 8.8.8.8\nsearch a.example\noptions ndots:2 rotate\n";
    says(&scene, &options, "cat /etc/resolv.conf", expected);
    let wrong = scene.dhow(&["run", "--rm", "--dns-search", "1.2", "box", "true"]);
    let words = "invalid argument \"1.2\" for \"--dns-search\" flag: 1.2 is not a valid domain";
    assert!(wrong.code == 125 && wrong.stderr.contains(words), "{wrong}");
}

/// A container that goes when it ends goes, with its volumes and its name, also when whoever watched it was killed.
#[test]
fn what_goes_when_it_ends_goes_without_its_watcher() {
    let Some(scene) = scene() else { return };
    let begin = || {
        let command = ["run", "--rm", "--name", "passing", "-v", "/own", "box", "sleep", "1000"];
        let mut child = scene.command(&command).stdout(Stdio::null()).spawn().expect("dhow");
        wait("it runs", || is_running(&scene, "passing"));
        child.kill().expect("a signal");
        child.wait().expect("its end");
    };
    begin();
    assert_eq!(scene.must(&["ps", "-aq"]), "");
    assert_eq!(scene.must(&["volume", "ls", "-q"]), "");
    begin();
    let gone = scene.dhow(&["rm", "passing"]);
    assert_eq!((gone.code, gone.stderr.as_str()), (1, "No such container: passing\n"));
    // Nor is its name taken.
    begin();
    scene.must(&["create", "--name", "passing", "box"]);
    assert!(scene.must(&["ps", "-a"]).contains("Created"));
}

/// Called as podman, `rm` takes all containers, the last one, and those whose IDs are in files.
#[test]
fn podman_s_rm_chooses() {
    let Some(scene) = scene() else { return };
    let podman = |arguments: &[&str]| {
        let transcript = scene.podman(arguments);
        (transcript.code, transcript.stdout, transcript.stderr)
    };
    let make = |name: &str| podman(&["create", "--name", name, "--cidfile", "id", "box"]).1;
    let (first, second) = (make("one"), scene.must(&["create", "--name", "two", "box"]));
    assert_eq!(podman(&["container", "exists", "one"]).0, 0);
    assert_eq!(podman(&["rm", "-l"]), (0, second, String::new()));
    assert_eq!(podman(&["rm", "--cidfile", "id", "-t", "3"]), (0, first, String::new()));
    assert_eq!(podman(&["rm", "-l"]), (1, String::new(), "Error: no such container\n".to_owned()));
    fs::remove_file(scene.path("id")).expect("a file");
    let all = format!("{}{}", make("three"), scene.must(&["create", "--name", "four", "box"]));
    let (code, removed, _) = podman(&["rm", "-af"]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!((code, sorted(&removed)), (0, sorted(&all)));
    assert_eq!(scene.must(&["ps", "-aq"]), "");
}

/// Mounts that are made later pass between machine and container as they are told to, in a mount namespace of the test's own.
#[test]
fn mounts_pass_between_machine_and_container_as_told() {
    let Some(scene) = scene() else { return };
    let script = "mount --make-rprivate /; mkdir -p shared/in shared/late plain; mount --bind shared shared; mount --make-shared shared
        inside='mount -t tmpfs inner /v/in; echo > /v/ready; while [ ! -e /v/done ]; do sleep 0.05; done; ls /v/late'
        for way in shared rshared slave rslave private; do
            $0 run --rm --cap-add SYS_ADMIN -v ./shared:/v:$way box sh -c \"$inside\" > said &
            while [ ! -e shared/ready ]; do sleep 0.05; done
            echo $way $(grep -c inner /proc/self/mountinfo)
            mount -t tmpfs outer shared/late; echo > shared/late/from-outside; echo > shared/done; wait; cat said
            umount shared/late; umount shared/in 2> /dev/null || true; rm shared/ready shared/done
        done
        for way in shared slave; do $0 run --rm -v $PWD/plain:/v:$way box true 2>&1 || echo $?; done";
    let mut shell = scene.command(&[]);
    let program = shell.get_program().to_owned();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "timeout", "-s", "KILL", "60", "sh", "-euc", script]).arg(program);
    unshare.envs(shell.current_dir(scene.path("")).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let transcript = scene.run(unshare.current_dir(scene.path("")));
    let expected = "shared 1\nfrom-outside\nrshared 1\nfrom-outside\nslave 0\nfrom-outside\nrslave 0\nfrom-outside\nprivate 0\n\
        dhow: path [FOLDER]/plain is mounted on / but it is not a shared mount\n125\n\
        dhow: path [FOLDER]/plain is mounted on / but it is not a shared or slave mount\n125\n";
    assert_eq!(transcript.stdout, expected, "{transcript}");
}

/// What is mounted below a directory is shown or not, and can be written to or not, as is said.
#[test]
fn what_is_below_a_mount_is_as_told() {
    let Some(scene) = scene() else { return };
    let script = "mkdir -p top/below; mount -t tmpfs none top/below; echo > top/below/seen
        look='ls /v/below; touch /v/x /v/below/x 2> /dev/null; ls -d /v/x /v/below/x 2> /dev/null || true'
        for how in ro,bind-recursive=disabled ro,bind-recursive=enabled ro,bind-recursive=writable; do
            echo $how; $0 run --rm --mount type=bind,src=./top,dst=/v,$how box sh -c \"$look\"; rm -f top/below/x
        done";
    let program = scene.command(&[]).get_program().to_owned();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-euc", script]).arg(program);
    unshare.envs(scene.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let transcript = scene.run(unshare.current_dir(scene.path("")));
    let expected =
        "ro,bind-recursive=disabled\nro,bind-recursive=enabled\nseen\nro,bind-recursive=writable\nseen\n/v/below/x\n";
    assert_eq!(transcript.stdout, expected, "{transcript}");
}

/// A part of a volume must be there, and lie in it.
#[test]
fn a_part_of_a_volume_is_shown() {
    let Some(scene) = scene() else { return };
    says(&scene, &["-v", "kept:/k"], "mkdir -p /k/a/b; echo 1 > /k/a/b/one; ln -s /etc /k/out; ln -s a /k/in", "");
    says(&scene, &["--mount", "src=kept,dst=/p,volume-subpath=a/b"], "cat /p/one", "1\n");
    says(&scene, &["--mount", "src=kept,dst=/p,volume-subpath=in/b/one"], "cat /p", "1\n");
    let escapes = "path concatenation escapes the base directory";
    for (subpath, code, words) in [("nope", 127, "cannot access path "), ("out", 125, escapes)] {
        let mount = format!("src=kept,dst=/p,volume-subpath={subpath}");
        let transcript = scene.dhow(&["run", "--rm", "--mount", &mount, "box", "true"]);
        assert!(transcript.code == code && transcript.stderr.contains(words), "{subpath}: {transcript}");
    }
    // Labels and options of a driver are those of a volume that is made; for another they are ignored.
    says(&scene, &["--mount", "src=made,dst=/p,volume-label=a=b"], "true", "");
    assert_eq!(scene.must(&["volume", "inspect", "--format", "{{json .Labels}}", "made"]), "{\"a\":\"b\"}\n");
    says(&scene, &["--mount", "src=made,dst=/p,volume-opt=type=tmpfs"], "true", "");
    let transcript = scene.dhow(&["run", "--rm", "--mount", "src=new,dst=/p,volume-opt=type=tmpfs", "box", "true"]);
    let words = "dhow: create new: missing required option: \"device\"";
    assert!(transcript.code == 125 && transcript.stderr.starts_with(words), "{transcript}");
    assert_eq!(scene.must(&["volume", "ls", "-q"]), "kept\nmade\n");
}

/// Devices in memory are for those who cannot make any: a container with docker's capabilities can.
#[test]
fn memory_has_devices_where_nobody_can_make_them() {
    let Some(scene) = scene() else { return };
    let transcript = scene.dhow(&["run", "--rm", "--tmpfs", "/m:dev", "box", "true"]);
    let words = "tmpfs option \"dev\" of /m is not supported with the capability MKNOD";
    assert!(transcript.code == 125 && transcript.stderr.contains(words), "{transcript}");
    let script = "mount | grep ' /m ' | cut -d'(' -f2; mknod /m/null c 1 3 2> /dev/null || echo no";
    says(&scene, &["--cap-drop", "MKNOD", "--tmpfs", "/m:dev,exec"], script, "rw,nosuid,relatime)\nno\n");
}

/// What a container changed is counted by the lengths of its files, with its image's beside it; others are older or younger.
#[test]
fn lists_say_how_much_containers_changed_and_which_came_before() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "idle", "--network", "none", "box"]);
    scene.must(&["run", "--name", "work", "box", "sh", "-c", "head -c 100000 /dev/zero > /y; ln /y /z"]);
    let sizes = scene.must(&["ps", "-a", "--size", "--format", "{{.Names}} {{.Size}}"]);
    let lines: Vec<&str> = sizes.lines().collect();
    assert!(lines[0].starts_with("work 100kB (virtual ") && lines[1].starts_with("idle 0B (virtual "), "{sizes}");
    let named = |filter: &str| scene.must(&["ps", "-a", "--filter", filter, "--format", "{{.Names}}"]);
    assert_eq!((named("since=idle"), named("before=work")), ("work\n".to_owned(), "idle\n".to_owned()));
    assert_eq!((named("before=idle"), named("health=healthy")), (String::new(), String::new()));
    assert_eq!((named("network=none"), named("network=host")), ("idle\n".to_owned(), "work\n".to_owned()));
    let refused = scene.dhow(&["ps", "--filter", "since=nope"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (1, "No such container: nope\n"));
}
