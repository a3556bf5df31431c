//! Volumes: what tells of them, several commands that come to one at the same time, and what is left of those that were killed.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::thread::{scope, sleep};
use std::time::Duration;

use dhow_tests::scene::Scene;

use super::run::{import, scene};

/// What the lock of a directory of the store stands for is waited for, or left alone, while this lives.
fn locked(scene: &Scene, directory: &str, shared: bool) -> File {
    let path = scene.path("store").join(directory);
    fs::create_dir_all(&path).expect("a directory");
    let directory = File::open(path).expect("the directory");
    if shared { directory.lock_shared() } else { directory.lock() }.expect("its lock");
    directory
}

fn waits(child: &mut Child) -> bool {
    sleep(Duration::from_millis(200));
    child.try_wait().expect("a state").is_none()
}

fn put(scene: &Scene, file: &str) {
    let path = scene.path("store").join(file);
    fs::create_dir_all(path.parent().expect("its directory")).expect("a directory");
    fs::write(path, "x").expect("a file");
}

fn files(scene: &Scene, volume: &str) -> Vec<String> {
    let listed = fs::read_dir(scene.path("store/volumes").join(volume)).expect("the volume");
    let below = fs::read_dir(scene.path("store/volumes").join(volume).join("_data")).expect("its files");
    let mut names: Vec<String> = listed
        .chain(below)
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name != "_data")
        .collect();
    names.sort();
    names
}

/// What lies there without a record was left by who was killed while it filled the volume, or after it had removed one. Whoever looks for
/// what is left over leaves it alone as long as somebody makes a volume.
#[test]
fn a_new_volume_has_nothing_of_what_is_left_in_its_place() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    let _somebody_makes_one = locked(&scene, "volumes", true);
    for name in ["one", "two", "three"] {
        put(&scene, &format!("volumes/{name}/_data/old"));
        put(&scene, &format!("volumes/{name}/new/old"));
    }
    scene.must(&["create", "-v", "one:/data", "box", "true"]);
    assert_eq!(files(&scene, "one"), ["seed"]);
    scene.must(&["create", "-v", "two:/none", "box", "true"]);
    assert_eq!(files(&scene, "two"), <[&str; 0]>::default());
    scene.must(&["volume", "create", "three"]);
    assert_eq!(files(&scene, "three"), <[&str; 0]>::default());
    // One that is known is filled anew.
    put(&scene, "volumes/three/new/old");
    scene.must(&["create", "-v", "three:/data", "box", "true"]);
    assert_eq!(files(&scene, "three"), ["seed"]);
}

#[test]
fn who_needs_a_volume_waits_for_who_fills_it() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    let commands =
        [&["create", "-v", "other:/data", "-v", "shared:/v", "box", "true"][..], &["volume", "create", "shared"]];
    for command in commands {
        let filled = (locked(&scene, "volumes", true), locked(&scene, "volumes/shared", false));
        let mut waiting = scene.command(command).stdout(Stdio::null()).spawn().expect("dhow");
        assert!(waits(&mut waiting), "{command:?} does not wait");
        // Nobody waits for a volume of another name.
        scene.must(&["volume", "create", "another"]);
        drop(filled);
        assert!(waiting.wait().expect("its end").success(), "{command:?}");
        scene.must(&["container", "prune", "-f"]);
        scene.must(&["volume", "prune", "-a", "-f"]);
    }
}

/// Each container's program counts what it finds: all that the image has, however many made the volume.
#[test]
fn a_volume_is_filled_once_for_all_that_come_at_once() {
    let Some(scene) = scene() else { return };
    let many: Vec<String> = (0..400).map(|number| format!("many/{number}")).collect();
    import(&scene, "box", &[], &many.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
    for round in 0..5 {
        let volume = format!("v{round}:/many");
        let run = ["run", "--rm", "-v", &volume, "box", "sh", "-c", "ls /many | wc -l"];
        scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(scene.must(&run).trim(), "400"));
            }
        });
    }
}

#[test]
fn the_first_one_who_makes_a_volume_says_its_labels() {
    let Some(scene) = scene() else { return };
    scope(|scope| {
        for writer in 0..4 {
            let scene = &scene;
            scope.spawn(move || {
                let label = format!("writer={writer}");
                let said = || scene.must(&["volume", "inspect", "-f", "{{.Labels.writer}} {{.CreatedAt}}", "shared"]);
                scene.must(&["volume", "create", "--label", &label, "shared"]);
                let first = said();
                for _ in 0..10 {
                    scene.must(&["volume", "create", "--label", &label, "shared"]);
                    assert_eq!(said(), first);
                }
            });
        }
    });
}

