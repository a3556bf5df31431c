//! `--privileged` of root beside the real podman: the same rights, devices and places to write.
//!
//! docker refuses it where root lacks any capability, which is where tests often run; podman gives what there is.

use std::process::Output;

use super::{Bench, pair, podman_and_dhow};

/// What a container finds: rights, devices with their owners and rights, what can be written, whether a device made there opens.
const SCRIPT: &str = "
/bin/busybox grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status
/bin/busybox find /dev -type c -o -type b | /bin/busybox sort | while read -r device; do
  case $device in /dev/pts/*|/dev/loop*|/dev/console) ;; *) /bin/busybox stat -c '%n %F %a %u:%g %t:%T' $device;; esac
done
for place in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/power /sys/kernel/profiling /proc/irq; do
  [ -w $place ] && echo $place can be written to
done
for place in /proc/kcore /proc/keys /proc/timer_list /proc/acpi /sys/firmware; do
  /bin/busybox grep -q \" $place \" /proc/mounts && echo $place is hidden
done
/bin/busybox mknod /made c 1 5 && /bin/busybox head -c2 /made | /bin/busybox od -x
";

#[test]
fn privileged_containers_are_podman_s() {
    let bench = Bench::new();
    let Some((podman, dhow)) = podman_and_dhow(&bench) else { return };
    let cases: [&[&str]; 6] = [
        &["--privileged"],
        &["--privileged", "--cap-drop", "ALL"],
        &["--privileged", "--user", "5"],
        &["--privileged", "--read-only"],
        &["--privileged", "--security-opt", "no-new-privileges"],
        &["--privileged=false"],
    ];
    // Without limits of its own, podman asks for more than root without CAP_SYS_RESOURCE can give.
    let run = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"];
    for options in cases {
        let arguments = [&run[..], options, &["box", "/bin/sh", "-c", SCRIPT]].concat();
        let theirs = podman.command().args(&arguments).output().expect("podman");
        let ours = dhow.command(&[&["--compat", "podman"], &arguments[..]].concat()).output().expect("dhow");
        let told = |output: &Output| (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
        assert_eq!(told(&ours), told(&theirs), "{options:?}");
        assert!(theirs.stdout.len() > 400, "{options:?}: {theirs:?}");
    }
}

#[test]
fn inspect_says_privileged_as_docker_s_does() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    pair.both(&["import", &bench.path("root.tar").to_string_lossy(), "box"]);
    for (name, privileged) in [("with", "--privileged"), ("without", "--privileged=false")] {
        pair.both(&["create", "--name", name, privileged, "box", "/bin/true"]);
        pair.say_the_same(&["inspect", "--format", "{{.HostConfig.Privileged}}", name]);
    }
    pair.say_the_same(&["create", "--privileged=odd", "box", "/bin/true"]);
}
