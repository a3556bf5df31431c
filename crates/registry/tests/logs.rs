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
use dhow_registry::{Access as Rights, ClientOptions, Credential, Keychain, Places, Proxies};
use dhow_spec::Reference;
use dhow_testkit::helper;
use dhow_testkit::proxy::Proxy;
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

/// Credentials out of files and helpers, of helpers that fail too.
fn with_helpers(registry: &ScriptedRegistry) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let fakes = helper::Helpers::install(&path("bin"), &["good", "echo", "halfway", "garbage"]).unwrap();
    let search_path = std::env::join_paths([fakes.folder(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let places = Places { auth_file: Some(path("auth.json")), search_path, ..Places::default() };
    registry.set_access(Access::basic("bob", "hunter2"));
    registry.clear_script();
    for name in ["good", "echo", "halfway", "garbage"] {
        #[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
        std::fs::write(path("auth.json"), format!(r#"{{"credsStore":"{name}"}}"#)).unwrap();
        let mut keychain = Keychain::open(&places).unwrap();
        let credential = Credential::password("bob", Secret::new("hunter2"));
        let kept = keychain.store(&registry.authority(), &credential);
        let credentials = Arc::new(keychain);
        let remote = remote_with(registry, "app", Rights::Pull, ClientOptions { credentials, ..options() });
        let resolved = run(remote.resolve(&reference(registry, "app:v1")));
        assert_eq!((kept.is_ok(), resolved.is_ok()), (["good", "garbage"].contains(&name), name == "good"));
        for error in kept.err().into_iter().chain(resolved.err()) {
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

/// A proxy that wants a password, and refuses.
fn through_a_proxy() {
    let proxy = Proxy::start();
    let address = Secret::new(format!("http://bob:hunter2@{}", proxy.authority()));
    let proxies = Proxies::new(Some(&address), Some(&address), "").unwrap();
    let client = client(ClientOptions { proxies, ..options() });
    let reference = Reference::parse("r.invalid/app:v1").unwrap();
    let error = run(async { client.source(&reference)?.resolve(&reference).await }).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(proxy.asked()[0].authorization.is_some());
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
    with_helpers(&registry);
    through_a_proxy();
    let log = String::from_utf8_lossy(&captured.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(log.contains("/v2/app/manifests/v1"), "requests are logged");
    assert!(log.contains("docker-credential-good"), "helpers are logged");
    for secret in ["hunter2", "topsecret", "sesame", "Ym9iOmh1bnRlcjI=", "-secret"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
