//! An image config that parses is read back the same after it is written.
#![no_main]

use dhow_spec::config::{ConfigError, ImageConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = ImageConfig::parse(bytes) else { return };
    let _ = (config.platform().normalized(), config.created_at());
    let text = serde_json::to_vec(&config).expect("configs are JSON");
    match ImageConfig::parse(&text) {
        Ok(again) => assert_eq!(again, config),
        // Escapes in strings may make the rewritten text longer than the limit.
        Err(ConfigError::TooLarge(_)) => {}
        Err(error) => panic!("cannot read a config that was written here: {error}"),
    }
});
