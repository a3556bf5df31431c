//! Trees that containers of an ordinary user stand on: what podman makes of the image, and nothing of them is left behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_testkit::debian;
use dhow_testkit::peers::is_root;
use dhow_tests::interop::{Bench, must};

use crate::application;
use crate::listing::{Except, LIST, assert_equal, listed, told};
use crate::users::{by_podman, home_of_user, user_of_many, without_privileges};

/// Longest time in which the background gets rid of a tree.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is in folders of the store, but for locks.
fn left(store: &Path) -> Vec<String> {
    let names = |folder: &str| {
        let entries = fs::read_dir(store.join(folder)).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path().display().to_string())
            .filter(|path| !path.ends_with("lock"))
            .collect::<Vec<_>>()
    };
    ["layers/trees-v1", "containers", "volumes", "mounts", "trash"].into_iter().flat_map(names).collect()
}

#[test]
fn a_tree_of_a_real_distribution_comes_and_goes() {
    if !is_root() {
        eprintln!("skipped: becoming an ordinary user takes root");
        return;
    }
    let tree = debian::cache().join("rootfs");
    if let Err(error) = debian::tree(&tree, "") {
        return eprintln!("skipped: {error}");
    }
    let bench = Bench::new();
    let image = application::debian(&bench, &tree);
    let folder = home_of_user(&bench, &image);
    let dhow = |words: &[&str]| must(&mut user_of_many(&folder, &[&["./dhow"][..], words].concat()));
    dhow(&["load", "-q", "-i", "layout", "--unpack=tree"]);
    dhow(&["tag", &image.id(), "it:1"]);
    let store = folder.join("store");
    let trees = left(&store);
    // The layout has an image of the first layer alone, too.
    let whole = trees.iter().find(|tree| Path::new(tree).join("root/usr/share/doc").exists());
    assert!(trees.len() == 2 && whole.is_some(), "{trees:?}");
    let root = format!("{}/root", whole.expect("a tree"));
    let except = Except { user_xattrs: true, habits: true, ..Except::default() };
    let mine = listed(&told(user_of_many(&folder, &["./dhow", "unshare", "python3", "-c", LIST, &root])), except);
    assert!(mine.len() > 4000, "{} files", mine.len());
    if let Some(theirs) = by_podman(&folder, except) {
        assert_equal(&without_privileges(mine), &without_privileges(theirs), "podman");
    }

    // Directories of others, which the caller could neither read nor remove.
    let script = "umask 0; mkdir -p /shut/deep /kept/of-another; chown -R 7:8 /shut /kept/of-another; chmod -R 0 /shut; chmod 700 /kept/of-another";
    dhow(&["run", "--name", "work", "--network", "none", "-v", "kept:/kept", "it:1", "-c", script]);
    assert_eq!(
        dhow(&["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]),
        "Images 2\nContainers 1\nLocal Volumes 1\nBuild Cache 0"
    );
    dhow(&["rm", "work"]);
    dhow(&["volume", "rm", "kept"]);
    dhow(&["rmi", "it:1"]);
    dhow(&["image", "prune", "-a", "-f"]);
    let begun = Instant::now();
    while !left(&store).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", left(&store));
        std::thread::sleep(Duration::from_millis(50));
    }
    dhow(&["system", "check"]);
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "rm", "-rf", "podman"]));
}
