//! Mounted images.

use std::fs;
use std::path::Path;
use std::process::Command;

use dhow_tests::interop::{Bench, Sample, must};

use crate::NAME;
use crate::listing::{Except, assert_equal, listing, listing_by};
use crate::users::ordinary_user;

/// Mounts the image, looks at it, and unmounts it whatever was seen.
fn mounted(dhow: impl Fn(&[&str]) -> Command, what: &str, look: impl FnOnce(&Path)) {
    let path = must(&mut dhow(&["image", "mount", NAME]));
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(Path::new(path.trim()))));
    must(&mut dhow(&["image", "unmount", NAME]));
    assert!(!Path::new(path.trim()).exists(), "{what}: {path} stays");
    if let Err(panic) = seen {
        std::panic::resume_unwind(panic);
    }
}

/// However it is mounted, the image is what is unpacked: by the kernel, over FUSE by root and by an ordinary user, and where
/// nothing can be mounted.
pub(crate) fn every_mount_is_what_is_unpacked(bench: &Bench, image: &Sample, ours: &Path) {
    let ours = listing(ours, Except::default());
    let dhow = bench.dhow("store");
    for way in ["kernel", "loop", "fuse", "tree"] {
        let dhow = |arguments: &[&str]| {
            let mut command = dhow.command(arguments);
            command.env("DHOW_MOUNT_BY", way);
            command
        };
        mounted(dhow, way, |path| assert_equal(&ours, &listing(path, Except::default()), way));
    }
    let folder = bench.path("of-a-user");
    fs::create_dir(&folder).expect("a folder");
    must(Command::new("chown").arg("65534:65534").arg(&folder));
    must(Command::new("chmod").args(["-R", "a+rX"]).arg(image.layout.root()));
    must(Command::new("chmod").arg("a+x").arg(folder.parent().expect("the bench")));
    let user = |arguments: &[&str]| {
        let mut command = ordinary_user();
        command.arg(dhow_tests::binary::path()).args(arguments);
        command.current_dir(&folder).env("DHOW_ROOT", folder.join("store")).env("HOME", &folder);
        command
    };
    must(&mut user(&["load", "--input", image.layout.root().to_str().expect("a path")]));
    must(&mut user(&["tag", &image.id(), NAME]));
    mounted(user, "an ordinary user", |path| {
        let mut python = ordinary_user();
        // Other versions may be in root's home.
        python.arg("python3").env("PATH", "/usr/bin:/bin");
        let seen = listing_by(python, path, Except::default());
        // Only root is shown these.
        let mut ours = ours;
        for cells in ours.values_mut() {
            let shown: Vec<&str> = cells[5].split(',').filter(|xattr| !xattr.starts_with("trusted.")).collect();
            cells[5] = shown.join(",");
        }
        assert_equal(&ours, &seen, "an ordinary user");
    });
}
