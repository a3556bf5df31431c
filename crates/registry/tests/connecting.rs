//! Connections that break while they are made: by the host, by a proxy before it, or by nobody who is there.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{client, options, run};
use dhow_base::secret::Secret;
use dhow_base::{Kind, Result};
use dhow_content::Resolve;
use dhow_registry::{ClientOptions, Proxies, RetryPolicy};
use dhow_spec::{Descriptor, Reference};
use dhow_testkit::proxy::Proxy;
use dhow_testkit::registry::ScriptedRegistry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// RST: what came is never read.
    Reset,
    /// FIN in place of an answer.
    Close,
}

/// A door before a server, which slams in the face of the first who come, after they said something.
struct Door {
    address: SocketAddr,
    knocked: Arc<AtomicUsize>,
}

impl Door {
    fn before(server: SocketAddr, slams: usize, end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, knocked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&knocked);
        std::thread::spawn(move || {
            for mut visitor in listener.incoming().flatten() {
                if count.fetch_add(1, Ordering::SeqCst) >= slams {
                    lead(&visitor, &TcpStream::connect(server).unwrap());
                    continue;
                }
                // On Linux, whoever closes with bytes unread sends a reset.
                visitor.peek(&mut [0]).unwrap();
                if end == End::Close {
                    let _ = visitor.read(&mut [0; 16 << 10]);
                }
            }
        });
        Self { address, knocked }
    }

    fn knocked(&self) -> usize {
        self.knocked.load(Ordering::SeqCst)
    }
}

/// Passes on what either side says.
fn lead(client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    }
}

fn registry() -> ScriptedRegistry {
    let registry = ScriptedRegistry::start_tls();
    registry.put_image("app", "v1", &[vec![1; 100]]);
    registry
}

fn resolve(options: ClientOptions, name: &str) -> Result<Descriptor> {
    let name = Reference::parse(name).unwrap();
    run(async { client(options).source(&name)?.resolve(&name).await })
}

#[test]
fn a_handshake_that_is_broken_off_is_tried_again() {
    let registry = registry();
    for end in [End::Reset, End::Close] {
        let door = Door::before(registry.address(), 2, end);
        let options = ClientOptions { tls_verify: Some(true), ..options() };
        let found = resolve(options, &format!("{}/app:v1", door.address));
        assert!(found.is_ok(), "{end:?}: {found:?}");
    }
}

#[test]
fn whoever_always_breaks_off_is_given_up() {
    let registry = registry();
    for (end, why) in [(End::Reset, "connection reset by peer"), (End::Close, "EOF")] {
        let door = Door::before(registry.address(), usize::MAX, end);
        let options = ClientOptions { tls_verify: Some(true), ..options() };
        let attempts = options.retry.attempts as usize;
        let error = resolve(options, &format!("{}/app:v1", door.address)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().ends_with(why), "{error}");
        assert_eq!(door.knocked(), attempts, "{end:?}");
    }
}

#[test]
fn a_way_through_a_proxy_that_is_broken_off_is_tried_again() {
    let registry = registry();
    for (before_proxy, end) in [(true, End::Reset), (false, End::Close)] {
        let proxy = Proxy::start();
        let server = if before_proxy { proxy.authority().parse().unwrap() } else { registry.address() };
        let door = Door::before(server, 2, end);
        let behind = if before_proxy { registry.address() } else { door.address };
        proxy.route("registry.test:443", behind);
        let at = if before_proxy { door.address.to_string() } else { proxy.authority() };
        let proxies = Proxies::new(None, Some(&Secret::new(at)), "").unwrap();
        let options = ClientOptions { tls_verify: Some(false), proxies, ..options() };
        let found = resolve(options, "registry.test/app:v1");
        assert!(found.is_ok(), "before the proxy: {before_proxy}, {end:?}: {found:?}");
        assert_eq!(door.knocked(), 3);
    }
}

#[test]
fn where_nobody_is_nobody_is_waited_for() {
    // A port that is taken, so that nobody else gets it, and where nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = taken.local_addr().unwrap();
    let slow = RetryPolicy { first_pause: Duration::from_secs(3600), ..options().retry };
    let options = ClientOptions { retry: slow, tls_verify: Some(true), ..options() };
    // A second attempt would outlast the patience of `run`.
    assert_eq!(resolve(options, &format!("{nobody}/app:v1")).unwrap_err().kind(), Kind::Unavailable);
}
