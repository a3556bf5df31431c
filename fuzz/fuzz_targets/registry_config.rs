//! Any `config.json` and any registry name: no panic.

#![no_main]

use std::path::Path;

use dhow_registry::DockerConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (host, bytes) = input;
    if let Ok(config) = DockerConfig::parse(Path::new("config.json"), bytes) {
        let _ = config.get(host);
        let _ = config.helper(host);
    }
});
