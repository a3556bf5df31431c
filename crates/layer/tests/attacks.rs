//! Attacks on unpacking that happened to others, each by its number in the list of attack cases and by its name; whatever
//! the layers say, nothing outside of the root is read, made, changed or removed.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dhow_base::beneath::Dir;
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{IdMap, Owners, Unpacker};
use dhow_layer::{Limits, uncompressed_digest};
use tar::{Builder, EntryType, Header};

/// What must come of an attack.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// An error that says this.
    Refused(&'static str),
    /// All is made, beneath the root: this path exists there.
    Contained(&'static str),
}

use Outcome::{Contained, Refused};

/// One attack: number, names, the layers, and what must come of it.
type Case = (u32, &'static str, Vec<Vec<u8>>, Outcome);

/// An entry with raw names: no check of the writer's stands between the attack and the reader.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn add(mut self, kind: EntryType, name: &str, target: &str, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o7777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(data.len() as u64);
        header.set_device_major(1).expect("a number");
        header.set_device_minor(if kind == EntryType::Char { 1 } else { 0 }).expect("a number");
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str) -> Self {
        self.add(EntryType::Regular, name, "", b"attack")
    }

    fn dir(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, target, b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name, target, b"")
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut builder = Builder::new(Vec::new());
        builder.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_bytes()))).expect("records");
        let mut bytes = builder.into_inner().expect("an archive");
        bytes.truncate(bytes.len() - 1024);
        Self([self.0, bytes].concat())
    }

    fn done(self) -> Vec<Vec<u8>> {
        vec![self.0]
    }
}

fn two(lower: Layer, upper: Layer) -> Vec<Vec<u8>> {
    vec![lower.0, upper.0]
}

/// The attacks; `outside` is the absolute path of a directory that none of them may touch.
fn cases(outside: &str) -> Vec<Case> {
    [paths(outside), layers(outside), owners_and_devices(outside)].into_iter().flatten().collect()
}

/// A path below `outside` as a member has it.
fn inside(outside: &str, path: &str) -> &'static str {
    Box::leak(format!("{}/{path}", outside.trim_start_matches('/')).into_boxed_str())
}

/// Cases 19 and 20: paths and links that lead out.
fn paths(outside: &str) -> Vec<Case> {
    let new = Layer::default;
    let up = format!("../..{outside}");
    let inside = |path: &str| inside(outside, path);
    vec![
        (19, "CVE-2014-9356: a path with ..", new().file("../escaped").done(), Refused("leads out of the root")),
        (19, "RUSTSEC-2018-0002: .. behind a directory", new().file("d/../../escaped").done(), Refused("leads out")),
        (19, "CVE-2014-9356: an absolute path", new().file(&format!("{outside}/new")).done(), Contained(inside("new"))),
        (
            19,
            "CVE-2014-6407: through an absolute symbolic link",
            new().symlink("l", outside).file("l/victim").done(),
            Contained(inside("victim")),
        ),
        (
            19,
            "RUSTSEC-2021-0080: a directory through a link",
            new().symlink("l", outside).dir("l/new").done(),
            Contained(inside("new")),
        ),
        (
            19,
            "CVE-2018-15664: a link to the root's parent",
            new().symlink("l", "../..").file("l/f").done(),
            Contained("f"),
        ),
        (
            19,
            "CVE-2014-9358: a hard link with ..",
            new().link("h", &format!("../../..{outside}/victim")).done(),
            Refused("leads out of the root"),
        ),
        (
            19,
            "CVE-2014-6407: a hard link through a link, then written through",
            new().symlink("l", outside).link("h", "l/victim").add(EntryType::Regular, "h", "", b"attack").done(),
            Refused("cannot open directory \"l\""),
        ),
        (
            19,
            "CVE-2014-6407: an absolute hard link",
            new().link("h", &format!("{outside}/victim")).done(),
            Refused("cannot open directory"),
        ),
        (
            19,
            "a hard link to a symbolic link",
            new().symlink("l", &format!("{outside}/victim")).link("h", "l").done(),
            Contained("h"),
        ),
        (
            19,
            "a file over a symbolic link",
            new().symlink("l", &format!("{outside}/victim")).file("l").done(),
            Contained("l"),
        ),
        (
            19,
            "a file over a hard link to a symbolic link",
            new().symlink("l", &format!("{outside}/victim")).link("h", "l").file("h").done(),
            Contained("h"),
        ),
        (
            20,
            "CVE-2021-29136: the root as a symbolic link",
            new().symlink(".", outside).file("victim").done(),
            Refused("the root can only be a directory"),
        ),
        (
            20,
            "CVE-2021-29136: the root as a file",
            new().file("./").done(),
            Refused("the root can only be a directory"),
        ),
        (
            20,
            "CVE-2021-32760: a directory over a symbolic link",
            new().symlink("l", outside).dir("l").done(),
            Contained("l"),
        ),
        (
            20,
            "CVE-2026-33056, RUSTSEC-2026-0067: the same from a lower layer",
            two(new().symlink("l", outside), new().dir("l").file("l/victim")),
            Contained("l/victim"),
        ),
        (
            20,
            "RUSTSEC-2026-0113: chmod through a link, upwards",
            new().symlink("l", &up).dir("l").done(),
            Contained("l"),
        ),
    ]
}

