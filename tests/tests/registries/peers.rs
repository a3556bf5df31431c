//! The real skopeo and docker, against the same scripts. What storages get to see is not judged: Go's HTTP client takes
//! `Authorization` along to names below the registry's (moby #50065), so that skopeo gives Quay's storage the token.

use std::process::Command;

use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Docker};
use dhow_testkit::registry::known::{Known, Recipe, recipe, recipes};
use dhow_testkit::registry::{Effect, Route, Rule};
use dhow_tests::interop::{Bench, must};
use dhow_tests::known::Stage;

/// What a peer has to know to come to a registry.
fn environment(known: &Known, bench: &Bench) -> Vec<(&'static str, String)> {
    let folder = bench.path("authority");
    #[allow(clippy::disallowed_methods, reason = "a scratch folder")]
    std::fs::create_dir_all(&folder).expect("a folder");
    known.environment(&folder).expect("the authority's file")
}

#[test]
fn skopeo_gets_on_with_each() {
    let Some(_) = peers::available(peers::skopeo()) else { return };
    for recipe in recipes() {
        let (bench, known) = (Bench::new(), Known::start(recipe));
        let image = bench.image("skopeo", Format::Oci, Compression::Gzip);
        let environment = environment(&known, &bench);
        let (file, Recipe { name, domain, account, repository, .. }) = (bench.path("auth.json"), &known.recipe);
        let skopeo = |arguments: &[&str]| {
            let mut skopeo = peers::skopeo().expect("skopeo");
            skopeo.env("REGISTRY_AUTH_FILE", &file).envs(environment.iter().map(|(name, value)| (*name, value)));
            skopeo.args(arguments);
            skopeo
        };
        must(&mut skopeo(&["login", "-u", account.0, "-p", account.1, domain]));
        let there = format!("docker://{domain}/{repository}:v1");
        must(&mut skopeo(&["copy", "--quiet", "--preserve-digests", &image.source(), &there]));
        assert_eq!(known.registry.tag(repository, "v1"), Some(image.manifest.digest.clone()), "{name}");
        let copy = format!("dir:{}", bench.path("copy").display());
        must(&mut skopeo(&["copy", "--quiet", "--preserve-digests", &there, &copy]));
        let listed = must(&mut skopeo(&["list-tags", &format!("docker://{domain}/{repository}")]));
        assert!(listed.contains("\"v1\""), "{name}: {listed}");
    }
}

#[test]
fn docker_gets_on_with_each() {
    let Some(_) = peers::available(peers::skopeo()) else { return };
    for recipe in recipes() {
        let (bench, known) = (Bench::new(), Known::start(recipe));
        let environment = environment(&known, &bench);
        let Some(docker) = peers::available(Docker::start_with(&bench.path("docker"), &[], &environment)) else {
            return;
        };
        let Recipe { name, domain, account, repository, .. } = &known.recipe;
        let run = |arguments: &[&str]| -> String { must(docker.command().args(arguments)) };
        let image = bench.image("docker", Format::Docker, Compression::Gzip);
        let full = format!("{domain}/{repository}:v1");
        must(&mut load(&docker, &bench, &image.source(), &full));
        // Through the daemon: also to Docker Hub there is no way by a browser.
        let hub = if *domain == "docker.io" { &[][..] } else { &[*domain][..] };
        run(&[&["login", "-u", account.0, "-p", account.1], hub].concat());
        run(&["push", &full]);
        let pushed = known.registry.tag(repository, "v1");
        assert!(pushed.is_some(), "{name}");
        run(&["rmi", &full]);
        let output = run(&["pull", &full]);
        assert!(output.contains(&pushed.expect("a digest")), "{name}: {output}");
    }
}

/// A command that brings an image into a daemon's store, past registries.
fn load(docker: &Docker, bench: &Bench, source: &str, name: &str) -> Command {
    let archive = bench.path("image.tar");
    let mut skopeo = peers::skopeo().expect("skopeo");
    must(skopeo.args(["copy", "--quiet", source]).arg(format!("docker-archive:{}:{name}", archive.display())));
    let mut command = docker.command();
    command.args(["load", "--quiet", "--input"]).arg(archive);
    command
}

