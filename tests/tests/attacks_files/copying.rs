//! `cp`, `cat` and mounts of containers: where links lead.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dhow_base::beneath::Dir;
use dhow_testkit::peers;
use dhow_tests::scene::Scene;

/// Swaps that there are at least, for each second that the test is to run.
const SWAPS_MIN: u64 = 10_000;

/// A layer: a name that ends with `/` is a directory, `a -> b` a symbolic link, else a file with its name in it.
pub(crate) fn layer(names: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(0);
        match (name.split_once(" -> "), name.ends_with('/')) {
            (Some((name, target)), _) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, name, target).expect("append");
            }
            (None, true) => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, name, &b""[..]).expect("append");
            }
            (None, false) => {
                header.set_size(name.len() as u64);
                builder.append_data(&mut header, name, name.as_bytes()).expect("append");
            }
        }
    }
    builder.into_inner().expect("a tar")
}

/// Makes an image of such a layer.
pub(crate) fn import(scene: &Scene, name: &str, names: &[&str]) {
    fs::write(scene.path("attack.tar"), layer(names)).expect("an archive");
    scene.must(&["import", "attack.tar", name]);
}

/// A directory with a file that nobody may touch.
struct Outside(PathBuf);

impl Outside {
    fn new(scene: &Scene) -> Self {
        let folder = scene.path("outside");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("victim"), "untouched").expect("a file");
        fs::set_permissions(folder.join("victim"), fs::Permissions::from_mode(0o640)).expect("a mode");
        Self(folder)
    }

    /// All that there is to know of it, the time of the last change of anything included.
    fn state(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder").map(|entry| entry.expect("an entry").path());
        let mut state: Vec<String> = entries.chain([self.0.clone()]).map(|path| told(&path)).collect();
        state.sort();
        state
    }
}

fn told(path: &Path) -> String {
    let found = path.symlink_metadata().expect("metadata");
    let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
    let content = fs::read_to_string(path).unwrap_or_default();
    format!("{path:?} {:o} {}:{} {} {times:?} {content}", found.mode(), found.uid(), found.gid(), found.nlink())
}

/// CVE-2018-15664 in `cp`: while files are copied, directories on their way turn into links to the outside and back, ten thousand
/// times a second and more.
#[test]
fn cve_2018_15664_links_that_appear_during_cp() {
    let seconds = std::env::var("DHOW_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let scene = Scene::new();
    let outside = Outside::new(&scene);
    let files: Vec<String> =
        (0..200).flat_map(|number| [format!("tree/d/f{number}"), format!("tree/d/e/victim{number}")]).collect();
    let mut names = vec!["tree/", "tree/d/", "tree/d/e/", "tree/d/e/victim", "tree/d/victim"];
    names.extend(files.iter().map(String::as_str));
    import(&scene, "acme/tree:1", &names);
    let target = scene.path("target");
    fs::create_dir_all(target.join("d/e")).expect("directories");
    symlink(&outside.0, target.join("evil")).expect("a link");
    symlink(&outside.0, target.join("d/evil")).expect("a link");
    let before = outside.state();
    scene.must(&["cat", "acme/tree:1:/tree/d/victim"]);
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut done, mut refused) = (0_u64, 0_u64);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let top = Dir::open(&target).expect("the target");
            let exchange = |dir: &Dir, a: &str| {
                if dir.exchange(a.as_ref(), "evil".as_ref()).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            };
            while !stop.load(Ordering::Relaxed) {
                // By descriptors: `d` may be the link now.
                let dir = top.child("d".as_ref());
                for _ in 0..100 {
                    exchange(&top, "d");
                    exchange(&top, "d");
                    if let Ok(dir) = &dir {
                        exchange(dir, "e");
                        exchange(dir, "e");
                    }
                }
            }
        });
        // A busy machine takes longer for as many swaps.
        let is_enough = |tried: u64| tried >= 5 && swaps.load(Ordering::Relaxed) >= SWAPS_MIN * seconds;
        while began.elapsed() < Duration::from_secs(seconds)
            || !is_enough(done + refused) && began.elapsed() < Duration::from_secs(20 * seconds)
        {
            match scene.dhow(&["cp", "acme/tree:1:/tree/.", "target"]).code {
                0 => done += 1,
                _ => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let swaps = swaps.load(Ordering::Relaxed);
    let rate = swaps as f64 / began.elapsed().as_secs_f64();
    eprintln!("{rate:.0} swaps a second; {done} copies went through, {refused} were refused");
    assert!(done + refused > 0 && swaps >= SWAPS_MIN * seconds, "{swaps} swaps, {done} copies, {refused} refused");
    assert_eq!(outside.state(), before, "something outside was touched");
    let left = fs::read_dir(&target).expect("the target").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".dhow-cp-")).collect();
    assert!(left.is_empty(), "{left:?} is left");
}

