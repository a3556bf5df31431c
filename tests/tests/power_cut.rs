//! The plug is pulled at every sync of every verb that writes: what was acknowledged is there when the power is back.
//!
//! After each cut the store must be clean (leftovers aside), and the interrupted command must succeed when it is run
//! again. `DHOW_TEST_TRACE=1` shows every command.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]
#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::path::Path;

use dhow_testkit::forgetful::Image;
use dhow_testkit::peers::available;
use dhow_tests::crash::{Dhow, Disk, Kind, Picture, Shelf, same_archive};
use tempfile::TempDir;

/// Three images that share their first layer.
struct Scene {
    folder: TempDir,
    kept: Picture,
    second: Picture,
    third: Picture,
}

impl Scene {
    fn paint() -> Self {
        let folder = TempDir::new().expect("a directory");
        let paint = |name, layers: &[(&str, usize)]| Picture::paint(folder.path(), name, layers);
        let kept = paint("kept:1", &[("shared", 70_000), ("kept", 9_000)]);
        let second = paint("second:1", &[("shared", 70_000), ("second", 40_000)]);
        let third = paint("third:1", &[("shared", 70_000), ("third", 300_000)]);
        Self { folder, kept, second, third }
    }
}

/// A command, and what it promises once it has exited with 0.
struct Act<'a> {
    words: Vec<&'a str>,
    /// Names that are there and complete whatever becomes of the command.
    untouched: &'a [&'a str],
    /// Names that are there and complete once it was acknowledged.
    made: &'a [&'a str],
    /// Names that are gone once it was acknowledged.
    gone: &'a [&'a str],
}

/// The bytes that `save` gives for a name.
fn saved(dhow: &Dhow, name: &str, folder: &Path) -> Option<Vec<u8>> {
    let path = folder.join("saved.tar");
    let _ = fs::remove_file(&path);
    let ran = dhow.run(&["save", "-o", path.to_str().expect("a path in UTF-8"), name]);
    ran.is_acknowledged().then(|| fs::read(&path).expect("the saved archive"))
}

struct Trial<'a> {
    disk: Disk,
    act: &'a Act<'a>,
    folder: &'a Path,
    /// What `save` gives for each name when nothing went wrong.
    expected: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Trial<'a> {
    fn new(disk: Disk, base: &Image, act: &'a Act<'a>, folder: &'a Path) -> Self {
        let attached = disk.attach(base);
        let dhow = attached.dhow();
        dhow.must(&act.words);
        dhow.must_be_clean("undisturbed");
        for name in act.gone {
            assert!(saved(&dhow, name, folder).is_none(), "{name} is still there");
        }
        let bytes = |name: &&'a str| (*name, saved(&dhow, name, folder).expect("an undisturbed image"));
        let expected = act.untouched.iter().chain(act.made).map(bytes).collect();
        Self { disk, act, folder, expected }
    }

    fn assert_same(&self, dhow: &Dhow, name: &str, what: &str) {
        let (_, expected) = self.expected.iter().find(|(known, _)| *known == name).expect("an expected name");
        let found = saved(dhow, name, self.folder).unwrap_or_else(|| panic!("{what}: {name} is lost"));
        if found != *expected {
            let path = self.folder.join("expected.tar");
            fs::write(&path, expected).expect("a scratch file");
            assert_eq!(same_archive(&self.folder.join("saved.tar")), same_archive(&path), "{what}: {name}");
            panic!("{what}: {name} is saved as other bytes");
        }
    }

    fn assert_done(&self, dhow: &Dhow, what: &str) {
        for name in self.act.made {
            self.assert_same(dhow, name, what);
        }
        for name in self.act.gone {
            assert!(saved(dhow, name, self.folder).is_none(), "{what}: {name} is back");
        }
    }

    /// Switches the disk on again and looks; with `mend`, after leftovers were cleared away.
    fn look(&self, image: &Image, acknowledged: bool, mend: bool, what: &str) {
        let attached = self.disk.attach(image);
        let dhow = attached.dhow();
        dhow.must_be_clean(what);
        if mend {
            dhow.must(&["system", "check", "--repair"]);
            dhow.must_be_clean(&format!("{what}, after the repair"));
        }
        for name in self.act.untouched {
            self.assert_same(&dhow, name, what);
        }
        if acknowledged {
            self.assert_done(&dhow, what);
        }
        let again = dhow.run(&self.act.words);
        let done_already = !self.act.gone.is_empty();
        assert!(again.is_acknowledged() || done_already, "{what}, run again: {}", again.told());
        self.assert_done(&dhow, &format!("{what}, run again"));
        dhow.must_be_clean(&format!("{what}, run again"));
    }
}

