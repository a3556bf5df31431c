//! The commands: each verb, and how its arguments are chosen.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dhow_testkit::forgetful::Random;
use dhow_testkit::images::{Entry, tar_of};
use dhow_testkit::peers::is_root;

const IMAGES: [&str; 5] = ["alfa:1", "bravo:1", "charlie:1", "delta:1", "echo:1"];
const CONTAINERS: [&str; 4] = ["con-a", "con-b", "con-c", "con-d"];
const VOLUMES: [&str; 3] = ["vol-a", "vol-b", "vol-c"];

/// A program that needs nothing else.
const BUSYBOX: &str = "/bin/busybox";

/// An image that stays named, made anew by each process now and then.
const GROUND: &str = "ground:1";

/// A command with arguments that chance decides.
pub(crate) struct Verb {
    /// What it is called in the table of what was done.
    pub(crate) name: &'static str,
    /// Its words.
    pub(crate) words: fn(&Names, &mut Random) -> Vec<String>,
}

/// What the verbs of one process work with: files of its own, and images, containers and volumes that all share.
#[derive(Clone)]
pub(crate) struct Names {
    folder: PathBuf,
    registry: SocketAddr,
    archives: Vec<String>,
    process: u64,
}

impl Names {
    /// Files in `folder`, images of `archives`, and a registry at `registry`.
    pub(crate) fn new(folder: &Path, registry: SocketAddr, archives: Vec<String>) -> Self {
        // By the name of one of its programs, busybox is that program.
        let (file, binary) = (b"a file of a layer".to_vec(), fs::read(BUSYBOX).unwrap_or_else(|_| vec![7; 100_000]));
        let entries = [
            Entry { path: "etc/file", mode: 0o644, content: &file },
            Entry { path: "bin/true", mode: 0o755, content: &binary },
        ];
        fs::write(folder.join("root.tar"), tar_of(&entries).expect("a tar")).expect("a file");
        fs::write(folder.join("layer.tar"), tar_of(&entries[..1]).expect("a tar")).expect("a file");
        Self { folder: folder.to_owned(), registry, archives, process: 0 }
    }

    /// Those of one process.
    pub(crate) fn of(&self, process: u64) -> Self {
        Self { process, ..self.clone() }
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// A file that only this process writes.
    fn own(&self, name: &str) -> String {
        self.file(&format!("{}-{name}", self.process))
    }

    fn remote(&self, random: &mut Random) -> String {
        format!("{}/{}", self.registry, image(random))
    }
}

fn one_of(all: &[&str], random: &mut Random) -> String {
    all[random.below(all.len() as u64) as usize].to_owned()
}

fn image(random: &mut Random) -> String {
    one_of(&IMAGES, random)
}

fn container(random: &mut Random) -> String {
    one_of(&CONTAINERS, random)
}

fn volume(random: &mut Random) -> String {
    one_of(&VOLUMES, random)
}

/// The words of a command: those of a literal, split at spaces, with `{}` for each argument.
macro_rules! words {
    ($text:literal $(, $argument:expr)*) => {{
        #[allow(unused_mut, reason = "a command may have no arguments")]
        let mut arguments: Vec<String> = vec![$($argument),*];
        arguments.reverse();
        $text
            .split(' ')
            .map(|word| {
                let parts: Vec<&str> = word.split("{}").collect();
                parts[1..].iter().fold(parts[0].to_owned(), |word, part| word + &arguments.pop().expect("an argument") + part)
            })
            .collect::<Vec<String>>()
    }};
}

/// All that may be done here.
pub(crate) fn all() -> Vec<&'static Verb> {
    let may_run = is_root() && fs::exists(BUSYBOX).is_ok_and(|exists| exists);
    VERBS.iter().chain(RUNNING.iter().filter(|_| may_run)).collect()
}

/// What runs a program.
const RUNNING: &[Verb] = &[
    Verb {
        name: "run",
        words: |_, random| words!("run --pull never --name {} {} /bin/true", container(random), GROUND.to_owned()),
    },
    Verb {
        name: "run --rm",
        words: |_, random| words!("run --pull never --rm -v {}:/data {} /bin/true", volume(random), GROUND.to_owned()),
    },
    Verb { name: "start -a", words: |_, random| words!("start -a {}", container(random)) },
];

