//! Connections that break, servers that are busy, lie or stall.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::{Duration, Instant};

use common::{options, reference, remote, remote_with, run};
use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Origin, Resolve, Source, copy};
use dhow_registry::{Access, ClientOptions, PartPolicy, Remote};
use dhow_spec::{Descriptor, Digest, MediaType, Reference};
use dhow_testkit::line::{Faults, Line, Shape};
use dhow_testkit::registry::{Effect, Image, Route, Rule, ScriptedRegistry};
use futures::TryStreamExt;

fn pull(registry: &ScriptedRegistry, remote: &Remote) -> dhow_base::Result<MemoryPlace> {
    let place = MemoryPlace::new();
    run(async {
        let root = remote.resolve(&reference(registry, "app:v1")).await?;
        copy(remote, &place, &root, &CopyOptions::new(&Silent)).await
    })?;
    Ok(place)
}

fn check(registry: &ScriptedRegistry, place: &MemoryPlace, image: &Image) {
    for layer in &image.layers {
        assert_eq!(place.get(&Digest::parse(layer).unwrap()).unwrap(), registry.blob("app", layer).unwrap());
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 / 7) as u8).collect()
}

fn blob(registry: &ScriptedRegistry, bytes: &[u8]) -> Descriptor {
    let digest = registry.put_blob("app", bytes);
    Descriptor::new(MediaType::OciLayer, Digest::parse(&digest).unwrap(), bytes.len() as u64)
}

async fn read(remote: &Remote, blob: &Descriptor, range: std::ops::Range<u64>) -> dhow_base::Result<Vec<u8>> {
    let chunks: Vec<_> = remote.read(blob, range).await?.try_collect().await?;
    Ok(chunks.concat())
}

#[test]
fn a_broken_download_goes_on_behind_the_last_byte() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[pattern(300_000)]);
    let layer = &image.layers[0];
    let cut = |bytes| Rule::on(Route::Blob).method("GET").path(layer).effect(Effect::CutAfter(bytes)).times(1);
    registry.script(cut(100_000));
    registry.script(cut(50_000));
    let place = pull(&registry, &remote(&registry, "app", Access::Pull)).unwrap();
    check(&registry, &place, &image);
    assert_eq!(registry.bytes_sent_of(layer), 300_000, "no byte is fetched twice");
    let last = registry.requests().into_iter().rfind(|request| request.path.ends_with(layer.as_str())).unwrap();
    assert_eq!(last.header("range"), Some("bytes=150000-299999"));
    assert_eq!(last.header("if-range").unwrap(), format!("\"{layer}\""));
}

#[test]
fn crumbs_are_not_waited_for_without_end() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[pattern(1_000_000)]);
    let layer = &image.layers[0];
    registry.script(Rule::on(Route::Blob).method("GET").path(layer).effect(Effect::CutAfter(100)));
    let (remote, place) = (remote(&registry, "app", Access::Pull), MemoryPlace::new());
    let error = run(async {
        let root = remote.resolve(&reference(&registry, "app:v1")).await?;
        let patient = CopyOptions { retry_pause: Some(Duration::from_millis(1)), ..CopyOptions::new(&Silent) };
        copy(&remote, &place, &root, &patient).await
    })
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().starts_with("given up after 21 attempts that brought 2100 bytes: "), "{error}");
    assert_eq!(registry.bytes_sent_of(layer), 2100, "each attempt went on behind the one before");
}

#[test]
fn busy_servers_are_asked_again() {
    for effect in [Effect::status(503), Effect::status(502), Effect::retry_after(429, 1), Effect::Close] {
        let registry = ScriptedRegistry::start();
        let image = registry.put_image("app", "v1", &[pattern(1000)]);
        for route in [Route::Manifest, Route::Blob] {
            registry.script(Rule::on(route).effect(effect.clone()).times(2));
        }
        let start = Instant::now();
        let place = pull(&registry, &remote(&registry, "app", Access::Pull)).unwrap();
        check(&registry, &place, &image);
        if let Effect::Answer { status: 429, .. } = effect {
            assert!(start.elapsed() >= Duration::from_secs(3), "Retry-After is waited for");
        }
    }
}