/// Cuts the power at the first sync, the second, and so on, until the command gets through; then right behind it.
fn cut_at_every_sync(disk: Disk, base: &Image, act: &Act<'_>, folder: &Path) {
    let trial = Trial::new(disk, base, act, folder);
    for n in 1.. {
        let attached = disk.attach(base);
        attached.cut_at(n);
        let ran = attached.dhow().run(&act.words);
        let reached = attached.is_cut();
        for unsynced in disk.fates(n) {
            let what = format!(
                "`{}` ended with {}, power cut at sync {n} (after {}), {unsynced:?}",
                ran.words,
                ran.status,
                attached.sync_log(),
            );
            trial.look(&attached.cut(unsynced), ran.is_acknowledged(), n % 2 == 0, &what);
        }
        if !reached {
            assert!(ran.is_acknowledged(), "{}", ran.told());
            println!("{disk:?} {}: {} syncs: {}", ran.words, n - 1, attached.sync_log());
            return;
        }
    }
}

fn prepared(disk: Disk, archives: &[&Picture]) -> Image {
    let attached = disk.attach(&disk.blank());
    for picture in archives {
        attached.dhow().must(&["load", "-i", picture.archive_path()]);
    }
    attached.shut_down()
}

/// Runs `test` on both kinds of disk.
fn on_disks(test: impl Fn(Disk, &Scene)) {
    let scene = Scene::paint();
    for kind in [Kind::Posix, Kind::Ext4] {
        if let Some(disk) = available(Disk::possible(kind)) {
            test(disk, &scene);
        }
    }
}

#[test]
fn load_into_a_store_that_is_not_there_yet() {
    on_disks(|disk, scene| {
        let words = vec!["load", "-i", scene.kept.archive_path()];
        let act = Act { words, untouched: &[], made: &["kept:1"], gone: &[] };
        cut_at_every_sync(disk, &disk.blank(), &act, scene.folder.path());
    });
}

#[test]
fn load_beside_what_is_there() {
    on_disks(|disk, scene| {
        let words = vec!["load", "-i", scene.third.archive_path()];
        let act = Act { words, untouched: &["kept:1"], made: &["third:1"], gone: &[] };
        cut_at_every_sync(disk, &prepared(disk, &[&scene.kept]), &act, scene.folder.path());
    });
}

#[test]
fn pull_beside_what_is_there() {
    on_disks(|disk, scene| {
        let shelf = Shelf::open(&[&scene.third]);
        let name = shelf.name("third:1");
        let act = Act { words: vec!["pull", "-q", &name], untouched: &["kept:1"], made: &[&name], gone: &[] };
        cut_at_every_sync(disk, &prepared(disk, &[&scene.kept]), &act, scene.folder.path());
    });
}

#[test]
fn a_new_tag() {
    on_disks(|disk, scene| {
        let words = vec!["tag", "second:1", "second:2"];
        let act = Act { words, untouched: &["kept:1", "second:1"], made: &["second:2"], gone: &[] };
        cut_at_every_sync(disk, &prepared(disk, &[&scene.kept, &scene.second]), &act, scene.folder.path());
    });
}

#[test]
fn a_tag_that_moves() {
    on_disks(|disk, scene| {
        let words = vec!["tag", "second:1", "kept:1"];
        let act = Act { words, untouched: &["second:1"], made: &["kept:1"], gone: &[] };
        cut_at_every_sync(disk, &prepared(disk, &[&scene.kept, &scene.second]), &act, scene.folder.path());
    });
}

#[test]
fn rmi_of_an_image_that_shares_a_layer() {
    on_disks(|disk, scene| {
        let act = Act { words: vec!["rmi", "second:1"], untouched: &["kept:1"], made: &[], gone: &["second:1"] };
        cut_at_every_sync(disk, &prepared(disk, &[&scene.kept, &scene.second]), &act, scene.folder.path());
    });
}

#[test]
fn prune_of_an_image_that_lost_its_name() {
    on_disks(|disk, scene| {
        let base = prepared(disk, &[&scene.kept, &scene.second]);
        let attached = disk.attach(&base);
        attached.dhow().must(&["tag", "second:1", "kept:1"]);
        let base = attached.shut_down();
        let act = Act { words: vec!["image", "prune", "-f"], untouched: &["second:1", "kept:1"], made: &[], gone: &[] };
        cut_at_every_sync(disk, &base, &act, scene.folder.path());
    });
}
