//! Every verb with `--format json`, in ways that bring out all of its documents.

#![allow(clippy::disallowed_methods, reason = "damages scratch files")]

use std::io::Write as _;
use std::process::Stdio;

use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Server, signal};
use serde_json::Value;

use super::documents::Documents;

/// Runs them all.
pub(crate) fn all(documents: &mut Documents) {
    let scene = Scene::new();
    let server = registry(documents, &scene);
    transfers(documents, &scene, &server);
    platforms(documents);
    listings(documents, &scene);
    lists(documents, &scene, &server);
    registries(documents, &scene, &server);
    remade(documents, &scene, &server);
    accounts(documents, &scene, &server);
    removals(documents, &scene);
    health(documents);
}

fn field<'v>(document: &'v Value, name: &str) -> &'v str {
    document[name].as_str().unwrap_or_else(|| panic!("{name}: {document}"))
}

/// `serve`
fn registry(documents: &mut Documents, scene: &Scene) -> Server {
    let server = scene.serve();
    let mut command = scene.command(&["serve", "--format", "json", "--listen", "127.0.0.1:0"]);
    let mut other = command.stdout(Stdio::piped()).spawn().expect("start dhow serve");
    let mut line = String::new();
    let output = other.stdout.take().expect("its output");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("a line");
    let listening = documents.keep(scene, "serve", line.trim_end());
    assert_eq!(field(&listening, "url"), format!("http://{}", field(&listening, "address")));
    signal(&other, "TERM");
    assert_eq!(other.wait().expect("its end").code(), Some(0));
    let taken = documents.run(scene, "serve", &["--listen", server.address()], 1);
    assert!(taken[0]["error"]["message"].is_string(), "{taken:?}");
    let place = ["--root-dir", "registry"];
    let dry = documents.run(scene, "serve gc", &[&place[..], &["--dry-run"]].concat(), 0);
    assert_eq!((field(&dry[0], "status"), &dry[0]["removedBytes"]), ("would-remove", &0.into()), "{dry:?}");
    documents.run(scene, "serve gc", &place, 0);
    documents.run(scene, "serve gc", &["--root-dir", "nowhere"], 1);
    let sound = documents.run(scene, "serve scrub", &place, 0);
    assert_eq!(sound[0]["sound"], true, "{sound:?}");
    documents.run(scene, "serve scrub", &["--root-dir", "nowhere"], 1);
    server
}

/// `load`, `save`, `push`, `pull`
fn transfers(documents: &mut Documents, scene: &Scene, server: &Server) {
    let archive = scene.image("a").archive(&["docker.io/acme/web:v1"]);
    let archive = archive.to_str().expect("a printable path");
    let loaded = documents.run(scene, "load", &["-i", archive], 0);
    assert_eq!((field(&loaded[0], "status"), &loaded[0]["layers"]), ("loaded", &Value::from(2)));
    assert_eq!(loaded[0]["transferredBytes"], loaded[0]["sizeBytes"]);
    assert_eq!(field(&documents.run(scene, "load", &["-i", archive], 0)[0], "status"), "up-to-date");
    let missing = documents.run(scene, "load", &["-i", "nope.tar"], 1);
    assert_eq!(missing[0]["error"]["kind"], "not-found");
    let other = scene.image("b").archive(&["docker.io/acme/web:v1"]);
    let moved = documents.run(scene, "load", &["-i", other.to_str().expect("a printable path")], 0);
    assert_eq!(moved[0]["replaced"][0]["imageId"], loaded[0]["imageId"]);
    scene.must(&["load", "-i", archive]);

    let saved = documents.run(scene, "save", &["acme/web:v1", "-o", "saved.tar"], 0);
    assert_eq!((&saved[0]["digest"], &saved[0]["references"][0]), (&loaded[0]["digest"], &loaded[0]["references"][0]));
    assert_eq!(documents.run(scene, "save", &["acme/web:v1"], 1)[0]["error"]["kind"], "invalid");
    assert_eq!(documents.run(scene, "save", &["nope", "-o", "x.tar"], 1)[0]["error"]["kind"], "not-found");

    let name = server.name("acme/web:v1");
    scene.must(&["tag", "acme/web:v1", &name]);
    let pushed = documents.run(scene, "push", &[&name, "nope.example/x:v1"], 1);
    assert_eq!((field(&pushed[0], "status"), &pushed[0]["layersTransferred"]), ("pushed", &Value::from(2)));
    assert_eq!((field(&pushed[1], "name"), &pushed[1]["error"]["kind"]), ("nope.example/x:v1", &"not-found".into()));
    let again = documents.run(scene, "push", &["-q", &name], 0);
    assert_eq!((field(&again[0], "status"), &again[0]["transferredBytes"]), ("tagged", &Value::from(0)));

    scene.must(&["rmi", "--all", "--force"]);
    let unknown = server.name("acme/web:nope");
    let pulled = documents.run(scene, "pull", &[&unknown, "Alpine", &name], 1);
    assert_eq!((field(&pulled[0], "name"), &pulled[0]["error"]["kind"]), (unknown.as_str(), &"not-found".into()));
    assert_eq!((field(&pulled[1], "name"), &pulled[1]["error"]["kind"]), ("Alpine", &"invalid".into()));
    assert_eq!((field(&pulled[2], "status"), &pulled[2]["digest"]), ("downloaded", &loaded[0]["digest"]));
    assert_eq!(pulled[2]["transferredBytes"], pulled[2]["sizeBytes"]);
    let again = documents.run(scene, "pull", &["-q", &name], 0);
    let amount = ["platforms", "layers", "sizeBytes"].map(|name| (&again[0][name], &pulled[2][name]));
    assert!(amount.iter().all(|(now, before)| now == before), "{amount:?}");
    assert_eq!((field(&again[0], "status"), &again[0]["transferredBytes"]), ("up-to-date", &Value::from(0)));
}

