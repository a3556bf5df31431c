//! Containers that `start`, `rm` and `diff` choose by filters, or as the last one, beside the real podman.

use std::path::Path;

use dhow_testkit::peers::{self, Podman};

use super::{Bench, must, root_archive, told};

const CASES: [&[&str]; 41] = [
    &["start", "-a", "-l"],
    &["start", "-a", "--filter", "label=x=y"],
    &["start", "-a", "--filter", "label=x=nope"],
    &["start", "-a", "--filter", "label=x=y", "a"],
    &["start", "-a", "--filter", "name=a", "nope"],
    &["start", "--attach", "--sig-proxy=false", "a"],
    &["start", "--attach", "--sig-proxy", "a"],
    &["start", "--sig-proxy", "a"],
    &["start", "-a", "--detach-keys", "ctrl-x", "a"],
    &["start", "-i", "a"],
    &["start", "--all", "-a"],
    &["start", "--all", "a"],
    &["start", "-a", "--filter", "bad"],
    &["start", "-a", "--filter", "bad=1"],
    &["start"],
    &["start", "-a", "a", "b"],
    &["start", "-l", "-a", "nope"],
    &["ps", "-a", "--external", "--filter", "status=exited", "--format", "{{.Names}}"],
    &["ps", "--watch", "x"],
    &["diff"],
    &["diff", "-l", "c"],
    &["diff", "a", "b", "c"],
    &["diff", "-l", "--format", "x"],
    &["image", "diff"],
    &["container", "diff"],
    &["container", "diff", "-l", "c"],
    &["container", "diff", "nope"],
    &["container", "diff", "box"],
    &["rm", "--filter", "status=exited", "--filter", "label=x=y"],
    &["rm", "--filter", "label=x=nope"],
    &["rm", "--filter", "name=b", "-l"],
    &["rm", "-l", "--cidfile", "/nope"],
    &["rm", "--filter", "name=a", "--cidfile", "/nope"],
    &["rm", "--filter", "name=a", "--all"],
    &["rm", "--filter", "name=b", "b"],
    &["rm", "--filter", "bad=1"],
    &["rm", "--filter", "bad"],
    &["volume", "rm", "--time", "3", "nope"],
    &["rm", "-a"],
    &["rm", "-l"],
    &["diff", "-l"],
];

/// How often podman may start a container until its exit code is told.
const PODMAN_S_ATTEMPTS: u32 = 4;

#[test]
fn containers_are_chosen_as_by_podman() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let dhow = bench.dhow("store");
    let both = |arguments: &[&str]| {
        let ours = dhow.command(&[&["--compat", "podman"], arguments].concat()).output().expect("dhow");
        let ours = told(&ours, Path::new("/volumes"));
        // Now and then podman loses the exit code of what it was attached to, and ends with 0.
        for attempt in 1.. {
            let theirs = podman.command().args(arguments).output().expect("podman");
            let theirs = told(&theirs, Path::new("/volumes"));
            if attempt == PODMAN_S_ATTEMPTS || !arguments.starts_with(&["start", "-a"]) || ours == theirs {
                assert_eq!(ours, theirs, "{arguments:?}");
                break;
            }
        }
    };
    let archive = root_archive(&bench);
    must(podman.command().args(["import", "-q"]).arg(&archive).arg("box"));
    dhow.must(&["--compat", "podman", "import", "-q", &archive.to_string_lossy(), "box"]);
    // Without limits of its own, podman asks for more than root without CAP_SYS_RESOURCE can give.
    let create = ["create", "--network", "none", "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"];
    let made: [(&[&str], &str); 3] = [
        (&["--name", "a"], "echo a"),
        (&["--name", "b"], "echo b"),
        (&["--name", "c", "--label", "x=y"], "echo new > /new; exit 3"),
    ];
    for (options, script) in made {
        both(&[&create[..], options, &["box", "/bin/sh", "-c", script]].concat());
    }
    for arguments in CASES {
        both(arguments);
        both(&["ps", "-a", "--format", "{{.Names}}"]);
    }
}
