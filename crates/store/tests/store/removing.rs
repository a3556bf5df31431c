//! Removing many images at once, and what is known of their space.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use dhow_base::Kind;
use dhow_content::suite;
use dhow_store::{BuildRecord, Container, ContainerState, Removal, Volume};

use crate::common::*;

fn container(letters: &str, state: ContainerState) -> Container {
    Container { id: letters.repeat(32), name: None, state }
}

#[test]
fn many_images_go_as_one_by_one() {
    let (directory, other) = (scratch(), scratch());
    let (store, single) = (open(&directory), open(&other));
    for store in [&store, &single] {
        for number in 0..4 {
            let name = format!("app-{number}:1");
            Remote::small(&format!("many-{number}")).pull(store, &[&name, "app:latest"]).unwrap();
        }
    }
    let listed = store.images().unwrap();
    let removed = store.update(|update| update.remove(listed.into_iter().map(Removal::whole).collect())).unwrap();
    let mut freed: Vec<_> = removed.into_iter().flat_map(|removed| removed.chains.unwrap()).collect();
    let mut expected = Vec::new();
    for image in single.images().unwrap() {
        let chains = single.update(|update| {
            for name in &image.references {
                update.untag(name)?;
            }
            for (repository, digest) in &image.repo_digests {
                update.remove_repo_digest(repository, digest)?;
            }
            update.delete_image(&image.id)
        });
        expected.extend(chains.unwrap());
    }
    freed.sort();
    expected.sort();
    assert_eq!(freed, expected, "the same layers are free");
    assert_eq!(store.collect().unwrap(), single.collect().unwrap());
    for store in [&store, &single] {
        assert!(store.images().unwrap().is_empty());
        assert_sound(store, "after all images are gone");
    }
}

/// When all goes, the directory of the blobs goes as one, unless somebody else has something in it or is at work.
#[test]
fn all_goes_at_once() {
    use std::os::unix::fs::MetadataExt;

    let directory = scratch();
    let store = open(&directory);
    let root = root_of(&directory);
    let blobs = root.join("blobs/sha256");
    let number = || fs::metadata(&blobs).unwrap().ino();
    let empty = |what: &str| {
        Remote::small(what).pull(&store, &["app:1"]).unwrap();
        let before = (number(), fs::read_dir(&blobs).unwrap().count());
        let listed = store.images().unwrap();
        store.update(|update| update.remove(listed.into_iter().map(Removal::whole).collect())).unwrap();
        let collected = store.collect().unwrap();
        assert_eq!(fs::read_dir(root.join("trash")).unwrap().count(), 1, "{what}: only the lock is left");
        assert_sound(&store, what);
        (number() != before.0, before.1 as u64 - collected.blobs)
    };
    assert_eq!(empty("all"), (true, 0));
    let session = store.begin("pull").unwrap();
    Remote::small("being pulled").fetch(&session).unwrap();
    assert_eq!(empty("somebody works"), (false, 4));
    drop(session);
    assert_eq!(empty("nobody works"), (true, 0));
    fs::write(blobs.join("notes"), "not ours").unwrap();
    assert_eq!(empty("a file of others"), (false, 1));
    assert!(blobs.join("notes").exists());
}

#[test]
fn what_changed_since_it_was_listed_stays() {
    let directory = scratch();
    let store = open(&directory);
    for name in ["renamed", "used", "gone"] {
        Remote::small(name).pull(&store, &[name]).unwrap();
    }
    let listed = store.images().unwrap();
    let target = store.find("renamed").unwrap().target;
    store.tag(&target, &reference("renamed:again")).unwrap();
    let used = store.find("used").unwrap().image_id;
    store.update(|update| update.put_container(&container("ab", ContainerState::Exited), &used)).unwrap();
    let removals: Vec<Removal> = listed.into_iter().map(Removal::whole).collect();
    let would = store.rehearse(|update| Ok((update.remove(removals.clone())?, update.garbage_bytes(&[])?))).unwrap();
    assert_eq!(store.images().unwrap().len(), 3, "a rehearsal removes nothing");
    let removed = store.update(|update| update.remove(removals)).unwrap();
    assert_eq!(removed, would.0);
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].removal.tags, [reference("gone")]);
    assert_eq!(store.collect().unwrap().bytes, would.1, "a rehearsal tells what comes free");
    assert_eq!(store.images().unwrap().len(), 2);
    assert_sound(&store, "after a removal");
}

