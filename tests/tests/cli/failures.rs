//! What a store that is damaged, read-only, full or locked does to each verb: the error names the object, what can be done is
//! done, and nothing is lost.

#![allow(clippy::disallowed_methods, reason = "damages scratch files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_tests::scene::{Sample, Scene, Server, Transcript};

const NAME: &str = "docker.io/acme/web:1";

/// A store with an image of which we know everything and another one, both in a registry too.
struct Stage {
    scene: Scene,
    server: Server,
    image: Sample,
    archive: String,
    other: Sample,
}

impl Stage {
    fn new() -> Self {
        let scene = Scene::new();
        let server = scene.serve();
        let image = scene.load("a", NAME);
        let archive = image.archive(&[NAME]).to_string_lossy().into_owned();
        let other = scene.load("b", &server.name("acme/other:1"));
        scene.must(&["push", &server.name("acme/other:1")]);
        Self { scene, server, image, archive, other }
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.scene.path("store/blobs").join(digest.replace(':', "/"))
    }

    fn flip(&self, digest: &str) {
        let path = self.blob(digest);
        let mut bytes = fs::read(&path).expect("the blob");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).expect("the old blob");
        fs::write(&path, bytes).expect("damage");
    }

    fn saved(&self) -> String {
        self.scene.path("saved.tar").to_string_lossy().into_owned()
    }

    /// Every verb that reads, those that change something, and those that take space away.
    fn reading(&self) -> Vec<Vec<String>> {
        let saved = self.saved();
        lines(&[
            &["images", "-q"],
            &["inspect", "--format", "{{.Id}}", "acme/web:1"],
            &["history", "-q", "acme/web:1"],
            &["image", "tree", "acme/web:1"],
            &["image", "exists", "acme/web:1"],
            &["save", "-o", &saved, "acme/web:1"],
            &["system", "df"],
            &["system", "df", "--disk"],
            &["info", "--format", "{{.Images}}"],
            &["system", "check"],
        ])
    }

    fn writing(&self) -> Vec<Vec<String>> {
        let (other, new) = (self.server.name("acme/other:1"), self.server.name("acme/new:1"));
        lines(&[
            &["tag", "acme/web:1", "acme/second:1"],
            &["load", "-i", &self.archive],
            &["load", "-i", &self.scene.path("layout-c.tar").to_string_lossy()],
            &["pull", "-q", &new],
            &["rmi", "acme/web:1"],
            &["untag", "acme/web:1"],
            &["image", "prune", "-a", "-f"],
            &["system", "prune", "-a", "-f"],
            &["manifest", "create", "acme/list:1"],
            &["system", "sync-view"],
            &["system", "check", "--repair"],
            &["rmi", &other],
        ])
    }

    /// Puts an image into the registry and into an archive that the store does not have.
    fn offer_new(&self) {
        let name = self.server.name("acme/new:1");
        self.scene.load("c", &name);
        self.scene.must(&["push", &name]);
        self.scene.must(&["rmi", &name]);
    }

    fn run(&self, arguments: &[String]) -> Transcript {
        self.scene.dhow(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn lines(lines: &[&[&str]]) -> Vec<Vec<String>> {
    lines.iter().map(|line| line.iter().map(|word| (*word).to_owned()).collect()).collect()
}

#[test]
fn damaged_content_is_named_with_its_image() {
    for (part, breaks) in [
        ("manifest", &["inspect", "history", "save", "image tree"][..]),
        ("id", &["inspect", "history", "save", "image tree"]),
        ("upper", &["save"]),
    ] {
        for missing in [false, true] {
            let stage = Stage::new();
            let digest = match part {
                "manifest" => &stage.image.manifest.digest,
                "id" => &stage.image.id,
                _ => &stage.image.upper,
            };
            if missing {
                fs::remove_file(stage.blob(digest)).expect("a blob");
            } else {
                stage.flip(digest);
            }
            for arguments in stage.reading() {
                let told = stage.run(&arguments);
                let line = arguments.join(" ");
                let at = format!("{part}, missing: {missing}, {line}: {told}");
                if line == "system check" {
                    assert!(told.code == 1 && told.stdout.contains(&format!("<{part}-a>")), "{at}");
                } else if breaks.iter().any(|broken| line.starts_with(broken)) {
                    assert_eq!(told.code, 1, "{at}");
                    assert!(told.stderr.contains("image acme/web:1: "), "{at}");
                    assert!(told.stderr.contains(&format!("<{part}-a>")), "{at}");
                } else {
                    assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{at}");
                }
            }
            assert!(!Path::new(&stage.saved()).exists(), "half an archive is none");
            // The other image is none the worse, and this one can be removed.
            stage.scene.must(&["save", "-o", &stage.saved(), &stage.server.name("acme/other:1")]);
            stage.scene.must(&["tag", "acme/web:1", "acme/second:1"]);
            stage.scene.must(&["rmi", "acme/web:1", "acme/second:1"]);
            stage.scene.must(&["system", "check"]);
        }
    }
}

#[test]
fn a_damaged_manifest_comes_back_by_load_and_by_pull() {
    let stage = Stage::new();
    let other = stage.server.name("acme/other:1");
    let manifest = stage.scene.must(&["images", "--digests", "--format", "{{.Digest}}", &other]);
    let manifest = manifest.trim().replace("<manifest-b>", "");
    stage.flip(&stage.image.manifest.digest);
    assert_eq!(stage.scene.dhow(&["inspect", "acme/web:1"]).code, 1);
    stage.scene.must(&["load", "-i", &stage.archive]);
    stage.scene.must(&["inspect", "acme/web:1"]);
    stage.scene.must(&["system", "check"]);
    assert!(manifest.starts_with("sha256:"), "{manifest}");
    let path = fs::read_dir(stage.scene.path("store/blobs/sha256")).expect("blobs").flatten().find(|entry| {
        let bytes = fs::read(entry.path()).expect("a blob");
        bytes.starts_with(b"{") && String::from_utf8_lossy(&bytes).contains("schemaVersion") && {
            let name = entry.file_name().to_string_lossy().into_owned();
            !stage.image.manifest.digest.ends_with(&name)
        }
    });
    let path = path.expect("the manifest of the other image").file_name().to_string_lossy().into_owned();
    stage.flip(&format!("sha256:{path}"));
    assert_eq!(stage.scene.dhow(&["inspect", &other]).code, 1);
    stage.scene.must(&["pull", &other]);
    stage.scene.must(&["inspect", &other]);
    stage.scene.must(&["system", "check"]);
}

/// A flipped bit shows in no size: whoever reads the layer finds it, and from then on a load or pull brings it again.
#[test]
fn a_damaged_layer_that_was_met_comes_back_by_load_and_by_pull() {
    let stage = Stage::new();
    let named = "image acme/web:1: layer sha256:<upper-a> is damaged in the store: its bytes are not those of its digest \
                 (moved aside to damaged/)\n";
    let new = stage.server.name("acme/moved:1");
    for verb in [
        "export acme/web:1 -o out.tar",
        "unpack acme/web:1 out",
        "save acme/web:1 -o out.tar",
        "copy -q acme/web:1 oci:out",
        "copy -q --recompress zstd acme/web:1 dir:out",
        &format!("copy -q acme/web:1 docker://{new}"),
        "mutate --label a=b acme/web:1 -o out.tar",
        "flatten acme/web:1 -t acme/flat:1",
    ] {
        stage.flip(&stage.image.upper);
        let told = stage.scene.dhow(&verb.split(' ').collect::<Vec<_>>());
        assert_eq!(told.code, 1, "{verb}: {told}");
        assert!(told.stderr.ends_with(named), "{verb}: {told}");
        let again = stage.scene.dhow(&["save", "acme/web:1", "-o", "out.tar"]);
        assert!(again.code == 1 && again.stderr.starts_with("image acme/web:1: blob sha256:<upper-a> "), "{again}");
        stage.scene.must(&["load", "-i", &stage.archive]);
        stage.scene.must(&["save", "acme/web:1", "-o", "whole.tar"]);
    }
    let other = stage.server.name("acme/other:1");
    stage.flip(&stage.other.upper);
    let up_to_date = stage.scene.must(&["pull", &other]);
    assert!(up_to_date.contains("Image is up to date"), "nobody has read it yet: {up_to_date}");
    assert_eq!(stage.scene.dhow(&["save", &other, "-o", "out.tar"]).code, 1);
    stage.scene.must(&["pull", &other]);
    stage.scene.must(&["save", &other, "-o", "out.tar"]);
    let checked = stage.scene.must(&["system", "check", "--repair"]);
    assert!(!checked.contains("missing"), "{checked}");
    let checked = stage.scene.must(&["system", "check"]);
    assert!(checked.ends_with("): no problems\n"), "the damaged copies are gone: {checked}");
}

#[test]
fn a_directory_in_the_place_of_the_database_is_named_and_moved_aside() {
    let stage = Stage::new();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(stage.scene.path("store").join(format!("meta.db{suffix}")));
    }
    fs::create_dir_all(stage.scene.path("store/meta.db/mine")).expect("a directory");
    let told = stage.scene.dhow(&["images"]);
    assert_eq!(told.code, 1, "{told}");
    assert_eq!(told.stderr, "the database \"[FOLDER]/store/meta.db\" is damaged: it is no file\n");
    stage.scene.must(&["system", "check", "--repair"]);
    assert_eq!(stage.scene.must(&["images", "-q"]).lines().count(), 2);
    assert!(stage.scene.path("store/damaged/meta-1/meta.db/mine").is_dir());
}

#[test]
fn a_damaged_database_is_named_by_every_verb() {
    let stage = Stage::new();
    stage.offer_new();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(stage.scene.path("store").join(format!("meta.db{suffix}")));
    }
    fs::write(stage.scene.path("store/meta.db"), "no database at all").expect("damage");
    let mut verbs = [stage.reading(), stage.writing()].concat();
    verbs.retain(|line| line.join(" ") != "system check --repair");
    for arguments in verbs {
        let told = stage.run(&arguments);
        assert_ne!(told.code, 0, "{arguments:?}: {told}");
        let expected = "the database \"[FOLDER]/store/meta.db\" is damaged: file is not a database\n";
        assert!(told.stderr.ends_with(expected), "{arguments:?}: {told}");
    }
    let mended = stage.scene.dhow(&["system", "check", "--repair"]);
    assert_eq!(mended.code, 0, "{mended}");
    assert_eq!(stage.scene.must(&["images", "-q"]).lines().count(), 2);
}

