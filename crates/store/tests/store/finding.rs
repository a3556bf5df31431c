//! What a text stands for.

use std::collections::HashMap;

use dhow_base::Kind;
use dhow_content::suite;
use dhow_spec::{Descriptor, Platform};
use dhow_store::{MatchedBy, NewTarget, OpenOptions, Store};
use futures::executor::block_on;

use crate::common::*;

fn pull_member(store: &Store, sample: &suite::Sample, member: usize, names: &[&str]) {
    let session = store.begin("pull").unwrap();
    let pick = |index: &dhow_spec::Document| Ok(vec![index.as_index().unwrap().manifests[member].clone()]);
    let options = dhow_content::CopyOptions {
        select: dhow_content::Select::Only(&pick),
        ..dhow_content::CopyOptions::new(&dhow_base::progress::Silent)
    };
    block_on(dhow_content::copy(&sample.place, &session, &sample.index, &options)).unwrap();
    let remote = Remote { place: sample.place.clone(), root: sample.index.clone() };
    session.commit(&[remote.target(names)]).unwrap();
}

fn members(sample: &suite::Sample) -> Vec<Descriptor> {
    let index = block_on(dhow_content::read_document(&sample.place, &sample.index)).unwrap();
    index.document().as_index().unwrap().manifests.clone()
}

#[test]
fn an_index_is_intact_when_the_configs_of_all_platforms_are() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("platforms");
    pull_member(&store, &sample, 1, &["multi"]);
    let arm = store.find("multi").unwrap();
    pull_member(&store, &sample, 0, &["multi"]);
    let index = &sample.index.digest;
    assert!(store.is_intact(index).unwrap());
    let config = root_of(&directory).join(format!("blobs/sha256/{}", arm.image_id.hex()));
    let mut bytes = std::fs::read(&config).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&config, bytes).unwrap();
    assert!(store.is_complete(index).unwrap() && !store.is_intact(index).unwrap());
}

#[test]
fn another_platform_of_an_index_adds_to_its_name() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("platforms");
    let members = members(&sample);
    pull_member(&store, &sample, 1, &["multi"]);
    let arm = store.find("multi").unwrap();
    assert_eq!(arm.manifest.digest, members[1].digest, "the only one that is here");
    assert!(!store.is_complete(&sample.index.digest).unwrap());
    assert!(!store.is_complete_for(&sample.index.digest, None).unwrap(), "the host's is missing");
    assert!(store.is_complete_for(&sample.index.digest, Some(&Platform::new("linux", "arm64"))).unwrap());
    pull_member(&store, &sample, 0, &["multi"]);
    let amd = store.find("multi").unwrap();
    assert_eq!(amd.manifest.digest, members[0].digest, "the host's platform");
    assert!(store.is_complete(&sample.index.digest).unwrap());
    let images = store.images().unwrap();
    assert_eq!(images.len(), 1, "one row for the name");
    assert_eq!((&images[0].id, images[0].references.len()), (&amd.image_id, 1));
    assert_eq!(store.image(&arm.image_id).unwrap().references.len(), 0);
    let arm64 = Platform::new("linux", "arm64");
    assert_eq!(store.manifest_for(&sample.index.digest, Some(&arm64)).unwrap().unwrap().digest, members[1].digest);
    assert!(store.manifest_for(&sample.index.digest, Some(&Platform::new("linux", "s390x"))).unwrap().is_none());

    let by_id = store.find(arm.image_id.short()).unwrap();
    assert_eq!((by_id.matched_by, &by_id.target), (MatchedBy::Id, &arm.manifest), "the index would show another image");
    assert_eq!(store.find(amd.image_id.short()).unwrap().target, amd.target);
    let by_digest = store.find(members[1].digest.as_str()).unwrap();
    assert_eq!((by_digest.matched_by, &by_digest.image_id), (MatchedBy::Digest, &arm.image_id));
    let by_member_name = store.find(&format!("multi@{}", members[1].digest)).unwrap();
    assert_eq!((by_member_name.matched_by, &by_member_name.image_id), (MatchedBy::Name, &arm.image_id));

    let by_name = store.resolve(&reference(&format!("multi@{}", members[1].digest))).unwrap().unwrap();
    assert_eq!(by_name.digest, members[1].digest);
    assert_eq!(store.manifest_for(&by_name.digest, None).unwrap().unwrap().digest, members[1].digest);
    store.tag(&by_id.target, &reference("arm")).unwrap();
    assert_eq!(store.find("arm").unwrap().image_id, arm.image_id);
    assert_eq!(store.images().unwrap().len(), 2);
    assert_sound(&store, "one platform tagged");

    let elsewhere = OpenOptions { platform: arm64, ..options() };
    let store = Store::open(&root_of(&directory), &elsewhere).unwrap();
    assert_eq!(store.find("multi").unwrap().image_id, arm.image_id, "on another machine another one is shown");
    assert_sound(&store, "platforms");
}