#[test]
fn a_name_can_go_alone() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("part").pull(&store, &["app:1", "app:2"]).unwrap();
    let image = store.images().unwrap().remove(0);
    let removal = Removal { tags: vec![reference("app:1")], digests: Vec::new(), image };
    let removed = store.update(|update| update.remove(vec![removal])).unwrap();
    assert_eq!(removed[0].chains, None);
    assert_eq!(store.images().unwrap()[0].references, [reference("app:2")]);
}

#[test]
fn stopped_containers_give_way_to_force_and_running_ones_do_not() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("forced").pull(&store, &["app"]).unwrap();
    let id = store.find("app").unwrap().image_id;
    let delete = |state| {
        store.update(|update| {
            update.put_container(&container("cd", state), &id)?;
            update.untag(&reference("app"))?;
            update.delete_used_image(&id)
        })
    };
    assert_eq!(delete(ContainerState::Paused).unwrap_err().kind(), Kind::Conflict);
    assert_eq!(delete(ContainerState::Exited).unwrap(), [], "the container keeps its layers");
    assert!(store.images().unwrap().is_empty());
    assert_eq!(store.containers().unwrap()[0].image_id, id);
    store.collect().unwrap();
    assert_sound(&store, "an image for a container alone");
}

/// An image that is mounted in a container is used as one that a container was made from.
#[test]
fn mounted_images_are_used() {
    let directory = scratch();
    let store = open(&directory);
    let [base, mounted, other] = ["base", "mounted", "other"].map(|name| {
        Remote::small(name).pull(&store, &[name]).unwrap();
        store.find(name).unwrap().image_id
    });
    let configuration = format!(r#"{{"MountedImages":["{mounted}","{base}"]}}"#);
    let mounting = |configuration: &str, state| {
        let one = container("ef", state);
        store.update(|update| {
            update.put_container(&one, &base)?;
            update.configure_container(&one.id, configuration)
        })
    };
    mounting(&configuration, ContainerState::Exited).unwrap();
    let users = |id| store.image(id).unwrap().containers;
    assert_eq!([&base, &mounted, &other].map(users), [1, 1, 0], "a container counts once");
    assert!(store.images().unwrap().iter().all(|image| image.containers == users(&image.id)));
    assert_eq!(store.used_images().unwrap(), HashSet::from([base.clone(), mounted.clone()]));

    let removals = store.images().unwrap().into_iter().map(Removal::whole).collect();
    assert_eq!(store.update(|update| update.remove(removals)).unwrap().len(), 1, "the one that nobody uses");
    let untagged = |force: bool| {
        store.update(|update| {
            update.untag(&reference("mounted"))?;
            if force { update.delete_used_image(&mounted) } else { update.delete_image(&mounted) }
        })
    };
    assert_eq!(untagged(false).unwrap_err().kind(), Kind::Conflict);
    mounting(&configuration, ContainerState::Running).unwrap();
    assert_eq!(untagged(true).unwrap_err().kind(), Kind::Conflict);
    mounting("MountedImages, which is no JSON", ContainerState::Running).unwrap();
    assert_eq!(store.used_images().unwrap(), HashSet::from([base]));
    assert!(!untagged(false).unwrap().is_empty());
    let gone = store.update(|update| update.require_image(&mounted)).unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}

/// An index stays whole as long as a container has one of its platforms mounted.
#[test]
fn an_index_of_a_mounted_image_stays() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("mounted platforms");
    let remote = Remote { place: sample.place.clone(), root: sample.index.clone() };
    remote.pull(&store, &["multi"]).unwrap();
    Remote::small("base").pull(&store, &["base"]).unwrap();
    let [shown, base] = ["multi", "base"].map(|name| store.find(name).unwrap().image_id);
    let platforms = store.update(|update| update.platforms_of(&sample.index.digest)).unwrap();
    let other = platforms.iter().map(|(_, id)| id).find(|id| **id != shown).unwrap();
    let one = container("ef", ContainerState::Exited);
    store
        .update(|update| {
            update.put_container(&one, &base)?;
            update.configure_container(&one.id, &format!(r#"{{"MountedImages":["{other}"]}}"#))?;
            update.untag(&reference("multi"))?;
            update.delete_used_image(&shown)
        })
        .unwrap();
    assert!(store.image(other).is_ok(), "the platform that is mounted");
    assert!(store.image(&shown).is_err());
}

#[test]
fn one_platform_of_two_can_be_left_out() {
    let directory = scratch();
    let store = open(&directory);
    let sample = suite::sample("platforms");
    let remote = Remote { place: sample.place.clone(), root: sample.index.clone() };
    remote.pull(&store, &["multi"]).unwrap();
    let platforms = store.update(|update| update.platforms_of(&sample.index.digest)).unwrap();
    assert_eq!(platforms.len(), 2);
    let shown = store.find("multi").unwrap().image_id;
    let chains = store
        .update(|update| {
            update.leave_out(&shown)?;
            update.delete_image(&shown)
        })
        .unwrap();
    assert!(!chains.is_empty());
    assert_ne!(store.find("multi").unwrap().image_id, shown, "the other platform is shown now");
    assert!(store.collect().unwrap().blobs > 0);
    assert_sound(&store, "after one platform went");
}

#[test]
fn labels_come_from_configs_and_are_kept() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("plain").pull(&store, &["plain"]).unwrap();
    let id = store.find("plain").unwrap().image_id;
    let first = store.labels([&id]).unwrap();
    assert!(first[&id].is_empty(), "known to have none");
    let cache = root_of(&directory).join("facts/v1/labels.db");
    let kept = rusqlite::Connection::open(&cache).unwrap();
    let count = |sql: &str| kept.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM image_labels"), 1);
    kept.execute("UPDATE image_labels SET labels = '{\"a\":\"b\"}'", []).unwrap();
    assert_eq!(store.labels([&id]).unwrap()[&id]["a"], "b", "the second time nothing is read but the table");
    kept.execute("UPDATE image_labels SET labels = 'nonsense'", []).unwrap();
    assert_eq!(store.labels([&id]).unwrap(), first, "what cannot be read is worked out again");
    drop(kept);
    fs::remove_dir_all(root_of(&directory).join("facts")).unwrap();
    assert_eq!(open(&directory).labels([&id]).unwrap(), first, "the cache can be deleted");
}

#[test]
fn of_an_image_without_its_config_no_labels_are_known() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("damaged").pull(&store, &["damaged"]).unwrap();
    let id = store.find("damaged").unwrap().image_id;
    fs::remove_file(root_of(&directory).join("blobs/sha256").join(id.hex())).unwrap();
    assert!(store.labels([&id]).unwrap().is_empty());
}

