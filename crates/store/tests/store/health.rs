//! Damage, leftovers, foreign stores, and who keeps what from being collected.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_content::{Begin, Sink};
use dhow_store::{Container, ContainerState, OpenOptions, ProblemCode, Severity, Store, Suspects};
use futures::executor::block_on;
use rusqlite::Connection;

use crate::common::*;

fn blob_path(root: &Path, digest: &dhow_spec::Digest) -> PathBuf {
    root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}

#[test]
fn damage_is_named_and_mended_by_the_next_pull() {
    let directory = scratch();
    let (store, root) = (open(&directory), root_of(&directory));
    let remote = Remote::small("damage");
    remote.pull(&store, &["app:1"]).unwrap();
    let layers = store.layers(&store.find("app:1").unwrap().image_id).unwrap();
    let flipped = blob_path(&root, &layers[1].blob.digest);
    let mut bytes = std::fs::read(&flipped).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&flipped, &bytes).unwrap();
    std::fs::remove_file(blob_path(&root, &layers[0].blob.digest)).unwrap();

    let report = store.check(false).unwrap();
    assert!(!report.is_sound());
    assert_eq!((report.blobs, report.references, report.problems.len()), (4, 1, 2), "{report:#?}");
    for layer in &layers {
        let named = report.problems.iter().filter(|problem| problem.message.contains(layer.blob.digest.hex()));
        assert_eq!(named.count(), 1, "{report:#?}");
    }
    assert!(report.problems.iter().all(|problem| problem.severity == Severity::Damage && problem.repaired.is_none()));
    let expected = [(ProblemCode::BlobMissing, &layers[0]), (ProblemCode::BlobCorrupt, &layers[1])];
    for (code, layer) in expected {
        let is_it =
            |problem: &dhow_store::Problem| problem.code == code && problem.object == layer.blob.digest.as_str();
        assert!(report.problems.iter().any(is_it), "{code:?}: {report:#?}");
    }
    let digest = &layers[1].blob.digest;
    let told = format!("the bytes of layer {digest} of app:1 and 1 more are not those of its digest");
    assert!(report.problems.iter().any(|problem| problem.message == told), "{told}: {report:#?}");
    assert!(flipped.exists(), "looking changes nothing");

    let report = store.check(true).unwrap();
    assert!(report.problems.iter().any(|problem| problem.repaired.is_some()), "{report:#?}");
    assert_eq!(std::fs::read_dir(root.join("damaged")).unwrap().count(), 1, "what is left of a blob stays");
    assert!(!store.is_complete_for(&remote.root.digest, None).unwrap());
    let report = store.check(false).unwrap();
    assert!(!report.is_sound(), "the image is still not whole");
    assert!(report.problems.iter().any(|problem| problem.code == ProblemCode::ContentMissing), "{report:#?}");
    remote.pull(&store, &["app:1"]).unwrap();
    assert!(store.is_complete_for(&remote.root.digest, None).unwrap());
    assert_sound(&store, "after the next pull");
}

#[test]
fn a_second_look_moves_aside_what_no_size_shows() {
    let directory = scratch();
    let (store, root) = (open(&directory), root_of(&directory));
    let remote = Remote::small("look");
    remote.pull(&store, &["app:1"]).unwrap();
    assert_eq!(store.examine(&remote.root.digest, Suspects::None).unwrap(), []);
    let image = store.find("app:1").unwrap().image_id;
    let layer = store.layers(&image).unwrap()[1].blob.digest.clone();
    let flip = |digest: &dhow_spec::Digest| {
        let path = blob_path(&root, digest);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        bytes
    };
    let damaged = flip(&layer);
    assert!(store.is_complete_for(&remote.root.digest, None).unwrap(), "nobody has read it");
    assert_eq!(store.examine(&remote.root.digest, Suspects::None).unwrap(), [], "its length is right");
    let found = store.examine(&remote.root.digest, Suspects::One(&layer)).unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].role, &found[0].digest, found[0].is_aside), ("layer", &layer, true));
    let kept = std::fs::read(root.join("damaged").join(format!("sha256-{}", layer.hex()))).unwrap();
    assert_eq!(kept, damaged, "nothing is deleted");
    assert!(std::fs::read_dir(root.join("ingest")).unwrap().next().is_none(), "no lock is left");
    assert!(!store.is_complete_for(&remote.root.digest, None).unwrap());
    remote.pull(&store, &["app:1"]).unwrap();
    assert_eq!(store.examine(&remote.root.digest, Suspects::None).unwrap(), []);

    // A config is proven before an image counts as up to date.
    flip(&image);
    assert!(!store.is_complete_for(&remote.root.digest, None).unwrap());
    assert_eq!(store.examine(&remote.root.digest, Suspects::None).unwrap()[0].role, "config");
    remote.pull(&store, &["app:1"]).unwrap();
    assert_eq!(store.examine(&remote.root.digest, Suspects::None).unwrap(), []);
    assert!(store.check(true).unwrap().is_sound());
    assert_sound(&store, "after both");
}

