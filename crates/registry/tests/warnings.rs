//! `Warning` headers of a registry reach the log once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{reference, remote, run};
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, copy};
use dhow_registry::Access;
use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged as a warning while an image is pulled from a registry with this rule.
fn logged(registry: &ScriptedRegistry) -> Vec<String> {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        run(async {
            let remote = remote(registry, "app", Access::Pull);
            let root = remote.resolve(&reference(registry, "app:v1")).await.unwrap();
            copy(&remote, &MemoryPlace::new(), &root, &CopyOptions::new(&Silent)).await.unwrap();
        });
    });
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn each_warning_is_shown_once() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 5000], vec![2; 70]]);
    let header = Effect::SetHeader("Warning".into(), "299 - \"This registry closes.\", 299 - \"And: \tsoon\"".into());
    registry.script(Rule::on(Route::Any).effect(header));
    let name = registry.authority();
    assert_eq!(logged(&registry), [format!("WARN {name}: This registry closes."), format!("WARN {name}: And: soon")]);
}

#[test]
fn other_hosts_have_no_say() {
    let (registry, elsewhere) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    for each in [&registry, &elsewhere] {
        each.put_image("app", "v1", &[vec![1; 5000]]);
    }
    let header = Effect::SetHeader("Warning".into(), "299 - \"Buy this!\"".into());
    elsewhere.script(Rule::on(Route::Any).effect(header));
    registry.script(Rule::on(Route::Blob).effect(Effect::RedirectTo(307, elsewhere.url())));
    assert_eq!(logged(&registry), Vec::<String>::new());
    assert!(elsewhere.count("GET", Route::Blob) > 0);
}