#[test]
fn patience_has_an_end() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.script(Rule::on(Route::Any).effect(Effect::status(503)));
    let error = pull(&registry, &remote(&registry, "app", Access::Pull)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(error.to_string(), "received unexpected HTTP status: 503 Service Unavailable");
    assert_eq!(registry.requests().len(), 4, "four attempts in all");
}

#[test]
fn a_long_retry_after_is_told_instead_of_waited_for() {
    let registry = ScriptedRegistry::start();
    registry.script(Rule::on(Route::Any).effect(Effect::retry_after(429, 3600)));
    let error = pull(&registry, &remote(&registry, "app", Access::Pull)).unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn refusals_are_not_repeated() {
    for status in [400, 403, 404, 405, 410] {
        let registry = ScriptedRegistry::start();
        let bytes = pattern(100);
        let blob = blob(&registry, &bytes);
        let remote = remote(&registry, "app", Access::Pull);
        run(async {
            read(&remote, &blob, 0..1).await.unwrap();
            registry.clear_log();
            registry.script(Rule::on(Route::Blob).effect(Effect::status(status)));
            let error = read(&remote, &blob, 0..100).await.unwrap_err();
            assert!(!error.kind().is_transient(), "{status}: {error}");
        });
        assert_eq!(registry.requests().len(), 1, "{status}");
    }
}

#[test]
fn ranges_that_are_ignored_are_cut_out() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(200_000);
    let blob = blob(&registry, &bytes);
    registry.script(Rule::on(Route::Blob).effect(Effect::IgnoreRange).effect(Effect::RemoveHeader("ETag".into())));
    let parts = PartPolicy { blob_bytes_min: 1, size: 1000, at_once: 2, loopback: true };
    let remote = remote_with(&registry, "app", Access::Pull, ClientOptions { parts, ..options() });
    assert_eq!(remote.parts(&blob).size, 1000);
    let range = run(read(&remote, &blob, 70_000..90_000)).unwrap();
    assert_eq!(range, bytes[70_000..90_000]);
    assert_eq!(remote.parts(&blob), dhow_content::Parts::WHOLE, "a server without ranges is not asked for parts again");
}

#[test]
fn large_blobs_come_in_parts() {
    struct AnyOrder<'a>(&'a Remote);
    let registry = ScriptedRegistry::start();
    let bytes = pattern(100_000);
    let blob = blob(&registry, &bytes);
    let parts = PartPolicy { blob_bytes_min: 64_000, size: 30_000, at_once: 3, loopback: true };
    let remote = remote_with(&registry, "app", Access::Pull, ClientOptions { parts, ..options() });
    let source = AnyOrder(&remote);
    assert_eq!((source.0.parts(&blob).size, source.0.parts(&blob).at_once), (30_000, 3));
    let local = common::remote(&registry, "app", Access::Pull);
    assert_eq!(local.parts(&blob), dhow_content::Parts::WHOLE, "on this machine one stream is as fast");
    let pieces = run(async {
        let mut pieces = Vec::new();
        for start in (0..100_000).step_by(30_000) {
            pieces.extend(read(&remote, &blob, start..(start + 30_000).min(100_000)).await.unwrap());
        }
        pieces
    });
    assert_eq!(pieces, bytes);
}

#[test]
fn a_changed_entity_is_noticed() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(50_000);
    let blob = blob(&registry, &bytes);
    let remote = remote(&registry, "app", Access::Pull);
    run(async {
        read(&remote, &blob, 0..10_000).await.unwrap();
        // Another cache of the same content: its own tag makes the server send the whole.
        registry.script(Rule::on(Route::Blob).effect(Effect::IgnoreRange).effect(tag("other")).times(1));
        assert_eq!(read(&remote, &blob, 10_000..20_000).await.unwrap(), bytes[10_000..20_000]);
        read(&remote, &blob, 20_000..30_000).await.unwrap();
    });
    assert_eq!(conditions(&registry), ["", "\"$\"", "", ""], "a tag that servers do not agree on is not used again");
    assert_eq!(remote.origin(&blob), None, "and the next run is not told of it");
}

