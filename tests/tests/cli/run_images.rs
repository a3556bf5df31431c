//! Images that are mounted in containers: `--mount type=image`.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;

use dhow_tests::scene::Scene;

use super::run::{import, says, scene};

/// A scene with an image `box`, where containers can run, and an image `more` to mount.
fn with_more() -> Option<Scene> {
    let scene = scene()?;
    import(&scene, "more:1", &[], &[("lib/", ""), ("lib/file", "more\n"), ("link", "->lib"), ("away", "->/etc")]);
    Some(scene)
}

/// The options that mount `more` at `/m`, as far as `more_of_it` does not say otherwise.
fn mounted(more_of_it: &str) -> [String; 2] {
    ["--mount".to_owned(), format!("type=image,source=more:1,target=/m{more_of_it}")]
}

#[track_caller]
fn shows(scene: &Scene, more_of_it: &str, script: &str, expected: &str) {
    let options = mounted(more_of_it);
    says(scene, &[&options[0], &options[1]], script, expected);
}

/// By default an image can be read, and what is written where it can be is gone with the run.
#[test]
fn an_image_is_mounted() {
    let Some(scene) = with_more() else { return };
    let tries = "cat /m/lib/file; touch /m/new 2>&1; rm /m/lib/file 2>&1; ls /m/lib";
    shows(
        &scene,
        "",
        tries,
        "more\ntouch: /m/new: Read-only file system\nrm: can't remove '/m/lib/file': Read-only file system\nfile\n",
    );
    shows(&scene, ",readonly=false,image-subpath=lib", "ls /m; touch /m/new 2> /dev/null || echo no", "file\nno\n");
    shows(&scene, ",image-subpath=link/file", "cat /m", "more\n");
    shows(&scene, ",subpath=/lib,rw=true", "touch /m/new; ls /m", "file\nnew\n");
    let options = mounted(",rw=true");
    let script = "ls -a /m/lib; rm /m/lib/file; touch /m/lib/new; stat -c %a /m /m/root";
    scene.must(&["create", "--name", "twice", &options[0], &options[1], "box", "sh", "-c", script]);
    for _ in 0..2 {
        assert_eq!(scene.must(&["start", "-a", "twice"]), ".\n..\nfile\n755\n700\n");
    }
    assert_eq!(scene.must(&["diff", "twice"]), "A /m\n");
    assert_eq!(scene.must(&["cat", "more:1:/lib/file"]), "more\n");
}

/// Whichever order they are given in.
#[test]
fn images_lie_above_and_below_other_mounts() {
    let Some(scene) = with_more() else { return };
    fs::create_dir(scene.path("folder")).expect("a folder");
    fs::create_dir(scene.path("folder/m")).expect("a folder");
    fs::write(scene.path("folder/file"), "folder\n").expect("a file");
    let folder = scene.path("folder");
    let folder = folder.display();
    let below = ["-v", &format!("{folder}:/m/lib"), "--mount", "type=image,source=more:1,target=/m"];
    says(&scene, &below, "cat /m/lib/file; ls /m/link", "folder\nfile\nm\n");
    let above = ["--mount", "type=image,source=more:1,target=/v/m", "-v", &format!("{folder}:/v:ro")];
    says(&scene, &above, "cat /v/file /v/m/lib/file", "folder\nmore\n");
    let nested = "type=image,source=box,target=/m/lib,rw=true";
    let both = ["--mount", nested, "--mount", "type=image,source=more:1,target=/m"];
    says(
        &scene,
        &both,
        "rm -r /m/lib/bin; ls /m/lib; touch /m/x 2> /dev/null || echo no",
        "data\netc\nroot\ntmp\nno\n",
    );
    let nowhere =
        ["run", "--rm", "-v", "/etc:/m/nowhere", "--mount", "type=image,source=more:1,target=/m", "box", "true"];
    let refused = scene.podman(&nowhere);
    assert!(refused.code == 126 && refused.stderr.contains("read-only file system"), "{refused}");
}

