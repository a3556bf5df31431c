//! Containers and volumes as podman has them, where docker's ways are others.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use dhow_tests::scene::{Scene, Transcript};

use super::run::scene;

/// Runs `dhow` through a link named `podman`, which must succeed, and returns its standard output.
#[track_caller]
fn must(scene: &Scene, arguments: &[&str]) -> String {
    let transcript = scene.podman(arguments);
    assert_eq!(transcript.code, 0, "podman {}: {transcript}", arguments.join(" "));
    transcript.stdout
}

/// What a command says of whoever types to it.
fn fed(scene: &Scene, command: &mut Command, input: &[u8]) -> Transcript {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the program");
    // A program that does not read its input may be gone already.
    let _ = child.stdin.take().expect("its input").write_all(input);
    scene.transcript(&child.wait_with_output().expect("its output"))
}

#[track_caller]
fn refuses(scene: &Scene, arguments: &[&str], words: &str) {
    let transcript = scene.podman(arguments);
    assert_eq!((transcript.code, transcript.stderr.trim_end()), (125, words), "{transcript}");
}

#[test]
fn prunes_of_containers_name_them_alone() {
    let Some(scene) = scene() else { return };
    must(&scene, &["create", "--name", "one", "-l", "stays=1", "box"]);
    let id = must(&scene, &["create", "--name", "two", "box"]);
    refuses(&scene, &["container", "prune", "-f", "--filter", "status=exited"], "Error: status is an invalid filter");
    let why = "Error: filter input must be in the form of filter=value: label is invalid";
    refuses(&scene, &["container", "prune", "-f", "--filter", "label"], why);
    let question = "WARNING! This will remove all non running containers.\nAre you sure you want to continue? [y/N] ";
    let declined = fed(&scene, &mut scene.command_as("podman", &["container", "prune"]), b"n\n");
    assert_eq!((declined.code, declined.stdout.as_str()), (0, question), "{declined}");
    assert_eq!(must(&scene, &["container", "prune", "-f", "--filter", "label!=stays"]), id);
    assert_eq!(must(&scene, &["ps", "-a", "--format", "{{.Names}}"]), "one\n");
    assert_eq!(must(&scene, &["container", "prune", "-f", "--filter", "until=1h"]), "");
}

#[test]
fn volumes_are_chosen_by_age() {
    let Some(scene) = scene() else { return };
    must(&scene, &["volume", "create", "-l", "kind=old", "one"]);
    must(&scene, &["volume", "create", "two"]);
    let listed = |filter: &str| must(&scene, &["volume", "ls", "-q", "--filter", filter]);
    assert_eq!((listed("until=1h"), listed("until=2100-01-01")), (String::new(), "one\ntwo\n".to_owned()));
    assert_eq!((listed("label!=kind"), listed("opt=o")), ("two\n".to_owned(), String::new()));
    // What is asked about is what would be removed.
    let asked = ["volume", "prune", "--filter", "label=kind"];
    let declined = fed(&scene, &mut scene.command_as("podman", &asked), b"n\n");
    assert!(declined.stdout.contains("\none\n") && !declined.stdout.contains("two"), "{declined}");
    assert_eq!(must(&scene, &["volume", "prune", "-f", "--filter", "until=1h"]), "");
    assert_eq!(must(&scene, &["volume", "prune", "-f", "--filter", "until=2100-01-01"]), "one\ntwo\n");
    assert_eq!(must(&scene, &["volume", "reload"]), "");
    // Of none there is a header.
    assert_eq!(must(&scene, &["volume", "ls"]), "DRIVER      VOLUME NAME\n");
    must(&scene, &["volume", "create", "-l", "kind=old", "one"]);
    assert_eq!(must(&scene, &["volume", "create", "--ignore", "one"]), "one\n");
    refuses(&scene, &["volume", "create", "one"], "Error: volume with name one already exists: volume already exists");
    must(&scene, &["volume", "create", "two"]);
    assert_eq!((listed("since=one"), listed("after=two")), ("two\n".to_owned(), String::new()));
    assert_eq!((listed("label=ki*"), listed("label=*x*")), ("one\n".to_owned(), String::new()));
    assert_eq!(must(&scene, &["volume", "prune", "-f", "--filter", "since=one"]), "two\n");
}