#[test]
fn contents_tell_what_comes_free() {
    let directory = scratch();
    let store = open(&directory);
    for name in ["one", "two"] {
        Remote::small(name).pull(&store, &[name]).unwrap();
    }
    let mut contents = store.contents().unwrap();
    let on_disk: u64 = fs::read_dir(root_of(&directory).join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(contents.bytes(), on_disk);
    for name in ["one", "two"] {
        let predicted = contents.release(&store.find(name).unwrap().image_id);
        remove(&store, name).unwrap();
        assert_eq!(store.collect().unwrap().bytes, predicted, "{name}");
    }
    assert_eq!(contents.bytes(), 0);
}

#[test]
fn layers_are_counted_for_each_image() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("counted").pull(&store, &["counted"]).unwrap();
    let id = store.find("counted").unwrap().image_id;
    let uses = store.layer_uses().unwrap();
    assert_eq!(uses.len(), 1);
    let expected: Vec<_> =
        store.layers(&id).unwrap().into_iter().map(|layer| (layer.chain_id, layer.size.unwrap())).collect();
    assert_eq!((&uses[0].image_id, &uses[0].layers), (&id, &expected));
}

#[test]
fn containers_volumes_and_build_records_come_and_go() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("rows").pull(&store, &["rows"]).unwrap();
    let id = store.find("rows").unwrap().image_id;
    let volume =
        Volume { name: "v1".to_owned(), anonymous: true, created: 7, configuration: "{}".to_owned(), links: 1 };
    let record = BuildRecord {
        key: "abc".to_owned(),
        kind: "regular".to_owned(),
        parent: None,
        digest: Some(id.clone()),
        size: 12,
        created: 1,
        used: 2,
        uses: 3,
        description: "RUN true".to_owned(),
    };
    let web = container("ef", ContainerState::Exited);
    store
        .update(|update| {
            update.put_container(&web, &id)?;
            assert!(update.configure_container(&web.id, "{\"Image\":\"rows\"}")?);
            update.put_volume(&volume, &[&web.id])?;
            update.put_build_record(&record)
        })
        .unwrap();
    let containers = store.containers().unwrap();
    assert_eq!((&containers[0].container, containers[0].volumes), (&web, 1));
    assert_eq!(containers[0].configuration, "{\"Image\":\"rows\"}");
    assert_eq!(store.volumes().unwrap(), [volume]);
    assert_eq!(store.build_records().unwrap(), [record]);
    store.update(|update| update.remove_container(&web.id)).unwrap();
    assert_eq!(store.volumes().unwrap()[0].links, 0, "a container that is gone uses nothing");
    assert!(store.update(|update| Ok(update.remove_volume("v1")? && update.remove_build_record("abc")?)).unwrap());
    assert!(store.volumes().unwrap().is_empty() && store.build_records().unwrap().is_empty());
}