/// The image of more layers than are mounted one by one, one without any, and one whose layer hides what is below.
#[test]
fn images_of_many_layers_are_mounted_whole() {
    let Some(scene) = with_more() else { return };
    for number in 0..5 {
        let name = format!("step-{number}");
        let script = format!("rm -rf /data; mkdir /data; echo {number} > /data/{number}; echo {number} > /top");
        scene.must(&["run", "--name", &name, if number == 0 { "box" } else { "deep" }, "sh", "-c", &script]);
        scene.must(&["commit", &name, "deep"]);
    }
    let options = ["--mount", "type=image,source=deep,target=/m,rw=true"];
    says(
        &scene,
        &options,
        "ls /m/data; cat /m/top /m/data/4; rm /m/top; ls /m/top 2> /dev/null || echo gone",
        "4\n4\n4\ngone\n",
    );
    let options = ["--mount", "type=image,source=deep,target=/m,image-subpath=data"];
    says(&scene, &options, "ls /m", "4\n");
    fs::write(scene.path("bare.tar"), [0; 1024]).expect("an archive");
    scene.must(&["import", "bare.tar", "bare"]);
    says(
        &scene,
        &["--mount", "type=image,source=bare,target=/m"],
        "ls -A /m; touch /m/x 2> /dev/null || echo no",
        "no\n",
    );
}

/// Its name may go elsewhere, the image itself stays as long as there is the container; by force it goes from everybody else.
#[test]
fn a_mounted_image_is_in_use() {
    let Some(scene) = with_more() else { return };
    let options = mounted("");
    scene.must(&["create", "--name", "user", &options[0], &options[1], "box", "cat", "/m/lib/file"]);
    let id = scene.must(&["inspect", "--format", "{{.Id}}", "more:1"]);
    let by_name = scene.docker(&["rmi", "more:1"]);
    let why = "Error response from daemon: conflict: unable to remove repository reference \"more:1\" (must force) - container ";
    assert!(by_name.code == 1 && by_name.stderr.starts_with(why), "{by_name}");
    let as_podman = scene.podman(&["rmi", id.trim()]);
    assert!(as_podman.code == 2 && as_podman.stderr.contains(": image is in use by a container: "), "{as_podman}");
    scene.must(&["image", "prune", "-af"]);
    scene.must(&["tag", "box", "more:1"]);
    scene.must(&["image", "prune", "-f"]);
    assert_eq!(scene.must(&["start", "-a", "user"]), "more\n");
    assert_eq!(scene.must(&["system", "df", "--format", "{{.Type}} {{.Active}}"]).lines().next(), Some("Images 2"));
    assert_eq!(scene.must(&["ps", "-a", "--format", "{{.Mounts}}"]), "more:1\n");
    assert_eq!(scene.podman(&["ps", "-a", "--format", "{{.Mounts}}"]).stdout, "[/m]\n");
    assert_eq!(scene.must(&["ps", "-aq", "--filter", "volume=/m"]).lines().count(), 1);

    // Podman removes the containers of an image with it, and this is none.
    let forced = scene.podman(&["rmi", "-f", id.trim()]);
    assert!(forced.code == 0 && forced.stdout.contains("Deleted: "), "{forced}");
    assert_eq!(scene.must(&["images", "-aq", "--no-trunc"]).lines().find(|found| *found == id.trim()), None);
    assert_eq!(scene.must(&["start", "-a", "user"]), "more\n");
    scene.must(&["rm", "user"]);
    assert!(fs::read_dir(scene.path("store/containers")).expect("a folder").next().is_none());
}

/// An image and a volume of one name have nothing to do with each other.
#[test]
fn a_mounted_image_is_no_volume() {
    let Some(scene) = with_more() else { return };
    scene.must(&["tag", "more:1", "same"]);
    scene.must(&["volume", "create", "same"]);
    scene.must(&["create", "--mount", "type=image,source=same,target=/m", "box"]);
    assert_eq!(scene.must(&["volume", "rm", "same"]), "same\n");
    assert_eq!(scene.must(&["ps", "-aq", "--filter", "volume=same"]).lines().count(), 1);
}