/// CVE-2021-41089: rights of files of this machine changed by what is copied over links to them.
#[test]
fn cve_2021_41089_rights_through_links() {
    let scene = Scene::new();
    let outside = Outside::new(&scene);
    let victim = outside.0.to_str().expect("a path");
    import(
        &scene,
        "acme/tree:1",
        &["tree/", "tree/d/", "tree/d/victim", "tree/victim", &format!("tree/l -> {victim}")],
    );
    let target = scene.path("target");
    fs::create_dir(&target).expect("a folder");
    symlink(outside.0.join("victim"), target.join("victim")).expect("a link");
    let before = outside.state();
    // A link on this machine is replaced, and one that comes along only stored.
    scene.must(&["cp", "acme/tree:1:/tree/victim", "target"]);
    assert!(target.join("victim").symlink_metadata().expect("a file").is_file());
    scene.must(&["cp", "acme/tree:1:/tree/.", "target"]);
    assert!(target.join("l").symlink_metadata().expect("a link").is_symlink());
    // A second copy meets the link where the first had none.
    fs::remove_dir_all(target.join("d")).expect("removed");
    symlink(&outside.0, target.join("d")).expect("a link");
    let again = scene.dhow(&["cp", "acme/tree:1:/tree/.", "target"]);
    assert_ne!(again.code, 0, "{again}");
    assert_eq!(outside.state(), before);
}

/// CVE-2019-10152 and CVE-2019-18466: links of an image that were looked up on this machine.
#[test]
fn cve_2019_18466_links_of_the_image_lead_inside_of_it() {
    let scene = Scene::new();
    let outside = Outside::new(&scene);
    let folder = outside.0.to_str().expect("a path").to_owned();
    let up = format!("up -> {}{}", "../".repeat(20), folder.trim_start_matches('/'));
    import(&scene, "acme/links:1", &["etc/", &format!("l -> {folder}"), &up, &format!("v -> {folder}/victim")]);
    let before = outside.state();
    for place in ["/l/victim", "/up/victim", "/v"] {
        let place = format!("acme/links:1:{place}");
        for words in [&["cat", &place][..], &["cp", "-L", &place, "got"], &["ls", &format!("{place}/")]] {
            let said = scene.dhow(words);
            assert!(said.code != 0 && !said.stdout.contains("untouched"), "{words:?}: {said}");
        }
    }
    assert!(!scene.path("got").exists());
    // Into a container's own files, with the same name: CVE-2024-1753 and CVE-2026-41568, CVE-2026-42306 of mount points, and
    // CVE-2026-55686 of working directories.
    if peers::is_root() && fs::metadata("/bin/busybox").is_ok() {
        let busybox = fs::read("/bin/busybox").expect("a program");
        let mut archive = layer(&["bin/", &format!("l -> {folder}"), &up]);
        archive.truncate(archive.len() - 1024);
        let mut program = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(busybox.len() as u64);
        program.append_data(&mut header, "bin/sh", &*busybox).expect("append");
        archive.extend(program.into_inner().expect("a tar"));
        fs::write(scene.path("box.tar"), archive).expect("an archive");
        scene.must(&["import", "box.tar", "acme/box:1"]);
        for words in [["-v", "data:/l/made"], ["-v", "data:/up/victim"], ["-w", "/l/new"], ["--tmpfs", "/l/tmp"]] {
            let said = scene.dhow(&[&["run", "--rm"], &words[..], &["acme/box:1", "sh", "-c", "exit 0"]].concat());
            assert_eq!(outside.state(), before, "{words:?}: {said}");
        }
    }
    assert_eq!(outside.state(), before);
}
