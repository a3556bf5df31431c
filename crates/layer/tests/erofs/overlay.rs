//! Several layers: what hides what, and what is taken from below.

use dhow_base::Kind;
use dhow_layer::erofs::Union;

use crate::facts::of_union;
use crate::{Tar, converted, stacked};

fn paths(union: &Union<Vec<u8>>) -> Vec<String> {
    of_union(union).into_keys().map(|path| String::from_utf8_lossy(&path).into_owned()).collect()
}

fn data(union: &Union<Vec<u8>>, path: &str) -> Vec<u8> {
    let node = union.find_exactly(path.as_bytes()).expect("read").expect("there");
    let mut data = vec![0; usize::try_from(node.inode().size).expect("small")];
    let read = union.read(&node, &mut data, 0).expect("read");
    data.truncate(read);
    data
}

fn base() -> Vec<u8> {
    Tar::new()
        .entry(b'5', "etc", "", b"", |header| header.set_mode(0o700))
        .file("etc/a", b"low a")
        .file("etc/b", b"low b")
        .directory("opt")
        .directory("opt/sub")
        .file("opt/sub/x", b"x")
        .finish()
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() {
    let upper = Tar::new()
        .directory("etc")
        .file("etc/.wh.a", b"")
        .directory("opt")
        .file("opt/.wh..wh..opq", b"")
        .directory("opt/new")
        .finish();
    let union = stacked(&[base(), upper]);
    assert_eq!(paths(&union), ["etc", "etc/b", "opt", "opt/new"]);
    // The same name removed and made again, in either order.
    for first in [true, false] {
        let tar = Tar::new().directory("opt");
        let tar = if first { tar.file("opt/.wh.sub", b"") } else { tar };
        let tar = tar.directory("opt/sub").file("opt/sub/y", b"y");
        let tar = if first { tar } else { tar.file("opt/.wh.sub", b"") };
        assert_eq!(paths(&stacked(&[base(), tar.finish()]))[3..], ["opt", "opt/sub", "opt/sub/y"]);
    }
    // A file in the place of a directory, and above it a directory again.
    let file = Tar::new().file("opt", b"now a file").finish();
    let directory = Tar::new().directory("opt").file("opt/z", b"").finish();
    assert_eq!(paths(&stacked(&[base(), file.clone()]))[3..], ["opt"]);
    assert_eq!(paths(&stacked(&[base(), file, directory]))[3..], ["opt", "opt/z"]);
}

#[test]
fn what_overlayfs_would_act_on_does_not_come_from_layers() {
    let upper = Tar::new()
        .xattrs(&[("trusted.overlay.redirect", b"/etc"), ("user.overlay.redirect", b"/etc"), ("user.mine", b"1")])
        .directory("opt")
        .finish();
    let union = stacked(&[base(), upper]);
    let tree = of_union(&union);
    let names: Vec<&String> = tree[&b"opt"[..]].xattrs.keys().collect();
    assert_eq!(names, ["user.mine"]);
}

#[test]
fn implied_directories_are_as_below() {
    let upper = Tar::new().file("etc/c", b"new").file("made/up/d", b"new").finish();
    let (_, converted) = converted(&upper, &()).expect("alone");
    assert!(converted.summary.needs_below);
    let tree = of_union(&stacked(&[base(), upper]));
    assert_eq!(tree[&b"etc"[..]].mode, 0o40_700);
    assert_eq!(tree[&b"made/up"[..]].mode, 0o40_755);
    // Nothing but the root is implied by most layers: that makes them no different.
    let named = Tar::new().directory("etc").file("etc/c", b"new").finish();
    assert!(!crate::converted(&named, &()).expect("alone").1.summary.needs_below);
}

#[test]
fn a_hard_link_to_a_file_below_copies_it_and_is_the_same_file() {
    let upper = Tar::new().directory("opt").hard_link("opt/a", "etc/a").hard_link("opt/again", "etc/a").finish();
    let union = stacked(&[base(), upper.clone()]);
    let tree = of_union(&union);
    for path in ["opt/a", "opt/again", "etc/a"] {
        assert_eq!(data(&union, path), b"low a");
        let facts = &tree[path.as_bytes()];
        assert_eq!((facts.links, facts.same_as.as_slice()), (3, &b"etc/a"[..]));
    }
    let error = converted(&upper, &()).expect_err("nothing below");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("\"opt/a\": the target of the hard link, \"etc/a\", does not exist"), "{error}");
}

