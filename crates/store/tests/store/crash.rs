//! A process that dies, or a disk that fails or is full, at any step: nothing acknowledged is lost, and the next run ends
//! well.

use std::io::Write;
use std::path::Path;

use dhow_base::{Kind, Result, fault};
use dhow_spec::Document;
use dhow_store::{Removal, Store};

use crate::child::command;
use crate::common::*;

/// What the process under test does. After each step it tells that the step was acknowledged.
pub(crate) fn scenario(store: &Store, mut acknowledge: impl FnMut(&str)) -> Result<()> {
    Remote::small("first").pull(store, &["first:1"])?;
    acknowledge("first");
    let first = store.find("first:1")?;
    store.tag(&first.target, &reference("alias:1"))?;
    acknowledge("alias");
    Remote::small("second").pull(store, &["second:1", "first:1"])?;
    acknowledge("second");
    remove(store, "alias:1")?;
    acknowledge("removed");
    store.collect()?;
    acknowledge("collected");
    Ok(())
}

/// The same, then everything goes at once and some of it comes again.
fn scenario_to_the_end(store: &Store, mut acknowledge: impl FnMut(&str)) -> Result<()> {
    scenario(store, &mut acknowledge)?;
    acknowledge("emptying");
    let removals = store.images()?.into_iter().map(Removal::whole).collect();
    store.update(|update| update.remove(removals))?;
    store.collect()?;
    acknowledge("emptied");
    Remote::small("second").pull(store, &["second:1", "first:1"])?;
    acknowledge("again");
    Ok(())
}

/// Whether everything that was acknowledged holds.
pub(crate) fn assert_acknowledged(store: &Store, steps: &[String], what: &str) {
    assert_sound(store, what);
    let did = |step: &str| steps.iter().any(|done| done == step);
    let target = |name: &str| store.resolve(&reference(name)).unwrap().map(|target| target.digest);
    let complete = |name: &str| target(name).is_some_and(|digest| store.is_complete(&digest).unwrap());
    for image in store.images().unwrap() {
        let found = store.find(image.id.as_str()).unwrap();
        assert!(store.is_complete(&found.target.digest).unwrap(), "{what}: {image:?} is not whole");
    }
    // Then everything is being removed, and comes again.
    if did("emptying") && !did("again") {
        let last = store.images().unwrap();
        assert!(!did("emptied") || last.len() < 2, "{what}: {last:?}");
        return;
    }
    assert!(!did("first") || complete("first:1"), "{what}: first:1 is gone");
    // Steps that were begun may have happened without being acknowledged.
    assert!(!did("alias") || did("second") || complete("alias:1"), "{what}: alias:1 is gone");
    assert!(!did("second") || complete("second:1"), "{what}: second:1 is gone");
    assert!(!did("second") || target("first:1") == target("second:1"), "{what}: first:1 did not move");
    assert!(!did("removed") || target("alias:1").is_none(), "{what}: alias:1 is back");
}

pub(crate) fn child(root: &Path, acknowledged: &Path, armed: &str) {
    if !armed.is_empty() {
        fault::arm_from_text(armed).unwrap();
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(acknowledged).unwrap();
    let done = open_at(root).and_then(|store| scenario_to_the_end(&store, |step| writeln!(file, "{step}").unwrap()));
    // An error is fine as long as it is one: the parent looks at what is left.
    if let Err(error) = done {
        assert!(!error.to_string().is_empty());
    }
}

fn fails_at(point: &str, actions: &[&str]) {
    for action in actions {
        for skip in 0.. {
            let directory = scratch();
            let acknowledged = directory.path().join("acknowledged");
            let armed = format!("{point}:{skip}={action}");
            let status =
                command("crash", directory.path(), &root_of(&directory), &[acknowledged.to_str().unwrap(), &armed])
                    .status()
                    .unwrap();
            assert!(status.success() || *action == "abort", "{armed}: {status}");
            let steps: Vec<String> =
                std::fs::read_to_string(&acknowledged).unwrap_or_default().lines().map(str::to_owned).collect();
            let store = open_at(&root_of(&directory)).unwrap_or_else(|error| panic!("{armed}: {error}"));
            assert_acknowledged(&store, &steps, &armed);
            scenario_to_the_end(&store, |_| {}).unwrap_or_else(|error| panic!("after {armed}: {error}"));
            store.collect().unwrap();
            assert_eq!(store.images().unwrap().len(), 1, "{armed}");
            assert!(store.check(true).unwrap().is_sound());
            assert_eq!(store.check(false).unwrap().problems, [], "{armed}");
            // An error that concerns only a view or a cache is survived in silence: one success is not yet the end.
            if steps.len() == 8 && status.success() && (*action == "abort" || skip > 12) {
                break;
            }
        }
    }
}

#[test]
fn at_a_rename() {
    fails_at("fs.rename", &["abort", "error"]);
}

#[test]
fn at_a_write() {
    fails_at("fs.write_at", &["abort", "nospace"]);
}

#[test]
fn at_a_small_write() {
    fails_at("fs.atomic.write", &["abort", "nospace"]);
}

#[test]
fn at_a_small_rename() {
    fails_at("fs.atomic.rename", &["abort", "error"]);
}

#[test]
fn at_a_flush() {
    fails_at("fs.flush.file", &["abort", "error"]);
}

#[test]
fn at_a_directory_sync() {
    fails_at("fs.sync_dir", &["abort", "error"]);
}

#[test]
fn at_a_removal() {
    fails_at("fs.remove", &["abort", "error"]);
}

/// The kernel tells of a failed sync once: the next one of the same file would succeed.
#[test]
fn what_a_failed_sync_lost_is_written_anew() {
    let directory = scratch();
    let store = open(&directory);
    let remote = Remote::small("sync");
    let manifest = Document::parse(remote.place.get(&remote.root.digest).unwrap().to_vec(), None).unwrap();
    let layer = manifest.as_manifest().unwrap().layers[1].digest.clone();
    let path = |digest: &dhow_spec::Digest| root_of(&directory).join("blobs/sha256").join(digest.hex());
    for lost in [&layer, &remote.root.digest] {
        fault::arm_at("fs.flush.file", &path(lost), 0, fault::Action::Error);
        assert_eq!(remote.pull(&store, &["app:1"]).unwrap_err().kind(), Kind::Io);
        assert!(!store.has_blob(lost).unwrap() && !path(lost).exists(), "{lost}");
        let kept = [&layer, &remote.root.digest].into_iter().find(|digest| *digest != lost).unwrap();
        assert!(store.has_blob(kept).unwrap(), "{kept} was synced");
    }
    remote.pull(&store, &["app:1"]).unwrap();
    assert!(store.is_complete(&remote.root.digest).unwrap());
    assert_sound(&store, "after a sync that succeeded");
}
