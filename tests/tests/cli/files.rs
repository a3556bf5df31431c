//! `ls`, `cat`, `cp` and `diff`: files of images, without a container.

use std::fs;

use dhow_testkit::images::{Compression, Format, Layer, Layout, Recipe, pseudo_random};
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

/// One entry of a layer.
pub(crate) enum Entry<'a> {
    Directory(&'a str, u32),
    File(&'a str, &'a [u8]),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
}

pub(crate) fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(0o644);
        header.set_size(0);
        let appended = match entry {
            Entry::Directory(path, mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                builder.append_data(&mut header, path, &b""[..])
            }
            Entry::File(path, data) => {
                header.set_size(data.len() as u64);
                builder.append_data(&mut header, path, *data)
            }
            Entry::Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, path, target)
            }
            Entry::HardLink(path, target) => {
                header.set_entry_type(tar::EntryType::Link);
                builder.append_link(&mut header, path, target)
            }
        };
        appended.expect("append");
    }
    builder.into_inner().expect("finish")
}

/// An image of two layers; the second changes, adds and removes.
pub(crate) fn load(scene: &Scene, name: &str) {
    let base = tar_of(&[
        Entry::Directory("etc", 0o755),
        Entry::File("etc/passwd", b"root:x:0:0\n"),
        Entry::File("etc/old", b"old"),
        Entry::Directory("usr", 0o755),
        Entry::Directory("usr/lib", 0o755),
        Entry::File("usr/lib/x", b"library"),
        Entry::HardLink("usr/lib/y", "usr/lib/x"),
        Entry::Link("lib", "usr/lib"),
        Entry::Link("escape", "/../../../../etc/passwd"),
        Entry::Directory("tmp", 0o1777),
    ]);
    let top = tar_of(&[
        Entry::Directory("etc", 0o755),
        Entry::File("etc/passwd", b"root:x:0:0\nuser:x:1:1\n"),
        Entry::File("etc/.wh.old", b""),
        Entry::File("etc/new", b"new"),
    ]);
    load_layers(scene, name, &[base, top]);
}

/// An image of these layers, the lowest first.
pub(crate) fn load_layers(scene: &Scene, name: &str, layers: &[Vec<u8>]) {
    let mut layout = Layout::create(&scene.path("layout")).expect("a layout");
    let layers = layers.iter().map(|tar| layout.layer(&**tar, Format::Oci, Compression::Gzip).expect("a layer"));
    let layers: Vec<_> = layers.collect();
    let recipe = Recipe { architecture: "amd64".to_owned(), ..Recipe::default() };
    let image = layout.image(&layers, &recipe).expect("an image");
    layout.name_images([(&image, name)]).expect("names");
    layout.archive(&scene.path("layout.tar")).expect("an archive");
    scene.must(&["load", "-i", "layout.tar"]);
}