/// Cases 21 to 23: what one layer does to another.
fn layers(outside: &str) -> Vec<Case> {
    let new = Layer::default;
    let up = format!("../..{outside}");
    vec![
        (
            21,
            "CVE-2025-62518, RUSTSEC-2025-0110, RUSTSEC-2025-0111: PAX size against ustar size",
            new().pax(&[("size", "1024")]).add(EntryType::Regular, "outer", "", b"").file("../smuggled").done(),
            Contained("outer"),
        ),
        (
            21,
            "RUSTSEC-2026-0066, RUSTSEC-2026-0068: two PAX sizes",
            new().pax(&[("size", "0"), ("size", "512")]).file("f").done(),
            Refused("stated twice"),
        ),
        (
            21,
            "RUSTSEC-2026-0112: a negative PAX size",
            new().pax(&[("size", "-512")]).file("f").done(),
            Refused("malformed"),
        ),
        (
            21,
            "RUSTSEC-2026-0145: a PAX path that leads out",
            new().pax(&[("path", "../escaped")]).file("f").done(),
            Refused("leads out"),
        ),
        (
            21,
            "a PAX link target that leads out",
            new().pax(&[("linkpath", "../../escaped")]).link("h", "f").done(),
            Refused("leads out"),
        ),
        (
            22,
            "CVE-2025-47290: what is checked is replaced before use",
            two(new().dir("d").file("d/f"), new().symlink("d", outside).file("d/victim")),
            // Where the link leads if the root is `/`: engines that see a layer alone make the directories that lack.
            Contained(inside(outside, "victim")),
        ),
        (23, "a whiteout of the directory itself", new().file("d/.wh..").done(), Refused("does not name a file")),
        (23, "a whiteout of the directory above", new().file("d/.wh...").done(), Refused("does not name a file")),
        (23, "a whiteout of nothing", new().file(".wh.").done(), Refused("does not name a file")),
        (23, "AUFS's own names", new().file(".wh..wh.plnk/../../x").done(), Refused("leads out")),
        (
            23,
            "a whiteout through a symbolic link",
            two(new().symlink("l", outside), new().file("l/.wh.victim").file("f")),
            Contained("f"),
        ),
        (
            23,
            "an opaque directory through a symbolic link",
            two(new().symlink("l", outside), new().file("l/.wh..wh..opq").file("f")),
            Contained("f"),
        ),
        (
            23,
            "a whiteout through a link upwards",
            two(new().symlink("l", &up), new().file("l/.wh.victim").file("f")),
            Contained("f"),
        ),
        (23, "an opaque root", two(new().file("a"), new().file(".wh..wh..opq").file("f")), Contained("f")),
    ]
}

/// Cases 24, 25 and 32.
fn owners_and_devices(outside: &str) -> Vec<Case> {
    let new = Layer::default;
    vec![
        (
            24,
            "a sparse file of 2^63 bytes",
            new().pax(&[("GNU.sparse.size", "9223372036854775807"), ("GNU.sparse.map", "0,6")]).file("f").done(),
            Refused("exceeds the limit"),
        ),
        (
            24,
            "a million attributes",
            new().pax(&many_xattrs()).file("f").done(),
            Refused("the number of extended attributes exceeds"),
        ),
        (
            24,
            "names longer than any file system's",
            new().pax(&[("path", long_name())]).file("f").done(),
            Refused("longer than 255 bytes"),
        ),
        (
            24,
            "paths longer than any system call's",
            new().pax(&[("path", long_path())]).file("f").done(),
            Refused("longer than 4095 bytes"),
        ),
        (
            25,
            "CVE-2024-40635: a user ID beyond 32 bits",
            new().pax(&[("uid", "4294967296")]).file("f").done(),
            Refused("uid 4294967296 is out of range"),
        ),
        (
            25,
            "CVE-2026-46680: the user ID that means unchanged",
            new().pax(&[("gid", "4294967295")]).file("f").done(),
            Refused("out of range"),
        ),
        (
            25,
            "overlayfs attributes",
            new().pax(&[("SCHILY.xattr.trusted.overlay.redirect", "/etc")]).dir("d").done(),
            Contained("d"),
        ),
        (25, "a device of memory", new().add(EntryType::Char, "mem", "", b"").file("f").done(), Contained("f")),
        (
            32,
            "CVE-2026-41579: /dev as a symbolic link",
            new().symlink("dev", outside).add(EntryType::Char, "dev/victim", "", b"").done(),
            Contained("dev"),
        ),
        (
            32,
            "CVE-2026-47262: /etc/group as a symbolic link to a device",
            new().symlink("etc/group", "/dev/zero").done(),
            Contained("etc/group"),
        ),
    ]
}

