//! Any `WWW-Authenticate` line: no panic, no challenge without a scheme, and what is read can be written and read again.

#![no_main]

use dhow_registry::challenge::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    for challenge in parse(line) {
        assert!(!challenge.scheme.is_empty());
        let parameters: Vec<String> = challenge
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        let written = format!("{} {}", challenge.scheme, parameters.join(", "));
        assert_eq!(parse(&written), [challenge]);
    }
});