/// The log with the latest changes is lost. Without a word, the image that only they name would be taken for garbage.
#[test]
fn a_database_without_its_latest_changes_is_named_by_every_verb() {
    let stage = Stage::new();
    stage.offer_new();
    let database = stage.scene.path("store/meta.db");
    let connection = rusqlite::Connection::open(&database).expect("meta.db");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a short log");
    drop(connection);
    stage.scene.load("d", "acme/latest:1");
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(stage.scene.path("store").join(format!("meta.db{suffix}")));
    }
    let mut verbs = [stage.reading(), stage.writing()].concat();
    verbs.retain(|line| line.join(" ") != "system check --repair");
    for arguments in verbs {
        let told = stage.run(&arguments);
        assert_ne!(told.code, 0, "{arguments:?}: {told}");
        let expected = "the database \"[FOLDER]/store/meta.db\" is older than index.json (state ";
        assert!(told.stderr.contains(expected), "{arguments:?}: {told}");
    }
    let mended = stage.scene.dhow(&["system", "check", "--repair"]);
    assert!(mended.code == 0 && mended.stdout.contains("lost: the latest changes in meta.db; "), "{mended}");
    stage.scene.must(&["image", "prune", "-f"]);
    stage.scene.must(&["save", "-o", &stage.saved(), "acme/latest:1", "acme/web:1"]);
}