fn tag(name: &str) -> Effect {
    Effect::SetHeader("ETag".into(), format!("\"{name}\""))
}

/// The `If-Range` of each request for a blob, in order; `$` stands for the digest, which is the registry's tag.
fn conditions(registry: &ScriptedRegistry) -> Vec<String> {
    let blobs = registry.requests().into_iter().filter(|request| request.route == Route::Blob);
    let digest = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    blobs.map(|request| request.header("if-range").unwrap_or_default().replace(&digest(&request.path), "$")).collect()
}

/// What a run learns of a blob's origin, for the next one.
fn origin(registry: &ScriptedRegistry, blob: &Descriptor) -> Origin {
    let remote = remote(registry, "app", Access::Pull);
    run(read(&remote, blob, 0..10)).unwrap();
    registry.clear_log();
    remote.origin(blob).unwrap()
}

#[test]
fn what_an_earlier_run_began_goes_on_where_it_is_the_same() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(50_000);
    let blob = blob(&registry, &bytes);
    let origin = origin(&registry, &blob);
    assert_eq!(origin.as_str(), format!("{}\n{}\n\"{}\"", registry.authority(), registry.url(), blob.digest));
    let resumed = || {
        let remote = remote(&registry, "app", Access::Pull);
        remote.recall(&blob, &origin);
        remote
    };
    let same = resumed();
    assert_eq!(run(read(&same, &blob, 10_000..20_000)).unwrap(), bytes[10_000..20_000]);
    assert!(!same.has_changed(&blob));
    // The whole under the same tag: there are no ranges here, but what is there is still right.
    registry.script(Rule::on(Route::Blob).effect(Effect::IgnoreRange).times(1));
    let whole = resumed();
    assert_eq!(run(read(&whole, &blob, 10_000..20_000)).unwrap(), bytes[10_000..20_000]);
    assert_eq!(conditions(&registry), ["\"$\"", "\"$\""]);
    assert_eq!(whole.origin(&blob), Some(origin));
}

#[test]
fn what_an_earlier_run_began_is_given_up_where_the_blob_has_changed() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(50_000);
    let blob = blob(&registry, &bytes);
    registry.script(Rule::on(Route::Blob).effect(tag("old")));
    let origin = origin(&registry, &blob);
    let no_tag = Effect::RemoveHeader("ETag".into());
    let ways = [(vec![], Some("$")), (vec![tag("new")], Some("new")), (vec![Effect::IgnoreRange, no_tag], None)];
    for (effects, next) in ways {
        registry.clear_script();
        registry.clear_log();
        if !effects.is_empty() {
            registry.script(effects.into_iter().fold(Rule::on(Route::Blob).times(1), Rule::effect));
        }
        let remote = remote(&registry, "app", Access::Pull);
        remote.recall(&blob, &origin);
        run(async {
            let error = read(&remote, &blob, 10_000..20_000).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            assert!(remote.has_changed(&blob) && !remote.has_changed(&blob), "it is told once");
            remote.recall(&blob, &origin);
            let again = read(&remote, &blob, 10_000..20_000).await;
            // Nothing is known of an entity that had no tag, so that the old one is recalled.
            assert_eq!(again.is_ok(), next.is_some(), "{next:?}");
        });
        assert_eq!(conditions(&registry)[0], "\"old\"");
    }
    // A partial answer of another entity, from a server that knows no conditions.
    registry.clear_script();
    let remote = remote(&registry, "app", Access::Pull);
    remote.recall(&blob, &Origin::new(origin.as_str().replace("old", blob.digest.as_str())).unwrap());
    registry.script(Rule::on(Route::Blob).effect(tag("new")).times(1));
    assert_eq!(run(read(&remote, &blob, 10_000..20_000)).unwrap_err().kind(), Kind::Corrupt);
    assert!(remote.has_changed(&blob));
}