#[test]
fn one_platform_can_leave_an_index_that_keeps_its_name() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("leave");
    pull_member(&store, &sample, 0, &["multi"]);
    pull_member(&store, &sample, 1, &["multi"]);
    let members = members(&sample);
    let arm = store.find(members[1].digest.as_str()).unwrap().image_id;
    store.update(|update| update.delete_image(&arm)).unwrap();
    let collected = store.collect().unwrap();
    assert_eq!(collected.blobs, 3, "its manifest, its config and the layer of its own");
    assert_eq!(store.find(arm.as_str()).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.find("multi").unwrap().manifest.digest, members[0].digest);
    assert_sound(&store, "after one platform left");
    pull_member(&store, &sample, 1, &["multi"]);
    assert!(store.is_complete(&sample.index.digest).unwrap());
    assert_sound(&store, "after it came back");
}

#[test]
fn a_name_that_moves_leaves_its_image_without_one() {
    let directory = scratch();
    let store = open(&directory);
    let (old, new) = (Remote::small("old"), Remote::small("new"));
    old.pull(&store, &["app:1"]).unwrap();
    let old_id = store.find("app:1").unwrap().image_id;
    let committed = new.pull(&store, &["app:1"]).unwrap();
    assert_eq!(committed.replaced, [(reference("app:1"), old_id.clone())]);
    let image = store.image(&old_id).unwrap();
    assert!(image.references.is_empty());
    assert_eq!(image.repo_digests.len(), 1, "its digest is still known in the repository");
    assert_eq!(store.images().unwrap().len(), 2);
    assert_eq!(store.collect().unwrap().blobs, 0, "an image without a name is no garbage");
    let digest = format!("app@{}", old.root.digest);
    let found = store.find(&digest).unwrap();
    assert_eq!((found.matched_by, found.image_id), (MatchedBy::Name, old_id.clone()));
    assert_eq!(store.references_in(reference("app").repository()).unwrap().len(), 3, "a tag and two digests");
    assert!(store.last_tagged(&old_id).unwrap().is_none());
    assert!(store.last_tagged(&committed.targets[0].shown).unwrap().is_some());
}

