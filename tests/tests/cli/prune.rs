//! `image prune`

#![allow(clippy::disallowed_methods, reason = "writes a scratch configuration")]

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

fn one_dangling_image() -> Scene {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.load("b", "docker.io/library/alpine:3.20");
    scene
}

#[test]
fn asks_first() {
    let scene = one_dangling_image();
    let question = "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ";
    for answer in ["", "n\n", "yes\n"] {
        let declined = scene.fed(&["image", "prune"], answer.as_bytes());
        assert_eq!(
            (declined.code, declined.stdout.as_str(), declined.stderr.as_str()),
            (0, question, ""),
            "{answer:?}"
        );
    }
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2);
    assert_snapshot!(scene.dhow(&["image", "prune", "-a"]), @r"
    exit 0
    [out]
    WARNING! This will remove all images without at least one container associated to them.
    Are you sure you want to continue? [y/N] 
    ");
}

#[test]
fn removes_what_nothing_names() {
    let scene = one_dangling_image();
    let pruned = scene.fed(&["image", "prune"], b"y\n");
    assert_eq!(pruned.code, 0);
    assert!(pruned.stdout.contains("[y/N] Deleted Images:\ndeleted: sha256:<id-a>\n"), "{pruned}");
    assert!(pruned.stdout.contains("\n\nTotal reclaimed space: "), "{pruned}");
    assert_eq!(scene.must(&["images", "-q"]), "id-b--------\n");
    assert_snapshot!(scene.dhow(&["image", "prune", "-f"]), @r"
    exit 0
    [out]
    Total reclaimed space: 0B
    ");
}

#[test]
fn removes_what_nothing_uses() {
    let scene = one_dangling_image();
    let pruned = scene.dhow(&["image", "prune", "-a", "-f"]);
    assert_eq!(pruned.code, 0);
    assert!(pruned.stdout.contains("untagged: alpine:3.20\n"), "{pruned}");
    assert_eq!(scene.must(&["images", "-q"]), "");
}

/// What a cut pull has brought waits for the next one, a week at most; whoever wants the room says `--all`.
#[test]
fn cut_pulls_go_with_everything_unused() {
    let scene = Scene::new();
    scene.must(&["images"]);
    let ingest = scene.path("store/ingest");
    let [cut, map] =
        [("a", ""), ("b", ".map")].map(|(hex, suffix)| ingest.join(format!("sha256-{}{suffix}", hex.repeat(64))));
    std::fs::write(&cut, [7; 8192]).expect("a cut transfer");
    std::fs::write(&map, "").expect("the map of another, without its data");
    let total = |arguments: &[&str]| {
        let ran = scene.dhow(&[&["image", "prune"], arguments].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
        ran.stdout.rsplit(' ').next().expect("a size").trim().to_owned()
    };
    for stays in [&["-f"][..], &["-a", "-f", "--filter", "label=no"], &["-a", "-f", "--keep", "1"]] {
        assert_eq!(total(stays), "0B", "{stays:?}");
    }
    assert_eq!(total(&["-a", "--dry-run"]), "8.192kB");
    assert!(cut.exists() && map.exists());
    assert_eq!(total(&["-a", "-f"]), "8.192kB");
    assert!(!cut.exists() && !map.exists());
    std::fs::write(&cut, [7; 8192]).expect("a cut transfer");
    assert_snapshot!(scene.dhow(&["system", "prune", "-a", "-f"]), @r"
    exit 0
    [out]
    Total reclaimed space: 8.192kB
    ");
    assert!(!cut.exists());
}

/// Two tagged images (2020 with label `keep`, 2021) and a dangling one of 2022.
fn three_images() -> Scene {
    let scene = Scene::new();
    for (salt, created, labels, name) in [
        ("old", "2020-01-01T00:00:00Z", &[("keep", "yes")][..], "docker.io/acme/web:1"),
        ("mid", "2021-01-01T00:00:00Z", &[], "docker.io/acme/web:2"),
        ("lost", "2022-01-01T00:00:00Z", &[], "docker.io/acme/lost:1"),
    ] {
        let image = scene.image_with(salt, created, labels);
        scene.load_image(image, name);
    }
    scene.must(&["untag", "acme/lost:1"]);
    scene
}

fn left(scene: &Scene) -> String {
    let ids = scene.must(&["images", "-q"]);
    ids.lines().map(|id| id.trim_start_matches("id-").trim_end_matches('-')).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_what_fits_goes() {
    for (arguments, expected) in [
        (&["--filter", "until=2021-06-01"][..], "lost mid old"),
        (&["--filter", "until=24h"], "mid old"),
        (&["-a", "--filter", "until=2021-06-01"], "lost"),
        (&["-a", "--filter", "label!=keep"], "old"),
        (&["-a", "--filter", "label=keep=yes"], "lost mid"),
        (&["-a", "--filter", "label=keep=no"], "lost mid old"),
        (&["-a", "--filter", "unused-for=7d"], "lost mid old"),
        (&["-a", "--filter", "reference=acme/web:1"], "lost mid"),
        (&["-a", "--keep", "1"], "mid"),
        (&["-a", "--keep", "2"], "mid old"),
        (&["-a", "--max-size", "1g"], "lost mid old"),
        (&["-a", "--max-size", "0"], ""),
    ] {
        let scene = three_images();
        let preview = [&["image", "prune", "--dry-run"], arguments].concat();
        let would = scene.dhow(&preview);
        assert_eq!((would.code, would.stderr.as_str()), (0, ""), "{arguments:?}: {would}");
        assert_eq!(left(&scene), "lost mid old", "a dry run removes nothing: {arguments:?}");
        let pruned = scene.dhow(&[&["image", "prune", "-f"], arguments].concat());
        assert_eq!((pruned.code, pruned.stderr.as_str()), (0, ""), "{arguments:?}: {pruned}");
        assert_eq!(left(&scene), expected, "{arguments:?}: {pruned}");
        let promised = would
            .stdout
            .replace("Would delete", "Deleted")
            .replace("Deleted images", "Deleted Images")
            .replace("would untag", "untagged")
            .replace("would delete", "deleted")
            .replace("Total space that would be reclaimed", "Total reclaimed space");
        assert_eq!(promised, pruned.stdout, "{arguments:?}");
    }
}

#[test]
fn the_longest_unused_goes_first() {
    let scene = three_images();
    let store = crate::rows::store(&scene);
    let id = |name: &str| store.find(name).expect("an image").image_id;
    store.touch([&id("acme/web:1")]).expect("a use");
    let mut contents = store.contents().expect("contents");
    contents.release(&id("acme/web:2"));
    let size = contents.bytes().to_string();
    let lost = store.images().expect("images").into_iter().find(|image| image.is_nameless()).expect("the lost one");
    store.touch([&lost.id]).expect("a use");
    drop(store);
    let pruned = scene.dhow(&["image", "prune", "-a", "-f", "--max-size", &size]);
    assert_eq!(pruned.code, 0, "{pruned}");
    assert_eq!(left(&scene), "lost old", "the others were used since: {pruned}");
}

#[test]
fn the_rest_may_be_too_large() {
    let scene = three_images();
    crate::rows::container(&scene, "acme/web:1", "ab", dhow_store::ContainerState::Exited, "{}");
    let pruned = scene.dhow(&["image", "prune", "-a", "-f", "--max-size", "0"]);
    assert_eq!(pruned.code, 0, "{pruned}");
    assert!(pruned.stderr.ends_with(" more than --max-size stay: what takes them is not to be removed\n"), "{pruned}");
    assert_eq!(left(&scene), "old", "a container uses it");
}

#[test]
fn all_names_go_in_one_order() {
    let scene = Scene::new();
    let server = scene.serve();
    let pushed = server.name("acme/web:1");
    scene.load("a", &pushed);
    scene.must(&["push", "-q", &pushed]);
    scene.must(&["tag", &pushed, "acme/web:1"]);
    let pruned = scene.dhow(&["image", "prune", "-af"]);
    let untagged: Vec<&str> = pruned.stdout.lines().filter(|line| line.starts_with("untagged: ")).collect();
    assert_eq!(
        untagged,
        [
            "untagged: [REGISTRY]/acme/web:1",
            "untagged: [REGISTRY]/acme/web@sha256:<manifest-a>",
            "untagged: acme/web:1"
        ]
    );
}

#[test]
fn names_that_fit_go_alone() {
    let scene = three_images();
    scene.must(&["tag", "acme/web:1", "keep/me"]);
    assert_snapshot!(scene.dhow(&["image", "prune", "-a", "-f", "--filter", "reference=acme/web:1"]), @r"
    exit 0
    [out]
    Deleted Images:
    untagged: acme/web:1

    Total reclaimed space: 0B
    ");
    assert!(scene.must(&["images", "-n", "keep/me"]).starts_with("keep/me "));
}

/// Faults can be armed in builds with debug assertions only.
#[test]
#[cfg(debug_assertions)]
fn what_is_gone_is_told_when_its_content_stays() {
    let scene = three_images();
    let mut command = scene.command(&["image", "prune", "-a", "-f"]);
    let pruned = scene.run(command.env("DHOW_FAULT", "store.collect.trashed=error"));
    assert_ne!(pruned.code, 0, "{pruned}");
    assert!(pruned.stdout.contains("untagged: acme/web:1\n"), "{pruned}");
    assert!(pruned.stderr.contains("the content stays for the next prune"), "{pruned}");
    assert_eq!(left(&scene), "");
}

#[test]
fn the_configuration_adds_filters() {
    let scene = three_images();
    let folder = scene.path("docker-config");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("config.json"), r#"{"pruneFilters":["label!=keep"]}"#).expect("a configuration");
    assert_eq!(scene.dhow(&["image", "prune", "-a", "-f"]).code, 0);
    assert_eq!(left(&scene), "old");
    assert_eq!(scene.dhow(&["image", "prune", "-a", "-f", "--filter", "label=keep"]).code, 0);
    assert_eq!(left(&scene), "", "what the command line says wins");
}

#[test]
fn what_cannot_be_read_removes_nothing() {
    let scene = three_images();
    for (arguments, message) in [
        (&["--filter", "foo=bar"][..], "invalid filter 'foo'"),
        (&["--filter", "until=x"], "failed to parse value as time or duration: \"x\""),
        (&["--filter", "until=1h", "--filter", "until=2h"], "more than one until filter specified"),
        (&["-a", "--filter", "dangling=true"], "invalid filter 'dangling=[true false]'"),
    ] {
        let refused = scene.docker(&[&["image", "prune", "-f"], arguments].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{arguments:?}");
        assert_eq!(refused.stderr, format!("Error response from daemon: {message}\n"), "{arguments:?}");
    }
    assert_eq!(scene.dhow(&["image", "prune", "-f", "--max-size", "1x"]).code, 125);
    assert_eq!(left(&scene), "lost mid old");
}

#[test]
fn the_question_tells_the_limits() {
    let scene = three_images();
    assert_snapshot!(scene.dhow(&["image", "prune", "-a", "--keep", "2", "--max-size", "1g"]), @r"
    exit 0
    [out]
    WARNING! This will remove all images without at least one container associated to them.
    The newest 2 of each repository stay.
    The longest unused go first, until the others take at most 1.074GB.
    Are you sure you want to continue? [y/N] 
    ");
}
