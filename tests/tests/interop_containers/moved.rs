//! Files that go from container to container, and in and out of volumes, beside the real podman.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use dhow_testkit::peers::{self, Podman};

use super::{Bench, listing, must, root_archive, told};

/// One after the other; `FOLDER` is a folder of this machine.
const COPIES: [&[&str]; 33] = [
    &["cp", "FOLDER", "from:/t"],
    &["cp", "from:/t/f", "to:/f"],
    &["cp", "from:/t", "to:/t"],
    &["cp", "from:/t/.", "to:/flat"],
    &["cp", "from:/t/l", "to:/l"],
    &["cp", "from:/data", "to:/tmp"],
    &["cp", "from:/t/nope", "to:/f"],
    &["cp", "from:/t/f", "to:/no/such"],
    &["cp", "from:/t/f", "to:/no/such/"],
    &["cp", "from:/t/dir", "to:/no/such/"],
    &["cp", "from:/t/dir", "to:/nowhere/"],
    &["cp", "from:/t/dir", "to:/f"],
    &["cp", "FOLDER/dir", "to:/f"],
    &["cp", "FOLDER", "to:/nowhere/"],
    &["cp", "FOLDER/f", "to:/nowhere/"],
    &["cp", "from:/t/dir", "FOLDER/f"],
    &["cp", "from:/t/f", "FOLDER/no/such"],
    &["cp", "from:/t/f", "FOLDER/nowhere/"],
    &["cp", "from:/t/dir", "FOLDER/nowhere/"],
    &["cp", "-", "to:/f"],
    &["cp", "-", "to:/nowhere"],
    &["cp", "from:/t/f", "to:/tmp/"],
    &["cp", "from:/t/dir", "to:/tmp"],
    &["cp", "FOLDER/.", "to:/mixed"],
    &["cp", "--overwrite", "FOLDER-other/.", "to:/mixed"],
    &["cp", "from:/t/f", "nope:/x"],
    &["cp", "nope:/x", "from:/t"],
    &["cp", "from:/t/f", "to:"],
    &["cp", "from:", "to:/all"],
    &["cp", "FOLDER/f", "from:"],
    &["cp", "from:", "."],
    &["export", "-o", "ARCHIVE", "to"],
    &["export", "-o", "ARCHIVE", "from"],
];

const VOLUMES: [&[&str]; 19] = [
    &["volume", "create", "first"],
    &["volume", "create", "second"],
    &["volume", "import", "first", "TAR"],
    &["volume", "export", "first", "-o", "ARCHIVE"],
    &["volume", "export", "-o", "ARCHIVE", "fir"],
    &["volume", "import", "second", "ARCHIVE"],
    &["volume", "import", "second", "TAR.gz"],
    &["volume", "import", "second", "TAR.xz"],
    &["volume", "export", "-o", "ARCHIVE", "second"],
    &["volume", "export", "nope", "-o", "ARCHIVE"],
    &["volume", "export"],
    &["volume", "export", "first", "second"],
    &["volume", "import", "nope", "TAR"],
    &["volume", "import", "first", "/not/there"],
    &["volume", "import", "first"],
    &["volume", "mount", "nope"],
    &["volume", "mount"],
    &["volume", "unmount", "first"],
    &["volume", "unmount", "nope"],
];