/// Cases of the list whose proof stands elsewhere, or whose place is not built yet.
const ELSEWHERE: &[(u32, &str)] = &[
    (26, "zstd:chunked: tables of contents are never read; `frames_that_hide_content` below"),
    (27, "files of artifacts: tests/tests/cli/artifact.rs"),
    (28, "cp: tests/tests/attacks_files"),
    (29, "BuildKit: dhow has no build yet"),
    (30, "Buildah: dhow has no build yet"),
    (31, "git contexts: dhow has no build yet"),
    (33, "plugins and rights of the store: tests/tests/attacks_files"),
];

fn many_xattrs() -> Vec<(&'static str, &'static str)> {
    (0..1001).map(|number| (&*Box::leak(format!("SCHILY.xattr.user.{number}").into_boxed_str()), "")).collect()
}

fn long_name() -> &'static str {
    Box::leak("n".repeat(256).into_boxed_str())
}

fn long_path() -> &'static str {
    Box::leak("d/".repeat(3000).into_boxed_str())
}

/// A directory with a file that nobody may touch.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("victim"), "untouched").expect("a file");
        fs::set_permissions(folder.path().join("victim"), fs::Permissions::from_mode(0o640)).expect("a mode");
        Self(folder)
    }

    /// Everything about it, the time of the last change of anything included.
    fn state(&self) -> Vec<String> {
        let mut state: Vec<String> = fs::read_dir(self.0.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").path())
            .chain([self.0.path().to_owned()])
            .map(|path| {
                let found = path.symlink_metadata().expect("metadata");
                let (mode, links) = (found.mode(), found.nlink());
                let owner = (found.uid(), found.gid());
                let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
                format!(
                    "{path:?} {mode:o} {owner:?} {links} {times:?} {}",
                    fs::read_to_string(&path).unwrap_or_default()
                )
            })
            .collect();
        state.sort();
        state
    }
}

fn owners() -> Owners {
    let is_root = fs::metadata("/proc/self").expect("proc").uid() == 0;
    if is_root { Owners::Keep(IdMap::default()) } else { Owners::Caller }
}

fn unpack(root: &Path, layers: &[Vec<u8>]) -> Result<(), String> {
    let root = Dir::open(root).map_err(|error| error.to_string())?;
    let mut unpacker = Unpacker::new(root, owners()).map_err(|error| error.to_string())?;
    for layer in layers {
        unpacker.layer(&layer[..], "layer", TarLimits::LAYER).map_err(|error| error.to_string())?;
    }
    unpacker.finish().map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn nothing_outside_is_touched() {
    let outside = Outside::new();
    let before = outside.state();
    for (number, name, layers, outcome) in cases(outside.0.path().to_str().expect("UTF-8")) {
        let scratch = tempfile::tempdir().expect("a folder");
        let root = scratch.path().join("a/root");
        fs::create_dir_all(&root).expect("a root");
        let result = unpack(&root, &layers);
        match (&result, outcome) {
            (Err(error), Refused(expected)) => {
                assert!(error.contains(expected), "{number} {name}: {error:?} does not say {expected:?}");
                assert!(error.starts_with("layer: entry "), "{number} {name}: {error:?} names no entry");
            }
            (Ok(()), Contained(path)) => {
                assert!(root.join(path).symlink_metadata().is_ok(), "{number} {name}: {path:?} is missing");
            }
            _ => panic!("{number} {name}: {result:?}, not {outcome:?}"),
        }
        assert_eq!(outside.state(), before, "{number} {name}: something outside was touched");
        let above: Vec<_> = fs::read_dir(scratch.path().join("a")).expect("the folder").collect();
        assert_eq!(above.len(), 1, "{number} {name}: something beside the root was made");
    }
}

#[test]
fn every_case_of_the_list_is_here() {
    let here: BTreeSet<u32> = cases("/outside").iter().map(|(number, ..)| *number).collect();
    let elsewhere: BTreeSet<u32> = ELSEWHERE.iter().map(|(number, _)| *number).collect();
    assert!(here.is_disjoint(&elsewhere), "{:?}", here.intersection(&elsewhere));
    assert_eq!(here.union(&elsewhere).copied().collect::<Vec<_>>(), (19..=33).collect::<Vec<_>>());
}

/// Case 26, and what CVE-2024-29902, CVE-2024-29903, CVE-2017-14992 and RUSTSEC-2024-0400 are about: frames that a reader could skip, and bytes behind the end.
#[test]
fn frames_that_hide_content() {
    let layer = Layer::default().file("f").0;
    let table = b"{\"version\":1,\"entries\":[{\"type\":\"reg\",\"name\":\"other\"}]}";
    let mut packed = zstd::encode_all(&layer[..], 3).expect("a frame");
    packed.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18]);
    packed.extend_from_slice(&(table.len() as u32).to_le_bytes());
    packed.extend_from_slice(table);
    let plain = uncompressed_digest(&layer[..], Limits::LAYER).expect("a digest");
    assert_eq!(uncompressed_digest(&packed[..], Limits::LAYER).expect("a digest").diff_id, plain.diff_id);
    packed.extend_from_slice(b"trailing");
    assert!(uncompressed_digest(&packed[..], Limits::LAYER).is_err());
    let bomb = zstd::encode_all(&vec![0; 8 << 20][..], 3).expect("a frame");
    assert!(uncompressed_digest(&bomb[..], Limits::bytes(1 << 20)).is_err());
}

