//! Which containers use an image, as a transaction sees it that changes containers itself.

use std::slice;

use dhow_base::Result;
use dhow_store::{Container, ContainerRecord, ContainerState, Update};

use crate::common::*;

#[test]
fn a_transaction_sees_its_own_changes_of_containers() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("base").pull(&store, &["base"]).unwrap();
    Remote::small("mounted").pull(&store, &["mounted"]).unwrap();
    let [base, mounted] = ["base", "mounted"].map(|name| store.find(name).unwrap().image_id);
    let container = |letters: &str| Container {
        id: letters.repeat(32),
        name: Some(letters.to_owned()),
        state: ContainerState::Created,
    };
    let (first, second) = (container("aa"), container("bb"));
    store
        .update(|update| {
            assert_eq!(update.containers_of(&base)?, []);
            update.put_container(&first, &base)?;
            update.put_container(&second, &base)?;
            assert_eq!(update.containers_of(&base)?, [first.clone(), second.clone()]);
            assert_eq!(update.containers_of(&mounted)?, []);
            update.configure_container(&second.id, &format!(r#"{{"MountedImages":["{mounted}"]}}"#))?;
            assert_eq!(update.containers_of(&mounted)?, slice::from_ref(&second));

            update.container_started(&second.id, 1)?;
            let states = |containers: Vec<Container>| -> Vec<(String, ContainerState)> {
                containers.into_iter().map(|one| (one.name.unwrap(), one.state)).collect()
            };
            let running = ("bb".to_owned(), ContainerState::Running);
            assert_eq!(states(update.containers_of(&base)?), [running, ("aa".to_owned(), ContainerState::Created)]);
            update.container_ended(&second.id, Some(0), 2)?;
            update.rename_container(&second.id, "cc")?;
            let ended = ("cc".to_owned(), ContainerState::Exited);
            assert_eq!(states(update.containers_of(&base)?), [("aa".to_owned(), ContainerState::Created), ended]);

            let record = |update: &Update<'_>| -> Result<ContainerRecord> {
                Ok(update.containers()?.into_iter().find(|record| record.container.id == second.id).expect("a record"))
            };
            let before = record(update)?;
            assert_eq!((before.started, before.finished, before.exit_code), (Some(1), Some(2), Some(0)));
            update.container_started(&second.id, 3)?;
            assert!(update.container_not_started(&before)?);
            assert_eq!(record(update)?, before);

            assert!(update.delete_image(&mounted).is_err());
            update.remove_container(&second.id)?;
            assert_eq!(update.containers_of(&mounted)?, []);
            update.untag(&reference("mounted"))?;
            update.delete_image(&mounted).map(drop)
        })
        .unwrap();
}

/// As with docker, whose containers keep the layers that they stand on.
#[test]
fn an_image_that_is_removed_by_force_stays_for_its_containers_alone() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("base").pull(&store, &["base"]).unwrap();
    let found = store.find("base").unwrap();
    let (id, layers) = (found.image_id.clone(), store.layers(&found.image_id).unwrap());
    let container = |letters: &str| Container { id: letters.repeat(32), name: None, state: ContainerState::Exited };
    let (maker, mounter) = (container("aa"), container("bb"));
    let removed = store.update(|update| {
        update.put_container(&maker, &id)?;
        update.put_container(&mounter, &id)?;
        update.configure_container(&mounter.id, &format!(r#"{{"MountedImages":["{id}"]}}"#))?;
        update.untag(&reference("base"))?;
        assert_eq!(update.delete_used_image(&id)?, [], "no layer is free");
        Ok(update.removed().to_vec())
    });
    store.collect_below(&removed.unwrap()).unwrap();
    store.collect().unwrap();

    let manifest = &found.manifest.digest;
    for text in ["base", id.as_str(), &id.hex()[..12], manifest.as_str(), &manifest.hex()[..12]] {
        assert!(store.find(text).is_err(), "{text}");
    }
    assert_eq!(store.images().unwrap(), []);
    assert_eq!(store.find_used(&id).unwrap().manifest, found.manifest);
    assert_eq!(store.layers(&id).unwrap(), layers);
    store.config(&id).unwrap();
    assert!(store.unpack(&id).is_ok(), "its layers are whole");
    assert_sound(&store, "kept for containers");

    // It comes back under a name, and goes again.
    Remote::small("base").pull(&store, &["base"]).unwrap();
    assert_eq!(store.find("base").unwrap().image_id, id);
    store
        .update(|update| {
            update.untag(&reference("base"))?;
            update.delete_used_image(&id).map(drop)
        })
        .unwrap();
    let gone = |one: &Container| {
        let documents = store.update(|update| {
            update.remove_container(&one.id)?;
            Ok(update.removed().to_vec())
        });
        store.collect_below(&documents.unwrap()).unwrap();
        store.find_used(&id).is_err()
    };
    assert!(!gone(&maker), "another container has it mounted");
    assert!(gone(&mounter));
    assert_eq!(store.collect().unwrap().blobs, 0, "nothing of it was left");
    assert_sound(&store, "kept for containers");
}
