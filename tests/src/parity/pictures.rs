//! The images that both sides hold, written with none of the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dhow_testkit::images::{Compression, Entry, Format, Layer, Layout, Recipe, pseudo_random, sha256, tar_of};
use dhow_testkit::registry::ScriptedRegistry;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::names::Names;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Layers by name: the file in each, and the length of both the file and the tar around it; see [`sparse_tar`].
const LAYERS: [(&str, &str, usize); 8] = [
    ("base", "etc/base", 123_456),
    ("app", "srv/app", 7_890),
    ("tool", "bin/tool", 12_345),
    ("kilo", "bin/kilo", 999_999),
    ("big", "bin/big", 1_536_000),
    ("ghost", "bin/ghost", 4_321),
    ("old", "bin/old", 2_999),
    ("pin", "bin/pin", 2_660),
];

/// When an image says that it was made.
enum Made {
    /// So many seconds before this run. Half an hour is added where the text is in hours, so that it stays for the run.
    Ago(i64),
    /// At this second since 1970.
    At(i64),
}

/// An image by its parts.
struct Plan {
    name: &'static str,
    made: Made,
    layers: &'static [&'static str],
    /// The config's `config`.
    settings: fn() -> Value,
    /// The config's `history` entries: what made each, and whether it made a layer.
    history: &'static [(&'static str, bool, &'static str)],
}

const PLANS: [Plan; 11] = [
    Plan {
        name: "web",
        made: Made::Ago(30 * HOUR + HOUR / 2),
        layers: &["base", "app"],
        settings: || {
            json!({
                "User": "www", "ExposedPorts": { "80/tcp": {} }, "Env": ["PATH=/bin", "MODE=a b"],
                "Entrypoint": ["/srv/app", "--serve"], "Cmd": ["80"], "Volumes": { "/data": {} }, "WorkingDir": "/srv",
                "Labels": { "tier": "front", "org.opencontainers.image.revision": "0123abc", "note": "b<c>&" },
                "StopSignal": "SIGQUIT",
            })
        },
        history: &[
            ("ADD base.tar /\t# buildkit", true, "buildkit.dockerfile.v0"),
            ("COPY app-with-a-long-name-so-that-it-does-not-fit /srv/app # buildkit", true, "buildkit.dockerfile.v0"),
            ("ENTRYPOINT [\"/srv/app\" \"--serve\"]", false, "buildkit.dockerfile.v0"),
            ("CMD [\"80\"]", false, ""),
        ],
    },
    Plan {
        name: "tool",
        made: Made::Ago(16 * DAY),
        layers: &["base", "tool"],
        settings: || json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/tool"], "Labels": { "tier": "back", "keep": "" } }),
        history: &[("ADD base.tar /", true, ""), ("RUN echo 日本語日本語日本語日本語日本語日本語日本語", true, "x")],
    },
    Plan {
        name: "kilo",
        made: Made::Ago(100 * DAY),
        layers: &["kilo"],
        settings: || json!({}),
        history: &[("kilo", true, "")],
    },
    Plan {
        name: "big",
        made: Made::Ago(3 * DAY + HOUR),
        layers: &["big"],
        settings: || json!({}),
        history: &[("big", true, "")],
    },
    Plan {
        name: "ghost",
        made: Made::Ago(5 * DAY + HOUR),
        layers: &["ghost"],
        settings: || json!({ "Labels": { "tier": "none" } }),
        history: &[("ghost", true, "")],
    },
    Plan { name: "epoch", made: Made::At(0), layers: &["old"], settings: || json!({}), history: &[("old", true, "")] },
    Plan {
        name: "turn",
        made: Made::At(978_307_201),
        layers: &["old", "tool"],
        settings: || json!({}),
        history: &[("old", true, ""), ("turn", true, "")],
    },
    Plan {
        name: "pin",
        made: Made::Ago(40 * DAY),
        layers: &["pin"],
        settings: || json!({}),
        history: &[("pin", true, "")],
    },
    Plan {
        name: "next",
        made: Made::Ago(2 * HOUR + HOUR / 2),
        layers: &["base", "app", "ghost"],
        settings: || json!({ "Labels": { "tier": "front" } }),
        history: &[("ADD base.tar /", true, ""), ("COPY app /srv/app", true, ""), ("COPY ghost /", true, "")],
    },
    Plan {
        name: "solid",
        made: Made::Ago(7 * DAY),
        layers: &["plain", "solid"],
        settings: || json!({}),
        history: &[("plain", true, ""), ("solid", true, "")],
    },
    Plan {
        name: "plain",
        made: Made::Ago(DAY),
        layers: &["plain"],
        settings: || json!({}),
        history: &[("plain", true, "")],
    },
];

