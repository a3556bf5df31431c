//! Mirrors beside skopeo, short names beside podman: the same `registries.conf`, the same registries, and who is asked for a manifest in which order.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::process::{Command, Stdio};

use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Podman};
use dhow_testkit::registry::{Effect, Image, Route, Rule, ScriptedRegistry};
use dhow_tests::interop::Bench;

/// Registries that all have the same image: `a` and `b` are mirrors, `p` is the registry itself.
struct Three {
    bench: Bench,
    all: [(char, ScriptedRegistry); 3],
    image: Image,
}

impl Three {
    fn new() -> Self {
        let all = ['a', 'b', 'p'].map(|name| (name, ScriptedRegistry::start()));
        let images = all.each_ref().map(|(_, registry)| {
            registry.put_image("deep/app", "v1", &[]);
            registry.put_image("app", "v1", &[])
        });
        Self { bench: Bench::new(), all, image: images[0].clone() }
    }

    /// A text with the registries' addresses in place of `{a}`, `{b}` and `{p}`.
    fn filled(&self, text: &str) -> String {
        let fill = |text: String, (name, registry): &(char, ScriptedRegistry)| {
            text.replace(&format!("{{{name}}}"), &registry.authority())
        };
        self.all.iter().fold(text.replace("{digest}", &self.image.manifest), fill)
    }

    /// Has those of these letters say that they do not have it.
    fn fail(&self, letters: &str) {
        for (letter, registry) in &self.all {
            registry.clear_script();
            if letters.contains(*letter) {
                let unknown = Effect::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
                registry.script(Rule::on(Route::Manifest).effect(unknown));
            }
        }
    }

    /// Who was asked for a manifest, in order, and whether the command did well.
    fn asked(&self, command: &mut Command) -> (String, bool) {
        self.all.iter().for_each(|(_, registry)| registry.clear_log());
        let ended_well = command.output().expect("start the program").status.success();
        let asks =
            |registry: &ScriptedRegistry| registry.requests().iter().any(|request| request.route == Route::Manifest);
        (self.all.iter().filter(|(_, registry)| asks(registry)).map(|(name, _)| *name).collect(), ended_well)
    }
}

/// Mirrors, what fails, the name, and who is asked. The mirrors are tried in the order of their letters, so that who was
/// asked says in which order.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("[[registry]]\nlocation = '{p}'\ninsecure = true\n", "", "{p}/app:v1", "p"),
    (BOTH, "", "{p}/app:v1", "a"),
    (BOTH, "a", "{p}/app:v1", "ab"),
    (BOTH, "ab", "{p}/app:v1", "abp"),
    (BOTH, "ab", "{p}/app@{digest}", "abp"),
    (BY_KIND, "", "{p}/app:v1", "b"),
    (BY_KIND, "", "{p}/app@{digest}", "a"),
    (BY_KIND, "a", "{p}/app@{digest}", "ap"),
    (BY_DIGEST, "", "{p}/app:v1", "p"),
    (BY_DIGEST, "", "{p}/app@{digest}", "a"),
    (NESTED, "", "{p}/app:v1", "a"),
    (NESTED, "", "{p}/deep/app:v1", "b"),
    (NESTED, "b", "{p}/deep/app:v1", "bp"),
    ("[[registry]]\nprefix = 'r.invalid/x'\nlocation = '{b}/deep'\ninsecure = true\n", "", "r.invalid/x/app:v1", "b"),
    ("[[registry]]\nprefix = '*.invalid'\nlocation = '{b}'\ninsecure = true\n", "", "y.x.invalid/app:v1", "b"),
    ("[[registry]]\nlocation = '{p}'\ninsecure = true\nblocked = true\n", "", "{p}/app:v1", ""),
];

const BOTH: &str = "[[registry]]\nlocation = '{p}'\ninsecure = true\n\
    [[registry.mirror]]\nlocation = '{a}'\ninsecure = true\n[[registry.mirror]]\nlocation = '{b}'\ninsecure = true\n";
