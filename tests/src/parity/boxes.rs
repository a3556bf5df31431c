//! Containers: real ones of the daemon, and rows of dhow's store, which runs none yet.

use std::path::Path;
use std::process::Command;

use dhow_spec::Platform;
use dhow_store::{Container, ContainerState, OpenOptions, Store, Volume};
use dhow_testkit::peers;

use super::pictures::{Box, Doing};

/// Folders of this machine that its programs need: the images have none.
const PROGRAMS: [&str; 4] = ["/usr", "/bin", "/lib", "/lib64"];

/// Makes a container with a docker client; returns its ID.
pub(super) fn make(docker: &mut Command, container: &Box) -> String {
    docker.args(match container.doing {
        Doing::Nothing => &["create"][..],
        Doing::Running => &["run", "--detach"],
        // The client waits for its end.
        Doing::Ended => &["run", "--cidfile", CONTAINER_ID_FILE],
    });
    docker.args(["--name", container.name, "--network", "none"]);
    for folder in PROGRAMS.iter().filter(|folder| Path::new(folder).exists()) {
        docker.args(["--volume", &format!("{folder}:{folder}:ro")]);
    }
    docker.arg(container.image).args(match container.doing {
        Doing::Ended => &["/bin/true"][..],
        Doing::Nothing | Doing::Running => &["/bin/sleep", "100000"],
    });
    let folder = docker.get_current_dir().map(Path::to_owned).unwrap_or_default();
    let said = peers::stdout_of(docker).unwrap_or_else(|error| panic!("{error}"));
    if container.doing != Doing::Ended {
        return said.trim().to_owned();
    }
    let file = folder.join(CONTAINER_ID_FILE);
    let id = std::fs::read_to_string(&file).expect("the container's ID");
    std::fs::remove_file(&file).expect("room for the next ID");
    id
}

const CONTAINER_ID_FILE: &str = "container.id";

/// Records a container in a store; returns its ID.
pub(super) fn record(store: &Path, container: &Box) -> String {
    let options = OpenOptions { platform: Platform::new("linux", "amd64"), ..OpenOptions::default() };
    let store = Store::open(store, &options).expect("the store");
    let digits: String = container.name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let id: String = digits.chars().cycle().take(64).collect();
    let state = match container.doing {
        Doing::Nothing => ContainerState::Created,
        Doing::Running => ContainerState::Running,
        Doing::Ended => ContainerState::Exited,
    };
    let recorded = Container { id: id.clone(), name: Some(container.name.to_owned()), state };
    let image = store.find(container.image).expect("the image").image_id;
    let config = store.config(&image).expect("its config").config.unwrap_or_default();
    let volumes = config.volumes.map(|paths| paths.0.len()).unwrap_or_default();
    let put = store.update(|update| {
        update.put_container(&recorded, &image)?;
        for number in 0..volumes {
            let name = format!("{number:064x}");
            let volume = Volume { name, anonymous: true, created: 0, configuration: "{}".to_owned(), links: 0 };
            update.put_volume(&volume, &[&id])?;
        }
        Ok(())
    });
    put.expect("a container");
    id
}
