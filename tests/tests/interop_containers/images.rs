//! Images that are mounted in containers of root, beside the real podman: the same files, words and codes.

use std::process::Output;

use super::{Bench, must, podman_and_dhow};

/// Without limits of its own, podman asks for more than root without CAP_SYS_RESOURCE can give.
const LIMITS: [&str; 6] = ["--network", "none", "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"];

/// Shows what can be seen of the image at `/m`, and tries to change it.
const SCRIPT: &str = "
cd /m && /bin/busybox find data etc usr -type f | /bin/busybox sort | while read -r file; do
  /bin/busybox stat -c '%n %a %u:%g %s %h %Y' $file && /bin/busybox sha256sum $file
done
/bin/busybox readlink data/dangling; /bin/busybox stat -c '%F %t:%T' data/pipe data/null
/bin/busybox touch /m/new; /bin/busybox rm /m/data/seed; /bin/busybox chown 5:6 /m/data/deep
/bin/busybox ls /m /m/data; /bin/busybox stat -c '%n %a %u:%g' /m/data/deep /m/tmp
";

/// Values of `--mount` behind `type=image,`.
const MOUNTS: &str = "source=box,destination=/m src=box,dst=/m,rw=true src=box,target=/m,readwrite=true \
    src=box,dst=/m,rw=false,consistency=odd src=localhost/box:latest,dst=/new/m/../m src=box,dst=/m/,rw=true \
    src=box,dst=/m,rw=1 src=box,dst=/m,ro src=box,dst=/m,readonly=true src=box,dst=/m,U src=box,dst=/m,noexec \
    src=box,dst=/m,type=image src=box dst=/m src=,dst=/m src=box,dst= src=box,dst=m src,dst=/m src=box,dst src=nope,dst=/m \
    src=Nope,dst=/m src=nope:1,dst=/m,rw=true";

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // What podman logs while it cleans up after itself is no answer.
    let said = text(&output.stderr).lines().filter(|line| !line.starts_with("time=")).collect::<Vec<_>>().join("\n");
    (output.status.code(), text(&output.stdout), said)
}

#[test]
fn mounted_images_are_podman_s() {
    let bench = Bench::new();
    let Some((podman, dhow)) = podman_and_dhow(&bench) else { return };
    let same = |arguments: &[&str]| {
        let theirs = told(&podman.command().args(arguments).output().expect("podman"));
        let ours = dhow.command(&[&["--compat", "podman"], arguments].concat()).output().expect("dhow");
        assert_eq!(told(&ours), theirs, "{arguments:?}");
        theirs
    };
    for mount in MOUNTS.split_whitespace() {
        let mount = format!("type=image,{mount}");
        same(&[&["run", "--rm"], &LIMITS[..], &["--mount", &mount, "box", "/bin/sh", "-c", SCRIPT]].concat());
    }
    let at_once =
        [["--mount", "type=image,src=box,dst=/m,rw=true"], ["--mount", "type=image,src=box,dst=/m/data"]].concat();
    same(&[&["run", "--rm"], &LIMITS[..], &at_once, &["box", "/bin/sh", "-c", SCRIPT]].concat());
    let twice = ["--mount", "type=image,src=box,dst=/m", "-v", "/etc:/m"];
    same(&[&["run", "--rm"], &LIMITS[..], &twice, &["box", "/bin/true"]].concat());

    for side in [podman.command(), dhow.command(&["--compat", "podman"])] {
        let mut side = side;
        must(side.args(["create", "--name", "kept"]).args(LIMITS).args(at_once.iter()).args([
            "box",
            "/bin/busybox",
            "ls",
            "/m",
        ]));
    }
    let (code, files, _) = same(&["start", "-a", "kept"]);
    assert!(code == Some(0) && files.contains("usr\n"), "{files}");
    same(&["start", "-a", "kept"]);
    // Podman lists them in any order.
    same(&["ps", "-a", "--format", "{{.Names}} {{len .Mounts}}"]);
    same(&["rm", "-f", "kept", "--time", "0"]);
}