/// What a state consists of: images with the names they are loaded under, and what is pulled from the registry.
#[derive(Debug)]
pub struct State {
    /// Images by name, with their tags; none makes an image without a name.
    pub loaded: &'static [(&'static str, &'static [&'static str])],
    /// What is pulled after that.
    pub pulled: &'static [&'static str],
    /// Containers that are made then.
    pub containers: &'static [Box],
    /// What is done after that: arguments of a command, without the program.
    pub done: &'static [&'static str],
}

/// A container: its name, the image it is made from, and what becomes of it.
#[derive(Debug)]
pub struct Box {
    /// Its name; its ID is called `box.` and this.
    pub name: &'static str,
    /// The image's name.
    pub image: &'static str,
    /// What it does.
    pub doing: Doing,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It was made and never started.
    Nothing,
    /// It runs.
    Running,
    /// It has run to its end.
    Ended,
}

const NOTHING: State = State { loaded: &[], pulled: &[], containers: &[], done: &[] };

/// The states that groups of cases start from.
const STATES: [(&str, State); 12] = [
    ("nothing", NOTHING),
    (
        "gallery",
        State {
            loaded: &[
                ("web", &["web:1", "web:latest"]),
                ("tool", &["acme/tool:2"]),
                ("kilo", &["kilo:latest"]),
                ("big", &["big:latest"]),
                ("ghost", &[]),
                ("epoch", &["epoch:latest"]),
                ("turn", &["ghcr.io/acme/turn:20.01"]),
            ],
            pulled: &["[REGISTRY]/acme/pin@sha256:<pin.manifest>"],
            ..NOTHING
        },
    ),
    ("pair", State { loaded: &[("web", &["web:1"]), ("tool", &["acme/tool:2"])], ..NOTHING }),
    (
        "litter",
        State {
            loaded: &[("web", &["web:1", "other:1"]), ("tool", &["acme/tool:2"]), ("ghost", &[]), ("epoch", &[])],
            pulled: &["[REGISTRY]/acme/pin:1"],
            ..NOTHING
        },
    ),
    ("solid", State { loaded: &[("plain", &["plain:1", "plain:2"]), ("solid", &["acme/solid:1"])], ..NOTHING }),
    ("plain", State { loaded: &[("plain", &["plain:1"])], ..NOTHING }),
    ("remote", State { pulled: &["[REGISTRY]/acme/pin:1"], ..NOTHING }),
    // Podman's. Pulled, because what podman makes of an archive's manifest is not what anybody else does.
    (
        "harbour",
        State {
            pulled: &[
                "[REGISTRY]/acme/app:1",
                "[REGISTRY]/acme/app:2",
                "[REGISTRY]/acme/solo:latest",
                "[REGISTRY]/acme/pin@sha256:<pin.manifest>",
                "[REGISTRY]/state/ghost:latest",
                "[REGISTRY]/state/next:latest",
                "[REGISTRY]/state/turn:latest",
            ],
            done: &[
                "tag [REGISTRY]/acme/app:2 docker.io/library/base:3",
                "untag [REGISTRY]/acme/app:2 [REGISTRY]/acme/app:2",
                "tag base:3 localhost/mine:1",
                "tag base:3 quay.io/acme/deep/thing:1",
                "untag [REGISTRY]/state/ghost:latest",
                "tag [REGISTRY]/state/next:latest localhost/next:latest",
                "untag next [REGISTRY]/state/next:latest",
            ],
            ..NOTHING
        },
    ),
    ("pier", State { pulled: &["[REGISTRY]/acme/app:1", "[REGISTRY]/acme/solo:latest"], ..NOTHING }),
    (
        "quay",
        State {
            pulled: &["[REGISTRY]/acme/app:1"],
            done: &[
                "tag [REGISTRY]/acme/app:1 localhost/web:1",
                "untag web:1 [REGISTRY]/acme/app:1",
                "tag web:1 localhost/web:2",
            ],
            ..NOTHING
        },
    ),
    (
        "wreck",
        State {
            pulled: &["[REGISTRY]/acme/app:1", "[REGISTRY]/state/ghost:latest"],
            done: &["untag [REGISTRY]/state/ghost:latest"],
            ..NOTHING
        },
    ),
    (
        "used",
        State {
            loaded: &[
                ("web", &["web:1"]),
                ("tool", &["acme/tool:2", "acme/tool:3"]),
                ("kilo", &["kilo:latest"]),
                ("big", &["big:latest"]),
            ],
            containers: &[
                Box { name: "idle", image: "web:1", doing: Doing::Nothing },
                Box { name: "done", image: "acme/tool:2", doing: Doing::Ended },
                Box { name: "busy", image: "kilo:latest", doing: Doing::Running },
            ],
            ..NOTHING
        },
    ),
];

