//! Credentials hold no colon in the user's name; accounts, rules and configurations are read or refused, and a pattern
//! without stars matches itself only.
#![no_main]

use std::path::Path;

use dhow_serve::Configuration;
use dhow_serve::access::{ImmutableTags, Rule, credentials, matches, parse_htpasswd};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, name) = input;
    if let Some((user, _)) = credentials(text) {
        assert!(!user.contains(':'));
    }
    if let Ok(accounts) = parse_htpasswd(text) {
        assert!(accounts.keys().all(|user| !user.is_empty() && !user.contains(':')));
    }
    let _ = Rule::parse(text);
    let _ = ImmutableTags::parse(text);
    let _ = Configuration::parse(text, Path::new("/etc"));
    if text.len() * name.len() < 1 << 16 {
        assert!(matches(text, name) == (text == name) || text.contains('*'));
    }
});