/// What is left out of an index is told.
fn platforms(documents: &mut Documents) {
    let scene = Scene::new();
    let server = scene.serve();
    let multi = Multi::new(&scene);
    let name = multi.publish(&scene, &server, "acme/multi:v1");
    let pulled = documents.run(&scene, "pull", &["--platform", "linux/arm64,linux/arm/v7", &name], 0);
    assert_eq!(pulled[0]["platforms"], serde_json::json!(["linux/arm64", "linux/arm/v7"]));
    assert_eq!(field(&pulled[0], "digest"), multi.index.digest);
    let again = documents.run(&scene, "pull", &["--platform", "linux/arm64,linux/arm/v7", &name], 0);
    let amount = ["platforms", "layers", "sizeBytes"].map(|name| (&again[0][name], &pulled[0][name]));
    assert!(amount.iter().all(|(now, before)| now == before), "{amount:?}");
    let again = documents.run(&scene, "pull", &["--platform", "linux/arm/v7", &name], 0);
    assert_eq!((field(&again[0], "status"), &again[0]["layers"]), ("up-to-date", &Value::from(1)));
    assert_eq!(again[0]["platforms"], serde_json::json!(["linux/arm/v7"]));
    let part = documents.run(&scene, "push", &["--platform", "linux/arm/v7", &name], 0);
    assert_eq!((field(&part[0], "narrowedFrom"), &part[0]["layers"]), (multi.index.digest.as_str(), &Value::from(1)));
    let part = documents.run(&scene, "save", &["--platform", "linux/arm64", &name, "-o", "part.tar"], 0);
    assert_eq!(field(&part[0], "narrowedFrom"), multi.index.digest);
    assert_eq!(part[0]["platforms"], serde_json::json!(["linux/arm64"]));
}