#[test]
fn what_a_hard_link_takes_from_below_is_hidden_by_what_stands_behind_it() {
    let linked = || Tar::new().hard_link("k", "etc/a");
    let hiding: [(Tar, &[&str]); 4] = [
        (linked().file("etc/.wh.a", b""), &["etc", "etc/b", "k"]),
        (linked().file("etc/.wh..wh..opq", b""), &["etc", "k"]),
        (linked().file("etc/a/x", b""), &["etc", "etc/a", "etc/a/x", "etc/b", "k"]),
        (linked().file("etc/n", b"").file(".wh.etc", b""), &["etc", "etc/n", "k"]),
    ];
    for (upper, expected) in hiding {
        let union = stacked(&[base(), upper.finish()]);
        let found = paths(&union).into_iter().filter(|path| !path.starts_with("opt")).collect::<Vec<_>>();
        assert_eq!(found, expected);
        assert_eq!((data(&union, "k"), of_union(&union)[&b"k"[..]].links), (b"low a".to_vec(), 1));
    }
    // What the layer names itself stays.
    for upper in [linked().file("etc/a", b"own"), linked().hard_link("etc/a", "etc/a")] {
        let union = stacked(&[base(), upper.file("etc/.wh.a", b"").finish()]);
        assert!(paths(&union).contains(&"etc/a".to_owned()));
    }
}

#[test]
fn later_entries_take_the_place_of_earlier_ones() {
    let tar = Tar::new()
        .file("a", b"first")
        .hard_link("b", "a")
        .file("a", b"second")
        .directory("d")
        .file("d/x", b"")
        .file("d", b"a file")
        .symlink("s", "a")
        .finish();
    let union = stacked(&[tar]);
    assert_eq!(paths(&union), ["a", "b", "d", "s"]);
    assert_eq!(
        (data(&union, "a"), data(&union, "b"), data(&union, "d")),
        (b"second".into(), b"first".into(), b"a file".into())
    );
    assert_eq!(of_union(&union)[&b"b"[..]].links, 1);
    // Its entry says 0644.
    assert_eq!(of_union(&union)[&b"s"[..]].mode, 0o120_777);
}

#[test]
fn entries_go_through_links_of_their_own_layer() {
    let long = "x/../".repeat(150) + "../../usr/lib";
    let tar = Tar::new()
        .symlink("lib", "usr/lib")
        .file("lib/a", b"")
        .symlink("out", &long)
        .file("out/b", b"")
        .symlink("absolute", "/lib")
        .file("absolute/c", b"");
    let union = stacked(&[tar.finish()]);
    assert_eq!(paths(&union), ["absolute", "lib", "out", "usr", "usr/lib", "usr/lib/a", "usr/lib/b", "usr/lib/c", "x"]);
}

/// As docker and `unpack` have it: where `lib` leads to `usr/lib`, a file is found under both paths.
#[test]
fn targets_of_hard_links_go_through_links_of_their_own_layer() {
    let base = Tar::new().file("usr/lib/below", b"below").finish();
    let tar = Tar::new()
        .file("usr/lib/a", b"content")
        .symlink("lib", "usr/lib")
        .symlink("usr/up", "../../lib")
        .hard_link("usr/lib/b", "lib/a")
        .hard_link("usr/up/c", "usr/up/b")
        .hard_link("lib/a", "usr/lib/a")
        .hard_link("d", "lib/below");
    let union = stacked(&[base, tar.finish()]);
    assert_eq!(
        paths(&union),
        ["d", "lib", "usr", "usr/lib", "usr/lib/a", "usr/lib/b", "usr/lib/below", "usr/lib/c", "usr/up"]
    );
    assert_eq!(data(&union, "usr/lib/c"), b"content");
    assert_eq!(data(&union, "d"), b"below");
    assert_eq!(of_union(&union)[&b"usr/lib/a"[..]].links, 3);
}