/// Whatever keeps a container from being started.
#[test]
fn a_start_has_one_code_for_what_is_not_started() {
    let Some(scene) = scene() else { return };
    let id = must(&scene, &["create", "--name", "one", "box", "/nope"]);
    let said = scene.podman(&["start", "-a", "one"]);
    let words = format!("Error: unable to start container {}: ", id.trim_end());
    assert!(said.code == 125 && said.stderr.starts_with(&words), "{said}");
    assert_eq!(scene.podman(&["run", "--rm", "box", "/nope"]).code, 127);
}

/// Docker keeps volumes with names.
#[test]
fn a_prune_of_everything_takes_volumes_with_names() {
    let Some(scene) = scene() else { return };
    for name in ["one", "two", "used"] {
        must(&scene, &["volume", "create", "-l", name, name]);
    }
    must(&scene, &["create", "--name", "user", "-l", "user", "-v", "used:/data", "box"]);
    let prune = |filter: &str| must(&scene, &["system", "prune", "-f", "--volumes", "--filter", filter]);
    assert!(prune("until=1h").starts_with("Total"), "all are younger");
    assert!(prune("label=two").starts_with("Deleted Volumes\ntwo\nTotal"));
    assert_eq!(must(&scene, &["volume", "ls", "-q"]), "one\nused\n");
    assert_eq!(scene.docker(&["system", "prune", "-f", "--volumes", "--filter", "label=one"]).code, 0);
    assert_eq!(must(&scene, &["volume", "ls", "-q"]), "one\nused\n");
    assert!(prune("label!=user").starts_with("Deleted Volumes\none\n"));
    assert_eq!(must(&scene, &["volume", "ls", "-q"]), "used\n");
}

#[test]
fn inspect_knows_whatever_has_a_name() {
    let Some(scene) = scene() else { return };
    must(&scene, &["create", "--name", "one", "box"]);
    must(&scene, &["volume", "create", "data"]);
    let named = |names: &[&str]| must(&scene, &[&["inspect", "--format", "{{.Name}}"], names].concat());
    assert_eq!((named(&["data"]), named(&["data", "one"])), ("data\n".to_owned(), "data\none\n".to_owned()));
    let shown = must(&scene, &["inspect", "one", "box", "data"]);
    let shown: Vec<serde_json::Value> = serde_json::from_str(&shown).expect("a list");
    assert_eq!(shown.iter().map(|one| one["Id"].is_string()).collect::<Vec<_>>(), [true, true, false]);
    let part = scene.podman(&["inspect", "--format", "{{.Id}}", "box", "nope", "one"]);
    assert_eq!((part.code, part.stdout.lines().count()), (125, 2), "{part}");
    assert!(part.stderr.contains("no such object: \"nope\""), "{part}");
    let why = "Error: --latest and arguments cannot be used together";
    refuses(&scene, &["inspect", "--latest", "one"], why);
}