/// `inspect` finds volumes too, after containers and images; lists say what a container has mounted.
#[test]
fn volumes_are_inspected_and_listed() {
    let Some(scene) = scene() else { return };
    scene.must(&["volume", "create", "data"]);
    let long = format!("{}:/long", scene.path("a-directory-with-a-long-name").display());
    scene.must(&["create", "--name", "work", "-v", "data:/d", "-v", &long, "--tmpfs", "/t", "box"]);
    assert_eq!(scene.must(&["inspect", "data"]), scene.must(&["volume", "inspect", "data"]));
    assert_eq!(
        scene.must(&["inspect", "--type", "volume", "--format", "{{.Name}} {{.Scope}}", "data"]),
        "data local\n"
    );
    assert_eq!(scene.must(&["inspect", "--format", "{{.Name}}", "work", "data"]), "/work\ndata\n");
    let transcript = scene.dhow(&["inspect", "nope"]);
    assert_eq!((transcript.code, transcript.stderr.trim_end()), (1, "Error: No such object: nope"));
    let path = scene.path("a-directory-with-a-long-name").display().to_string();
    let listed = |options: &[&str]| scene.must(&[&["ps", "-a", "--format", "{{.Mounts}}"], options].concat());
    assert_eq!(listed(&["--no-trunc"]), "data,[FOLDER]/a-directory-with-a-long-name\n");
    assert_eq!(listed(&[]), format!("data,{}…\n", &path[..14]));
}

/// A container has what another one has mounted, wherever nothing else is said.
#[test]
fn volumes_of_another_container_are_shared() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("seed"), "seed\n").expect("a file");
    fs::create_dir(scene.path("folder")).expect("a folder");
    let folder = format!("{}:/folder", scene.path("folder").display());
    scene.must(&["create", "--name", "data", "-v", "/config", "-v", &folder, "--tmpfs", "/memory", "box"]);
    scene.must(&["cp", "seed", "data:/config/"]);
    let run = |options: &[&str], script: &str| {
        scene.dhow(&[&["run", "--rm", "--volumes-from"], options, &["box", "sh", "-c", script]].concat())
    };
    let said = run(&["data"], "cat /config/seed; echo new > /config/new; echo here > /folder/file; test ! -e /memory");
    assert_eq!((said.code, said.stdout.as_str()), (0, "seed\n"), "{said}");
    assert_eq!(fs::read_to_string(scene.path("folder/file")).expect("a file"), "here\n");
    assert_eq!(run(&["data:ro"], "cat /config/new; touch /config/x").stdout, "new\n");
    assert_eq!(run(&["data:ro"], "touch /config/x").code, 1);
    // What the user says himself counts, and so do the last one's.
    let said = run(&["data", "-v", "own:/config"], "ls /config; ls /folder");
    assert_eq!((said.code, said.stdout.as_str()), (0, "file\n"), "{said}");
    scene.must(&["create", "--name", "more", "--volumes-from", "data", "-v", "own:/config", "box"]);
    assert_eq!(run(&["data", "--volumes-from", "more"], "ls /config").stdout, "");
    assert_eq!(scene.must(&["inspect", "--format", "{{.HostConfig.VolumesFrom}}", "more"]), "[data]\n");
    // The volume stays as long as somebody has it.
    scene.must(&["rm", "-v", "data"]);
    assert_eq!(run(&["more"], "cat /folder/file").stdout, "here\n");
    let refused = |program: &str, text: &str| {
        let said = scene.run(&mut scene.command_as(program, &["create", "--volumes-from", text, "box"]));
        said.stderr.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(refused("docker", "nope"), "Error response from daemon: No such container: nope");
    assert_eq!(refused("docker", "more:odd"), "Error response from daemon: invalid mode for volumes-from: odd");
    let why = "looking up container \"nope\" for volumes-from: no container with name or ID \"nope\" found";
    assert_eq!(refused("podman", "nope"), format!("Error: {why}: no such container"));
    let why = "specified - volumes from another container can only use z,ro,rw options";
    assert_eq!(refused("podman", "more:odd"), format!("Error: invalid option \"odd\" {why}"));
}

/// Templates see what docker's client knows of a volume, and its lists have numbers in their order.
#[test]
fn volumes_are_told_as_docker_tells_them() {
    let Some(scene) = scene() else { return };
    for name in ["v10", "v2", "v1"] {
        scene.must(&["volume", "create", name]);
    }
    scene.must(&["volume", "create", "--label", "a=b", "labelled"]);
    assert_eq!(scene.must(&["volume", "ls", "-q"]), "labelled\nv1\nv2\nv10\n");
    let shown = |format: &str| scene.must(&["volume", "inspect", "-f", format, "labelled", "v1"]);
    assert_eq!(shown("{{.Labels.a}}"), "b\n<no value>\n");
    assert_eq!(
        shown("{{.Labels}} {{.Options}} {{.Status}} {{.UsageData}}"),
        "map[a:b] map[] map[] <nil>\nmap[] map[] map[] <nil>\n"
    );
    let any = scene.must(&["inspect", "-f", "{{.Labels.none}} {{.Name}}", "v1"]);
    assert_eq!(any, "<no value> v1\n");
    let unknown = scene.docker(&["volume", "inspect", "-f", "{{.Nope}}", "v1"]);
    let why = "executing \"\" at <.Nope>: can't evaluate field Nope in type volume.Volume\n";
    assert!(unknown.code == 1 && unknown.stdout == "\n" && unknown.stderr.ends_with(why), "{unknown}");
}