/// A container that does not run shows what it has mounted, too.
#[test]
fn files_are_copied_from_mounted_images() {
    let Some(scene) = with_more() else { return };
    let options = mounted("");
    scene.must(&["create", "--name", "still", &options[0], &options[1], "box", "true"]);
    scene.must(&["cp", "still:/m/lib/file", "out"]);
    assert_eq!(fs::read_to_string(scene.path("out")).expect("a copy"), "more\n");
    let refused = scene.docker(&["cp", "out", "still:/m/lib/other"]);
    assert!(refused.code == 1 && refused.stderr.contains("marked read-only"), "{refused}");
    // What is mounted belongs to no image that is made of it.
    scene.must(&["commit", "still", "made"]);
    assert_eq!(scene.must(&["ls", "made:/m"]), "");
    let exported = scene.must(&["export", "still", "-o", "files.tar"]);
    assert_eq!(exported, "");
    let listed = std::process::Command::new("tar").arg("tf").arg(scene.path("files.tar")).output().expect("tar");
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("m/lib"), "{listed:?}");
}

#[test]
fn mounted_images_are_shown_as_each_engine_shows_them() {
    let Some(scene) = with_more() else { return };
    scene.must(&["create", "--name", "one", "--mount", "type=image,source=more:1,target=/m", "box"]);
    scene.must(&["create", "--name", "two", "--mount", "type=image,source=more:1,target=/m,rw=true", "box"]);
    let id = scene.must(&["inspect", "--format", "{{.Id}}", "more:1"]);
    let inspect = ["container", "inspect", "--format", "{{json .Mounts}}"];
    let docker = |writable: bool| {
        format!(
            r#"[{{"Type":"image","Name":"more:1","Source":"{}","Destination":"/m","Mode":"","RW":{writable},"Propagation":"rprivate"}}]"#,
            id.trim()
        )
    };
    let podman = |writable: bool| {
        format!(
            r#"[{{"Destination":"/m","Driver":"","Mode":"","Options":null,"Propagation":"","RW":{writable},"Source":"more:1","Type":"image"}}]"#
        )
    };
    for (name, writable) in [("one", false), ("two", true)] {
        let arguments = [&inspect[..], &[name]].concat();
        assert_eq!(scene.docker(&arguments).stdout.trim_end(), docker(writable));
        assert_eq!(scene.podman(&arguments).stdout.trim_end(), podman(writable));
    }
}

/// What is not here is told in each engine's words, and nothing is left of the container. It is not pulled, nor is the container's own image.
#[test]
fn a_missing_image_is_told() {
    let Some(scene) = with_more() else { return };
    let run = |source: &str| {
        let mount = format!("type=image,source={source},target=/m");
        let arguments = ["run", "--rm", "--mount", &mount, "box", "true"];
        [scene.dhow(&arguments), scene.docker(&arguments), scene.podman(&arguments)]
            .map(|said| (said.code, said.stderr.lines().next().unwrap_or_default().to_owned()))
    };
    let [dhow, docker, podman] = run("nope");
    assert_eq!(dhow, (125, "dhow: No such image: nope:latest".to_owned()));
    assert_eq!(docker, (125, "docker: Error response from daemon: No such image: nope:latest".to_owned()));
    assert_eq!(podman, (126, "Error: creating image volume \"nope\":\"/m\": nope: image not known".to_owned()));
    let [_, _, podman] = run("Nope");
    assert_eq!(
        podman,
        (126, "Error: creating image volume \"Nope\":\"/m\": repository name must be lowercase".to_owned())
    );
    let create = ["create", "--mount", "type=image,source=nope,target=/m", "box"];
    assert_eq!((scene.docker(&create).code, scene.podman(&create).code), (1, 125));
    let subpath = |path: &str| {
        let options = mounted(&format!(",image-subpath={path}"));
        let said = scene.dhow(&["run", "--rm", &options[0], &options[1], "box", "true"]);
        (said.code, said.stderr)
    };
    let (code, said) = subpath("lib/nope");
    assert!(code == 127 && said.contains("/lib/nope: no such file or directory"), "{said}");
    let (code, said) = subpath("away/passwd");
    assert!(code == 125 && said.contains("path concatenation escapes the base directory"), "{said}");
    assert_eq!(scene.must(&["ps", "-aq"]), "");
}