#[test]
fn lists_take_what_podman_is_asked_for() {
    let Some(scene) = scene() else { return };
    must(&scene, &["create", "--name", "one", "-l", "a=b", "--network", "none", "box", "true"]);
    must(&scene, &["create", "--name", "two", "--network", "container:one", "box", "sh"]);
    let listed = |filter: &str| must(&scene, &["ps", "-a", "--format", "{{.Names}}", "--filter", filter]);
    let check = |filter: &str, names: &str| assert_eq!(listed(filter), names, "{filter}");
    check("command=^tru", "one\n");
    let whole = must(&scene, &["ps", "-aq", "--no-trunc", "--filter", "name=one"]);
    let id = whole.trim_end();
    for text in [id.to_owned(), format!("^{}", &id[..20]), format!("{}$", &id[40..]), id[..12].to_ascii_uppercase()] {
        check(&format!("id={text}"), "one\n");
    }
    check("label!=a", "two\n");
    check("network=container:one", "two\n");
    check("network=container:nope", "");
    let image = must(&scene, &["inspect", "--format", "{{.ImageName}}", "one"]);
    let name = image.trim_end().trim_end_matches(":latest");
    check(&format!("ancestor={name}"), "one\ntwo\n");
    check(&format!("ancestor={}", &name[1..name.len() - 1]), "one\ntwo\n");
    let id = must(&scene, &["inspect", "--format", "{{.Image}}", "one"]);
    check(&format!("ancestor={}", &id[2..14]), "one\ntwo\n");
    check("ancestor=^nope", "");
    let users = must(&scene, &["ps", "-a", "--ns", "--format", "{{.Namespaces.User}}{{.USERNS}}"]);
    assert_eq!(users, "\n\n", "neither runs");
    let states =
        must(&scene, &["ps", "-a", "--format", "{{.State}} {{.Status}} {{.Restarts}}", "--filter", "name=one"]);
    assert_eq!(states, "created Created 0\n");
}

/// A volume has the mode and time of the directory that it is filled from.
#[test]
fn a_filled_volume_is_as_old_as_what_it_is_filled_with() {
    let Some(scene) = scene() else { return };
    let stat = |options: &[&str]| {
        must(&scene, &[&["run", "--rm"], options, &["box", "stat", "-c", "%a %Y", "/data"]].concat())
    };
    assert_eq!(stat(&["-v", "filled:/data"]), stat(&[]));
}

#[test]
fn variables_come_by_how_they_begin() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("variables"), "CI_*\n").expect("a file");
    let inside = |program: &str, options: &[&str]| {
        let arguments = [&["run", "--rm"], options, &["box", "env"]].concat();
        let mut command = scene.command_as(program, &arguments);
        let said = scene.run(command.env("CI_JOB", "7").env("CI_NAME", "").env("OTHER", "x"));
        let wanted = |line: &&str| line.starts_with("CI_") || line.starts_with("OTHER");
        said.stdout.lines().filter(wanted).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut given = inside("podman", &["-e", "CI_*", "-e", "OTHER=*"]);
    given.sort();
    assert_eq!(given, ["CI_JOB=7", "CI_NAME=", "OTHER=*"]);
    let mut given = inside("podman", &["--env-file", "variables"]);
    given.sort();
    assert_eq!(given, ["CI_JOB=7", "CI_NAME="]);
    assert_eq!(inside("docker", &["-e", "CI_*"]), Vec::<String>::new());
}

/// Who attaches to a container that podman starts types to it, also without `--interactive`.
#[test]
fn containers_that_are_started_get_what_is_typed() {
    let Some(scene) = scene() else { return };
    let script = "read line; echo got: $line";
    must(&scene, &["create", "-i", "--name", "pipe", "box", "sh", "-c", script]);
    must(&scene, &["create", "-it", "--name", "terminal", "box", "sh", "-c", script]);
    let check = |arguments: &[&str], out: &str| {
        let said = fed(&scene, &mut scene.command_as("podman", arguments), b"hi\n");
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, out, ""), "{arguments:?}");
    };
    check(&["start", "-a", "pipe"], "got: hi\n");
    check(&["start", "-ai", "terminal"], "hi\r\ngot: hi\r\n");
    let stopped = must(&scene, &["ps", "-a", "--filter", "status=stopped", "--format", "{{.Names}}"]);
    assert_eq!(stopped, "pipe\nterminal\n");
}