#[test]
fn what_one_registry_said_is_no_condition_for_another() {
    let (registry, other) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    let bytes = pattern(50_000);
    let blob = blob(&registry, &bytes);
    other.put_blob("app", &bytes);
    let origin = origin(&registry, &blob);
    let remote = remote(&other, "app", Access::Pull);
    remote.recall(&blob, &origin);
    run(async {
        assert_eq!(read(&remote, &blob, 10_000..20_000).await.unwrap(), bytes[10_000..20_000]);
    });
    assert_eq!(conditions(&other), [""]);
    // The same registry, but it leads to another storage by now: its tags say nothing of the old one's.
    let elsewhere = Origin::new(origin.as_str().replace(&registry.url(), "https://storage.example")).unwrap();
    let remote = common::remote(&registry, "app", Access::Pull);
    remote.recall(&blob, &Origin::new(elsewhere.as_str().replace(blob.digest.as_str(), "there")).unwrap());
    assert_eq!(run(read(&remote, &blob, 10_000..20_000)).unwrap(), bytes[10_000..20_000]);
    assert_eq!(conditions(&registry), ["\"there\"", ""]);
    assert!(!remote.has_changed(&blob));
}

#[test]
fn a_place_that_wants_its_bytes_in_order_gets_parts_too() {
    const LAYER: usize = 4 << 20;
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[pattern(LAYER)]);
    // A connection carries 2 MiB a second: alone, it would need two seconds.
    let shape = Shape { bytes_per_second_of_one: 2 << 20, ..Shape::default() };
    let line = Line::start(registry.address(), shape, Faults::default(), 1);
    let parts = PartPolicy { blob_bytes_min: 1 << 20, size: 256 << 10, at_once: 8, loopback: true };
    let client = common::client(ClientOptions { parts, ..options() });
    let name = Reference::parse(&format!("{}/app:v1", line.authority())).unwrap();
    let remote = client.repository(&name.repository().clone(), Access::Pull).unwrap();
    // One part breaks off, and goes on where it did.
    let cut = Rule::on(Route::Blob).method("GET").path(&image.layers[0]).effect(Effect::CutAfter(100_000));
    registry.script(cut.after(3).times(1));
    let place = MemoryPlace::new();
    let start = Instant::now();
    run(async {
        let root = remote.resolve(&name).await.unwrap();
        let options = CopyOptions { retry_pause: Some(Duration::from_millis(1)), ..CopyOptions::new(&Silent) };
        copy(&remote, &place, &root, &options).await.unwrap();
    });
    let elapsed = start.elapsed();
    check(&registry, &place, &image);
    assert_eq!(registry.bytes_sent_of(&image.layers[0]), LAYER as u64, "no byte is fetched twice");
    let requests = registry.requests().iter().filter(|request| request.path.ends_with(&image.layers[0])).count();
    assert_eq!(requests, 16 + 1);
    assert!((6..=10).contains(&line.counts().connections), "{:?}", line.counts());
    // A quarter of a second where nothing else runs.
    assert!(elapsed < Duration::from_millis(1900), "{elapsed:?}");
}

#[test]
fn lies_about_length_are_found() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(10_000);
    let blob = blob(&registry, &bytes);
    let remote = remote(&registry, "app", Access::Pull);
    for (effect, kind) in [
        (Effect::SetHeader("Content-Length".into(), "9000".into()), Kind::Corrupt),
        (Effect::SetHeader("Content-Length".into(), "11000".into()), Kind::Corrupt),
        (Effect::Body(pattern(10_001)), Kind::Corrupt),
        (Effect::Endless, Kind::Corrupt),
        (Effect::CutAfter(5), Kind::Unavailable),
    ] {
        registry.clear_script();
        registry.script(Rule::on(Route::Blob).effect(effect.clone()));
        let error = run(read(&remote, &blob, 0..10_000)).unwrap_err();
        assert_eq!(error.kind(), kind, "{effect:?}: {error}");
    }
    assert!(registry.bytes_sent_of(blob.digest.as_str()) < 50_000_000, "an endless body is left early");
}

#[test]
fn ranges_that_are_not_those_asked_for_are_refused() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(10_000);
    let blob = blob(&registry, &bytes);
    let remote = remote(&registry, "app", Access::Pull);
    for range in ["bytes 0-99/10000", "bytes 100-300/10000", "bytes 100-199/9999", "lines 1-2/3", ""] {
        registry.clear_script();
        registry.script(Rule::on(Route::Blob).effect(Effect::SetHeader("Content-Range".into(), range.into())));
        let error = run(read(&remote, &blob, 100..200)).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{range}: {error}");
    }
}