/// Swaps that there are at least, for each second that the test is to run.
const SWAPS_MIN: u64 = 10_000;

/// What CVE-2018-15664 and CVE-2025-47290 did: while files are unpacked, directories on their way turn into links to the
/// outside and back, ten thousand times a second and more.
#[test]
fn links_that_appear_meanwhile_lead_nowhere() {
    let seconds = std::env::var("DHOW_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let outside = Outside::new();
    let before = outside.state();
    let scratch = tempfile::tempdir().expect("a folder");
    let root = scratch.path().join("root");
    fs::create_dir_all(root.join("d/e")).expect("directories");
    symlink(outside.0.path(), root.join("evil")).expect("a link");
    symlink(outside.0.path(), root.join("d/evil")).expect("a link");
    let mut lower = Layer::default();
    let mut upper = Layer::default();
    for number in 0..60 {
        lower = lower.file(&format!("d/f{number}")).file(&format!("d/e/victim{number}")).dir(&format!("d/e/x{number}"));
        lower = lower.link(&format!("d/h{number}"), "d/e/victim0").file("d/e/victim");
        upper =
            upper.file(&format!("d/e/.wh.victim{number}")).file("d/.wh.f3").file("d/e/.wh.victim").dir("d").dir("d/e");
    }
    let layers = [lower.0, upper.0];
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut done, mut failed) = (0_u64, 0_u64);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = |dir: &Dir, a: &str, b: &str| {
                if dir.exchange(a.as_ref(), b.as_ref()).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            };
            while !stop.load(Ordering::Relaxed) {
                let Ok(top) = Dir::open(&root) else { continue };
                // When unpacking replaced what was swapped, the game begins anew. Not by path: `d` may be the link now.
                let target = outside.0.path().as_os_str().as_encoded_bytes();
                let _ = top.make_symlink("evil".as_ref(), target);
                if let Ok(dir) = top.child("d".as_ref()) {
                    let _ = dir.make_symlink("evil".as_ref(), target);
                }
                for _ in 0..100 {
                    exchange(&top, "d", "evil");
                    exchange(&top, "d", "evil");
                    if let Ok(dir) = top.child("d".as_ref()) {
                        exchange(&dir, "e", "evil");
                        exchange(&dir, "e", "evil");
                    }
                }
            }
        });
        // A busy machine takes longer for as many swaps.
        let is_enough = |tried: u64| tried >= 5 && swaps.load(Ordering::Relaxed) >= SWAPS_MIN * seconds;
        while began.elapsed() < Duration::from_secs(seconds)
            || !is_enough(done + failed) && began.elapsed() < Duration::from_secs(20 * seconds)
        {
            match unpack(&root, &layers) {
                Ok(()) => done += 1,
                Err(_) => failed += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let swaps = swaps.load(Ordering::Relaxed);
    let rate = swaps as f64 / began.elapsed().as_secs_f64();
    eprintln!("{rate:.0} swaps a second; {done} runs went through, {failed} were refused");
    assert!(done + failed > 0 && swaps >= SWAPS_MIN * seconds, "{swaps} swaps, {done} runs, {failed} refused");
    assert_eq!(outside.state(), before, "something outside was touched");
}
