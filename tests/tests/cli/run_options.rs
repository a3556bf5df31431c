//! Options of `run`, and the files of images of many layers.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;

use dhow_tests::scene::Scene;

use super::run::scene;

/// Layers on top of each other: each changes what the ones below have.
fn layered(scene: &Scene) {
    let steps = [
        "echo 1 > /one; mkdir /dir; echo a > /dir/a; ln /dir/a /dir/b",
        "echo 2 > /two; rm /one; chmod 711 /dir",
        "rm -r /dir; mkdir /dir; echo c > /dir/c; ln -s c /dir/link",
        "echo 4 > /one; touch -d @1700000002 /dir/c; chmod 4755 /two",
        "mkdir -p /deep/er; echo x > /deep/er/x; rm /data/seed",
    ];
    let mut below = "box".to_owned();
    for (number, step) in steps.into_iter().enumerate() {
        let above = format!("layered:{number}");
        assert_eq!(scene.dhow(&["run", "--name", "step", &below, "sh", "-c", step]).code, 0, "{step}");
        scene.must(&["commit", "step", &above]);
        scene.must(&["rm", "step"]);
        below = above;
    }
    scene.must(&["tag", &below, "layered"]);
}

/// As root, the kernel mounts all layers of an image as one file system; where that is not to be had, each of them.
#[test]
fn many_layers_are_mounted_as_one() {
    let Some(scene) = scene() else { return };
    layered(&scene);
    let look = "head -1 /proc/self/mountinfo; ls -AR /deep /dir /data; cat /one /two /deep/er/x; stat -c '%a %u %h %Y' /two /dir /dir/c";
    let run = || {
        let said = scene.must(&["run", "--rm", "layered", "sh", "-c", look]);
        let (mounts, rest) = said.split_once('\n').expect("lines");
        (mounts.contains("/scratch/stack"), rest.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let (is_one, files) = run();
    assert!(is_one);
    let changed = "echo new > /deep/er/y; rm /two && echo more >> /dir/c";
    scene.must(&["create", "--name", "work", "layered", "sh", "-c", changed]);
    scene.must(&["start", "-a", "work"]);
    let work = || {
        scene.must(&["export", "-o", "work.tar", "work"]);
        (scene.must(&["diff", "work"]), fs::read(scene.path("work.tar")).expect("an archive"))
    };
    let as_one = work();
    // A file that is none of such a stack.
    let layers = fs::read_dir(scene.path("store/layers/v1")).expect("layers").flatten().map(|entry| entry.path());
    let stacks: Vec<_> = layers.filter(|path| path.to_string_lossy().contains(".stack.")).collect();
    assert!(!stacks.is_empty(), "no stack");
    stacks.iter().for_each(|stack| fs::write(stack, "").expect("a file"));
    assert_eq!(run(), (false, files));
    // Nor does a container mind that was made on the one and goes on on the others.
    assert!(work() == as_one);
    assert_eq!(scene.dhow(&["start", "-a", "work"]).code, 1, "/two is gone");
}