#[test]
fn paths_of_containers_begin_in_the_working_directory() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("one"), "one\n").expect("a file");
    must(&scene, &["create", "--name", "work", "-w", "/tmp", "box"]);
    must(&scene, &["cp", "--pause=false", "one", "work:."]);
    must(&scene, &["cp", "one", "work:two"]);
    must(&scene, &["cp", "work:two", "three"]);
    assert_eq!(fs::read_to_string(scene.path("three")).expect("a file"), "one\n");
    // The directory goes by its name, and what is in it without.
    fs::create_dir(scene.path("out")).expect("a folder");
    must(&scene, &["cp", "work:.", "out"]);
    must(&scene, &["cp", "work:/tmp/.", "out"]);
    assert!(["out/tmp/one", "out/tmp/two", "out/one", "out/two"].iter().all(|name| scene.path(name).is_file()));
    // Docker's begin at the root.
    assert_eq!(scene.docker(&["cp", "one", "work:here"]).code, 0);
    must(&scene, &["cp", "work:/here", "four"]);
    assert_eq!(scene.docker(&["cp", "--pause=false", "one", "work:/root"]).code, 125);
}

#[test]
fn hosts_and_groups_stay_as_they_are() {
    let Some(scene) = scene() else { return };
    let hosts = scene.podman(&["run", "--rm", "--no-hosts", "box", "ls", "/etc/hosts"]);
    assert_eq!((hosts.code, hosts.stdout.as_str()), (1, ""), "the image has none: {hosts}");
    let groups = |options: &[&str]| {
        let inner = scene.command_as("podman", &[&["run", "--rm"], options, &["box", "id", "-G"]].concat());
        let mut command = Command::new("setpriv");
        command.arg("--groups=7,8").arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(scene.path(""));
        scene.run(command.stdin(Stdio::null())).stdout
    };
    assert_eq!(groups(&["--group-add", "keep-groups"]), "0 7 8\n");
    assert_eq!(groups(&["-u", "1000:5", "--group-add", "keep-groups"]), "5 7 8\n");
    assert_eq!(groups(&["-u", "1000:5", "--group-add", "9"]), "5 9\n");
    let why = "Error: the '--group-add keep-groups' option is not allowed with any other --group-add options";
    refuses(&scene, &["run", "--group-add", "keep-groups", "--group-add", "9", "box"], why);
}

/// Ports of a network that has none are told of, and nothing more.
#[test]
fn ports_of_the_machine_s_network_are_its_own() {
    let Some(scene) = scene() else { return };
    let run = |program: &str, network: &str| {
        let arguments = ["run", "--rm", "-p", "8080:80", "--network", network, "box", "true"];
        let said = scene.run(&mut scene.command_as(program, &arguments));
        (said.code, said.stderr.trim_end().to_owned())
    };
    let docker = "WARNING: Published ports are discarded when using host network mode".to_owned();
    let podman = |mode: &str| {
        format!("Port mappings have been discarded because {mode:?} network namespace mode does not support them")
    };
    assert_eq!((run("docker", "host"), run("docker", "none")), ((0, docker), (0, String::new())));
    assert_eq!((run("podman", "host"), run("podman", "none")), ((0, podman("host")), (0, podman("none"))));
    must(&scene, &["create", "--name", "other", "box"]);
    let joined = scene.podman(&["create", "-p", "80", "--network", "container:other", "box"]);
    assert_eq!((joined.code, joined.stderr.trim_end()), (0, podman("container").as_str()), "{joined}");
    let refused = scene.podman(&["run", "--rm", "-p", "8080:80", "box", "true"]);
    assert!(refused.code == 125 && refused.stderr.contains("--publish is not supported"), "{refused}");
}

/// Whom the image does not know is at home where the program starts.
#[test]
fn users_whom_nobody_knows_live_where_they_work() {
    let Some(scene) = scene() else { return };
    let home = |program: &str, options: &[&str]| {
        let arguments = [&["run", "--rm"], options, &["box", "sh", "-c", "echo $HOME"]].concat();
        scene.run(&mut scene.command_as(program, &arguments)).stdout
    };
    assert_eq!(home("podman", &["-u", "4242", "-w", "/tmp"]), "/tmp\n");
    assert_eq!(home("podman", &["-u", "4242"]), "/\n");
    assert_eq!(home("podman", &["-u", "1000", "-w", "/tmp"]), "/home/bob\n");
    assert_eq!(home("podman", &["-u", "4242", "-w", "/tmp", "-e", "HOME=/x"]), "/x\n");
    assert_eq!(home("docker", &["-u", "4242", "-w", "/tmp"]), "/\n");
}