/// `images`, `history`, `inspect`, `image tree`, `system df`, `version`, `info`
fn listings(documents: &mut Documents, scene: &Scene) {
    let labelled = scene.image_with("c", "2200-01-01T00:00:00Z", &[("stage", "test")]);
    scene.load_image(labelled, "docker.io/acme/labelled:v1");
    documents.run(scene, "images", &["--digests", "--no-trunc"], 0);
    documents.run(scene, "history", &["acme/labelled:v1"], 0);
    documents.run(scene, "inspect", &["acme/labelled:v1"], 0);
    documents.run(scene, "inspect", &["nope"], 1);
    let tree = documents.run(scene, "image tree", &["acme/labelled:v1"], 0);
    assert_eq!(tree[0]["layers"][1]["topLayerOf"][0], "docker.io/acme/labelled:v1");
    let upon = documents.run(scene, "image tree", &["--whatrequires", "acme/labelled:v1"], 0);
    assert_eq!((&upon[0]["layers"][0], upon[0]["layers"].as_array().map(Vec::len)), (&tree[0]["layers"][1], Some(1)));
    assert_eq!(documents.run(scene, "image tree", &["nope"], 1)[0]["name"], "nope");
    let files = documents.run(scene, "ls", &["-R", "acme/labelled:v1:/"], 0);
    assert!(files.iter().all(|file| file["type"] == "file" || file["type"] == "directory"), "{files:?}");
    assert_eq!(documents.run(scene, "ls", &["acme/labelled:v1:/nope"], 1)[0]["error"]["kind"], "not-found");
    let target = scene.path("copied");
    let copied = documents.run(scene, "cp", &["acme/labelled:v1:/etc", target.to_str().expect("a printable path")], 0);
    assert!(copied[0]["files"].as_u64() > Some(1), "{copied:?}");
    for verb in ["image mount", "image unmount"] {
        assert_eq!(documents.run(scene, verb, &["nope"], 1)[0]["error"]["kind"], "not-found");
    }
    let changed = documents.run(scene, "diff", &["acme/labelled:v1"], 0);
    assert_eq!((&changed[0]["change"], &changed[0]["sizeBeforeBytes"]), (&"added".into(), &Value::Null));
    for options in [&[][..], &["-v"], &["--disk"]] {
        documents.run(scene, "system df", options, 0);
    }
    let version = documents.run(scene, "version", &[], 0);
    let as_docker = documents.run(scene, "version", &["--compat", "docker"], 0);
    for side in ["Client", "Server"] {
        assert_eq!(as_docker[0][side]["Version"], version[0]["Version"]);
    }
    documents.run(scene, "info", &[], 0);
}

/// `manifest`
fn lists(documents: &mut Documents, scene: &Scene, server: &Server) {
    let member = server.name("acme/web:v1");
    let list = server.name("acme/list:v1");
    let found = documents.run(scene, "manifest inspect", &[&member], 0);
    assert_eq!(found[0]["schemaVersion"], 2);
    documents.run(scene, "manifest inspect", &["--verbose", &member], 0);
    assert_eq!(
        documents.run(scene, "manifest inspect", &[&server.name("acme/web:nope")], 1)[0]["error"]["kind"],
        "not-found"
    );
    documents.run(scene, "manifest create", &[&list, &member], 0);
    assert_eq!(documents.run(scene, "manifest create", &[&list, &member], 1)[0]["error"]["kind"], "conflict");
    let added = documents.run(scene, "manifest add", &["--os", "linux", "--arch", "arm64", &list, &member], 0);
    documents.run(scene, "manifest add", &[&list, "nope.invalid/x:v1"], 1);
    let pushed = documents.run(scene, "manifest push", &[&list], 0);
    assert_eq!((&pushed[0]["digest"], pushed[0]["manifests"].as_array().map(Vec::len)), (&added[0]["digest"], Some(1)));
    documents.run(scene, "manifest push", &["nope.example/x:v1"], 1);
    documents.run(scene, "manifest inspect", &[&list], 0);
    documents.run(scene, "manifest inspect", &["--verbose", &list], 0);
    let digest = field(&pushed[0]["manifests"][0], "digest").to_owned();
    documents.run(scene, "manifest remove", &[&list, &digest], 0);
    documents.run(scene, "manifest remove", &[&list, &digest], 1);
}

