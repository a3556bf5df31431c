//! `system prune`

#![allow(clippy::disallowed_methods, reason = "writes what containers and volumes would")]

use dhow_store::ContainerState;
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

use crate::rows;

/// An image with a stopped container, one with a running one, a dangling one; two anonymous volumes and a named one; a
/// record of a build.
fn full() -> Scene {
    let scene = Scene::new();
    scene.load("lost", "docker.io/library/running:1");
    scene.load("run", "docker.io/library/running:1");
    scene.load("stop", "docker.io/library/stopped:1");
    rows::container(&scene, "running:1", "ab", ContainerState::Running, "{}");
    rows::container(&scene, "stopped:1", "cd", ContainerState::Exited, r#"{"Labels":{"a":"b"}}"#);
    rows::volume(&scene, "used", true, &[&"ab".repeat(32)]);
    rows::volume(&scene, "unused", true, &[&"cd".repeat(32)]);
    rows::volume(&scene, "named", false, &[]);
    rows::build_record(&scene, "abc", 2048);
    // One that is recorded as running and has no folder has ended.
    std::fs::create_dir_all(scene.path("store/containers").join("ab".repeat(32))).expect("a container");
    let folder = scene.path("store/containers").join("cd".repeat(32));
    std::fs::create_dir_all(&folder).expect("a container");
    std::fs::write(folder.join("written"), "by a container").expect("a file");
    scene
}

#[test]
fn asks_in_docker_s_words() {
    let scene = full();
    assert_snapshot!(scene.dhow(&["system", "prune"]), @r"
    exit 0
    [out]
    WARNING! This will remove:
      - all stopped containers
      - all networks not used by at least one container
      - all dangling images
      - unused build cache

    Are you sure you want to continue? [y/N] 
    ");
    assert_snapshot!(scene.dhow(&["system", "prune", "-a", "--volumes", "--filter", "label=x", "--filter", "label!=a"]), @r"
    exit 0
    [out]
    WARNING! This will remove:
      - all stopped containers
      - all networks not used by at least one container
      - all anonymous volumes not used by at least one container
      - all images without at least one container associated to them
      - all build cache

      Items to be pruned will be filtered with:
      - label!=a
      - label=x

    Are you sure you want to continue? [y/N] 
    ");
    assert_eq!(rows::store(&scene).containers().expect("containers").len(), 2, "nobody said yes");
}

#[test]
fn a_preview_tells_what_the_prune_then_does() {
    for flags in [&[][..], &["-a", "--volumes"], &["-a", "--filter", "label=a"]] {
        let scene = full();
        let run = |last: &str| {
            let arguments: Vec<&str> =
                ["system", "prune"].into_iter().chain(flags.iter().copied()).chain([last]).collect();
            scene.must(&arguments)
        };
        let preview = run("--dry-run");
        assert!(preview.contains("Would delete containers:\n"), "{preview}");
        assert_eq!(rows::store(&scene).containers().expect("containers").len(), 2, "nothing was removed");
        assert_eq!(run("--dry-run"), preview, "nor later");
        let told = [
            ("Would delete containers:", "Deleted Containers:"),
            ("Would delete volumes:", "Deleted Volumes:"),
            ("Would delete images:", "Deleted Images:"),
            ("Would delete build cache objects:", "Deleted build cache objects:"),
            ("would untag:", "untagged:"),
            ("would delete:", "deleted:"),
            ("Total space that would be reclaimed:", "Total reclaimed space:"),
        ];
        let expected = told.iter().fold(preview, |text, (would, done)| text.replace(would, done));
        assert_eq!(run("-f"), expected, "{flags:?}");
    }
}

#[test]
fn removes_what_nothing_uses() {
    let scene = full();
    let pruned = scene.dhow(&["system", "prune", "-f"]);
    assert_eq!((pruned.code, pruned.stderr.as_str()), (0, ""), "{pruned}");
    let containers =
        format!("Deleted Containers:\n{}\n\nDeleted Images:\ndeleted: sha256:<id-lost>\n", "cd".repeat(32));
    assert!(pruned.stdout.starts_with(&containers), "{pruned}");
    assert!(pruned.stdout.contains("\n\nDeleted build cache objects:\nabc\n\nTotal reclaimed space: "), "{pruned}");
    assert!(!scene.path("store/containers").join("cd".repeat(32)).exists());
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2);
    assert_eq!(rows::store(&scene).volumes().expect("volumes").len(), 3);
    assert_snapshot!(scene.dhow(&["system", "prune", "-f"]), @r"
    exit 0
    [out]
    Total reclaimed space: 0B
    ");
}

#[test]
fn with_volumes_and_all_images() {
    let scene = full();
    let pruned = scene.dhow(&["system", "prune", "-f", "-a", "--volumes"]);
    assert!(pruned.stdout.contains("\n\nDeleted Volumes:\nunused\n\nDeleted Images:\n"), "{pruned}");
    assert!(pruned.stdout.contains("untagged: stopped:1\ndeleted: sha256:<id-stop>\n"), "{pruned}");
    assert_eq!(scene.must(&["images", "-q"]), "id-run------\n", "its container runs");
    let volumes: Vec<String> = rows::store(&scene).volumes().expect("volumes").into_iter().map(|v| v.name).collect();
    assert_eq!(volumes, ["named", "used"]);
}

#[test]
fn filters_hold_for_every_kind() {
    let scene = full();
    let nothing = scene.dhow(&["system", "prune", "-f", "-a", "--filter", "label=x"]);
    assert_eq!(nothing.stdout, "Total reclaimed space: 0B\n", "{nothing}");
    let older = scene.dhow(&["system", "prune", "-f", "--filter", "until=2000-01-01"]);
    assert!(older.stdout.starts_with("Deleted build cache objects:\nabc\n"), "last used in 1970: {older}");
    let labelled = scene.dhow(&["system", "prune", "-f", "--filter", "label=a=b"]);
    assert!(labelled.stdout.starts_with(&format!("Deleted Containers:\n{}\n\nTotal", "cd".repeat(32))), "{labelled}");
    assert_snapshot!(scene.docker(&["system", "prune", "-f", "--filter", "reference=x"]), @r"
    exit 1
    [err]
    Error response from daemon: invalid filter 'reference'
    ");
    assert_snapshot!(scene.dhow(&["system", "prune", "--volumes", "--filter", "until=1h", "-f"]), @r#"
    exit 1
    [err]
    ERROR: The "until" filter is not supported with "--volumes"
    "#);
}
