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
