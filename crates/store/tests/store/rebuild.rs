//! A database that is damaged or lost is made anew from what else is there.

use std::path::Path;

use dhow_store::{Container, ContainerState, Rebuilt, Store};

use crate::common::*;

const DATABASE: [&str; 3] = ["meta.db", "meta.db-wal", "meta.db-shm"];

/// A store with an image under two names and one without any, and the digests of both.
fn stocked(root: &Path) -> (Remote, Remote) {
    let store = open_at(root).unwrap();
    let (named, nameless) = (Remote::small("named"), Remote::small("nameless"));
    named.pull(&store, &["app:1", "registry.example/acme/app:2"]).unwrap();
    nameless.pull(&store, &[]).unwrap();
    let id = store.find("app:1").unwrap().image_id;
    let container = Container { id: "ab".repeat(32), name: Some("web".to_owned()), state: ContainerState::Created };
    store.update(|update| update.put_container(&container, &id)).unwrap();
    (named, nameless)
}

fn rebuild(root: &Path) -> Rebuilt {
    let rebuilt = Store::rebuild(root, &options()).unwrap();
    assert!(Store::database_is_sound(root, &options()).unwrap());
    assert!(!root.join("rebuild").exists());
    rebuilt
}

fn assert_names(root: &Path, named: &Remote) -> Store {
    let store = open_at(root).unwrap();
    for name in ["app:1", "registry.example/acme/app:2"] {
        assert_eq!(store.find(name).unwrap().target.digest, named.root.digest, "{name}");
    }
    assert_eq!(store.images().unwrap().len(), 2, "the one without a name is there too");
    assert_sound(&store, "after the rebuild");
    assert_eq!(store.collect().unwrap().blobs, 0, "everything belongs to an image");
    store
}

#[test]
fn names_come_back_from_the_view_when_the_database_is_garbage_or_gone() {
    for garbage in [Some(vec![0x55_u8; 8192]), Some(Vec::new()), None] {
        let directory = scratch();
        let root = root_of(&directory);
        let (named, _) = stocked(&root);
        for file in DATABASE {
            let _ = std::fs::remove_file(root.join(file));
        }
        if let Some(bytes) = &garbage {
            std::fs::write(root.join("meta.db"), bytes).unwrap();
        }
        assert!(!Store::database_is_sound(&root, &options()).unwrap(), "{:?}", garbage.as_ref().map(Vec::len));
        let rebuilt = rebuild(&root);
        assert_eq!((rebuilt.blobs, rebuilt.references), (8, 2), "{rebuilt:#?}");
        let kept = rebuilt.kept_in.as_ref().unwrap();
        assert!(kept.join("index.json").exists());
        // An empty file is an empty database to SQLite, which signs it when it looks.
        if garbage != Some(Vec::new()) {
            assert!(std::fs::read(kept.join("meta.db")).ok() == garbage, "the old database stays as it was");
        }
        assert_names(&root, &named);
    }
}

#[test]
fn what_the_old_database_still_says_wins() {
    let directory = scratch();
    let root = root_of(&directory);
    let (named, _) = stocked(&root);
    std::fs::write(root.join("index.json"), "{\"schemaVersion\":2,\"manif").unwrap();
    let rebuilt = rebuild(&root);
    assert_eq!(rebuilt.losses, Vec::<String>::new());
    let store = assert_names(&root, &named);
    let image = store.image(&store.find("app:1").unwrap().image_id).unwrap();
    assert_eq!((image.containers, image.repo_digests.len()), (1, 2));
}

/// The log of the database is lost, or an old copy of both is put in their place: what only the lost changes name is no garbage.
#[test]
fn a_database_that_is_older_than_the_view_is_refused_and_made_anew() {
    for lost in ["the log", "both"] {
        let directory = scratch();
        let root = root_of(&directory);
        let (named, nameless) = stocked(&root);
        let before = DATABASE.map(|file| (root.join(file), std::fs::read(root.join(file)).unwrap_or_default()));
        let newest = Remote::small("newest");
        {
            let store = open_at(&root).unwrap();
            newest.pull(&store, &["app:new", "app:1"]).unwrap();
        }
        if lost == "the log" {
            checkpoint(&root, &before);
        } else {
            before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        }
        let _ = std::fs::remove_file(root.join("meta.db-shm"));
        let view = std::fs::read(root.join("index.json")).unwrap();

        let error = open_at(&root).unwrap_err();
        assert_eq!(error.kind(), dhow_base::Kind::Corrupt, "{lost}: {error}");
        assert!(error.to_string().contains("meta.db") && error.to_string().contains("index.json"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("system check --repair")), "{error:?}");
        assert_eq!(std::fs::read(root.join("index.json")).unwrap(), view, "{lost}: the newest names stay");
        assert!(!Store::database_is_sound(&root, &options()).unwrap());

        let rebuilt = rebuild(&root);
        assert!(rebuilt.losses.iter().any(|loss| loss.contains("latest changes")), "{lost}: {rebuilt:#?}");
        let store = open_at(&root).unwrap();
        for (name, image) in [("app:new", &newest), ("app:1", &newest), ("registry.example/acme/app:2", &named)] {
            assert_eq!(store.find(name).unwrap().target.digest, image.root.digest, "{lost}: {name}");
        }
        assert_eq!(store.find(nameless.root.digest.as_str()).unwrap().target.digest, nameless.root.digest);
        assert_eq!(store.collect().unwrap().blobs, 0, "{lost}: everything belongs to an image");
        store.update(|update| update.untag(&reference("app:new"))).unwrap();
        open_at(&root).expect("the new database goes on counting");
    }
}

