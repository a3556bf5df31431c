//! Options of mounts: the same words and codes, and the same mounts but that dhow's have no devices.

use std::fs;

use dhow_tests::interop::Bench;

use super::{Pair, pair};

/// Options of a bind mount by `-v`.
const BIND: &str = "shared rshared slave rslave private rprivate bind rbind z Z z,Z ro,z nocopy U readonly ro,rw exec dev idmap \
    private,shared cached copy unbindable";

/// Other values of `-v`.
const VOLUMES: [&str; 9] = [
    "named:/v:shared",
    "named:/v:nosuid",
    "named:/v:nocopy,ro",
    "/v:ro",
    "named:/v:U",
    "a:b:c:d",
    "",
    ":/v",
    "SOURCE:/v:",
];

/// Options of a bind mount by `--mount`.
const MOUNTED_BIND: &str = "ro=false readonly=T ro=x rw bind-propagation=shared bind-propagation=odd bind-nonrecursive bind-nonrecursive=x \
    bind-recursive=disabled bind-recursive=odd ro,bind-recursive=writable bind-recursive=readonly ro,bind-recursive=readonly \
    relabel=shared U chown=true idmap=x consistency=odd z size=1 tmpfs-size=1m volume-nocopy image-subpath=x shared ro,ro";

/// Of a volume.
const MOUNTED_VOLUME: &str =
    "ro volume-nocopy=true volume-driver=local volume-label=a=b volume-label=a U bind-propagation=x";

/// Of memory.
const MOUNTED_MEMORY: &str = "ro tmpfs-size=1m tmpfs-size=x tmpfs-mode=700 tmpfs-mode=9 tmpfs-size=0 exec src=x uid=5";

/// Mounts that are no mounts.
const ODD_MOUNTS: [&str; 7] =
    ["type=bind,dst=/v", "type=bind,src=SOURCE", "type=bind,src=SOURCE,dst=v", "dst=/v,ro", "type=,dst=/v", "", "\"a"];

/// Options of `--tmpfs`.
const MEMORY: &str = "ro exec suid sync async dirsync mand atime noatime diratime nodiratime unbindable private rshared slave relatime \
    strictatime nostrictatime defaults size=1m,size=2m mode=700 uid=5,gid=6 nr_inodes=100 mpol=default size odd odd=1 rw,ro \
    exec,noexec U";

/// What a container says of its mount at `/v`.
const SCRIPT: &str =
    "while read -r _ _ _ _ at how more; do [ $at = /v ] && echo $how ${more%%master*}; done < /proc/self/mountinfo";

/// Runs the same container by both, and holds dhow to what docker says of its mount.
fn run(pair: &Pair, source: &str, flag: &str, value: &str) {
    let value = value.replace("SOURCE", source);
    let arguments = ["run", "--rm", "--network", "none", flag, &value, "box", "/bin/sh", "-c", SCRIPT];
    let [theirs, ours] = pair.both(&arguments).map(|output| {
        let text = String::from_utf8_lossy(&output.stdout).replace("nodev,", "");
        // Groups of peers are numbered by whoever comes first, with as many digits as it takes.
        let mut text = text.split(" - ").next().unwrap_or_default().trim().replace(char::is_numeric, "N");
        while text.contains("NN") {
            text = text.replace("NN", "N");
        }
        text
    });
    assert_eq!(ours, theirs, "{arguments:?}");
}

#[test]
fn mounts_are_docker_s() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    pair.both(&["import", &bench.path("root.tar").to_string_lossy(), "box"]);
    let source = bench.path("source");
    fs::create_dir(&source).expect("a folder");
    let source = source.to_string_lossy().into_owned();
    let run = |flag: &str, value: &str| run(&pair, &source, flag, value);
    BIND.split_whitespace().for_each(|options| run("-v", &format!("SOURCE:/v:{options}")));
    VOLUMES.iter().for_each(|value| run("-v", value));
    let mounted = |kind: &str, options: &str| {
        options.split_whitespace().for_each(|options| run("--mount", &format!("{kind},dst=/v,{options}")));
    };
    mounted("type=bind,src=SOURCE", MOUNTED_BIND);
    mounted("src=named", MOUNTED_VOLUME);
    mounted("type=tmpfs", MOUNTED_MEMORY);
    ODD_MOUNTS.iter().for_each(|value| run("--mount", value));
    MEMORY.split_whitespace().for_each(|options| run("--tmpfs", &format!("/v:{options}")));
    ["/v:", "/", "v"].iter().for_each(|value| run("--tmpfs", value));
}
