//! Any files that configure registries: no panic, and a name that is moved keeps its tag and digest.

#![no_main]

use std::path::Path;

use dhow_registry::Proxies;
use dhow_registry::config::containers::{Containers, File};
use dhow_registry::config::daemon::Daemon;
use dhow_registry::config::hosts::Hosts;
use dhow_registry::config::network::Network;
use dhow_registry::config::short_names;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &str)| {
    let (first, second, text) = input;
    let file = |bytes: &[u8]| File { path: "registries.conf".into(), bytes: bytes.to_vec(), is_packaged: false };
    let _ = Containers::parse(&[file(first), file(second)]);
    let _ = Hosts::parse(first, Path::new("/etc/containerd/certs.d/registry.example"));
    let _ = Daemon::parse(first);
    if let Ok(aliases) = short_names::parse_recorded(first, Path::new("short-name-aliases.conf")) {
        assert!(aliases.keys().all(|name| short_names::is_short(name)));
    }
    if let Some(network) = Network::parse(text) {
        let (address, _) = text.split_once('/').expect("a network has a slash");
        assert!(network.contains(address.parse().expect("a network begins with an address")));
    }
    assert!(Proxies::new(None, None, text).is_ok());
});