/// What docker and dhow, called as docker, say of what goes wrong at each: a password that is wrong, a tag that is not there, a
/// push of nobody. Docker's client prints its daemon's words.
#[test]
fn docker_and_dhow_say_the_same() {
    for recipe in recipes() {
        let (bench, stage) = (Bench::new(), Stage::new(recipe));
        let environment = environment(&stage.known, &bench);
        let Some(docker) = peers::available(Docker::start_with(&bench.path("docker"), &[], &environment)) else {
            return;
        };
        let Recipe { name, domain, account, .. } = stage.known.recipe.clone();
        let unknown = stage.name("nope");
        for arguments in [vec!["login", "-u", account.0, "-p", "wrong", domain], vec!["pull", &unknown]] {
            // Docker's client asks Docker Hub by a way of its own.
            if arguments[0] == "login" && domain == "docker.io" {
                continue;
            }
            let theirs = docker.command().args(&arguments).output().expect("docker");
            let mut ours = stage.scene.command_as("docker", &arguments);
            let ours = ours.envs(environment.iter().map(|(name, value)| (*name, value))).output().expect("dhow");
            let said = |output: &std::process::Output| {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("WARNING!"));
                (output.status.code(), lines.map(as_read).collect::<Vec<_>>())
            };
            assert_eq!(said(&ours), said(&theirs), "{name}: {arguments:?}");
        }
    }
}

/// Docker's client prints what its daemon finds at Docker Hub, dhow asks there itself.
#[test]
fn docker_and_dhow_find_the_same() {
    let (bench, stage) = (Bench::new(), Stage::new(recipe("Docker Hub")));
    let environment = environment(&stage.known, &bench);
    let Some(docker) = peers::available(Docker::start_with(&bench.path("docker"), &[], &environment)) else { return };
    let hit = |name: &str, description: &str, stars: u32, is_official: bool| {
        serde_json::json!({ "name": name, "description": description, "star_count": stars,
                            "is_official": is_official, "is_automated": false })
    };
    let hits = [
        hit("acme/web", "Serves pages, and a line that is longer than what anybody wants to read of it", 3, false),
        hit("web", "The official one\nof two lines", 1200, true),
        hit("müller/web", "Größe: 中文 und mehr, so dass es über den Rand hinaus geht", 40, false),
        hit("nobody/web", "", 0, false),
    ];
    let found = serde_json::json!({ "num_results": hits.len(), "query": "web", "results": hits });
    let answer = Effect::Answer {
        status: 200,
        headers: vec![("Content-Type".into(), "application/json".into())],
        body: found.to_string().into_bytes(),
    };
    stage.known.registry.script(Rule::on(Route::Other).path("/v1/search").effect(answer));
    for options in [
        &[][..],
        &["--no-trunc"],
        &["--filter", "stars=10"],
        &["--filter", "is-official=true"],
        &["-f", "is-official=false", "-f", "stars=1"],
        &["--format", "{{.Name}}: {{.Description}} {{.StarCount}} {{.IsOfficial}}"],
        &["--format", "table {{.Name}}\t{{.StarCount}}"],
        &["--format", "{{json .}}"],
        &["--format", "json"],
        &["--format", "{{.IsAutomated}}"],
        &["--filter", "nope=1"],
        &["--filter", "stars=many"],
        &["--limit", "101"],
    ] {
        let arguments = [&["search"][..], options, &["web"]].concat();
        let theirs = docker.command().args(&arguments).output().expect("docker");
        let mut ours = stage.scene.command_as("docker", &arguments);
        let ours = ours.envs(environment.iter().map(|(name, value)| (*name, value))).output().expect("dhow");
        let said = |output: &std::process::Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            // Older daemons begin their words in capitals.
            (output.status.code(), text(&output.stdout), text(&output.stderr).to_lowercase())
        };
        assert_eq!(said(&ours), said(&theirs), "{options:?}");
    }
}

/// A line without what differs by design: which request came first (docs/compatibility.md).
fn as_read(line: &str) -> String {
    line.replace("Head \"", "Get \"")
}