/// What is not there keeps the others.
#[test]
fn all_that_is_removed_is_looked_up_first() {
    let Some(scene) = scene() else { return };
    must(&scene, &["create", "--name", "one", "box"]);
    let refused = scene.podman(&["rm", "one", "nope"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused}");
    assert_eq!(must(&scene, &["rm", "--ignore", "nope", "one"]), "one\n");
}

#[test]
fn only_a_container_with_a_name_is_replaced() {
    let Some(scene) = scene() else { return };
    refuses(&scene, &["create", "--replace", "box"], "Error: cannot replace container without --name being set");
    must(&scene, &["create", "--name", "one", "box"]);
    must(&scene, &["create", "--name", "one", "--replace", "box", "true"]);
    // A list that is none is an empty one to a template.
    let shown = ["inspect", "--format", "{{.Config.Entrypoint}} {{.Config.Cmd}} {{json .Config.Entrypoint}}", "one"];
    assert_eq!(must(&scene, &shown), "[] [true] null\n");
}

/// Who is in a container's namespaces goes with it or keeps it.
#[test]
fn containers_that_others_have_joined_stay() {
    let Some(scene) = scene() else { return };
    let made = |options: &[&str]| {
        let made = scene.podman(&[&["create"], options, &["box", "true"]].concat());
        assert_eq!(made.code, 0, "{made}");
        scene.podman(&["inspect", "-f", "{{.Id}}", options.last().expect("a name")]).stdout.trim().to_owned()
    };
    let first = made(&["--name", "first"]);
    let second = made(&["--net", "container:first", "--name", "second"]);
    let third = made(&["--ipc", "container:second", "--name", "third"]);
    for arguments in [&["rm", "first"][..], &["rm", "-f", "first"]] {
        let kept = scene.podman(arguments);
        let words =
            format!("Error: container {first} has dependent containers which must be removed before it: {second}");
        assert!(kept.code == 125 && kept.stderr.starts_with(&words), "{kept}");
    }
    let removed = scene.podman(&["rm", "--depend", "first"]);
    assert_eq!((removed.code, removed.stdout), (0, format!("{third}\n{second}\nfirst\n")));
    made(&["--name", "first"]);
    made(&["--net", "container:first", "--name", "second"]);
    assert_eq!(scene.podman(&["rm", "-a"]).code, 0);
    assert_eq!(scene.podman(&["ps", "-aq"]).to_string(), "exit 0\n");
}

/// A template is one, also where it says `json` and nothing else: scripts get an object for each row, and not a list of all.
#[test]
fn json_in_a_template_is_of_one_row() {
    let Some(scene) = scene() else { return };
    scene.load("a", "localhost/web:1");
    scene.must(&["rmi", "box"]);
    must(&scene, &["create", "--name", "it", "web:1", "true"]);
    must(&scene, &["volume", "create", "data"]);
    for (arguments, member, expected) in [
        (&["inspect", "web:1"][..], "RepoTags", "[\"localhost/web:1\"]"),
        (&["images"], "repository", "\"localhost/web\""),
        (&["images"], "Names", "[\"localhost/web:1\"]"),
        (&["ps", "--all"], "Names", "[\"it\"]"),
        (&["ps", "--all"], "State", "\"created\""),
        (&["volume", "ls"], "Name", "\"data\""),
        (&["history", "web:1"], "tags", "[\"localhost/web:1\"]"),
    ] {
        let shown = scene.podman(&[arguments, &["--format", "{{json .}}"]].concat());
        let first = shown.stdout.lines().next().unwrap_or_default();
        let row: serde_json::Value = serde_json::from_str(first).unwrap_or_default();
        assert_eq!((shown.code, row[member].to_string()), (0, expected.to_owned()), "{arguments:?}: {shown}");
    }
    let history = scene.podman(&["history", "--format", "json", "web:1"]);
    assert!(history.stdout.contains("\"tags\":[\"localhost/web:1\"]"), "{history}");
}