/// What the files in the layers are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Without data, so that docker's way to count bytes gives what dhow's does; see `sparse_tar`.
    Sparse,
    /// Plain. Podman takes layers apart and cannot put sparse files together again.
    Dense,
}

/// All images of a run, as archives, ready to be served, and by name.
#[derive(Debug)]
pub struct Gallery {
    layout: Layout,
    tars: BTreeMap<&'static str, (Layer, Vec<u8>)>,
    /// By image: config digest, manifest digest, layers' names.
    images: BTreeMap<&'static str, Image>,
}

#[derive(Debug)]
struct Image {
    made: Timestamp,
    config: String,
    manifest: String,
    layers: &'static [&'static str],
}

impl Gallery {
    /// Makes all images below `folder`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn make(folder: &Path, now: Timestamp, files: Files) -> Self {
        let layout = Layout::create(folder).expect("a layout");
        let mut tars = BTreeMap::new();
        let plain = |path: &str, content: &[u8]| tar_of(&[Entry { path, mode: 0o755, content }]).expect("a tar");
        let tiny = [
            (
                "plain",
                plain(
                    "bin/plain",
                    b"ten bytes
",
                ),
            ),
            (
                "solid",
                plain(
                    "bin/solid",
                    b"more
",
                ),
            ),
        ];
        let layers = LAYERS.map(|(name, path, length)| match files {
            Files::Sparse => (name, sparse_tar(path, length)),
            Files::Dense => {
                let content = pseudo_random(name, length);
                (name, plain(path, &content))
            }
        });
        for (name, tar) in layers.into_iter().chain(tiny) {
            let layer = layout.layer(&*tar, Format::Docker, Compression::Gzip).expect("a layer");
            tars.insert(name, (layer, tar));
        }
        let mut gallery = Self { layout, tars, images: BTreeMap::new() };
        for plan in &PLANS {
            let image = gallery.image(plan, now);
            gallery.images.insert(plan.name, image);
        }
        gallery
    }

    fn image(&self, plan: &Plan, now: Timestamp) -> Image {
        let made = match plan.made {
            // Whole seconds, as docker shows them everywhere but in `inspect`.
            Made::Ago(seconds) => now.as_second() - seconds,
            Made::At(second) => second,
        };
        let made = Timestamp::from_second(made).expect("a time");
        let history: Vec<Value> = plan
            .history
            .iter()
            .map(|(by, has_layer, comment)| {
                let mut entry = json!({ "created": made.to_string(), "created_by": by });
                if !comment.is_empty() {
                    entry["comment"] = json!(comment);
                }
                if !has_layer {
                    entry["empty_layer"] = json!(true);
                }
                entry
            })
            .collect();
        let extra = [
            ("created", json!(made.to_string())),
            ("config", (plan.settings)()),
            ("history", json!(history)),
            ("author", json!("Ann <ann@example.com>")),
        ];
        let config_extra = Map::from_iter(extra.map(|(key, value)| (key.to_owned(), value)));
        let recipe = Recipe { format: Format::Docker, config_extra, ..Recipe::default() };
        let layers: Vec<Layer> = plan.layers.iter().map(|name| self.tars[name].0.clone()).collect();
        let manifest = self.layout.image(&layers, &recipe).expect("an image").digest;
        let parsed: Value =
            serde_json::from_slice(&fs::read(self.layout.path(&manifest)).expect("the manifest")).expect("JSON");
        let config = parsed["config"]["digest"].as_str().expect("a config").to_owned();
        Image { made, config, manifest, layers: plan.layers }
    }

    /// Names every digest and every time that docker or dhow may print.
    pub fn name(&self, names: &mut Names) {
        for (name, image) in &self.images {
            names.call(image.made.to_string(), format!("[{name} made]"));
            names.call(image.made.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(), format!("[{name} made]"));
            // Times that are not those of this run are the same for ever, and too short to be told from other numbers.
            if image.made.as_second() > 1_000_000_000 {
                names.call(image.made.as_second().to_string(), format!("[{name} made]"));
            }
            // Images of a fixed date grow old between two recordings.
            let years = (Timestamp::now().as_second() - image.made.as_second()) / (365 * DAY);
            if years >= 10 {
                names.call(format!("{years} years ago"), "?? years ago");
            }
            names.call_digest(&image.config, name);
            names.call_digest(&image.manifest, format!("{name}.manifest"));
            let mut chain = String::new();
            for layer in image.layers {
                let diff_id = &self.tars[layer].0.diff_id;
                if chain.is_empty() {
                    chain.clone_from(diff_id);
                } else {
                    chain = sha256(format!("{chain} {diff_id}").as_bytes());
                    let position = image.layers.iter().position(|other| other == layer).unwrap_or_default() + 1;
                    names.call_digest(&chain, format!("chain.{}", image.layers[..position].join(".")));
                }
            }
        }
        for (name, (layer, _)) in &self.tars {
            names.call_digest(&layer.diff_id, format!("layer.{name}"));
            names.call_digest(&layer.blob.digest, format!("blob.{name}"));
        }
    }

    /// Writes a docker-archive of images under names.
    ///
    /// # Panics
    /// When it cannot be written, or an image is not known.
    pub fn archive(&self, target: &Path, images: &[(&str, &[&str])]) {
        let mut archive = tar::Builder::new(File::create(target).expect("an archive"));
        let mut append = |path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, bytes).expect("a member");
        };
        let mut written = BTreeSet::new();
        let mut manifest = Vec::new();
        for (name, tags) in images {
            let image = &self.images[name];
            let config = format!("{}.json", image.config.trim_start_matches("sha256:"));
            if written.insert(config.clone()) {
                append(&config, &fs::read(self.layout.path(&image.config)).expect("the config"));
            }
            let mut layers = Vec::new();
            for layer in image.layers {
                let path = format!("{layer}/layer.tar");
                if written.insert(path.clone()) {
                    append(&path, &self.tars[layer].1);
                }
                layers.push(path);
            }
            manifest.push(json!({ "Config": config, "RepoTags": tags, "Layers": layers }));
        }
        append("manifest.json", json!(manifest).to_string().as_bytes());
        archive.finish().expect("its end");
    }

    /// Puts images into a registry, as the cases expect to find them.
    pub fn publish(&self, registry: &ScriptedRegistry) {
        for (repository, tag, name) in [
            ("acme/pin", "1", "pin"),
            ("acme/app", "1", "tool"),
            ("acme/app", "2", "web"),
            ("acme/app", "latest", "web"),
            ("acme/solo", "latest", "kilo"),
            ("state/ghost", "latest", "ghost"),
            ("state/next", "latest", "next"),
            ("state/turn", "latest", "turn"),
        ] {
            let image = &self.images[name];
            for layer in image.layers {
                registry.put_blob(repository, &self.bytes(&self.tars[layer].0.blob.digest));
            }
            registry.put_blob(repository, &self.bytes(&image.config));
            let media_type = "application/vnd.docker.distribution.manifest.v2+json";
            registry.put_manifest(repository, tag, media_type, &self.bytes(&image.manifest));
        }
    }

    fn bytes(&self, digest: &str) -> Vec<u8> {
        fs::read(self.layout.path(digest)).expect("a blob")
    }

    /// Writes the files that command lines of the cases read.
    pub fn fixtures(&self, folder: &Path) -> Vec<PathBuf> {
        self.archive(&folder.join("two.tar"), &[("web", &["web:1", "web:latest"]), ("tool", &["acme/tool:2"])]);
        self.archive(&folder.join("moved.tar"), &[("tool", &["web:1"])]);
        self.archive(&folder.join("untagged.tar"), &[("ghost", &[])]);
        self.odd_archive(&folder.join("layers.tar"), |manifest| manifest[0]["Layers"] = json!(["base/layer.tar"]));
        self.odd_archive(&folder.join("swapped.tar"), |manifest| {
            manifest[0]["Layers"] = json!(["base/layer.tar", "base/layer.tar"]);
        });
        fs::write(folder.join("garbage.tar"), pseudo_random("garbage", 4096)).expect("a file");
        fs::write(folder.join("empty.tar"), []).expect("a file");
        let files = tar_of(&[Entry { path: "hello", mode: 0o644, content: b"hello\n" }]).expect("a tar");
        fs::write(folder.join("files.tar"), files).expect("a file");
        let names = ["two", "moved", "untagged", "layers", "swapped", "garbage", "empty", "files"];
        names.iter().map(|name| folder.join(name).with_extension("tar")).collect()
    }

    /// The archive of one image whose `manifest.json` is wrong.
    fn odd_archive(&self, target: &Path, spoil: impl Fn(&mut Value)) {
        let image = &self.images["tool"];
        let config = self.bytes(&image.config);
        let mut manifest = json!([{
            "Config": "config.json", "RepoTags": ["odd:1"], "Layers": ["base/layer.tar", "tool/layer.tar"],
        }]);
        spoil(&mut manifest);
        let manifest = manifest.to_string();
        let [base, tool] = ["base", "tool"].map(|name| &self.tars[name].1);
        let entry = |path, content| Entry { path, mode: 0o644, content };
        let members = [
            entry("config.json", &*config),
            entry("base/layer.tar", base),
            entry("tool/layer.tar", tool),
            entry("manifest.json", manifest.as_bytes()),
        ];
        fs::write(target, tar_of(&members).expect("a tar")).expect("an archive");
    }

    /// A state by name.
    ///
    /// # Errors
    /// That there is none of that name.
    pub fn state(name: &str) -> Result<&'static State, String> {
        let found = STATES.iter().find(|(known, _)| *known == name);
        found.map(|(_, state)| state).ok_or_else(|| format!("there is no state {name:?}"))
    }
}

/// A tar of one sparse file without data (PAX, GNU's sparse form 0.1); the file is as long as the tar.
///
/// Docker's sizes are those of files, dhow's those of tars (`docs/compatibility.md`). Where both are the same, everything
/// else about sizes can be compared.
fn sparse_tar(path: &str, length: usize) -> Vec<u8> {
    let size = length.to_string();
    let map = format!("{length},0");
    let records = [
        ("GNU.sparse.major", "0"),
        ("GNU.sparse.minor", "1"),
        ("GNU.sparse.name", path),
        ("GNU.sparse.size", &size),
        ("GNU.sparse.numblocks", "1"),
        ("GNU.sparse.map", &map),
    ];
    let records: String = records.iter().map(|(key, value)| record(key, value)).collect();
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, content) in [(tar::EntryType::XHeader, records.as_bytes()), (tar::EntryType::Regular, b"")] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(1_709_209_845);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, content).expect("a member");
    }
    let mut tar = builder.into_inner().expect("its end");
    assert!(tar.len() <= length, "a tar of {path} is longer than {length}");
    tar.resize(length, 0);
    tar
}

/// A PAX record, which begins with its own length.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length += 1;
    }
    format!("{length}{rest}")
}
