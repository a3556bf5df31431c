//! `pull --unpack`

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dhow_testkit::images::{Compression, Format, Layer, Layout, Recipe};
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;

/// A layer: names that end with `/` are directories, `a -> b` are hard links.
fn layer(layout: &Layout, entries: &[(&str, &[u8])], compression: Compression) -> Layer {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        if let Some((name, target)) = name.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, name, target).expect("append");
            continue;
        }
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, name, *content).expect("append");
    }
    let tar = builder.into_inner().expect("a tar");
    layout.layer(&*tar, Format::Oci, compression).expect("a layer")
}

/// A registry that has one image, some of whose layers need those below, and an empty store.
fn published() -> (Scene, Server, String) {
    let scene = Scene::new();
    let server = scene.serve();
    let mut layout = Layout::create(&scene.path("layout")).expect("a layout");
    let noise = dhow_testkit::images::pseudo_random("noise", 200 << 10);
    let layers = [
        layer(&layout, &[("etc/", b""), ("etc/passwd", b"root"), ("noise", &noise)], Compression::Gzip),
        layer(&layout, &[("etc/implied", b"its directory is below")], Compression::Zstd),
        layer(&layout, &[("etc/", b""), ("etc/plain", b"not compressed")], Compression::None),
        layer(&layout, &[("etc/", b""), ("etc/shadow -> etc/passwd", b"")], Compression::Gzip),
    ];
    let manifest = layout.image(&layers, &Recipe::default()).expect("an image");
    layout.name_images([(&manifest, "docker.io/acme/stack:1")]).expect("an index");
    let archive = scene.path("stack.tar");
    layout.archive(&archive).expect("an archive");
    scene.must(&["load", "-q", "-i", archive.to_str().expect("UTF-8")]);
    let name = server.name("acme/stack:1");
    scene.must(&["tag", "acme/stack:1", &name]);
    scene.must(&["push", "-q", &name]);
    scene.must(&["image", "prune", "-a", "-f"]);
    (scene, server, name)
}

/// The files below `layers/` with their inode numbers: a file that is made again has another.
fn layer_files(scene: &Scene) -> Vec<(String, u64)> {
    let entries = fs::read_dir(scene.path("store/layers/v1")).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), entry.metadata().map_or(0, |found| found.ino()))
    };
    let mut files: Vec<(String, u64)> = entries.map(file).collect();
    files.sort();
    files
}

/// What is ready. A part that could not be removed stays until a collection.
fn names(files: &[(String, u64)]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).filter(|name| !name.ends_with(".part")).collect()
}