#[test]
fn names_win_over_ids_and_ambiguous_ids_are_no_image() {
    let directory = scratch();
    let store = open(&directory);
    let first = Remote::small("0");
    first.pull(&store, &["first"]).unwrap();
    let id = store.find("first").unwrap().image_id;
    let second = Remote::small("1");
    let short = &id.hex()[..6];
    second.pull(&store, &[short]).unwrap();
    assert_eq!(store.find(short).unwrap().target.digest, second.root.digest, "the name");
    assert_eq!(store.find(&id.hex()[..7]).unwrap().image_id, id, "no name, but an ID");
    let mut seen = std::collections::HashSet::new();
    seen.insert(id.hex()[..1].to_owned());
    seen.insert(store.find(short).unwrap().image_id.hex()[..1].to_owned());
    for salt in 2.. {
        let other = Remote::small(&salt.to_string());
        other.pull(&store, &[&format!("n{salt}")]).unwrap();
        let prefix = store.find(&format!("n{salt}")).unwrap().image_id.hex()[..1].to_owned();
        if !seen.insert(prefix.clone()) {
            let error = store.find(&prefix).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound);
            assert_eq!(error.to_string(), format!("No such image: {prefix}:latest"));
            assert!(error.hint().is_some());
            break;
        }
    }
    for (text, kind, words) in [
        ("nope", Kind::NotFound, "No such image: nope:latest"),
        ("nope:1", Kind::NotFound, "No such image: nope:1"),
        ("sha256:abcd", Kind::NotFound, "No such image: sha256:abcd"),
        ("UPPER", Kind::Invalid, "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("", Kind::Invalid, "invalid reference format"),
    ] {
        let error = store.find(text).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, words), "{text}");
    }
    let absent = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(store.find(&absent).unwrap_err().to_string(), format!("No such image: {absent}"));
}

#[test]
fn a_target_by_digest_alone_is_listed_and_found() {
    let directory = scratch();
    let store = open(&directory);
    let remote = Remote::small("digest");
    let session = store.begin("pull").unwrap();
    remote.fetch(&session).unwrap();
    let repository = reference("acme/web").repository().clone();
    let target =
        NewTarget { digest_repositories: vec![repository.clone()], ..NewTarget::default_for(remote.root.clone()) };
    session.commit(&[target]).unwrap();
    session.record_homes(&repository, std::slice::from_ref(&remote.root.digest)).unwrap();
    let image = store.images().unwrap().remove(0);
    assert!(image.references.is_empty());
    assert_eq!(image.repo_digests, [(repository.clone(), remote.root.digest.clone())]);
    let by_digest = reference(&format!("acme/web@{}", remote.root.digest));
    assert_eq!(store.resolve(&by_digest).unwrap().unwrap().digest, remote.root.digest);
    assert_eq!(store.resolve(&reference("acme/web")).unwrap(), None);
    assert_eq!(store.homes(&remote.root.digest).unwrap(), [repository]);
    assert_eq!(store.last_use(&image.id).unwrap(), None);
    store.touch([&image.id]).unwrap();
    let first = store.last_use(&image.id).unwrap().unwrap();
    store.touch([&image.id]).unwrap();
    assert_eq!(store.last_use(&image.id).unwrap(), Some(first), "to the minute");
    let other = dhow_spec::Digest::sha256(b"another");
    store.touch([&image.id, &other]).unwrap();
    assert_eq!(store.last_use(&image.id).unwrap(), Some(first));
    assert!(store.last_use(&other).unwrap().unwrap() >= first);
    assert_eq!(store.last_uses().unwrap().len(), 2);
    store.collect().unwrap();
    assert_eq!(store.last_uses().unwrap(), HashMap::from([(image.id.clone(), first)]), "the other is not here");
}

#[test]
fn index_json_shows_names_and_nameless_targets() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("old").pull(&store, &["app:1"]).unwrap();
    Remote::small("new").pull(&store, &["app:1", "localhost:5000/app"]).unwrap();
    let read = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(root_of(&directory).join("index.json")).unwrap()).unwrap()
    };
    let names = |index: &serde_json::Value| -> Vec<Option<String>> {
        let entries = index["manifests"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned))
            .collect()
    };
    let shown = [Some("docker.io/library/app:1".to_owned()), Some("localhost:5000/app:latest".to_owned()), None];
    let before = read();
    assert_eq!(names(&before), shown);
    std::fs::write(root_of(&directory).join("index.json"), "{}").unwrap();
    open(&directory);
    assert_eq!(read(), before, "opening writes the view anew");
}