/// `search`, `tags`, `digest`, `referrers`, `artifact`, `inspect --remote`
fn registries(documents: &mut Documents, scene: &Scene, server: &Server) {
    let (web, notes) = (server.name("acme/web:v1"), server.name("acme/web:notes"));
    let file = scene.path("notes.txt");
    std::fs::write(&file, "hello").expect("a file");
    let file = format!("{}:text/plain", file.display());
    let type_of = "application/vnd.example.notes";
    let options = ["--artifact-type", type_of, "--subject", &web, &notes, &file];
    let pushed = documents.run(scene, "artifact push", &options, 0);
    assert_eq!(field(&pushed[0], "reference"), format!("{notes}@{}", field(&pushed[0], "digest")));
    assert_eq!(documents.run(scene, "artifact push", &[&notes], 1)[0]["error"]["kind"], "invalid");
    let pulled = documents.run(scene, "artifact pull", &["-o", "pulled", &notes], 0);
    assert_eq!(
        (&pulled[0]["files"], &pulled[0]["digest"]),
        (&serde_json::json!(["pulled/notes.txt"]), &pushed[0]["digest"])
    );
    assert_eq!(
        documents.run(scene, "artifact pull", &["-o", "pulled", &notes], 1)[0]["error"]["kind"],
        "already-exists"
    );
    let tags = documents.run(scene, "tags", &[&server.name("acme/web")], 0);
    assert_eq!(tags[0]["repository"], server.name("acme/web"));
    let digest = documents.run(scene, "digest", &[&web], 0);
    assert_eq!(digest[0]["reference"], web);
    let referrers = documents.run(scene, "referrers", &[&web], 0);
    assert_eq!(
        (&referrers[0]["subject"], &referrers[0]["referrers"][0]["artifactType"]),
        (&digest[0]["digest"], &type_of.into())
    );
    let artifact = documents.run(scene, "artifact inspect", &[&notes], 0);
    assert_eq!((&artifact[0]["subject"], &artifact[0]["files"][0]["size"]), (&digest[0]["digest"], &Value::from(5)));
    let artifacts = documents.run(scene, "artifact ls", &[&server.name("acme/web")], 0);
    assert_eq!(artifacts[0], Value::Array(artifact));
    let found = documents.run(scene, "search", &[&server.name("we")], 0);
    assert!(field(&found[0], "Name").ends_with("acme/web"), "{found:?}");
    let removed = documents.run(scene, "artifact rm", &[&notes, &web], 1);
    assert_eq!((field(&removed[0], "status"), field(&removed[1], "name")), ("untagged", web.as_str()));
    let (other, digest_name) =
        (server.name("acme/web:nope"), format!("{}@{}", server.name("acme/web"), field(&pushed[0], "digest")));
    let removed = documents.run(scene, "rm-remote", &["-f", &digest_name, &other], 1);
    assert_eq!((field(&removed[0], "status"), &removed[1]["error"]["kind"]), ("deleted", &"not-found".into()));
    let remote = documents.run(scene, "inspect", &["--remote", &web], 0);
    assert_eq!(remote[0]["Digest"], digest[0]["digest"]);
}

/// `mutate`, `append`, `flatten`, `rebase`, `validate`
fn remade(documents: &mut Documents, scene: &Scene, server: &Server) {
    let tar = dhow_testkit::images::Entry { path: "etc/more", mode: 0o644, content: b"more" };
    let tar = dhow_testkit::images::tar_of(&[tar]).expect("a tar");
    std::fs::write(scene.path("more.tar"), tar).expect("a file");
    let base = format!("docker://{}", server.name("acme/made:base"));
    let app = format!("docker://{}", server.name("acme/made:app"));
    let made = documents.run(scene, "append", &["-f", "more.tar", "-t", &base], 0);
    assert_eq!((&made[0]["name"], &made[0]["from"], field(&made[0], "status")), (&Value::Null, &Value::Null, "made"));
    let upon = ["-b", &base, "-f", "more.tar", "-t", &app, "--set-base-image-annotations"];
    assert_eq!(documents.run(scene, "append", &upon, 0)[0]["from"], made[0]["digest"]);
    assert_eq!(documents.run(scene, "append", &["-f", "more.tar", "-b", "nope"], 1)[0]["error"]["kind"], "not-found");
    let local = documents.run(scene, "mutate", &["acme/labelled:v1", "-l", "a=b", "-o", "mutated.tar"], 0);
    assert_eq!((&local[0]["reference"], field(&local[0], "status")), (&Value::Null, "made"));
    let same = documents.run(scene, "mutate", &[&app], 0);
    assert_eq!((field(&same[0], "status"), &same[0]["from"]), ("unchanged", &same[0]["digest"]));
    assert_eq!(documents.run(scene, "mutate", &["nope"], 1)[0]["error"]["kind"], "not-found");
    assert_eq!(field(&documents.run(scene, "rebase", &[&app], 0)[0], "status"), "unchanged");
    assert_eq!(documents.run(scene, "rebase", &[&base], 1)[0]["error"]["kind"], "invalid");
    assert_eq!(field(&documents.run(scene, "flatten", &[&app], 0)[0], "status"), "made");
    assert_eq!(documents.run(scene, "flatten", &["nope"], 1)[0]["error"]["kind"], "not-found");
    let valid = documents.run(scene, "validate", &[&app, "nope"], 1);
    assert_eq!((field(&valid[0], "status"), &valid[0]["layers"]), ("valid", &Value::from(1)));
    assert_eq!(valid[1]["error"]["kind"], "not-found");
    scene.must(&["copy", "-q", &app, "oci:damaged:it"]);
    let digest = json_of(scene, &app)["layers"][0]["digest"].as_str().expect("a digest").replace("sha256:", "");
    std::fs::remove_file(scene.path(&format!("damaged/blobs/sha256/{digest}"))).expect("a layer");
    let damaged = documents.run(scene, "validate", &["oci:damaged:it"], 1);
    assert_eq!((field(&damaged[0], "status"), damaged[0]["problems"].as_array().map(Vec::len)), ("invalid", Some(1)));
}