#[test]
fn what_is_left_of_a_damaged_image_is_kept_and_told() {
    let directory = scratch();
    let (store, root) = (open(&directory), root_of(&directory));
    let remote = Remote::small("lost");
    remote.pull(&store, &["registry.example/app:1"]).unwrap();
    let layer = store.layers(&store.find("registry.example/app:1").unwrap().image_id).unwrap()[1].blob.clone();
    store.record_homes(reference("mirror.example/other").repository(), std::slice::from_ref(&layer.digest)).unwrap();
    assert_eq!(store.lost().unwrap(), []);
    for digest in [&remote.root.digest, &layer.digest] {
        std::fs::remove_file(blob_path(&root, digest)).unwrap();
    }
    store.check(true).unwrap();
    for _ in 0..2 {
        assert_eq!(store.collect().unwrap().blobs, 0, "config and lower layer may be the only copies");
    }
    let lost = store.lost().unwrap();
    assert_eq!(lost.len(), 2, "{lost:#?}");
    let manifest = lost.iter().find(|lost| lost.digest == remote.root.digest).unwrap();
    assert_eq!(manifest.descriptor.as_ref(), Some(&remote.root));
    let told = manifest.to_string();
    let expected = format!("manifest {} of registry.example/app:1 and 1 more", remote.root.digest);
    assert_eq!(told, expected);
    let blob = lost.iter().find(|lost| lost.digest == layer.digest).unwrap();
    assert_eq!(blob.descriptor, None, "only the manifest says how long it is");
    let homes: Vec<String> = blob.homes.iter().map(ToString::to_string).collect();
    assert_eq!(homes, ["mirror.example/other", "registry.example/app"], "where it was seen comes first");
    let session = store.begin("repair").unwrap();
    let bytes = remote.place.get(&remote.root.digest).unwrap();
    let document = dhow_content::verify_document(bytes.to_vec(), &remote.root).unwrap();
    block_on(session.put_document(&document)).unwrap();
    session.settle(std::slice::from_ref(&remote.root.digest)).unwrap();
    let lost = store.lost().unwrap();
    assert_eq!(lost[0].descriptor.as_ref().map(|descriptor| descriptor.size), Some(layer.size), "{lost:#?}");
    assert_eq!(lost.len(), 1);
}

#[test]
fn what_dead_processes_left_is_told_and_cleared() {
    let directory = scratch();
    let (store, root) = (open(&directory), root_of(&directory));
    Remote::small("kept").pull(&store, &["app:1"]).unwrap();
    let stray = b"renamed, but the row was never written";
    let digest = dhow_spec::Digest::sha256(stray);
    std::fs::write(blob_path(&root, &digest), stray).unwrap();
    std::fs::write(root.join("leases/1-2-3"), "").unwrap();
    std::fs::write(root.join("index.json"), "old").unwrap();
    let report = store.check(false).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let codes: Vec<ProblemCode> = report.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [ProblemCode::BlobUnrecorded, ProblemCode::ViewOutdated], "{report:#?}");
    let report = store.check(true).unwrap();
    assert!(!root.join("leases/1-2-3").exists(), "nothing is wrong with the lease of a dead process, nor is it of use");
    assert!(report.problems.iter().all(|problem| problem.repaired.is_some()), "{report:#?}");
    assert!(store.check(false).unwrap().problems.is_empty());
    assert!(store.has_blob(&digest).unwrap(), "its bytes are right, so it is a blob");
    assert_eq!(store.collect().unwrap().blobs, 1, "which nobody needs");
}