#[test]
fn wrong_manifests_are_refused() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[pattern(10)]);
    let other = registry.put_image("app", "v2", &[pattern(20)]);
    let remote = remote(&registry, "app", Access::Pull);
    let set = |name: &str, value: &str| Effect::SetHeader(name.into(), value.into());
    let by_tag = "app:v1".to_owned();
    let by_digest = format!("app@{}", image.manifest);
    let other_bytes = registry.manifest("app", "v2").unwrap().1;
    for (name, effect, kind) in [
        (&by_tag, set("Docker-Content-Digest", &other.manifest), Kind::Corrupt),
        (&by_digest, set("Docker-Content-Digest", &other.manifest), Kind::Corrupt),
        (&by_digest, Effect::Body(other_bytes), Kind::Corrupt),
        (&by_tag, set("Content-Type", "application/vnd.oci.image.index.v1+json"), Kind::Corrupt),
        (&by_tag, Effect::Body(b"not json".to_vec()), Kind::Corrupt),
        (&by_tag, Effect::Body(vec![b' '; 9 << 20]), Kind::LimitExceeded),
        (&by_tag, Effect::Endless, Kind::LimitExceeded),
    ] {
        registry.clear_script();
        registry.script(Rule::on(Route::Manifest).method("GET").effect(effect.clone()));
        let error = run(remote.fetch_document(&reference(&registry, name))).unwrap_err();
        let shown: String = format!("{effect:?}").chars().take(80).collect();
        assert_eq!(error.kind(), kind, "{name} {shown}: {error}");
    }
}

#[test]
fn head_without_a_digest_is_followed_by_get() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[]);
    for header in ["Docker-Content-Digest", "Content-Type", "Content-Length"] {
        let rule = Rule::on(Route::Manifest).method("HEAD").effect(Effect::RemoveHeader(header.into()));
        registry.clear_script();
        registry.script(rule);
        let remote = remote(&registry, "app", Access::Pull);
        let found = run(remote.resolve(&reference(&registry, "app:v1"))).unwrap();
        assert_eq!(found.digest.as_str(), image.manifest, "{header}");
        assert!(found.media_type.is_manifest() && found.size > 100);
    }
}

#[test]
fn what_a_tag_stands_for_now_costs_one_request() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[pattern(10)]);
    let remote = remote(&registry, "app", Access::Pull);
    let name = reference(&registry, "app:v1");
    let known = run(remote.resolve(&name)).unwrap();
    let refresh = |known: &Descriptor| {
        registry.clear_log();
        let (found, document) = run(remote.refresh(&name, known)).unwrap();
        assert_eq!(registry.requests().len(), 1, "{:?}", registry.lines());
        (found, document.is_some())
    };
    assert_eq!(refresh(&known), (known.clone(), false));
    // A registry that knows no conditions sends what it has.
    let (media_type, body) = registry.manifest("app", "v1").unwrap();
    let headers = vec![("Content-Type".to_owned(), media_type)];
    registry.script(Rule::on(Route::Manifest).effect(Effect::Answer { status: 200, headers, body }));
    assert_eq!(refresh(&known), (known.clone(), true));
    registry.clear_script();
    let newer = registry.put_image("app", "v1", &[pattern(11)]);
    let (found, was_read) = refresh(&known);
    assert_eq!((found.digest.as_str(), was_read), (newer.manifest.as_str(), true));
    // What a digest stands for cannot have changed.
    let by_digest = reference(&registry, &format!("app@{}", newer.manifest));
    registry.clear_log();
    let (same, document) = run(remote.refresh(&by_digest, &found)).unwrap();
    assert_eq!((&same, document.is_some()), (&found, false));
    assert_eq!(registry.lines(), [format!("HEAD /v2/app/manifests/{}", newer.manifest)]);
    // Somebody answers for another one.
    let other = Effect::SetHeader("Docker-Content-Digest".into(), known.digest.to_string());
    registry.script(Rule::on(Route::Manifest).effect(other).times(1));
    registry.clear_log();
    let (again, document) = run(remote.refresh(&name, &found)).unwrap();
    assert_eq!((again.digest, document.is_some(), registry.requests().len()), (found.digest, true, 2));
    registry.script(Rule::on(Route::Manifest).effect(Effect::error(404, "MANIFEST_UNKNOWN", "gone")));
    let error = run(remote.refresh(&name, &known)).unwrap_err();
    assert!(error.to_string().ends_with("app:v1 not found: manifest unknown: gone"), "{error}");
}