const BY_KIND: &str = "[[registry]]\nlocation = '{p}'\ninsecure = true\n\
    [[registry.mirror]]\nlocation = '{a}'\ninsecure = true\npull-from-mirror = 'digest-only'\n\
    [[registry.mirror]]\nlocation = '{b}'\ninsecure = true\npull-from-mirror = 'tag-only'\n";
const BY_DIGEST: &str = "[[registry]]\nlocation = '{p}'\ninsecure = true\nmirror-by-digest-only = true\n\
    [[registry.mirror]]\nlocation = '{a}'\ninsecure = true\n";
const NESTED: &str = "[[registry]]\nlocation = '{p}'\ninsecure = true\n[[registry.mirror]]\nlocation = '{a}'\ninsecure = true\n\
    [[registry]]\nprefix = '{p}/deep'\nlocation = '{p}/deep'\ninsecure = true\n\
    [[registry.mirror]]\nlocation = '{b}/deep'\ninsecure = true\n";

#[test]
fn mirrors_are_asked_as_skopeo_asks_them() {
    let three = Three::new();
    let configuration = three.bench.path("registries.conf");
    let text = configuration.to_str().expect("a printable path");
    for (index, (config, failing, name, expected)) in CASES.iter().enumerate() {
        std::fs::write(&configuration, three.filled(config)).expect("a configuration");
        three.fail(failing);
        let name = three.filled(name);
        let dhow = three.bench.dhow(&format!("store-{index}"));
        let own = three.asked(dhow.command(&["pull", "-q", &name]).env("CONTAINERS_REGISTRIES_CONF", &configuration));
        let works = !expected.is_empty();
        assert_eq!(own, ((*expected).to_owned(), works), "dhow: case {index}, {name}");
        let Some(mut skopeo) = peers::available(peers::skopeo()) else { continue };
        skopeo.args(["--registries-conf", text, "inspect", "--raw"]).arg(format!("docker://{name}"));
        assert_eq!(three.asked(&mut skopeo), own, "skopeo: case {index}, {name}");
    }
}

/// A configuration, what fails, the short name, and who is asked for it.
const SHORT: &[(&str, &str, &str, &str)] = &[
    ("unqualified-search-registries = ['{a}', '{b}']\n", "", "app:v1", "a"),
    ("unqualified-search-registries = ['{a}', '{b}']\n", "a", "app:v1", "ab"),
    ("unqualified-search-registries = ['{a}', '{b}']\n", "ab", "deep/app:v1", "ab"),
    ("unqualified-search-registries = ['{a}', '{b}']\nshort-name-mode = 'disabled'\n", "a", "app:v1", "ab"),
    ("unqualified-search-registries = ['{a}', '{b}']\nshort-name-mode = 'enforcing'\n", "", "app:v1", ""),
    ("unqualified-search-registries = ['{b}']\nshort-name-mode = 'enforcing'\n", "", "app:v1", "b"),
    ("unqualified-search-registries = ['{a}']\n[aliases]\napp = '{b}/deep/app'\n", "", "app:v1", "b"),
    ("unqualified-search-registries = ['{a}']\n[aliases]\napp = '{b}/deep/app'\n", "b", "app@{digest}", "b"),
];

#[test]
fn short_names_are_looked_for_as_podman_looks_for_them() {
    let three = Three::new();
    let configuration = three.bench.path("registries.conf");
    let podman = peers::available(Podman::open(&three.bench.path("podman")));
    for (index, (config, failing, name, expected)) in SHORT.iter().enumerate() {
        std::fs::write(&configuration, three.filled(config)).expect("a configuration");
        three.fail(failing);
        let name = three.filled(name);
        let dhow = three.bench.dhow(&format!("store-{index}"));
        let (own, _) =
            three.asked(dhow.command(&["pull", "-q", &name]).env("CONTAINERS_REGISTRIES_CONF", &configuration));
        assert_eq!(own, *expected, "dhow: case {index}, {name}");
        let Some(podman) = &podman else { continue };
        let mut command = podman.command();
        command.env("CONTAINERS_REGISTRIES_CONF", &configuration).stdin(Stdio::null());
        let (asked, _) = three.asked(command.args(["pull", "--quiet", "--tls-verify=false", &name]));
        assert_eq!(asked, own, "podman: case {index}, {name}");
        // What it has pulled would be taken for the next short name.
        let _ = podman.command().args(["rmi", "--all", "--force"]).output().expect("start podman");
    }
}

