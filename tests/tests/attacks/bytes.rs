//! Cases 17 and 18: lengths that are not what they seem, and bytes of something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dhow_testkit::registry::known::recipe;
use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry};
use dhow_tests::known::{Stage, publish};
use dhow_tests::scene::Scene;
use serde_json::Value;

fn stage() -> Stage {
    let stage = Stage::new(recipe("Harbor"));
    stage.publish("v1", &stage.scene.image("a"));
    stage
}

/// Bodies without an end, or far longer than anything of their kind.
#[test]
fn cve_2023_25153_endless_bodies() {
    let stage = stage();
    for (route, method) in [(Route::Manifest, "GET"), (Route::Blob, "GET"), (Route::Token, "GET"), (Route::Tags, "GET")]
    {
        stage.known.registry.clear_script();
        stage.known.registry.script(Rule::on(route).method(method).effect(Effect::Endless));
        let name = stage.name("v1");
        let arguments = match route {
            Route::Tags => vec!["tags", name.trim_end_matches(":v1")],
            _ => vec!["pull", &name],
        };
        stage.refused(&arguments);
    }
    // An error's body is as long as it likes; a part of it is read.
    stage.known.registry.clear_script();
    let rule = Rule::on(Route::Manifest).method("GET").effect(Effect::status(403)).effect(Effect::Endless);
    stage.known.registry.script(rule);
    stage.refused(&["pull", &stage.name("v1")]);
    let big = vec![b' '; 64 << 20];
    stage.known.registry.clear_script();
    stage.known.registry.script(Rule::on(Route::Manifest).method("GET").effect(Effect::Body(big)));
    let said = stage.refused(&["pull", &stage.name("v1")]);
    assert!(said.contains("at most") || said.contains("longer than") || said.contains("bytes"), "{said}");
}

/// A descriptor whose size is not that of its bytes, and answers that say nothing of their length, or something wrong.
#[test]
fn sizes_that_lie() {
    let stage = stage();
    let (repository, registry) = (stage.known.recipe.repository, &stage.known.registry);
    let (media_type, bytes) = registry.manifest(repository, "v1").expect("a manifest");
    let good: Value = serde_json::from_slice(&bytes).expect("JSON");
    for place in ["/layers/1/size", "/config/size"] {
        for size in [0_i64, 1, 1 << 40, i64::MAX, -1] {
            let mut document = good.clone();
            *document.pointer_mut(place).expect("a size") = size.into();
            registry.put_manifest(repository, "bad", &media_type, document.to_string().as_bytes());
            stage.refused(&["pull", &stage.name("bad")]);
            assert_eq!(stage.must(&["images", "--all", "--quiet"]), "", "{place} {size}");
        }
    }
    // What these refused pulls fetched of good blobs is kept for the next one: a store that has none asks for each.
    let stage = self::stage();
    let registry = &stage.known.registry;
    let layer = good["layers"][1]["digest"].as_str().expect("a digest");
    for effect in [
        Effect::Body(vec![1; 100]),
        Effect::Body(Vec::new()),
        Effect::SetHeader("Content-Length".into(), "5".into()),
        Effect::SetHeader("Content-Length".into(), "99999999999".into()),
    ] {
        registry.clear_script();
        registry.script(Rule::on(Route::Blob).method("GET").path(layer).effect(effect.clone()));
        let output = stage.run(&["pull", &stage.name("v1")]);
        assert_ne!(output.code, 0, "{effect:?}");
    }
    // No length at all is no lie.
    registry.clear_script();
    registry.script(Rule::on(Route::Any).method("GET").effect(Effect::RemoveHeader("Content-Length".into())));
    stage.must(&["pull", &stage.name("v1")]);
}

