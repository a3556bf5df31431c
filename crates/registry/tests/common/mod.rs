//! What the tests of this folder share.

#![allow(dead_code, unreachable_pub, reason = "every test program uses a part of this")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dhow_base::Result;
use dhow_base::secret::Secret;
use dhow_registry::{Access, Client, ClientOptions, Credential, CredentialSource, Remote, RetryPolicy};
use dhow_spec::{Reference, Repository};
use dhow_testkit::registry::ScriptedRegistry;

/// One account on every registry, or none.
#[derive(Debug)]
pub struct Fixed(pub Option<Credential>);

impl CredentialSource for Fixed {
    fn get(&self, _: &str) -> Result<Option<Credential>> {
        Ok(self.0.clone())
    }
}

/// Runs a future on the runtime that the binary uses: one thread.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.expect("the test hangs") })
}

/// Options with pauses short enough for tests.
pub fn options() -> ClientOptions {
    let retry = RetryPolicy {
        attempts: 4,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        longest_retry_after: Duration::from_secs(2),
        ..RetryPolicy::default()
    };
    ClientOptions { retry, ..ClientOptions::default() }
}

/// Options with an account.
pub fn options_for(username: &str, password: &str) -> ClientOptions {
    let credential = Credential::password(username, Secret::new(password));
    ClientOptions { credentials: Arc::new(Fixed(Some(credential))), ..options() }
}

/// A client with these options.
pub fn client(options: ClientOptions) -> Client {
    Client::new(options).expect("a client")
}

/// The repository `name` of a scripted registry.
pub fn remote_with(registry: &ScriptedRegistry, name: &str, access: Access, options: ClientOptions) -> Remote {
    client(options).repository(&repository(registry, name), access).expect("a repository")
}

/// As [`remote_with`], with the options of tests.
pub fn remote(registry: &ScriptedRegistry, name: &str, access: Access) -> Remote {
    remote_with(registry, name, access, options())
}

/// `127.0.0.1:<port>/<name>`.
pub fn repository(registry: &ScriptedRegistry, name: &str) -> Repository {
    Repository::parse(&format!("{}/{name}", registry.authority())).expect("a repository name")
}

/// `127.0.0.1:<port>/<name>`, where the name has a tag or digest.
pub fn reference(registry: &ScriptedRegistry, name: &str) -> Reference {
    Reference::parse(&format!("{}/{name}", registry.authority())).expect("a reference")
}
