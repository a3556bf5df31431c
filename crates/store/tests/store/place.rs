//! The store keeps the contract of a place, and names what it was given.

use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_content::{CopyOptions, Resolve, copy, suite};
use dhow_spec::Descriptor;
use dhow_store::{NewTarget, Session};
use futures::executor::block_on;

use crate::common::*;

fn fetch(session: &Session, sample: &suite::Sample, root: &Descriptor) {
    block_on(copy(&sample.place, session, root, &CopyOptions::new(&Silent))).unwrap();
}

fn named(root: &Descriptor, name: &str) -> NewTarget {
    NewTarget {
        references: vec![reference(name)],
        digest_repositories: vec![reference(name).repository().clone()],
        ..NewTarget::default_for(root.clone())
    }
}

#[test]
fn keeps_the_contract() {
    let directory = scratch();
    let store = open(&directory);
    let session = store.begin("test").unwrap();
    block_on(suite::check(&session, &session));
    drop(session);
    assert!(store.collect().unwrap().blobs > 0, "nothing of it was named");
    assert!(store.check(false).unwrap().problems.is_empty());
}

#[test]
fn a_committed_image_is_listed_found_and_kept() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("committed");
    let session = store.begin("pull").unwrap();
    fetch(&session, &sample, &sample.manifest);
    let target = named(&sample.manifest, "alpine:3.20");
    let committed = session.commit(std::slice::from_ref(&target)).unwrap();
    assert!(committed.changed);
    assert!(!session.commit(&[target]).unwrap().changed, "a second time nothing is different");
    drop(session);
    assert_eq!(store.collect().unwrap().blobs, 0);

    let store = open(&directory);
    let images = store.images().unwrap();
    let [image] = images.as_slice() else { panic!("{images:?}") };
    assert_eq!(image.id, sample.blobs[0].digest, "the ID is the config's digest");
    assert_eq!(Some(image.id.clone()), committed.image_of(&sample.manifest.digest));
    assert_eq!(image.references, [reference("alpine:3.20")]);
    assert_eq!(image.repo_digests, [(reference("alpine").repository().clone(), sample.manifest.digest.clone())]);
    assert_eq!(image.size, Some(sample.blobs[1].size + sample.blobs[2].size));
    assert_eq!(store.image(&image.id).unwrap(), *image);
    let layers = store.layers(&image.id).unwrap();
    assert_eq!(
        layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>(),
        [&sample.blobs[1].digest, &sample.blobs[2].digest]
    );

    let digest_name = format!("alpine@{}", sample.manifest.digest);
    for text in [
        "alpine:3.20",
        digest_name.as_str(),
        sample.manifest.digest.as_str(),
        image.id.as_str(),
        image.id.hex(),
        image.id.short(),
        &image.id.as_str()[..10],
        sample.manifest.digest.short(),
    ] {
        let found = store.find(text).unwrap();
        assert_eq!((&found.image_id, &found.manifest.digest), (&image.id, &sample.manifest.digest), "{text}");
        assert_eq!(found.target.digest, sample.manifest.digest, "{text}");
    }
    let error = store.find("nope").unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "No such image: nope:latest"));
    let resolved = block_on(Resolve::resolve(&store, &reference("alpine:3.20"))).unwrap();
    assert_eq!(resolved, sample.manifest);
    assert!(store.check(false).unwrap().problems.is_empty());
}

#[test]
fn an_image_goes_with_its_last_name_and_its_content_with_it() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("removed");
    let session = store.begin("pull").unwrap();
    fetch(&session, &sample, &sample.index);
    session.commit(&[named(&sample.index, "alpine")]).unwrap();
    drop(session);
    let image = store.find("alpine").unwrap().image_id;
    store.tag(&sample.index, &reference("acme/web")).unwrap();
    assert_eq!(store.images().unwrap().len(), 1, "one row for the index, the host's platform");
    let chains = store
        .update(|update| {
            assert_eq!(update.references_of(&image)?.len(), 2);
            assert_eq!(update.delete_image(&image).unwrap_err().kind(), Kind::Conflict);
            for name in update.references_of(&image)? {
                assert!(update.untag(&name)?);
            }
            for (repository, digest) in update.repo_digests_of(&image)? {
                assert!(update.remove_repo_digest(&repository, &digest)?);
            }
            update.delete_image(&image)
        })
        .unwrap();
    assert_eq!(chains.len(), 3, "two chains of each platform, the lowest shared");
    let collected = store.collect().unwrap();
    assert_eq!(collected.blobs, 8, "index, two manifests, two configs, three layers");
    assert!(store.images().unwrap().is_empty());
    assert!(store.check(false).unwrap().problems.is_empty());
}

/// Root's work in somebody else's store must not lock them out of it.
#[test]
fn what_root_makes_in_a_store_belongs_to_its_owner() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = scratch();
    let root = root_of(&directory);
    std::fs::create_dir(&root).unwrap();
    chown(&root, Some(12345), Some(12346)).unwrap();
    let store = open(&directory);
    let image = Remote::small("owned").pull(&store, &["app:1"]).unwrap().targets[0].shown.clone();
    store.unpack(&image).unwrap();
    store.labels([&image]).unwrap();
    store.touch([&image]).unwrap();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (12345, 12346), "{path:?}");
            folders.extend(found.is_dir().then_some(path));
        }
    }
}

#[test]
fn a_store_whose_path_is_too_long_for_sqlite_is_refused() {
    let directory = scratch();
    let root = directory.path().join(["d"; 300].join("/"));
    let error = open_at(&root).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("the path of the store has"), "{error}");
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none());
}