#[test]
fn the_layers_are_ready_when_the_pull_is_done() {
    let (scene, _server, name) = published();
    let output = scene.dhow(&["pull", "-q", "--unpack", &name]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let ready = layer_files(&scene);
    assert_eq!(ready.len(), 4);
    assert_eq!(ready.iter().filter(|(name, _)| name.ends_with(".chain.erofs")).count(), 2);
    assert_eq!(scene.must(&["cat", &format!("{name}:/etc/shadow")]), "root");
    assert_eq!(scene.must(&["cat", &format!("{name}:/etc/implied")]), "its directory is below");
    assert_eq!(layer_files(&scene), ready, "reading needs nothing more");

    // What is there is not made again; what is missing is.
    scene.must(&["pull", "-q", "--unpack", &name]);
    assert_eq!(layer_files(&scene), ready);
    remove(&scene.path("store/layers/v1").join(&ready[0].0));
    scene.must(&["pull", "-q", "--unpack", "--policy", "missing", &name]);
    assert_eq!(names(&layer_files(&scene)), names(&ready));

    scene.must(&["rmi", &name]);
    assert_eq!(layer_files(&scene), []);
    scene.must(&["pull", "-q", &name]);
    assert_eq!(layer_files(&scene), [], "without --unpack nothing is");
    assert_snapshot!(scene.dhow(&["pull", "--stored", "--unpack", &name]), @r"
    exit 1
    [err]
    --stored and --unpack can't be used together
    ");
}

#[test]
fn a_load_makes_the_layers_ready_too() {
    let (scene, _server, name) = published();
    let archive = scene.path("stack.tar");
    let load = |unpack: &str| scene.dhow(&["load", "-q", unpack, "-i", archive.to_str().expect("a path")]);
    let loaded = load("--unpack");
    assert_eq!((loaded.code, loaded.stderr.as_str()), (0, ""), "{loaded}");
    let ready = layer_files(&scene);
    assert_eq!(ready.len(), 4);
    assert_eq!(scene.must(&["cat", "acme/stack:1:/etc/shadow"]), "root");
    assert_eq!(layer_files(&scene), ready, "reading needs nothing more");
    scene.must(&["pull", "-q", "--unpack", &name]);
    assert_eq!(layer_files(&scene), ready, "the same layers, wherever they come from");
    assert_eq!(load("--unpack=tree").code, 0);
    assert_eq!(trees(&scene).len(), 1);
    assert_snapshot!(load("--unpack=files"), @r#"
    exit 1
    [err]
    cannot unpack to "files": choose "layers" or "tree"
    "#);
}

/// Wherever it dies, fails or finds the disk full, the next run is right and leaves nothing behind.
#[test]
fn it_can_end_anywhere() {
    let (scene, _server, name) = published();
    let words = ["pull", "-q", "--unpack", name.as_str()];
    scene.must(&words);
    let whole: Vec<String> = layer_files(&scene).into_iter().map(|(name, _)| name).collect();
    for point in ["fs.write_at", "fs.flush.file", "fs.rename", "fs.remove", "fs.sync_dir"] {
        for action in ["abort", "nospace"] {
            // Every third of the moments: each costs five commands.
            for skip in (0..).step_by(3) {
                scene.must(&["rmi", "-f", &name]);
                let armed = format!("{point}:{skip}={action}");
                let ended = scene.run(scene.command(&words).env("DHOW_FAULT", &armed));
                scene.must(&words);
                assert_eq!(names(&layer_files(&scene)), whole, "{armed}");
                assert_eq!(scene.must(&["cat", &format!("{name}:/etc/shadow")]), "root", "{armed}");
                scene.must(&["system", "check"]);
                // An early end is one of the program or an error; late ones only cost the cache a file.
                if ended.code == 0 && skip > 12 {
                    break;
                }
                assert!(skip < 200, "{armed} never passes");
            }
        }
    }
}

/// The trees in the store.
fn trees(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.path("store/layers/trees-v1")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Waits until nothing is left of removed trees: a process of its own removes them.
fn await_empty_trash(scene: &Scene) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let left = || {
        let entries = fs::read_dir(scene.path("store/trash")).expect("the trash").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("tree-")).count()
    };
    while left() > 0 {
        assert!(Instant::now() < deadline, "the trash is not emptied");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_plain_tree_is_shared_counted_and_removed() {
    let (scene, _server, name) = published();
    scene.must(&["pull", "-q", "--unpack=tree", &name]);
    assert_eq!(layer_files(&scene), [], "no layer files where files are wanted");
    let found = trees(&scene);
    let [tree] = found.as_slice() else { panic!("{found:?}") };
    let inode = |path: &str| fs::metadata(tree.join(path)).expect(path).ino();
    let content = |path: &str| fs::read_to_string(tree.join(path)).expect(path);
    assert_eq!(content("root/etc/implied"), "its directory is below");
    assert_eq!(content("root/etc/shadow"), "root");
    assert_eq!(inode("root/etc/shadow"), inode("root/etc/passwd"));
    let before = inode("root/etc/plain");
    scene.must(&["pull", "-q", "--unpack=tree", &name]);
    assert_eq!(inode("root/etc/plain"), before, "what is there is not made again");
    let parts = scene.must(&["system", "df", "--disk", "--format", "json"]);
    let layers = parts.lines().find(|line| line.contains("\"layers\"")).expect("a row");
    assert!(layers.contains("\"files\":6"), "{layers}");
    scene.must(&["system", "check"]);

    scene.must(&["rmi", &name]);
    assert_eq!(trees(&scene), [] as [PathBuf; 0]);
    await_empty_trash(&scene);
    assert_snapshot!(scene.dhow(&["pull", "--unpack=files", &name]), @r#"
    exit 1
    [err]
    cannot unpack to "files": choose "layers" or "tree"
    "#);
}

/// Wherever making a tree dies, the next run is right.
#[test]
fn a_tree_can_end_anywhere() {
    let (scene, _server, name) = published();
    let words = ["pull", "-q", "--unpack=tree", name.as_str()];
    for point in ["beneath.mkdir", "beneath.create", "beneath.link", "beneath.syncfs", "fs.rename", "fs.atomic.rename"]
    {
        for skip in (0..).step_by(2) {
            let armed = format!("{point}:{skip}=abort");
            let ended = scene.run(scene.command(&words).env("DHOW_FAULT", &armed));
            scene.must(&words);
            let found = trees(&scene);
            let [tree] = found.as_slice() else { panic!("{armed}: {found:?}") };
            assert_eq!(fs::read_to_string(tree.join("root/etc/shadow")).expect("a file"), "root", "{armed}");
            scene.must(&["rmi", "-f", &name]);
            assert_eq!(trees(&scene), [] as [PathBuf; 0], "{armed}");
            await_empty_trash(&scene);
            if ended.code == 0 {
                break;
            }
            assert!(skip < 100, "{armed} never passes");
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "takes a cache away on purpose")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove");
}