const VERBS: &[Verb] = &[
    Verb {
        name: "load",
        words: |names, random| {
            let archives: Vec<&str> = names.archives.iter().map(String::as_str).collect();
            words!("load -q -i {}", one_of(&archives, random))
        },
    },
    Verb { name: "import", words: |names, random| words!("import {} {}", names.file("root.tar"), image(random)) },
    Verb {
        name: "import -m",
        words: |names, _| {
            words!("import -m by-{} {} {}", names.process.to_string(), names.file("root.tar"), GROUND.to_owned())
        },
    },
    Verb {
        name: "append",
        words: |names, random| {
            words!("append -b {} -f {} -t {}", image(random), names.file("layer.tar"), image(random))
        },
    },
    Verb {
        name: "mutate",
        words: |_, random| words!("mutate {} -l {}=1 -t {}", image(random), image(random), image(random)),
    },
    Verb { name: "flatten", words: |_, random| words!("flatten {} -t {}", image(random), image(random)) },
    Verb { name: "tag", words: |_, random| words!("tag {} {}", image(random), image(random)) },
    Verb { name: "rmi", words: |_, random| words!("rmi {}", image(random)) },
    Verb { name: "rmi -f", words: |_, random| words!("rmi -f {}", image(random)) },
    Verb { name: "image prune", words: |_, _| words!("image prune -f") },
    Verb { name: "system prune", words: |_, _| words!("system prune -f") },
    Verb { name: "images", words: |_, _| words!("images") },
    Verb { name: "inspect", words: |_, random| words!("inspect {}", image(random)) },
    Verb { name: "system df", words: |_, _| words!("system df -v") },
    Verb { name: "save", words: |names, random| words!("save -o {} {}", names.own("saved.tar"), image(random)) },
    Verb {
        name: "export",
        words: |names, random| words!("export -o {} {}", names.own("export.tar"), container(random)),
    },
    Verb {
        name: "copy to oci:",
        words: |names, random| words!("copy {} oci:{}:it", image(random), names.own("layout")),
    },
    Verb { name: "copy to dir:", words: |names, random| words!("copy {} dir:{}", image(random), names.own("folder")) },
    Verb {
        name: "copy to registry",
        words: |names, random| words!("copy {} docker://{}", image(random), names.remote(random)),
    },
    Verb {
        name: "copy from registry",
        words: |names, random| words!("copy docker://{} {}", names.remote(random), image(random)),
    },
    Verb { name: "push", words: |names, random| words!("push -q {}", names.remote(random)) },
    Verb { name: "tag remote", words: |names, random| words!("tag {} {}", image(random), names.remote(random)) },
    Verb { name: "pull", words: |names, random| words!("pull -q {}", names.remote(random)) },
    Verb { name: "pull --unpack", words: |names, random| words!("pull -q --unpack {}", names.remote(random)) },
    Verb {
        name: "pull --unpack=tree",
        words: |names, random| words!("pull -q --unpack=tree {}", names.remote(random)),
    },
    Verb { name: "rm-remote", words: |names, random| words!("rm-remote {}", names.remote(random)) },
    Verb {
        name: "unpack",
        words: |names, random| {
            words!("unpack {} {}", GROUND.to_owned(), names.own(&format!("tree-{}", random.number())))
        },
    },
    Verb {
        name: "create",
        words: |_, random| {
            words!(
                "create --pull never --name {} -v {}:/data {} /bin/true",
                container(random),
                volume(random),
                GROUND.to_owned()
            )
        },
    },
    Verb {
        name: "create of any",
        words: |_, random| words!("create --pull never --name {} {} /bin/true", container(random), image(random)),
    },
    Verb {
        name: "cp into",
        words: |names, random| words!("cp -q {} {}:/new", names.file("root.tar"), container(random)),
    },
    Verb { name: "cp out of", words: |names, random| words!("cp -q {}:/etc {}", container(random), names.own("etc")) },
    Verb { name: "diff", words: |_, random| words!("diff {}", container(random)) },
    Verb { name: "commit", words: |_, random| words!("commit {} {}", container(random), image(random)) },
    Verb { name: "rename", words: |_, random| words!("rename {} {}", container(random), container(random)) },
    Verb { name: "rm -f", words: |_, random| words!("rm -f {}", container(random)) },
    Verb { name: "ps", words: |_, _| words!("ps -a -s") },
    Verb { name: "container prune", words: |_, _| words!("container prune -f") },
    Verb { name: "volume create", words: |_, random| words!("volume create {}", volume(random)) },
    Verb { name: "volume rm", words: |_, random| words!("volume rm -f {}", volume(random)) },
    Verb { name: "volume prune", words: |_, _| words!("volume prune -f -a") },
    Verb { name: "image mount", words: |_, random| words!("image mount {}", image(random)) },
    Verb { name: "image unmount", words: |_, random| words!("image unmount {}", image(random)) },
    Verb { name: "cat", words: |_, random| words!("cat {}:/etc/file", image(random)) },
    Verb {
        name: "manifest create",
        words: |names, random| {
            words!("manifest create --amend {}/list:1 {}", names.registry.to_string(), names.remote(random))
        },
    },
    Verb { name: "sync-view", words: |_, _| words!("system sync-view") },
    Verb { name: "check --repair", words: |_, _| words!("system check --repair") },
];

/// What there is before all others begin.
pub(crate) fn beginning(names: &Names) -> Vec<Vec<String>> {
    let mut all = ground(names);
    all.extend(names.archives.iter().map(|archive| words!("load -q -i {}", archive.clone())));
    all
}

/// What lets any verb find what it needs.
pub(crate) fn ground(names: &Names) -> Vec<Vec<String>> {
    let import = |image: &str| words!("import {} {}", names.file("root.tar"), image.to_owned());
    let tag = |image: &&str| words!("tag {} {}/{}", GROUND.to_owned(), names.registry.to_string(), (*image).to_owned());
    let mut all: Vec<_> = IMAGES.iter().map(|image| import(image)).chain([import(GROUND)]).collect();
    all.extend(IMAGES.iter().map(tag));
    all
}

/// Removes all there is.
pub(crate) fn ending() -> Vec<Vec<&'static str>> {
    let all = [
        "container prune -f",
        "image unmount -a -f",
        "volume prune -f -a",
        "rmi -a -f",
        "system prune -f -a --volumes",
    ];
    all.iter().map(|words| words.split(' ').collect()).collect()
}
