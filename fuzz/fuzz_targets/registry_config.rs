//! Any file of credentials, any registry or namespace, any pattern: no panic, and never the entry of another host.

#![no_main]

use std::path::Path;

use dhow_registry::credentials::keys;
use dhow_registry::{AuthFile, Dialect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, bool, &[u8])| {
    let (account, is_podmans, bytes) = input;
    let dialect = if is_podmans { Dialect::Containers } else { Dialect::Docker };
    let key = dialect.key(account);
    assert_eq!(dialect.key(&key), key, "a key is its own key");
    assert!(dialect == Dialect::Containers || keys::domain(&key) == keys::domain(account));
    if let Ok(file) = AuthFile::parse(Path::new("auth.json"), dialect, bytes) {
        let _ = file.get(account);
        let _ = file.helper(account);
        let _ = file.default_helper();
    }
});
