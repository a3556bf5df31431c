//! `mutate`, `append`, `flatten` and `rebase` beside the real crane: the same images come of the same changes.

#![allow(clippy::disallowed_methods, reason = "scratch files")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use dhow_testkit::images::{Entry, tar_of};
use dhow_testkit::peers::{self, Go, available};
use dhow_tests::interop::{Bench, Served};
use serde_json::Value;

/// crane, at the version that was compared with.
const PROGRAM: &str = "github.com/google/go-containerregistry/cmd/crane@v0.20.3";

struct Pair {
    bench: Bench,
    served: Served,
    crane: Go,
}

impl Pair {
    fn start() -> Option<Self> {
        let crane = available(Go::install(PROGRAM))?;
        let bench = Bench::new();
        let served = Served::start(&bench.dhow("store"), &bench.path("registry"));
        Some(Self { bench, served, crane })
    }

    fn tar(&self, name: &str, entries: &[(&str, &str)]) -> String {
        let entries: Vec<Entry<'_>> =
            entries.iter().map(|(path, content)| Entry { path, mode: 0o644, content: content.as_bytes() }).collect();
        let path = self.bench.path(name);
        std::fs::write(&path, tar_of(&entries).expect("a tar")).expect("a file");
        path.to_str().expect("a printable path").to_owned()
    }

    fn crane(&self, arguments: &[&str]) -> String {
        let mut command = self.crane.command();
        // Which credentials there are is none of its business.
        command.args(arguments).env("DOCKER_CONFIG", self.bench.path("no-config"));
        peers::stdout_of(&mut command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn dhow(&self, arguments: &[&str]) -> String {
        self.bench.dhow("store").must(arguments)
    }

    /// Does the same with both; `{}` is the name that the result gets.
    fn both(&self, verb: &str, image: Option<&str>, arguments: &[&str]) -> (Made, Made) {
        let (theirs, ours) =
            (self.served.name(&format!("acme/{verb}:crane")), self.served.name(&format!("acme/{verb}:dhow")));
        let mut all = vec![verb];
        all.extend(image);
        all.extend(arguments);
        all.extend(["-t", &theirs]);
        self.crane(&all);
        let names: Vec<String> = all
            .iter()
            .map(|&word| match word {
                word if word == theirs => format!("docker://{ours}"),
                word if word.starts_with(self.served.address()) => format!("docker://{word}"),
                word => word.to_owned(),
            })
            .collect();
        self.dhow(&names.iter().map(String::as_str).collect::<Vec<_>>());
        (self.made(&theirs), self.made(&ours))
    }

    fn made(&self, name: &str) -> Made {
        let json = |text: String| serde_json::from_str(&text).expect("JSON");
        Made {
            digest: self.crane(&["digest", name]),
            manifest: json(self.crane(&["manifest", name])),
            config: json(self.crane(&["config", name])),
            name: name.to_owned(),
        }
    }

    /// What an image unpacks to: names, kinds, modes, contents.
    fn files(&self, made: &Made, folder: &str) -> BTreeMap<String, String> {
        let layers = made.manifest["layers"].as_array().expect("layers");
        let [layer] = layers.as_slice() else { panic!("{layers:?}") };
        let blob =
            format!("{}@{}", made.name.rsplit_once(':').expect("a tag").0, layer["digest"].as_str().expect("a digest"));
        let (folder, tar) = (self.bench.path(folder), self.bench.path(&format!("{folder}.tar.gz")));
        let mut command = self.crane.command();
        let output = command.args(["blob", &blob]).output().expect("crane");
        assert!(output.status.success(), "{output:?}");
        std::fs::write(&tar, output.stdout).expect("a file");
        std::fs::create_dir(&folder).expect("a folder");
        peers::run(Command::new("tar").arg("-xzf").arg(&tar).arg("-C").arg(&folder)).expect("unpacking");
        let mut files = BTreeMap::new();
        walk(&folder, "", &mut files);
        files
    }
}

#[derive(Debug)]
struct Made {
    name: String,
    digest: String,
    manifest: Value,
    config: Value,
}

fn walk(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().expect("metadata");
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata);
        if metadata.is_dir() {
            walk(&entry.path(), &name, files);
        } else if metadata.is_file() {
            files.insert(
                name,
                format!("{mode:o} {}", String::from_utf8_lossy(&std::fs::read(entry.path()).expect("a file"))),
            );
        } else {
            files.insert(name, format!("{mode:o} -> {}", std::fs::read_link(entry.path()).expect("a link").display()));
        }
    }
}