#[test]
fn a_blob_that_was_not_flushed_is_not_trusted_after_a_power_cut() {
    let directory = scratch();
    let root = root_of(&directory);
    let (right, wrong) = (vec![1_u8; 5000], vec![2_u8; 5000]);
    let blobs = [plain(&right), plain(&wrong)];
    {
        let session = open(&directory).begin("test").unwrap();
        for (blob, bytes) in blobs.iter().zip([&right, &wrong]) {
            let Begin::Write(ingest) = block_on(session.ingest(blob, &Silent)).unwrap() else { panic!("new") };
            block_on(dhow_content::Ingest::write(&ingest, 0, bytes.clone().into())).unwrap();
            block_on(dhow_content::Ingest::commit(ingest)).unwrap();
        }
    }
    std::fs::write(blob_path(&root, &blobs[1].digest), vec![0; 5000]).unwrap();
    let options = OpenOptions { boot_id: Some("after the cut".to_owned()), ..options() };
    let store = Store::open(&root, &options).unwrap();
    assert!(!store.has_blob(&blobs[0].digest).unwrap());
    assert!(store.check(false).unwrap().is_sound(), "nothing that was committed needs them");
    let session = store.begin("test").unwrap();
    assert!(matches!(block_on(session.ingest(&blobs[0], &Silent)).unwrap(), Begin::Present), "proven again");
    assert!(matches!(block_on(session.ingest(&blobs[1], &Silent)).unwrap(), Begin::Write(_)), "fetched again");
}

#[test]
fn a_pin_keeps_content_until_its_session_ends() {
    let directory = scratch();
    let store = open(&directory);
    let remote = Remote::small("pinned");
    let session = store.begin("pull").unwrap();
    remote.fetch(&session).unwrap();
    let elsewhere = open(&directory);
    assert_eq!(elsewhere.collect().unwrap().blobs, 0, "pinned");
    let reader = elsewhere.begin("push").unwrap();
    reader.pin(&remote.root).unwrap();
    drop(session);
    assert_eq!(store.collect().unwrap().blobs, 0, "pinned by another");
    drop(reader);
    assert_eq!(store.collect().unwrap().blobs, 4);
    assert_eq!(std::fs::read_dir(root_of(&directory).join("leases")).unwrap().count(), 0);
}

#[test]
fn pins_and_collections_race_without_losing_content() {
    let directory = scratch();
    let store = open(&directory);
    let remote = Remote::small("race");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let store = open(&directory);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                store.collect().unwrap();
            }
        });
        for _ in 0..40 {
            remote.pull(&store, &["app:1"]).unwrap();
            assert!(store.is_complete(&remote.root.digest).unwrap());
            remove(&store, "app:1").unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_sound(&store, "after the race");
}

#[test]
fn containers_stand_in_the_way() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("used").pull(&store, &["app:1"]).unwrap();
    let id = store.find("app:1").unwrap().image_id;
    let container = |state| Container { id: "ab".repeat(32), name: Some("web".to_owned()), state };
    store.update(|update| update.put_container(&container(ContainerState::Created), &id)).unwrap();
    store.update(|update| update.put_container(&container(ContainerState::Running), &id)).unwrap();
    assert_eq!(store.images().unwrap()[0].containers, 1);
    assert_eq!(store.image(&id).unwrap().containers, 1);
    let error = remove(&store, "app:1").unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(store.images().unwrap()[0].references.len(), 1, "nothing of a failed update stays");
    store
        .update(|update| {
            let containers = update.containers_of(&id)?;
            assert!(containers[0].is_running());
            assert_eq!(containers[0].short_id(), "abababababab");
            update.remove_container(&containers[0].id)
        })
        .unwrap();
    remove(&store, "app:1").unwrap();
}