#[test]
fn files_go_from_container_to_container_and_to_volumes_as_with_podman() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let dhow = bench.dhow("store");
    let tar = root_archive(&bench);
    let (folder, archive) = (bench.path("folder"), bench.path("archive.tar"));
    let packed = bench.path("folder.tar");
    // Podman cannot copy some of what it can import.
    let script = "mkdir -p \"$0/dir/sub\"; cd \"$0\"; echo one > f; echo two > dir/sub/g; ln -s f l; chown 5:6 f; chmod 4755 f; \
                  cp -a . \"$0-odd\"; mkdir -p \"$0-other/f/deep\"; echo three > \"$0-other/dir\"; \
                  cd \"$0-odd\"; ln f again; mkfifo pipe; mknod null c 1 3; \
                  tar -cf \"$1\" . && gzip -k \"$1\" && xz -k -0 \"$1\"";
    must(Command::new("sh").args(["-c", script]).arg(&folder).arg(&packed));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let both = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|word| {
                word.replace("FOLDER", &text(&folder))
                    .replace("ARCHIVE", &text(&archive))
                    .replace("TAR", &text(&packed))
            })
            .collect();
        let made = |output: Output| {
            let mut files = if archive.exists() { listing(&archive) } else { Vec::new() };
            // What each engine makes itself.
            files.retain(|row| {
                !["dev", "etc", "proc", "run", "sys"].iter().any(|own| row.starts_with(&format!("['{own}")))
            });
            // Podman rounds times to seconds on the way; dhow keeps them.
            let files = files.iter().filter_map(|row| Some(row.rsplit_once(' ')?.0.to_owned())).collect::<Vec<_>>();
            (told(&output, Path::new("/volumes")), files)
        };
        let fresh = || arguments.contains(&"-o".to_owned()).then(|| fs::remove_file(&archive));
        fresh();
        let theirs = made(podman.command().args(&arguments).output().expect("podman"));
        fresh();
        let ours = made(dhow.command(&["--compat", "podman"]).args(&arguments).output().expect("dhow"));
        assert_eq!(ours.0, theirs.0, "{arguments:?}");
        let beside = |a: &[String], b: &[String]| a.iter().filter(|row| !b.contains(row)).cloned().collect::<Vec<_>>();
        let differing = [beside(&ours.1, &theirs.1), beside(&theirs.1, &ours.1)];
        assert_eq!(differing, [Vec::<String>::new(), Vec::new()], "{arguments:?}");
        assert_eq!(ours.1.len(), theirs.1.len(), "{arguments:?}");
    };
    must(podman.command().args(["import", "-q"]).arg(&tar).arg("box"));
    dhow.must(&["--compat", "podman", "import", "-q", &text(&tar), "box"]);
    let create = ["create", "--network", "none"];
    both(&[&create[..], &["--name", "from", "box", "/bin/true"]].concat());
    both(&[&create[..], &["--name", "to", "--user", "7:8", "box", "/bin/true"]].concat());
    COPIES.iter().chain(&VOLUMES).for_each(|arguments| both(arguments));
    // Podman waits for itself here.
    for (source, target) in [("from:/t/f", "from:/t/same"), ("from:/t/dir", "from:/t/again")] {
        dhow.must(&["--compat", "podman", "cp", source, target]);
    }
    for target in ["from:/t", "from:/t/new", "from:/t/dir", "from:/t/dir/sub/"] {
        for source in ["from:/t", "from:/t/."] {
            let said = dhow.command(&["--compat", "podman", "cp", source, target]).output().expect("dhow");
            let message = format!("Error: cannot copy directory {source:?} into itself, {target:?}\n");
            assert_eq!((said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned()), (Some(125), message));
        }
    }
    let other = bench.path("folder-other");
    let onto = ["--compat", "podman", "cp", "from:/t/.", &text(&other), "--overwrite"];
    let refused = dhow.command(&onto[..5]).output().expect("dhow");
    assert_eq!(refused.status.code(), Some(125));
    assert!(other.join("f/deep").is_dir() && other.join("dir").is_file());
    dhow.must(&onto);
    assert!(other.join("f").is_file() && other.join("dir/sub/g").is_file());
    dhow.must(&["--compat", "podman", "cp", "from:/t/.", &text(&bench.path("out"))]);
    let mut names: Vec<_> =
        fs::read_dir(bench.path("out")).expect("files").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["again", "dir", "f", "l", "same"]);
    assert_eq!(fs::read(bench.path("out/same")).expect("a file"), b"one\n");
    assert_eq!(fs::read(bench.path("out/again/sub/g")).expect("a file"), b"two\n");
}