#[test]
fn the_disk_is_counted_as_du_counts_it() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("disk").pull(&store, &["disk"]).unwrap();
    let folder = root_of(&directory).join("containers/ab");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("file"), vec![0; 5000]).unwrap();
    let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(root_of(&directory)).output().unwrap();
    let expected: u64 = String::from_utf8(du.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let parts = store.disk_use();
    assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), expected, "{parts:?}");
    let blobs = parts.iter().find(|part| part.name == "blobs").unwrap();
    assert_eq!(blobs.files, 4);
    let bytes = store.directory_use("containers", "ab");
    assert!(bytes >= 5000, "{bytes}");
    assert_eq!(store.remove_directory("containers", "ab").unwrap(), bytes);
    assert!(!folder.exists());
}

/// Removes an image by a name, as `rmi` does; returns what a small collection is to look at.
fn removed(store: &dhow_store::Store, name: &str) -> Vec<dhow_spec::Digest> {
    let removed = store.update(|update| {
        let id = update.find(name)?.image_id;
        for name in update.references_of(&id)? {
            update.untag(&name)?;
        }
        for (repository, digest) in update.repo_digests_of(&id)? {
            update.remove_repo_digest(&repository, &digest)?;
        }
        update.delete_used_image(&id)?;
        Ok(update.removed().to_vec())
    });
    removed.unwrap()
}

#[test]
fn a_small_collection_takes_what_a_whole_one_would() {
    let (directory, other) = (scratch(), scratch());
    let (small, whole) = (open(&directory), open(&other));
    for store in [&small, &whole] {
        // All of them have their lower layer in common.
        for number in 0..4 {
            Remote::small(&format!("part-{number}")).pull(store, &[&format!("app-{number}:1")]).unwrap();
        }
    }
    for number in 0..4 {
        let name = format!("app-{number}:1");
        let documents = removed(&small, &name);
        remove(&whole, &name).unwrap();
        let expected = whole.collect().unwrap();
        assert_eq!(small.collect_below(&documents).unwrap(), expected, "{name}");
        assert!(expected.blobs > 0);
        assert_sound(&small, "after a small collection");
        assert_eq!(small.collect().unwrap().blobs, 0, "nothing was left");
        assert_eq!(small.collect_below(&documents).unwrap().blobs, 0, "and nothing is taken twice");
    }
}

#[test]
fn a_small_collection_leaves_what_is_pinned_or_kept() {
    let directory = scratch();
    let store = open(&directory);
    let remote = Remote::small("pinned");
    remote.pull(&store, &["app:1"]).unwrap();
    let session = store.begin("push").unwrap();
    session.pin(&remote.root).unwrap();
    let documents = removed(&store, "app:1");
    assert_eq!(store.collect_below(&documents).unwrap().blobs, 0, "a push reads it");
    session.commit(&[remote.target(&["again:1"])]).unwrap();
    drop(session);
    assert_eq!(store.collect_below(&documents).unwrap().blobs, 0, "it has a name again");
    assert_sound(&store, "after it came back");
    let documents = removed(&store, "again:1");
    assert_eq!(store.collect_below(&documents).unwrap().blobs, 4);
}

#[test]
fn what_a_killed_process_was_writing_goes_with_the_next_collection() {
    let directory = scratch();
    let store = open(&directory);
    let facts = root_of(&directory).join("facts/v1/sha256");
    fs::create_dir_all(&facts).unwrap();
    let (old, new) = (root_of(&directory).join(".index.json.1-0.tmp"), root_of(&directory).join(".index.json.2-0.tmp"));
    let fact = facts.join(format!(".{}.1-0.tmp", "a".repeat(64)));
    for path in [&old, &new, &fact] {
        fs::write(path, "{").unwrap();
    }
    // A file that may still be written has to stay; what was worked out is written once more.
    let long_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    store.collect().unwrap();
    assert_eq!([&old, &new, &fact].map(|path| path.exists()), [false, true, false]);
}