#[test]
fn a_newer_store_is_refused_by_name() {
    let directory = scratch();
    drop(open(&directory));
    let database = Connection::open(root_of(&directory).join("meta.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error = open_at(&root_of(&directory)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("has format 99"), "{error}");
}

#[test]
fn a_damaged_database_is_told_as_such() {
    let directory = scratch();
    drop(open(&directory));
    let path = root_of(&directory).join("meta.db");
    for file in ["meta.db-wal", "meta.db-shm"] {
        std::fs::remove_file(root_of(&directory).join(file)).unwrap();
    }
    std::fs::write(&path, vec![0x55; 8192]).unwrap();
    let error = open_at(&root_of(&directory)).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("meta.db"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_store_is_not_made_over_something_else() {
    let directory = scratch();
    std::fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    assert_eq!(open_at(directory.path()).unwrap_err().kind(), Kind::Invalid);
    for name in ["containers", "volumes", "lock", "index.json"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
        assert_eq!(open_at(directory.path()).unwrap_err().kind(), Kind::Invalid, "{name} is no store by itself");
    }
    let mounted = directory.path().join("mounted");
    std::fs::create_dir_all(mounted.join("lost+found")).unwrap();
    drop(open_at(&mounted).unwrap());
    let store = open(&directory);
    Remote::small("lost").pull(&store, &["app"]).unwrap();
    drop(store);
    for file in ["meta.db", "meta.db-wal", "meta.db-shm"] {
        let _ = std::fs::remove_file(root_of(&directory).join(file));
    }
    let error = open_at(&root_of(&directory)).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    let missing = directory.path().join("missing");
    let error = Store::open(&missing, &OpenOptions { create: false, ..options() }).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!missing.exists());
}

#[test]
fn only_the_owner_may_look() {
    let directory = scratch();
    drop(open(&directory));
    let mode = root_of(&directory).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// A read-only view of a directory; unmounted when dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None` where this process may not mount.
    fn of(source: &Path, target: &Path) -> Option<Self> {
        std::fs::create_dir_all(target).unwrap();
        let mount = |arguments: &[&std::ffi::OsStr]| {
            std::process::Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success())
        };
        if !mount(&["--bind".as_ref(), source.as_ref(), target.as_ref()]) {
            return None;
        }
        let mounted = Self(target.to_owned());
        mount(&["-o".as_ref(), "remount,ro,bind".as_ref(), target.as_ref()]).then_some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_store_on_a_read_only_file_system_can_be_read() {
    let directory = scratch();
    let store = open(&directory);
    let remote = Remote::small("read-only");
    let session = store.begin("pull").unwrap().prove_diff_ids(false);
    remote.fetch(&session).unwrap();
    session.commit(&[remote.target(&["app:1"])]).unwrap();
    drop((session, store));
    let database = Connection::open(root_of(&directory).join("meta.db")).unwrap();
    database.execute("INSERT INTO lease VALUES ('dead', 'pull', 0)", []).unwrap();
    drop(database);
    std::fs::write(root_of(&directory).join("leases/dead"), "").unwrap();
    for without_log in [false, true] {
        if without_log {
            let database = Connection::open(root_of(&directory).join("meta.db")).unwrap();
            database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            drop(database);
            assert!(!root_of(&directory).join("meta.db-wal").exists());
        }
        let Some(mounted) = ReadOnly::of(&root_of(&directory), &directory.path().join("mounted")) else { return };
        let store = open_at(&mounted.0).unwrap();
        assert!(!store.is_writable());
        let found = store.find("app:1").unwrap();
        assert_eq!(store.images().unwrap().len(), 1);
        assert!(store.measure(&found.image_id).unwrap() > 0);
        assert!(store.is_complete(&found.target.digest).unwrap());
        store.touch([&found.image_id]).unwrap();
        assert_sound(&store, "read-only");
        let session = store.begin("push").unwrap();
        session.pin(&found.target).unwrap();
        let error = store.tag(&found.target, &reference("other")).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert_eq!(store.check(true).unwrap_err().kind(), Kind::Denied);
    }
}

#[test]
fn root_leaves_a_database_to_its_owner_and_touches_no_owner_that_is_right() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let directory = scratch();
    let (database, log) = (root_of(&directory).join("meta.db"), root_of(&directory).join("meta.db-wal"));
    drop(open(&directory));
    let changed = || std::fs::metadata(&log).map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
    let before = changed();
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(open(&directory).find("nothing").is_err());
    assert_eq!(changed(), before, "a change of owner waits for the journal, even one to the same owner");

    for file in [&database, &log] {
        chown(file, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::remove_file(&log).unwrap();
    assert!(open(&directory).find("nothing").is_err());
    let found = std::fs::metadata(&log).unwrap();
    assert_eq!((found.uid(), found.gid()), (NOBODY, NOBODY), "the owner could not open his store any more");
}