#[test]
fn ls_shows_what_is_in_a_directory() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    assert_snapshot!(scene.must(&["ls", "acme/files:v1:/"]), @"
    escape
    etc
    lib
    tmp
    usr
    ");
    assert_snapshot!(scene.must(&["ls", "-l", "acme/files:v1:/"]), @"
    lrwxrwxrwx   1     0     0         23 2023-11-14 22:13:20 escape -> /../../../../etc/passwd
    drwxr-xr-x   2     0     0          0 2023-11-14 22:13:20 etc
    lrwxrwxrwx   1     0     0          7 2023-11-14 22:13:20 lib -> usr/lib
    drwxrwxrwt   2     0     0          0 2023-11-14 22:13:20 tmp
    drwxr-xr-x   3     0     0          0 2023-11-14 22:13:20 usr
    ");
    assert_snapshot!(scene.must(&["ls", "-R", "acme/files:v1:/lib"]), @"
    /usr/lib/x
    /usr/lib/y
    ");
    assert_snapshot!(scene.must(&["ls", "-d", "acme/files:v1:/etc"]), @"/etc");
    let failed = scene.dhow(&["ls", "acme/files:v1:/nope", "nope", "nope:/x"]);
    assert_snapshot!(failed.stderr, @r#"
    Could not find the file /nope in image acme/files:v1
    No such image: nope:latest
    No such image: nope:latest
    "#);
    assert_eq!(failed.code, 1);
    assert_eq!(scene.must(&["ls", "acme/files:v1"]), scene.must(&["ls", "acme/files:v1:/"]), "an image alone");
}

#[test]
fn cat_follows_links_inside_of_the_image_only() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    assert_eq!(scene.must(&["cat", "acme/files:v1:/escape"]), "root:x:0:0\nuser:x:1:1\n");
    assert_eq!(scene.must(&["cat", "acme/files:v1:/lib/x", "acme/files:v1:/etc/new"]), "librarynew");
    let failed = scene.dhow(&["cat", "acme/files:v1:/etc", "acme/files:v1:/etc/old"]);
    assert_snapshot!(failed.stderr, @"
    /etc in image acme/files:v1 is a directory
    Could not find the file /etc/old in image acme/files:v1
    ");
}

#[test]
fn diff_tells_what_the_last_layer_changed_and_how_two_images_differ() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    assert_snapshot!(scene.must(&["diff", "acme/files:v1"]), @"
    A       +3B /etc/new
    D       -3B /etc/old
    C      +11B /etc/passwd
    ");
    assert_eq!(scene.must(&["diff", "acme/files:v1", "acme/files:v1"]), "");
    scene.load("a", "docker.io/library/alpine:3.20");
    let differences = scene.must(&["diff", "--no-size", "acme/files:v1", "alpine:3.20"]);
    assert!(differences.contains("D /usr/lib/x\n") && differences.contains("A /etc/salt\n"), "{differences}");
}

/// A container's name ends at the first colon, as with docker; but who writes a tag means an image.
#[test]
fn a_tag_tells_an_image_from_a_container_of_its_name() {
    let scene = Scene::new();
    load(&scene, "docker.io/library/files:v1");
    scene.must(&["create", "--name", "files", "files:v1", "true"]);
    assert_eq!(scene.dhow(&["cp", "files:v1:/etc/new", "new"]).code, 0);
    assert_eq!(fs::read_to_string(scene.path("new")).expect("the copy"), "new");
    let told = scene.dhow(&["--compat", "docker", "cp", "files:v1:/etc/new", "other"]).stderr;
    assert_snapshot!(told, @"Error response from daemon: Could not find the file v1:/etc/new in container files");
}

#[test]
fn cp_has_docker_s_rules() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    let read = |path: &str| fs::read_to_string(scene.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let cp = |source: &str, target: &str| scene.dhow(&["cp", &format!("acme/files:v1:{source}"), target]);
    // A new name, a directory, a directory in it.
    assert_snapshot!(cp("/etc/passwd", "copy").stderr, @"Successfully copied 2.05kB to [FOLDER]/copy");
    assert_eq!(read("copy"), "root:x:0:0\nuser:x:1:1\n");
    fs::create_dir(scene.path("folder")).expect("folder");
    assert_eq!(cp("/etc", "folder").code, 0);
    assert_eq!(read("folder/etc/new"), "new");
    assert_eq!(cp("/etc/.", "folder").code, 0);
    assert_eq!(read("folder/new"), "new");
    assert_eq!(cp("/usr/lib", "fresh").code, 0);
    assert_eq!(read("fresh/y"), "library");
    // Links are copied as they are, or followed inside of the image.
    assert_eq!(cp("/escape", "link").code, 0);
    assert_eq!(fs::read_link(scene.path("link")).expect("a link").to_str(), Some("/../../../../etc/passwd"));
    assert_eq!(scene.dhow(&["cp", "-L", "acme/files:v1:/escape", "followed"]).code, 0);
    assert_eq!(read("followed"), "root:x:0:0\nuser:x:1:1\n");
    // The folder keeps what it is, files in it are replaced, and nothing is written through a link in it.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(scene.path("folder"), private).expect("rights");
    std::os::unix::fs::symlink("/nowhere", scene.path("folder/y")).expect("a link");
    assert_eq!(cp("/usr/lib/y", "folder").code, 0);
    let found = fs::metadata(scene.path("folder")).expect("the folder");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o7777, 0o700);
    assert_eq!(read("folder/y"), "library");
    let names: Vec<_> =
        fs::read_dir(scene.path("folder")).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_snapshot!(cp("/usr/lib", "folder/new").stderr, @r#"cannot copy directory: "folder/new" is a file"#);
    fs::create_dir(scene.path("folder/x")).expect("a folder");
    assert_snapshot!(cp("/usr/lib/.", "folder").stderr, @r#"cannot copy to "folder": cannot overwrite directory "x" with non-directory"#);
    // What does not fit.
    let stderr = |source, target| cp(source, target).stderr;
    assert_snapshot!(stderr("/etc", "copy"), @r#"cannot copy directory: "copy" is a file"#);
    assert_snapshot!(stderr("/etc/passwd", "nowhere/"), @r#"no such directory: "nowhere/""#);
    assert_snapshot!(stderr("/etc/passwd", "no/where"), @r#"invalid output path: directory "[FOLDER]/no" does not exist"#);
    assert_snapshot!(stderr("/nope", "x"), @"Could not find the file /nope in image acme/files:v1");
    assert_snapshot!(scene.dhow(&["cp", "copy", "acme/files:v1:/etc"]).stderr, @"an image does not change: copying into one is not supported");
}

#[test]
fn cp_writes_an_archive() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    let members = |who: &str, path: &str| -> Vec<String> {
        let output = scene
            .command_as(who, &["cp", &format!("docker.io/acme/files:v1:{path}"), "-"])
            .output()
            .expect("dhow runs");
        assert!(output.status.success());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        tar::Archive::new(&output.stdout[..])
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("entry");
                let link = entry.link_name_bytes().map(|link| format!(" = {}", text(&link)));
                format!("{}{}", text(&entry.path_bytes()), link.unwrap_or_default())
            })
            .collect()
    };
    assert_eq!(members("dhow", "/usr"), ["usr/", "usr/lib/", "usr/lib/x", "usr/lib/y = usr/lib/x"]);
    // As docker begins names: with the dot that was said, and with the root.
    assert_eq!(members("docker", "/usr/."), ["./", "./lib/", "./lib/x", "./lib/y = ./lib/x"]);
    assert_eq!(members("dhow", "/").first().map(String::as_str), Some("/"));
    assert_eq!(members("podman", "/usr/lib/."), ["x", "y = x"]);
}

#[test]
fn unpacked_layers_are_kept_counted_and_go_with_the_image() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    let count = |expected: usize| {
        let parts = scene.must(&["system", "df", "--disk", "--format", "json"]);
        let layers = parts.lines().find(|line| line.contains("\"layers\"")).expect("a row");
        assert!(layers.contains(&format!("\"files\":{expected},")), "{layers}");
    };
    // Outlines first, then whole files in their place.
    scene.must(&["ls", "-R", "acme/files:v1:/"]);
    count(2);
    assert!(layer_files(&scene).iter().all(|(name, _)| name.ends_with(".outline")), "{:?}", layer_files(&scene));
    whole(&scene);
    count(2);
    assert!(layer_files(&scene).iter().all(|(name, _)| name.ends_with(".erofs")), "{:?}", layer_files(&scene));
    scene.must(&["rmi", "acme/files:v1"]);
    count(0);
    load(&scene, "docker.io/acme/files:v1");
    scene.must(&["cat", "acme/files:v1:/usr/lib/x"]);
    count(2);
    scene.must(&["rmi", "acme/files:v1"]);
    count(0);
}

/// Has all layers of the image unpacked.
fn whole(scene: &Scene) -> Vec<u8> {
    let output = scene.command(&["cp", "acme/files:v1:/", "-"]).output().expect("dhow runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Files below `layers/`, with their lengths.
pub(crate) fn layer_files(scene: &Scene) -> Vec<(String, u64)> {
    let entries = fs::read_dir(scene.path("store/layers/v1")).into_iter().flatten().flatten();
    let mut files: Vec<(String, u64)> = entries
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), entry.metadata().map_or(0, |found| found.len()))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_damaged_layer_file_is_made_again() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    for read in [&["ls", "-R", "acme/files:v1:/"][..], &["export", "-o", "all.tar", "acme/files:v1"]] {
        let expected = scene.must(read);
        let before = layer_files(&scene);
        assert_eq!(before.len(), 2);
        for (name, length) in &before {
            let path = scene.path("store/layers/v1").join(name);
            let mut bytes = fs::read(&path).expect("a file");
            bytes[1100] ^= 1;
            damage(&path, &bytes);
            assert_eq!(bytes.len() as u64, *length);
        }
        assert_eq!(scene.must(read), expected);
        assert_eq!(layer_files(&scene), before);
    }
    assert_eq!(scene.must(&["cat", "acme/files:v1:/etc/new"]), "new");
}

#[allow(clippy::disallowed_methods, reason = "damages a file on purpose")]
fn damage(path: &std::path::Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("write");
}

/// Wherever unpacking dies, fails or finds the disk full, the next run is right and a prune leaves nothing behind.
#[test]
fn unpacking_can_end_anywhere() {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    for read in [&["ls", "-R", "acme/files:v1:/"][..], &["cp", "acme/files:v1:/", "-"]] {
        ends_anywhere(&scene, read);
    }
    let whole = layer_files(&scene);
    for part in [".part", ".outline.part"] {
        let part = format!("{}{part}", whole[0].0.trim_end_matches(".erofs"));
        damage(&scene.path("store/layers/v1").join(part), b"left by a crash");
    }
    scene.must(&["rmi", "acme/files:v1"]);
    assert_eq!(layer_files(&scene), []);
}

fn ends_anywhere(scene: &Scene, read: &[&str]) {
    let read_all = || {
        let output = scene.command(read).output().expect("dhow runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let expected = read_all();
    let made = layer_files(scene);
    assert_eq!(made.len(), 2);
    for point in ["fs.write_at", "fs.flush.file", "fs.rename"] {
        for action in ["abort", "error", "nospace"] {
            for skip in 0.. {
                for (name, _) in &made {
                    let _ = scene.path("store/layers/v1").join(name).exists().then(|| remove(scene, name));
                }
                let armed = format!("{point}:{skip}={action}");
                let ended = scene.run(scene.command(read).env("DHOW_FAULT", &armed));
                assert!(ended.code == 0 || ended.stdout.is_empty(), "{armed}: {ended}");
                assert_eq!(read_all(), expected, "{armed}");
                assert_eq!(layer_files(scene), made, "{armed}");
                if ended.code == 0 {
                    break;
                }
                assert!(skip < 100, "{armed} never passes");
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "takes a cache away on purpose")]
fn remove(scene: &Scene, name: &str) {
    fs::remove_file(scene.path("store/layers/v1").join(name)).expect("remove");
}

/// How long the files are that nobody asks for.
const LARGE_BYTES: usize = 512 << 10;

/// An image whose layers imply directories and hide files, each with much that nobody asks for.
fn load_large(scene: &Scene, name: &str) -> [Layer; 3] {
    let large = [0, 1, 2].map(|part| pseudo_random(&format!("part {part}"), LARGE_BYTES));
    let base = tar_of(&[
        Entry::Directory("etc", 0o750),
        Entry::Link("etc/os-release", "../usr/lib/os-release"),
        Entry::File("etc/large", &large[0]),
        Entry::File("etc/hosts", b"base\n"),
    ]);
    let middle = tar_of(&[Entry::File("usr/lib/os-release", b"NAME=x\n"), Entry::File("usr/lib/large", &large[1])]);
    let top = tar_of(&[Entry::File("etc/hosts", b"top\n"), Entry::File("srv/large", &large[2])]);
    let mut layout = Layout::create(&scene.path("large")).expect("a layout");
    let layers = [base, middle, top].map(|tar| layout.layer(&*tar, Format::Oci, Compression::Gzip).expect("a layer"));
    let recipe = Recipe { architecture: "amd64".to_owned(), ..Recipe::default() };
    let image = layout.image(&layers, &recipe).expect("an image");
    layout.name_images([(&image, name)]).expect("names");
    layout.archive(&scene.path("large.tar")).expect("an archive");
    scene.must(&["load", "-i", "large.tar"]);
    layers
}

/// Bytes on disk of what is below `layers/`.
fn layer_bytes(scene: &Scene) -> u64 {
    let entries = fs::read_dir(scene.path("store/layers/v1")).into_iter().flatten().flatten();
    entries.map(|entry| std::os::unix::fs::MetadataExt::blocks(&entry.metadata().expect("a file")) * 512).sum()
}

#[test]
fn a_file_is_read_without_unpacking_the_image() {
    let scene = Scene::new();
    let top_bytes = load_large(&scene, "docker.io/acme/large:v1")[2].uncompressed_size;
    let names = || layer_files(&scene).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let outlines = || names().iter().filter(|name| name.ends_with(".outline")).count();
    // A link into another layer; nothing but the names and the file is written.
    assert_eq!(scene.must(&["cat", "acme/large:v1:/etc/os-release"]), "NAME=x\n");
    assert_eq!((outlines(), names().len()), (3, 3));
    assert!(layer_bytes(&scene) < (3 * 64) << 10, "{} bytes", layer_bytes(&scene));
    // The second time there is nothing to do.
    let before = layer_files(&scene);
    assert_eq!(scene.must(&["cat", "acme/large:v1:/etc/os-release"]), "NAME=x\n");
    assert_eq!(layer_files(&scene), before);
    // The first content of a layer is kept alone; who asks again gets the layer, and no other.
    assert_eq!(scene.must(&["cat", "acme/large:v1:/etc/hosts"]), "top\n");
    assert!(layer_bytes(&scene) < (3 * 64) << 10, "{} bytes", layer_bytes(&scene));
    scene.must(&["cp", "acme/large:v1:/srv/large", "content"]);
    let bytes = layer_bytes(&scene);
    assert!((top_bytes / 2..top_bytes + (128 << 10)).contains(&bytes), "{bytes} bytes");
    // Listings, copies and differences are those of unpacked layers.
    let asked: [&[&str]; 4] = [
        &["ls", "-lR", "acme/large:v1:/"],
        &["cp", "acme/large:v1:/etc", "-"],
        &["cp", "acme/large:v1:/usr", "-"],
        &["diff", "acme/large:v1"],
    ];
    let answers = || {
        asked.map(|arguments| {
            let output = scene.command(arguments).output().expect("dhow runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        })
    };
    let from_outlines = answers();
    assert!(outlines() > 0, "{:?}", names());
    scene.must(&["cp", "acme/large:v1:/", "all"]);
    assert_eq!((outlines(), names().len()), (0, 3), "{:?}", names());
    assert!(answers() == from_outlines);
    assert_eq!(scene.must(&["cat", "acme/large:v1:/etc/hosts", "acme/large:v1:/etc/os-release"]), "top\nNAME=x\n");
}

#[test]
fn layers_below_one_that_settles_it_are_not_needed() {
    let scene = Scene::new();
    let layers = load_large(&scene, "docker.io/acme/large:v1");
    let outline = |number: usize| format!("{}.outline", layers[number].diff_id.replacen(':', "-", 1));
    let is_there = |number: usize| scene.path("store/layers/v1").join(outline(number)).exists();
    // With the topmost known, the others are not even opened: they are damaged here.
    scene.must(&["cat", "acme/large:v1:/srv/large"]);
    for number in [0, 1] {
        if is_there(number) {
            remove(&scene, &outline(number));
        }
        let digest = layers[number].blob.digest.replacen(':', "/", 1);
        damage(&scene.path("store/blobs").join(digest), b"damaged");
    }
    let found = scene.command(&["cat", "acme/large:v1:/srv/large"]).output().expect("dhow runs");
    assert!(found.status.success() && found.stdout.len() == LARGE_BYTES, "{}", String::from_utf8_lossy(&found.stderr));
    // Anything else needs them, and nothing of what they say is believed.
    let failed = scene.dhow(&["cat", "acme/large:v1:/usr/lib/os-release"]);
    assert!(failed.code == 1 && failed.stdout.is_empty() && failed.stderr.contains("layer sha256:"), "{failed}");
    assert!(!is_there(0) && !is_there(1));
}