/// As `unpack` has it: what this layer has not is looked for as a process would look.
#[test]
fn targets_of_hard_links_go_through_links_of_the_layers_below() {
    let base = || {
        let base =
            Tar::new().directory("usr").directory("usr/lib").file("usr/lib/a", b"below").file("usr/lib/b", b"old");
        base.symlink("usr/lib/c", "a")
            .symlink("lib", "/usr/lib")
            .symlink("up", "lib/../lib")
            .symlink("loop", "loop")
            .finish()
    };
    let found = |path: &str, upper: Tar| {
        let union = stacked(&[base(), upper.finish()]);
        let node = union.find_exactly(path.as_bytes()).expect("it reads").expect("it is there");
        let names = of_union(&union)[path.as_bytes()].links;
        (if node.inode().size < 4 { union.read_link(&node).unwrap_or_default() } else { data(&union, path) }, names)
    };
    assert_eq!(found("x", Tar::new().hard_link("x", "lib/a")), (b"below".to_vec(), 2));
    assert_eq!(found("usr/lib/x", Tar::new().hard_link("usr/lib/x", "up/a")), (b"below".to_vec(), 2));
    assert_eq!(found("x", Tar::new().symlink("over", "up").hard_link("x", "over/a")), (b"below".to_vec(), 2));
    assert_eq!(found("x", Tar::new().file("usr/lib/b", b"upper").hard_link("x", "lib/b")), (b"upper".to_vec(), 2));
    // The link itself is what the last name says.
    assert_eq!(found("x", Tar::new().hard_link("x", "lib/c")), (b"a".to_vec(), 2));
    let refused = |upper: Tar, cause: &str| {
        let below = stacked(&[base()]);
        let error = converted(&upper.finish(), &below).expect_err("nothing there").to_string();
        assert!(error.contains(cause), "{error}");
    };
    // What this layer has in the place of the link hides it.
    refused(Tar::new().file("lib/x", b"").hard_link("x", "lib/a"), "does not exist");
    refused(Tar::new().file(".wh.lib", b"").hard_link("x", "lib/a"), "does not exist");
    refused(Tar::new().file("usr/lib/.wh.a", b"").hard_link("x", "lib/a"), "was removed");
    refused(Tar::new().file("usr/.wh..wh..opq", b"").hard_link("x", "lib/a"), "does not exist");
    refused(Tar::new().file(".wh..wh..opq", b"").hard_link("x", "lib/a"), "does not exist");
    refused(Tar::new().hard_link("x", "usr"), "does not exist");
    refused(Tar::new().hard_link("x", "loop/a"), "one symbolic link too many");
}

/// As `unpack` has it.
#[test]
fn entries_hide_links_of_lower_layers_in_the_place_of_their_directories() {
    let base = Tar::new().directory("usr").directory("usr/lib").symlink("lib", "usr/lib").symlink("gone", "nowhere");
    let upper = Tar::new().file("lib/y", b"").symlink("a", "x/../lib").file("a/z", b"").file("gone/.wh.b", b"");
    let union = stacked(&[base.finish(), upper.finish()]);
    assert_eq!(paths(&union), ["a", "gone", "lib", "lib/y", "lib/z", "usr", "usr/lib", "x"]);
}

#[test]
fn links_are_followed_inside_of_the_root_only() {
    let tar = Tar::new()
        .directory("usr")
        .directory("usr/lib")
        .file("usr/lib/x", b"found")
        .symlink("lib", "usr/lib")
        .symlink("usr/up", "../../../../lib")
        .symlink("absolute", "/usr/up/x")
        .symlink("round", "round")
        .symlink("nowhere", "/does/not/exist")
        .finish();
    let union = stacked(&[tar]);
    let resolve = |path: &str, follow| {
        let found = union.resolve(path.as_bytes(), follow).map(|found| found.map(|(path, _)| path));
        found.map(|path| path.map(|path| String::from_utf8_lossy(&path).into_owned()))
    };
    let check = |path: &str, follow, expected: Option<&str>| {
        assert_eq!(resolve(path, follow).expect("no error").as_deref(), expected, "{path}");
    };
    check("/", true, Some(""));
    check("lib/x", true, Some("usr/lib/x"));
    check("absolute", true, Some("usr/lib/x"));
    check("absolute", false, Some("absolute"));
    check("../../lib", false, Some("lib"));
    check("lib/", false, Some("usr/lib"));
    check("usr/lib/x/", true, None);
    check("usr/lib/x/y", true, None);
    check("nowhere", true, None);
    assert_eq!(resolve("round", true).map_err(|error| error.kind()), Err(Kind::Invalid));
}