/// When a step was taken: crane says the year 1, dhow when the image was made.
fn without_times(config: &Value) -> Value {
    let mut config = config.clone();
    for step in config["history"].as_array_mut().into_iter().flatten() {
        step.as_object_mut().expect("a step").remove("created");
    }
    config
}

#[test]
fn what_crane_makes_dhow_makes() {
    let Some(pair) = Pair::start() else { return };
    let one = pair.tar("one.tar", &[("etc/one", "1"), ("etc/both", "one"), ("usr/gone/a", "a"), ("usr/stays", "s")]);
    let two = pair.tar("two.tar", &[("etc/two", "2"), ("etc/both", "two"), ("usr/.wh.gone", "")]);
    let app = pair.tar("app.tar", &[("srv/app", "app")]);

    // Compressed by different compressors, layers differ in their digests, never in what they are.
    let (theirs, ours) = pair.both("append", None, &["-f", &one]);
    assert_eq!(theirs.config, ours.config);
    assert_eq!(theirs.manifest["mediaType"], ours.manifest["mediaType"]);
    assert_eq!(theirs.manifest["config"], ours.manifest["config"], "the config is the same to the byte");

    // Upon what crane made, and with layers that are compressed already, everything is the same to the byte.
    let base = pair.served.name("acme/base:v0");
    pair.crane(&["append", "-f", &one, "-t", &base]);
    peers::run(Command::new("gzip").args(["-nk", &two])).expect("gzip");
    let changes = [
        "-l",
        "stage=test",
        "-l",
        "odd=<&>",
        "-e",
        "PATH=/bin",
        "-e",
        "A=x=y",
        "--entrypoint",
        "/bin/sh,-c",
        "--cmd",
        "true",
        "-u",
        "1000:1000",
        "-w",
        "/srv",
        "--exposed-ports",
        "80/tcp",
        "-a",
        "note=here",
        "--set-platform",
        "linux/arm64/v8:6.1.2",
    ];
    let (theirs, ours) = pair.both("mutate", Some(&base), &changes);
    assert_eq!((&theirs.manifest, &theirs.config), (&ours.manifest, &ours.config));
    assert_eq!(theirs.digest, ours.digest);

    let gzipped = format!("{two}.gz");
    let arguments = ["-b", &base, "-f", &gzipped, "--set-base-image-annotations"];
    let (theirs, ours) = pair.both("append", None, &arguments);
    assert_eq!(theirs.manifest["layers"], ours.manifest["layers"], "what is compressed stays as it is");
    assert_eq!(theirs.manifest["annotations"], ours.manifest["annotations"]);
    assert_eq!(without_times(&theirs.config), without_times(&ours.config));

    let (flat, ours) = pair.both("flatten", Some(&theirs.name), &[]);
    assert_eq!(pair.files(&flat, "theirs"), pair.files(&ours, "ours"));
    assert_eq!(
        flat.config["history"][0]["comment"].as_str().map(str::len),
        ours.config["history"][0]["comment"].as_str().map(str::len)
    );
    assert_eq!(flat.config["config"], ours.config["config"]);

    // Another base below the same application.
    let (old, new) = (pair.served.name("acme/base:v1"), pair.served.name("acme/base:v2"));
    pair.crane(&["append", "-f", &one, "-t", &old]);
    pair.crane(&["append", "-f", &gzipped, "-t", &new]);
    let image = pair.served.name("acme/app:v1");
    pair.crane(&["append", "-b", &old, "-f", &app, "-t", &image]);
    let (theirs, ours) = pair.both("rebase", Some(&image), &["--old_base", &old, "--new_base", &new]);
    assert_eq!(theirs.manifest["layers"], ours.manifest["layers"]);
    assert_eq!(theirs.config["rootfs"], ours.config["rootfs"]);
    assert_eq!(theirs.config["history"], ours.config["history"]);
    let annotation =
        |made: &Made, key: &str| made.manifest["annotations"][format!("org.opencontainers.image.base.{key}")].clone();
    assert_eq!(annotation(&theirs, "digest"), annotation(&ours, "digest"));
    assert_eq!(annotation(&theirs, "name"), annotation(&ours, "name"));
    for made in [theirs, ours, flat] {
        pair.crane(&["validate", "--remote", &made.name]);
        pair.dhow(&["validate", "--remote", &made.name]);
    }
}