#[test]
fn what_a_missing_layer_keeps_from_being_pushed_is_named() {
    let stage = Stage::new();
    fs::remove_file(stage.blob(&stage.image.upper)).expect("the layer");
    let told = stage.scene.dhow(&["push", "acme/web:1"]);
    let expected = "image acme/web:1: blob sha256:<upper-a> of manifest sha256:<manifest-a> is not in the store\n";
    assert!(told.code == 1 && told.stderr.ends_with(expected), "{told}");
}

#[test]
fn the_labels_are_checked_too() {
    let stage = Stage::new();
    stage.scene.must(&["images", "--filter", "label=x"]);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(stage.scene.path("store").join(format!("facts/v1/labels.db{suffix}")));
    }
    fs::write(stage.scene.path("store/facts/v1/labels.db"), "no database at all").expect("damage");
    let found = stage.scene.dhow(&["system", "check"]);
    assert_eq!(found.code, 0, "a cache can go without harm: {found}");
    assert!(found.stdout.contains("labels.db\" is damaged: file is not a database\n"), "{found}");
    let mended = stage.scene.dhow(&["system", "check", "--repair"]);
    assert_eq!(mended.code, 0, "{mended}");
    let checked = stage.scene.must(&["system", "check"]);
    assert!(checked.ends_with("): no problems\n"), "{checked}");
}

