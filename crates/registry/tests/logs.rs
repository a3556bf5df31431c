//! No log, at any level, of any crate on the way, holds a secret.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use common::{client, options, options_for, reference, remote_with, run};
use dhow_base::progress::Silent;
use dhow_base::secret::Secret;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, copy, suite};
use dhow_registry::{Access as Rights, Credential};
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_log_holds_a_secret() {
    let captured = Captured::default();
    let writer = captured.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let (registry, elsewhere) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    registry.put_image("app", "v1", &[vec![1; 1000]]);
    let signed = format!("{}/bucket?X-Amz-Signature=topsecret", elsewhere.url());
    let redirect = Effect::Answer { status: 307, headers: vec![("Location".into(), signed)], body: Vec::new() };
    for access in [Access::basic("bob", "hunter2"), Access::bearer("bob", "hunter2")] {
        registry.set_access(access);
        registry.clear_script();
        let remote = remote_with(&registry, "app", Rights::Push, options_for("bob", "hunter2"));
        let sample = suite::sample("logs");
        run(async {
            let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
            copy(&sample.place, &remote, &sample.manifest, &CopyOptions::new(&Silent)).await.unwrap();
            registry.script(Rule::on(Route::Blob).method("GET").effect(redirect.clone()));
            copy(&remote, &MemoryPlace::new(), &root, &CopyOptions::new(&Silent)).await.unwrap_err();
        });
    }
    registry.set_access(Access::Bearer {
        user: "bob".into(),
        password: "hunter2".into(),
        refresh_token: Some("sesame".into()),
        anonymous_pull: false,
        realm: None,
    });
    let credential = Credential::password("bob", Secret::new("hunter2"));
    run(client(options()).login(&registry.authority(), &credential)).unwrap();
    let log = String::from_utf8_lossy(&captured.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(log.contains("/v2/app/manifests/v1"), "requests are logged");
    for secret in ["hunter2", "topsecret", "sesame", "Ym9iOmh1bnRlcjI=", "-secret"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
