//! The web page of `dhow serve` in a real browser: what chromium makes of the markup, and that it finds nothing to say of
//! it on its console.

use std::path::Path;
use std::process::Command;

use dhow_testkit::images::sha256;
use dhow_testkit::peers;
use dhow_tests::interop::{Bench, Served, must, skopeo_folder};
use serde_json::json;

const HOSTILE: &str = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">";

/// A browser that talks to nobody but the page; its profile is thrown away.
fn chromium(profile: &Path, arguments: &[&str]) -> Command {
    let mut command = peers::find("chromium").map(Command::new).expect("chromium");
    command.arg("--headless").args(["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.args(["--disable-dev-shm-usage", "--enable-logging=stderr"]);
    command.arg(format!("--user-data-dir={}", profile.display())).args(arguments);
    command
}

/// The document as it stands once it was loaded, and what the console said.
fn look(bench: &Bench, url: &str) -> (String, Vec<String>) {
    let output = peers::run(chromium(&bench.path("profile"), &["--timeout=20000", "--dump-dom"]).arg(url))
        .unwrap_or_else(|error| panic!("{error}"));
    let log = String::from_utf8_lossy(&output.stderr);
    let said = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

/// Pushes an image of which every text is `text`.
fn publish(bench: &Bench, served: &Served, name: &str, text: &str) {
    let layer = b"layer".to_vec();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-03-01T00:00:00Z",
        "rootfs": { "type": "layers", "diff_ids": [sha256(&layer)] },
        "history": [{ "created_by": text }, { "created_by": text, "empty_layer": true }],
        "config": { "Env": [format!("{text}={text}")], "Cmd": [text], "Labels": { text: text } },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()), "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(&layer), "size": layer.len() }],
        "annotations": { text: text },
    })
    .to_string();
    let folder = bench.path(&name.replace(['/', ':'], "-"));
    let source = skopeo_folder(&folder, manifest.as_bytes(), &[config.as_bytes(), &layer]);
    let mut skopeo = peers::skopeo().expect("skopeo");
    skopeo.args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", &source]);
    must(skopeo.arg(format!("docker://{}", served.name(name))));
}

#[test]
fn a_browser_has_nothing_to_object_to() {
    if peers::available(peers::find("chromium")).is_none() || peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let served = Served::start(&bench.dhow("store"), &bench.path("registry"));
    publish(&bench, &served, "team/app:v1", "RUN make install");
    publish(&bench, &served, "hostile/app:v1", HOSTILE);

    // The console is heard: a page that breaks the same policy says so.
    let control = "data:text/html,<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">\
                   <p style='color:red'>x</p><script>1</script>";
    let (_, said) = look(&bench, control);
    assert!(said.iter().any(|line| line.contains("Content Security Policy")), "{said:?}");

    for (path, expected) in [
        ("/", "href=\"/r/team/app\""),
        ("/?q=team", "value=\"team\""),
        ("/r/team/app", "href=\"/r/team/app:v1\""),
        ("/r/team/app:v1", "<rect class=\"shade-0\""),
        ("/delete/team/app:v1", "method=\"post\""),
        ("/r/hostile/app", "linux/amd64"),
        ("/r/hostile/app:v1", "&lt;script&gt;document.title"),
        ("/r/nowhere", "there is no repository of that name"),
    ] {
        let (document, said) = look(&bench, &format!("http://{}{path}", served.address()));
        assert!(document.contains(expected), "{path}: {document}");
        assert!(document.contains("· dhow</title>"), "{path}: {document}");
        for bad in ["<script", "<img", "<title>owned"] {
            assert!(!document.contains(bad), "{path} holds {bad}: {document}");
        }
        // The answer 404 of the last one is the only thing worth a line.
        let said: Vec<_> = said.iter().filter(|line| !(path == "/r/nowhere" && line.contains("404"))).collect();
        assert!(said.is_empty(), "{path}: {said:?}");
    }
}