#[test]
fn a_slow_body_is_waited_for_and_a_silent_one_is_not() {
    let registry = ScriptedRegistry::start();
    let bytes = pattern(2000);
    let blob = blob(&registry, &bytes);
    // Long enough that nobody loses it on a machine that has much else to do.
    let patience = Duration::from_millis(1500);
    let options = ClientOptions { body_patience: patience, response_patience: patience, ..options() };
    let remote = remote_with(&registry, "app", Access::Pull, options);
    registry.script(Rule::on(Route::Blob).effect(Effect::Drip(200, Duration::from_millis(250))).times(1));
    assert_eq!(run(read(&remote, &blob, 0..2000)).unwrap(), bytes, "slow, but never silent for long");
    registry.script(Rule::on(Route::Blob).effect(Effect::Drip(1500, Duration::from_secs(6))).times(1));
    let error = run(read(&remote, &blob, 0..2000)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    registry.script(Rule::on(Route::Blob).effect(Effect::Delay(Duration::from_secs(6))).times(4));
    let error = run(read(&remote, &blob, 0..2000)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

#[test]
fn a_page_in_place_of_a_manifest_is_told_as_that() {
    let registry = ScriptedRegistry::start();
    let remote = remote(&registry, "app", Access::Pull);
    let headers = vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())];
    let page = Effect::Answer { status: 200, headers, body: b"<html>log in</html>".to_vec() };
    registry.script(Rule::on(Route::Manifest).method("GET").effect(page));
    let error = run(remote.fetch_document(&reference(&registry, "app:v1"))).unwrap_err();
    assert!(error.to_string().contains("app: the answer is a web page (text/html), "), "{error}");
    assert!(error.to_string().contains("not valid JSON"), "{error}");
}

#[test]
fn error_bodies_and_tag_lists_are_limited() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    let remote = remote(&registry, "app", Access::Pull);
    let huge = Effect::Answer { status: 400, headers: Vec::new(), body: vec![b'<'; 3 << 20] };
    registry.script(Rule::on(Route::Manifest).method("GET").effect(huge));
    let error = run(remote.fetch_document(&reference(&registry, "app:v1"))).unwrap_err();
    assert!(error.to_string().len() < 2000);
    registry.script(Rule::on(Route::Tags).effect(Effect::Endless).times(1));
    assert_eq!(run(remote.tags()).unwrap_err().kind(), Kind::LimitExceeded);
    let again = "</v2/app/tags/list?last=v1>; rel=\"next\"".to_owned();
    registry.script(Rule::on(Route::Tags).effect(Effect::SetHeader("Link".into(), again)));
    assert_eq!(run(remote.tags()).unwrap_err().kind(), Kind::Corrupt, "a list that never ends");
    registry.clear_script();
    // Behind a proxy a registry may not know under which scheme and port it is reached.
    let own = "<https://127.0.0.1:9/v2/app/tags/list?last=v1>; rel=next".to_owned();
    registry.script(Rule::on(Route::Tags).effect(Effect::SetHeader("Link".into(), own)).times(1));
    let asked = registry.count("GET", Route::Tags);
    assert!(run(remote.tags()).is_ok());
    assert_eq!(registry.count("GET", Route::Tags), asked + 2, "both pages, from here");
    registry.clear_script();
    let elsewhere = "<http://127.0.0.2/v2/app/tags/list>; rel=next".to_owned();
    registry.script(Rule::on(Route::Tags).effect(Effect::SetHeader("Link".into(), elsewhere)));
    assert_eq!(run(remote.tags()).unwrap_err().kind(), Kind::Denied);
}
