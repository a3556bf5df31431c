//! How many requests a registry gets at once, and how fast bytes move.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{client, options, reference, remote_with, repository, run};
use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, copy};
use dhow_registry::{Access, ClientOptions, Remote, RetryPolicy, Traffic};
use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry};

fn layers(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| (0..bytes).map(|index| (index * 31 / 7 + number) as u8).collect()).collect()
}

async fn pull(registry: &ScriptedRegistry, remote: &Remote) -> dhow_base::Result<MemoryPlace> {
    let place = MemoryPlace::new();
    let root = remote.resolve(&reference(registry, "app:v1")).await?;
    copy(remote, &place, &root, &CopyOptions::new(&Silent)).await?;
    Ok(place)
}

/// The most requests that were under way at once while `work` ran.
fn most_at_once<T>(registry: &ScriptedRegistry, work: impl FnOnce() -> T) -> (usize, T) {
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                most.fetch_max(registry.under_way(), Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        (most.load(Ordering::SeqCst), result)
    })
}

#[test]
fn many_small_layers_are_asked_for_at_once() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &layers(40, 1000));
    registry.script(Rule::on(Route::Blob).effect(Effect::Delay(Duration::from_secs(1))));
    let remote = remote_with(&registry, "app", Access::Pull, options());
    let (most, place) = most_at_once(&registry, || run(pull(&registry, &remote)));
    place.unwrap();
    assert!((20..=64).contains(&most), "{most} at once");
}

#[test]
fn large_layers_are_not() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &layers(12, 1_100_000));
    registry.script(Rule::on(Route::Blob).effect(Effect::Delay(Duration::from_millis(50))));
    let remote = remote_with(&registry, "app", Access::Pull, options());
    let (most, place) = most_at_once(&registry, || run(pull(&registry, &remote)));
    place.unwrap();
    // Whose answer has come may be counted for a moment yet.
    assert!(most <= 9, "six layers and the config, not {most}");
}

#[test]
fn a_registry_with_too_much_to_do_gets_half() {
    for status in [429, 503] {
        let registry = ScriptedRegistry::start();
        registry.put_image("app", "v1", &layers(60, 1000));
        // The second refusal comes to requests of the same time as the first, and says nothing new.
        registry.script(Rule::on(Route::Blob).effect(Effect::retry_after(status, 2)).times(2));
        registry.script(Rule::on(Route::Blob).effect(Effect::Delay(Duration::from_millis(50))));
        let remote = remote_with(&registry, "app", Access::Pull, options());
        run(async {
            let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
            let start = Instant::now();
            let (most, copied) = {
                let place = MemoryPlace::new();
                let done = AtomicBool::new(false);
                let most = AtomicUsize::new(0);
                // What began before the refusal may run to its end; it has by then.
                let watch = async {
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    while !done.load(Ordering::SeqCst) {
                        most.fetch_max(registry.under_way(), Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let work = async {
                    let copied = copy(&remote, &place, &root, &CopyOptions::new(&Silent)).await;
                    done.store(true, Ordering::SeqCst);
                    copied
                };
                let (copied, ()) = tokio::join!(work, watch);
                (most.into_inner(), copied)
            };
            assert_eq!(copied.unwrap().blobs_moved, 61);
            assert!(start.elapsed() >= Duration::from_secs(2), "the registry's wish is heeded by all");
            // Twelve, and half of those who had ended well before the refusal was heard; 24 and more without it.
            assert!((1..=20).contains(&most), "{status}: {most} at once");
        });
    }
}

#[test]
fn nobody_waits_in_a_circle_for_one_place() {
    // With a window of one, whatever holds a permit while it waits for another would wait for ever.
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &layers(8, 30_000));
    let traffic = Traffic::default();
    let shared = client(ClientOptions { traffic, ..options() });
    let source = shared.repository(&repository(&registry, "app"), Access::Pull).unwrap();
    let target = shared.repository(&repository(&registry, "other"), Access::Push).unwrap();
    registry.script(Rule::on(Route::Blob).effect(Effect::status(503)).times(12));
    registry.script(Rule::on(Route::Upload).effect(Effect::status(503)).times(6));
    run(async {
        let root = source.resolve(&reference(&registry, "app:v1")).await.unwrap();
        copy(&source, &target, &root, &CopyOptions::new(&Silent)).await.unwrap();
    });
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn clients_share_one_limit() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &layers(2, 100_000));
    let traffic = Traffic::limited_to(NonZeroU64::new(200_000).unwrap());
    let remotes: Vec<Remote> = (0..2)
        .map(|_| remote_with(&registry, "app", Access::Pull, ClientOptions { traffic: traffic.clone(), ..options() }))
        .collect();
    let start = Instant::now();
    run(async {
        let (one, two) = tokio::join!(pull(&registry, &remotes[0]), pull(&registry, &remotes[1]));
        one.unwrap();
        two.unwrap();
    });
    // 400,000 bytes, less those of an eighth of a second.
    assert!(start.elapsed() >= Duration::from_millis(1800), "{:?}", start.elapsed());
}

#[test]
fn a_host_that_is_not_there_is_waited_for_when_asked() {
    let patient = RetryPolicy::default().as_asked(2, Some(Duration::from_millis(100)));
    for (retry, least) in [(RetryPolicy::default(), 0), (patient, 200)] {
        let registry = ScriptedRegistry::start();
        let options = ClientOptions { retry, ..options() };
        let nowhere = dhow_spec::Repository::parse("127.0.0.1:1/app").unwrap();
        let remote = client(options).repository(&nowhere, Access::Pull).unwrap();
        let start = Instant::now();
        let error = run(remote.fetch_document(&reference(&registry, "app:v1"))).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        let elapsed = start.elapsed().as_millis();
        assert!(elapsed >= least && (least > 0 || elapsed < 2000), "{elapsed} ms");
    }
}