#[test]
fn a_truncated_view_is_no_loss() {
    let stage = Stage::new();
    let view = stage.scene.path("store/index.json");
    let whole = fs::read(&view).expect("the view");
    for rest in [0, 1, 100, whole.len() - 1] {
        fs::write(&view, &whole[..rest]).expect("damage");
        let listed = stage.scene.dhow(&["images", "-q"]);
        assert_eq!(
            (listed.code, listed.stderr.as_str(), listed.stdout.lines().count()),
            (0, "", 2),
            "{rest}: {listed}"
        );
        stage.scene.must(&["system", "sync-view"]);
        assert_eq!(fs::read(&view).expect("the view"), whole, "{rest}");
    }
}

/// Something mounted, until it is dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this process may not mount.
    #[allow(clippy::print_stderr, reason = "a skipped test says why")]
    pub(crate) fn new(target: &Path, commands: &[&[&str]]) -> Option<Self> {
        fs::create_dir_all(target).expect("a folder");
        let mut mounted = None;
        for arguments in commands {
            let output = Command::new("mount").args(*arguments).arg(target).output();
            if !output.is_ok_and(|output| output.status.success()) {
                eprintln!("skipped: mount is not allowed here");
                return None;
            }
            mounted.get_or_insert_with(|| Self(target.to_owned()));
        }
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_store_can_be_read() {
    let stage = Stage::new();
    stage.offer_new();
    for without_log in [false, true] {
        if without_log {
            let database = rusqlite::Connection::open(stage.scene.path("store/meta.db")).expect("meta.db");
            database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a short log");
        }
        let store = stage.scene.path("store");
        let source = store.to_string_lossy();
        let binds = [&["--bind", &*source][..], &["-o", "remount,ro,bind"]];
        let Some(_mounted) = Mounted::new(&store, &binds) else { return };
        for arguments in stage.reading() {
            let told = stage.run(&arguments);
            assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{arguments:?}: {told}");
        }
        for arguments in stage.writing() {
            let told = stage.run(&arguments);
            assert_eq!(told.code, 1, "{arguments:?}: {told}");
            let clear = told.stderr.contains("the store \"[FOLDER]/store\" can only be read");
            assert!(clear, "{arguments:?}: {told}");
        }
        let told = stage.scene.dhow(&["create", "acme/web:1"]);
        let message = "cannot create a container: the store \"[FOLDER]/store\" can only be read";
        assert!(told.code == 1 && told.stderr.contains(message), "{told}");
        // What is here already can leave: nothing has to be noted.
        stage.scene.must(&["push", &stage.server.name("acme/other:1")]);
        let pulled = stage.scene.dhow(&["pull", &stage.server.name("acme/other:1")]);
        assert!(pulled.code == 0 && pulled.stdout.contains("Image is up to date"), "{pulled}");
    }
    stage.scene.must(&["system", "check"]);
}

/// Fills a folder's file system to the last byte.
pub(crate) fn fill(folder: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(folder.join("fill")).expect("a file");
    while file.write_all(&[1; 4096]).is_ok() {}
}

#[test]
fn a_full_disk_is_told_and_removing_helps() {
    for without_log in [false, true] {
        let stage = Stage::new();
        stage.offer_new();
        // Any command with an image to spare lays the reserve by.
        let reserve = stage.scene.path("store/reserve");
        assert!(reserve.exists(), "a removal needs some bytes");
        if without_log {
            for suffix in ["-wal", "-shm"] {
                let database = rusqlite::Connection::open(stage.scene.path("store/meta.db")).expect("meta.db");
                database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a short log");
                drop(database);
                let _ = fs::remove_file(stage.scene.path("store").join(format!("meta.db{suffix}")));
            }
        }
        let (store, aside) = (stage.scene.path("store"), stage.scene.path("aside"));
        fs::rename(&store, &aside).expect("a move");
        let Some(_mounted) = Mounted::new(&store, &[&["-t", "tmpfs", "-o", "size=2m", "tmpfs"]]) else { return };
        let copied = Command::new("cp").arg("-a").arg(format!("{}/.", aside.display())).arg(&store).status();
        assert!(copied.expect("cp").success());
        fill(&store);
        for arguments in stage.reading() {
            let told = stage.run(&arguments);
            assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{arguments:?}: {told}");
        }
        // What is here can be carried away, which may be what makes room.
        stage.scene.must(&["push", "-q", &stage.server.name("acme/other:1")]);
        stage.scene.must(&["copy", "-q", "acme/web:1", &format!("docker://{}", stage.server.name("acme/moved:1"))]);
        for arguments in lines(&[
            &["tag", "acme/web:1", "acme/second:1"],
            &["load", "-i", &stage.scene.path("layout-c.tar").to_string_lossy()],
            &["pull", "-q", &stage.server.name("acme/new:1")],
            &["manifest", "create", "acme/list:1"],
            &["system", "sync-view"],
        ]) {
            let told = stage.run(&arguments);
            assert_eq!(told.code, 1, "{arguments:?}: {told}");
            let expected = "cannot write \"[FOLDER]/store/";
            assert!(told.stderr.contains(expected) && told.stderr.ends_with(": no space left on device\n"), "{told}");
        }
        let removed = stage.scene.dhow(&["rmi", "acme/web:1"]);
        assert!(removed.code == 0 && removed.stdout.contains("Deleted: sha256:<id-a>\n"), "{removed}");
        fs::remove_file(store.join("fill")).expect("room");
        // What a cut transfer had is given up for room, and counted.
        fs::write(store.join(format!("ingest/sha256-{}", "a".repeat(64))), [1; 65536]).expect("a part");
        fill(&store);
        let pruned = stage.scene.dhow(&["system", "prune", "-f"]);
        assert_eq!((pruned.code, pruned.stdout.as_str()), (0, "Total reclaimed space: 65.54kB\n"), "{pruned}");
        fs::remove_file(store.join("fill")).expect("room");
        let checked = stage.scene.dhow(&["system", "check", "--repair"]);
        assert_eq!(checked.code, 0, "{checked}");
        stage.scene.must(&["pull", "-q", &stage.server.name("acme/new:1")]);
        let checked = stage.scene.must(&["system", "check"]);
        assert!(checked.ends_with("): no problems\n"), "{checked}");
    }
}

#[test]
fn who_holds_the_lock_is_waited_for() {
    let stage = Stage::new();
    stage.offer_new();
    let holder = rusqlite::Connection::open(stage.scene.path("store/meta.db")).expect("meta.db");
    holder.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for arguments in stage.reading().into_iter().filter(|line| line[0] != "save") {
        let told = stage.run(&arguments);
        assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{arguments:?}: {told}");
    }
    // Each waits a minute: all at once.
    let mut writing = stage.writing();
    writing.retain(|line| !matches!(line.join(" ").as_str(), "system sync-view" | "manifest create acme/list:1"));
    writing.extend(lines(&[&["save", "-o", &stage.saved(), "acme/web:1"]]));
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            writing.iter().map(|arguments| (arguments, scope.spawn(|| stage.run(arguments)))).collect();
        for (arguments, waiting) in waiting {
            let told = waiting.join().expect("no panic");
            assert_eq!(told.code, 1, "{arguments:?}: {told}");
            let is_clear = told.stderr.contains("meta.db\" is locked by another process for more than 60 seconds")
                || told.stderr.contains("trash/lock\" is locked by another process for more than 60s");
            assert!(is_clear, "{arguments:?}: {told}");
        }
    });
    holder.execute_batch("ROLLBACK").expect("the end");
    let checked = stage.scene.must(&["system", "check"]);
    assert!(checked.ends_with("): no problems\n"), "nothing was half done: {checked}");
    stage.scene.must(&["tag", "acme/web:1", "acme/second:1"]);
}