/// Images that are here, a configuration, and what names stand for among them: the label of the image, or nothing.
type Here = (&'static [&'static str], &'static str, &'static [(&'static str, &'static str)]);

const HERE: &[Here] = &[
    (
        &["quay.io/acme/web:latest", "localhost/web:latest", "a.test/web:latest", "docker.io/library/web:latest"],
        "unqualified-search-registries = ['a.test', 'docker.io']\n[aliases]\nweb = 'quay.io/acme/web'\n",
        &[("web", "0"), ("localhost/web", "1"), ("a.test/web", "2"), ("docker.io/web", "3"), ("acme/web", "0")],
    ),
    (
        &["a.test/web:latest", "docker.io/library/web:latest", "localhost/web:latest"],
        "unqualified-search-registries = ['docker.io', 'a.test']\n",
        &[("web", "2"), ("web:latest", "2"), ("library/web", "1")],
    ),
    (
        &["a.test/web:latest", "docker.io/library/web:latest"],
        "unqualified-search-registries = ['docker.io', 'a.test']\n",
        &[("web", "1"), ("web:v2", "")],
    ),
    (
        &["a.test/x/web:v1"],
        "unqualified-search-registries = ['b.test']\n",
        &[("web:v1", "0"), ("x/web:v1", "0"), ("b:v1", "")],
    ),
    (&["quay.io/acme/web:v2"], "[aliases]\nweb = 'quay.io/acme/web'\n", &[("web:v2", "0"), ("web", "")]),
];

/// Called as podman, dhow finds what podman finds.
#[test]
fn short_names_that_are_here_are_found_as_podman_finds_them() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let configuration = bench.path("registries.conf");
    let dhow = bench.dhow("store");
    let archives: Vec<(String, String)> = (0..4)
        .map(|number| {
            let sample = bench.image(&format!("here-{number}"), Format::Oci, Compression::Gzip);
            let archive = bench.path(&format!("{number}.tar"));
            dhow.must(&[
                "copy",
                "-q",
                &format!("oci:{}:it", sample.layout.root().display()),
                &format!("docker-archive:{}:load/it:{number}", archive.display()),
            ]);
            (archive.to_str().expect("a printable path").to_owned(), sample.id().replace("sha256:", ""))
        })
        .collect();
    for (archive, _) in &archives {
        dhow.must(&["load", "-q", "-i", archive]);
        peers::run(podman.command().args(["load", "-q", "-i", archive])).expect("podman load");
    }
    for (index, (names, config, lookups)) in HERE.iter().enumerate() {
        std::fs::write(&configuration, config).expect("a configuration");
        for (number, name) in names.iter().enumerate() {
            let id = &archives[number].1;
            dhow.must(&["tag", id, name]);
            peers::run(podman.command().args(["tag", id, name])).expect("podman tag");
        }
        for (text, expected) in *lookups {
            let expected = expected.parse().map_or("", |number: usize| archives[number].1.as_str());
            let asked = ["image", "inspect", "-f", "{{.Id}}", text];
            let mut command = podman.command();
            let theirs = peers::stdout_of(command.args(asked).env("CONTAINERS_REGISTRIES_CONF", &configuration));
            assert_eq!(theirs.unwrap_or_default(), expected, "podman: case {index}, {text}");
            let mut command = dhow.command(&["--compat", "podman"]);
            let ours = peers::stdout_of(command.args(asked).env("CONTAINERS_REGISTRIES_CONF", &configuration));
            assert_eq!(ours.unwrap_or_default(), expected, "dhow: case {index}, {text}");
        }
        for name in *names {
            dhow.must(&["rmi", name]);
            peers::run(podman.command().args(["untag", name, name])).expect("podman untag");
        }
    }
}
