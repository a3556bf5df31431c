//! Containers, volumes and records of the build cache, which no verb makes yet, put into a scene's store.

use dhow_spec::Platform;
use dhow_store::{BuildRecord, Container, ContainerState, OpenOptions, Store, Volume};
use dhow_tests::scene::Scene;

pub(crate) fn store(scene: &Scene) -> Store {
    let options = OpenOptions { platform: Platform::new("linux", "amd64"), ..OpenOptions::default() };
    Store::open(&scene.path("store"), &options).expect("the store")
}

/// A container whose ID is `letters` over and over.
pub(crate) fn container(scene: &Scene, image: &str, letters: &str, state: ContainerState, configuration: &str) {
    let id = letters.repeat(64 / letters.len());
    let container = Container { id: id.clone(), name: Some(format!("name-{letters}")), state };
    let put = store(scene).update(|update| {
        let image = update.find(image)?.image_id;
        update.put_container(&container, &image)?;
        update.configure_container(&id, configuration)
    });
    put.expect("a container");
}

pub(crate) fn volume(scene: &Scene, name: &str, anonymous: bool, containers: &[&str]) {
    let volume = Volume { name: name.to_owned(), anonymous, created: 0, configuration: "{}".to_owned(), links: 0 };
    store(scene).update(|update| update.put_volume(&volume, containers)).expect("a volume");
}

pub(crate) fn build_record(scene: &Scene, key: &str, size: u64) {
    let record = BuildRecord {
        key: key.to_owned(),
        kind: "regular".to_owned(),
        parent: None,
        digest: None,
        size,
        created: 0,
        used: 0,
        uses: 3,
        description: "RUN true".to_owned(),
    };
    store(scene).update(|update| update.put_build_record(&record)).expect("a record");
}