/// The manifest that a registry has under a name.
fn json_of(scene: &Scene, name: &str) -> Value {
    let output = scene.command(&["inspect", "--remote", "--raw", name]).output().expect("dhow");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// `login`, `logout`
fn accounts(documents: &mut Documents, scene: &Scene, server: &Server) {
    let mut command = scene.command(&["login", "--format", "json", "-u", "bob", "--password-stdin", server.address()]);
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"secret\n").expect("a password");
    drop(writer);
    let login = documents.run_command(scene, "login", command.stdin(reader), 0);
    assert_eq!((field(&login[0], "registry"), field(&login[0], "username")), (server.address(), "bob"));
    assert!(field(&login[0], "file").ends_with("config.json"));
    let stored = documents.run(scene, "login", &["--get-login", server.address()], 0);
    assert_eq!((field(&stored[0], "status"), field(&stored[0], "username")), ("stored", "bob"));
    documents.run(scene, "login", &[server.address()], 0);
    assert_eq!(documents.run(scene, "login", &["--get-login", "nope.example"], 1)[0]["error"]["kind"], "not-found");
    documents.run(scene, "logout", &[server.address()], 0);
    documents.run(scene, "logout", &["--all"], 0);
    documents.run(scene, "logout", &["--all", server.address()], 1);
}

/// `rmi`, `image prune`, `system prune`
fn removals(documents: &mut Documents, scene: &Scene) {
    let removed = documents.run(scene, "rmi", &["acme/labelled:v1", "nope"], 1);
    assert_eq!(removed[0]["untagged"], serde_json::json!(["docker.io/acme/labelled:v1"]));
    assert_eq!(
        (removed[0]["deleted"].as_array().map(Vec::len), field(&removed[0]["failed"][0], "name")),
        (Some(1), "nope")
    );
    assert!(removed[0]["reclaimedBytes"].as_u64().is_some_and(|bytes| bytes > 0), "{removed:?}");
    documents.run(scene, "rmi", &["--all", "name"], 1);
    let would = documents.run(scene, "image prune", &["-a", "--dry-run"], 0);
    let pruned = documents.run(scene, "image prune", &["-a", "-f"], 0);
    assert_eq!((&would[0]["deleted"], &would[0]["dryRun"]), (&pruned[0]["deleted"], &Value::from(true)));
    assert_eq!(would[0]["reclaimedBytes"], pruned[0]["reclaimedBytes"]);
    documents.run(scene, "image prune", &["-f", "--filter", "nope=1"], 1);
    scene.load("d", "docker.io/acme/gone:v1");
    let everything = documents.run(scene, "system prune", &["-a", "-f"], 0);
    assert_eq!(everything[0]["untagged"][0], "docker.io/acme/gone:v1");
    documents.run(scene, "system prune", &["-f", "--volumes", "--filter", "until=1h"], 1);
}

/// `system check`
fn health(documents: &mut Documents) {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/acme/web:v1");
    assert_eq!(documents.run(&scene, "system check", &[], 0)[0]["sound"], true);
    std::fs::remove_file(scene.path("store/blobs").join(image.upper.replace(':', "/"))).expect("a blob");
    let damaged = documents.run(&scene, "system check", &[], 1);
    let problem = &damaged[0]["problems"][0];
    assert_eq!((field(problem, "code"), field(problem, "object")), ("blob-missing", image.upper.as_str()));
    let repaired = documents.run(&scene, "system check", &["--repair"], 1);
    assert!(repaired[0]["problems"][0]["repaired"].is_string(), "{repaired:?}");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(scene.path("store").join(format!("meta.db{suffix}")));
    }
    documents.run(&scene, "system check", &[], 1);
    let rebuilt = documents.run(&scene, "system check", &["--repair"], 1);
    assert_eq!(rebuilt[0]["sound"], false);
    let incomplete = &rebuilt[0]["rebuilt"]["incomplete"][0];
    assert_eq!(incomplete["references"], serde_json::json!(["docker.io/acme/web:v1"]));
}