/// Puts the database in the state of `before` with all of it written back, and no log.
fn checkpoint(root: &Path, before: &[(std::path::PathBuf, Vec<u8>)]) {
    before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let _ = std::fs::remove_file(root.join("meta.db-shm"));
    let connection = rusqlite::Connection::open(root.join("meta.db")).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let _ = std::fs::remove_file(root.join("meta.db-wal"));
}

#[test]
fn a_store_that_is_made_where_one_was_emptied_does_not_look_old() {
    let directory = scratch();
    let root = root_of(&directory);
    stocked(&root);
    DATABASE.iter().for_each(|file| drop(std::fs::remove_file(root.join(file))));
    std::fs::remove_dir_all(root.join("blobs")).unwrap();
    let store = open_at(&root).expect("a new store");
    assert_eq!(store.images().unwrap().len(), 0);
    open_at(&root).expect("and it opens again");
}

#[test]
fn without_any_names_the_images_come_back_nameless() {
    let directory = scratch();
    let root = root_of(&directory);
    let (named, nameless) = stocked(&root);
    for file in DATABASE.into_iter().chain(["index.json"]) {
        let _ = std::fs::remove_file(root.join(file));
    }
    let rebuilt = rebuild(&root);
    assert_eq!((rebuilt.references, rebuilt.kept_in), (0, None));
    let store = open_at(&root).unwrap();
    for image in [named, nameless] {
        assert!(store.is_complete(&image.root.digest).unwrap());
        assert_eq!(store.find(image.root.digest.as_str()).unwrap().target.digest, image.root.digest);
    }
}

#[test]
fn an_image_that_lost_a_layer_is_told_and_nothing_is_deleted() {
    let directory = scratch();
    let root = root_of(&directory);
    let (named, _) = stocked(&root);
    let layer = {
        let store = open_at(&root).unwrap();
        store.layers(&store.find("app:1").unwrap().image_id).unwrap()[1].blob.digest.clone()
    };
    let path = root.join("blobs/sha256").join(layer.hex());
    let half = std::fs::read(&path).unwrap()[..1000].to_vec();
    std::fs::write(&path, &half).unwrap();
    std::fs::write(root.join("meta.db"), "not a database").unwrap();
    let rebuilt = rebuild(&root);
    assert_eq!(std::fs::read(root.join("damaged").join(format!("sha256-{}", layer.hex()))).unwrap(), half);
    assert!(rebuilt.losses.join("\n").contains(layer.hex()), "{rebuilt:#?}");
    let [incomplete] = rebuilt.incomplete.as_slice() else { panic!("{rebuilt:#?}") };
    let told = incomplete.to_string();
    assert!(
        told.contains("app:1") && told.contains(" cannot be brought back: ") && told.contains(layer.hex()),
        "{told}"
    );
    let store = open_at(&root).unwrap();
    assert!(store.find("app:1").is_err());
    named.pull(&store, &["app:1"]).unwrap();
    assert_sound(&store, "after the next pull");
}

#[test]
fn an_interrupted_rebuild_and_interrupted_collection_are_no_obstacle() {
    let directory = scratch();
    let root = root_of(&directory);
    let (named, _) = stocked(&root);
    std::fs::create_dir_all(root.join("rebuild")).unwrap();
    std::fs::write(root.join("rebuild/meta.db"), "half").unwrap();
    let hex = named.root.digest.hex();
    std::fs::rename(root.join("blobs/sha256").join(hex), root.join("trash").join(format!("sha256-{hex}"))).unwrap();
    std::fs::write(root.join("meta.db"), vec![0; 4096]).unwrap();
    rebuild(&root);
    assert_names(&root, &named);
}

#[test]
fn no_store_is_made_out_of_nothing() {
    let directory = scratch();
    let error = Store::rebuild(&root_of(&directory), &options()).unwrap_err();
    assert_eq!(error.kind(), dhow_base::Kind::NotFound);
    assert!(!root_of(&directory).exists());
}