/// `dhow serve` as the one that is asked for too much.
#[test]
fn cve_2023_2253_requests_without_measure() {
    let scene = Scene::new();
    let server = scene.serve();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = vec![0; 64 << 10];
        let length = stream.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    for number in ["99999999999999999999", "-1", "0", "9223372036854775807", "x"] {
        for page in ["/v2/_catalog", "/v2/acme/web/tags/list"] {
            let answer = ask(&format!("GET {page}?n={number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 "), "{page} {number}: {answer}");
            assert!(!answer.starts_with("HTTP/1.1 5"), "{page} {number}: {answer}");
        }
    }
    let huge = "PUT /v2/acme/web/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: \
                application/vnd.oci.image.manifest.v1+json\r\nContent-Length: 1099511627776\r\n\r\n{";
    let answer = ask(huge);
    assert!(answer.starts_with("HTTP/1.1 413") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(ask("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
}

/// A mirror, or a proxy on the way to it, that gives other bytes: the registry's own are taken.
#[test]
fn a_mirror_substitutes() {
    let scene = Scene::new();
    let (registry, mirror) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    let image = scene.image("a");
    for place in [&registry, &mirror] {
        publish(place, "acme/app", "v1", &image);
    }
    let (own, other) = (registry.authority(), mirror.authority());
    scene.system(
        "etc/containers/registries.conf",
        &format!("[[registry]]\nlocation = '{own}'\ninsecure = true\n[[registry.mirror]]\nlocation = '{other}'\ninsecure = true\n"),
    );
    let name = format!("{own}/acme/app:v1");
    for (route, body) in [(Route::Blob, b"substitute".to_vec()), (Route::Manifest, b"{}".to_vec())] {
        mirror.clear_script();
        mirror.clear_log();
        mirror.script(Rule::on(route).method("GET").effect(Effect::Body(body)));
        let pinned = format!("{own}/acme/app@{}", image.manifest.digest);
        for wanted in [&name, &pinned] {
            let output = scene.dhow(&["pull", wanted]);
            assert_eq!(output.code, 0, "{output}");
            assert!(!mirror.requests().is_empty(), "the mirror was asked");
            let id = scene.must(&["images", "--quiet", "--no-trunc"]);
            assert_eq!(id.trim(), "sha256:<id-a>");
            scene.must(&["rmi", "--force", &image.id]);
        }
    }
    // The same of a blob that has the right length.
    mirror.clear_script();
    let size = registry.blob("acme/app", &image.upper).expect("a layer").len();
    mirror.script(Rule::on(Route::Blob).method("GET").path(&image.upper).effect(Effect::Body(vec![b'x'; size])));
    assert_eq!(scene.dhow(&["pull", &name]).code, 0);
    assert_eq!(scene.dhow(&["system", "check"]).code, 0);
}

/// A download that broke off goes on with the bytes of another object: the whole is fetched anew, and never shown before it
/// is proven.
#[test]
fn a_spliced_download() {
    let scene = Scene::new();
    let registry = ScriptedRegistry::start();
    let layer: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let image = registry.put_image("acme/app", "v1", std::slice::from_ref(&layer));
    let digest = image.layers[0].clone();
    let name = format!("{}/acme/app:v1", registry.authority());
    let on_blob = || Rule::on(Route::Blob).method("GET").path(&digest);
    // First everything breaks off after a while.
    registry.script(on_blob().effect(Effect::CutAfter(1_000_000)).times(1));
    registry.script(on_blob().effect(Effect::Close));
    assert_ne!(scene.dhow(&["pull", "--stored", &name]).code, 0);
    assert_eq!(scene.must(&["images", "--all", "--quiet"]), "");
    // Then the rest comes from something else, of the same length, with the same entity tag and with another.
    for entity_tag in [None, Some("\"another\"")] {
        registry.clear_script();
        registry.clear_log();
        let mut rule = on_blob().effect(Effect::Body(vec![b'x'; 2_000_000])).times(1);
        if let Some(tag) = entity_tag {
            rule = rule.effect(Effect::SetHeader("ETag".into(), tag.into()));
        }
        registry.script(rule);
        let output = scene.dhow(&["pull", "--stored", &name]);
        if output.code == 0 {
            assert_eq!(scene.dhow(&["system", "check"]).code, 0, "what is there is right");
            scene.must(&["rmi", &name]);
        } else {
            assert_eq!(scene.must(&["images", "--all", "--quiet"]), "");
        }
    }
    registry.clear_script();
    assert_eq!(scene.dhow(&["pull", "--stored", &name]).code, 0);
    assert_eq!(scene.dhow(&["system", "check"]).code, 0);
}
