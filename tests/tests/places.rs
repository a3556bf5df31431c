//! The contract that every place keeps, over registries that are no test's own: `dhow serve` and Debian's
//! docker-registry.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use dhow_content::suite;
use dhow_registry::{Access, Client, ClientOptions};
use dhow_spec::Reference;
use dhow_testkit::peers::{self, Registry};
use dhow_tests::interop::{Bench, Served};

/// Runs the suite on a repository that nothing is in yet.
fn check(name: &str) {
    let reference = Reference::parse(name).unwrap();
    let client = Client::new(ClientOptions::default()).unwrap();
    let remote = client.repository(reference.repository(), Access::Push).expect("a repository");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(suite::check(&remote, &remote));
}

#[test]
fn a_repository_of_dhow_serve_keeps_the_contract() {
    let bench = Bench::new();
    let served = Served::start(&bench.dhow("store"), &bench.path("served"));
    check(&served.name("suite/place:1"));
}

#[test]
fn a_repository_of_docker_registry_keeps_the_contract() {
    let bench = Bench::new();
    let Some(registry) = peers::available(Registry::start(&bench.path("registry"))) else { return };
    check(&registry.name("suite/place:1"));
}
