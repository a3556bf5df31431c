//! Snapshots of the real binary: what each verb says, where it says it, and how it exits.

mod artifact;
mod completion;
mod copy;
mod docker29;
mod documents;
mod export;
mod failures;
mod files;
mod format;
mod history;
mod images;
mod import;
mod inspect;
mod last_use;
mod load;
mod login;
mod manifest;
mod mount;
mod names;
mod nobody;
mod outlines;
mod personality;
mod platforms;
mod podman;
mod podman_containers;
mod podman_options;
mod proxies;
mod prune;
mod pull;
mod pull_unpack;
mod push;
mod registry_errors;
mod remade;
mod remote;
mod rmi;
mod rows;
mod run;
mod run_defaults;
mod run_files;
mod run_images;
mod run_inspected;
mod run_interrupted;
mod run_mounts;
mod run_options;
mod run_places;
mod run_removed;
mod run_together;
mod run_turns;
mod run_volumes;
mod save;
mod scarce;
mod serve;
mod serve_full;
mod signals;
mod system;
mod system_df;
mod system_prune;
mod tag;
mod terminal;
mod tree;
mod unpack;
mod unshare;
mod untag;
mod usage;
mod version;
mod volume_options;

/// A file that is not listed above would never run.
#[test]
fn every_file_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli");
    for entry in std::fs::read_dir(folder).expect("this folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".rs") else { continue };
        assert!(stem == "main" || include_str!("main.rs").contains(&format!("mod {stem};\n")), "{name} is not listed");
    }
}
