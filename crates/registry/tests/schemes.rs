//! Which scheme a registry is spoken to in.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::net::TcpListener;

use common::{options, reference, remote, remote_with, run};
use dhow_base::Kind;
use dhow_content::Resolve;
use dhow_registry::{Access, ClientOptions};
use dhow_spec::{Reference, Repository};
use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry};

#[test]
fn a_registry_with_tls_on_this_machine_is_found() {
    let registry = ScriptedRegistry::start_tls();
    let image = registry.put_image("app", "v1", &[]);
    let remote = remote(&registry, "app", Access::Pull);
    run(async {
        for _ in 0..2 {
            let found = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
            assert_eq!(found.digest.as_str(), image.manifest);
        }
    });
    assert_eq!(registry.requests().len(), 2, "what was learnt is kept");
}

#[test]
fn a_flaky_registry_is_not_taken_for_one_with_tls() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.script(Rule::on(Route::Any).effect(Effect::Close).times(2));
    run(remote(&registry, "app", Access::Pull).resolve(&reference(&registry, "app:v1"))).unwrap();
    let bad = Effect::error(400, "TAG_INVALID", "bad");
    registry.script(Rule::on(Route::Any).effect(bad));
    let error = run(remote(&registry, "app", Access::Pull).resolve(&reference(&registry, "app:v1"))).unwrap_err();
    assert_eq!(error.to_string(), "tag invalid: bad");
}

#[test]
fn requests_that_start_together_make_contact_once() {
    let registry = ScriptedRegistry::start_tls();
    registry.put_image("app", "v1", &[]);
    let remote = remote(&registry, "app", Access::Pull);
    run(async {
        let reference = reference(&registry, "app:v1");
        let all = futures::future::join_all((0..8).map(|_| remote.resolve(&reference))).await;
        assert!(all.iter().all(Result::is_ok));
    });
    assert_eq!(registry.requests().len(), 8);
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for tls_verify in [None, Some(false)] {
        let client = common::client(ClientOptions { tls_verify, ..options() });
        let name = format!("127.0.0.1:{port}/app");
        let remote = client.repository(&Repository::parse(&name).unwrap(), Access::Pull).unwrap();
        let error = run(remote.resolve(&Reference::parse(&format!("{name}:v1")).unwrap())).unwrap_err();
        let dial = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(error.to_string(), format!("Get \"http://127.0.0.1:{port}/v2/\": {dial}"));
        assert_eq!(error.kind(), Kind::Unavailable);
    }
}

#[test]
fn a_plain_registry_needs_no_switch_here() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    for tls_verify in [None, Some(false)] {
        let options = ClientOptions { tls_verify, ..options() };
        let remote = remote_with(&registry, "app", Access::Pull, options);
        run(remote.resolve(&reference(&registry, "app:v1"))).unwrap();
    }
}

#[test]
fn who_asks_for_certificates_gets_no_plain_registry() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    let options = ClientOptions { tls_verify: Some(true), ..options() };
    let remote = remote_with(&registry, "app", Access::Pull, options);
    let error = run(remote.resolve(&reference(&registry, "app:v1"))).unwrap_err().to_string();
    let expected =
        format!("Get \"https://{}/v2/\": http: server gave HTTP response to HTTPS client", registry.authority());
    assert_eq!(error, expected);
    assert!(registry.requests().is_empty());
}