#[test]
fn volumes_without_a_name_are_marked() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &["VOLUME /image"], &[]);
    scene.must(&["create", "--name", "one", "-v", "/own", "-v", "named:/named", "box", "true"]);
    scene.must(&["volume", "create"]);
    let marked = |label: &str| scene.must(&["volume", "ls", "-q", "-f", &format!("label={label}")]).lines().count();
    assert_eq!(marked("com.docker.volume.anonymous"), 3);
    assert_eq!(scene.must(&["volume", "inspect", "-f", "{{json .Labels}}", "named"]), "null\n");
    let listed = scene.must(&["volume", "ls", "--format", "table {{.Status}} {{.Availability}} {{.Group}}"]);
    assert!(listed.starts_with("STATUS AVAILABILITY GROUP\nN/A N/A N/A\n"), "{listed}");
    let listed = scene.must(&["ps", "-aq", "--no-trunc", "--format", "raw"]);
    assert_eq!(listed, format!("container_id: {}", scene.must(&["ps", "-aq", "--no-trunc"])));
    scene.must(&["rm", "-v", "one"]);
    assert_eq!(marked("com.docker.volume.anonymous"), 1);
    let podman = scene.podman(&["volume", "create"]).stdout;
    let labels = scene.podman(&["volume", "inspect", "-f", "{{.Labels}}", podman.trim()]);
    assert_eq!(labels.stdout, "map[]\n");
}

/// An image is somebody else's: what it says of volumes is a path, and shows nothing of the machine's.
#[test]
fn what_an_image_says_of_volumes_is_a_path() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("machine")).expect("a directory");
    fs::write(scene.path("machine/secret"), "s").expect("a file");
    let machine = scene.path("machine").display().to_string();
    let hostile = format!("VOLUME {machine}:/host");
    import(&scene, "box", &["VOLUME data", &hostile], &[]);
    let inside = format!("{machine}:/host");
    let seen = "/data\n[FOLDER]/machine:/host\nnone\n";
    let script = format!("ls -d /data '{inside}'; test -e /host || echo none; touch '{inside}/x'");
    for options in [&[][..], &["--image-volume", "tmpfs"]] {
        let said = scene.podman(&[&["run", "--rm"], options, &["box", "sh", "-c", &script]].concat());
        assert_eq!(said.stdout, seen, "{said}");
    }
    let said = scene.docker(&["run", "--name", "work", "box", "sh", "-c", &script]);
    assert_eq!(said.stdout, seen, "{said}");
    let shown = scene.must(&["inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Destination}}\n{{end}}", "work"]);
    let mut shown: Vec<&str> = shown.split_whitespace().collect();
    shown.sort_unstable();
    assert_eq!(shown, ["/data", "[FOLDER]/machine:/host", "volume", "volume"]);
    assert_eq!(fs::read_dir(scene.path("machine")).expect("a directory").count(), 1);
    // Of the command line, docker takes one without a colon from the root, too.
    scene.must(&["create", "--name", "own", "-v", "relative", "box", "true"]);
    let shown = scene.must(&["inspect", "-f", "{{range .Mounts}}{{.Destination}} {{end}}{{.Config.Volumes}}", "own"]);
    assert!(shown.contains("/relative ") && shown.contains("relative:{}"), "{shown}");
}

/// Docker counts lengths of files; what directories take is told by `--disk`.
#[test]
fn sizes_are_those_of_files() {
    let Some(scene) = scene() else { return };
    let script = "echo of-container >/file; ln /file /other; echo of-volume >/kept/file";
    scene.must(&["run", "--name", "work", "-v", "kept:/kept", "box", "sh", "-c", script]);
    scene.must(&["create", "--name", "idle", "-v", "empty:/empty", "box", "true"]);
    let said = scene.must(&["system", "df", "--format", "{{.Type}} {{.Size}}"]);
    assert!(said.contains("\nContainers 13B\n") && said.contains("\nLocal Volumes 10B\n"), "{said}");
    let said = scene.must(&[
        "system",
        "df",
        "-v",
        "--format",
        "{{range .Containers}}{{.Names}} {{.Size}}\n{{end}}{{range .Volumes}}{{.Name}} {{.Size}}\n{{end}}",
    ]);
    for line in ["idle 0B", "work 13B", "empty 0B", "kept 10B"] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
}
