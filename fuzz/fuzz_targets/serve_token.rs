//! No text is a token that the pinned key signed, whatever it says; keys, names of certificates and quotas are read or refused.
#![no_main]

use dhow_serve::Quota;
use dhow_serve::access::{Issuer, Keys, common_name};
use libfuzzer_sys::fuzz_target;

/// The key of RFC 8037, appendix A.2; nobody signs with it here.
const KEYS: &[u8] =
    br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|bytes: &[u8]| {
    if let Some(name) = common_name(bytes) {
        assert!(!name.is_empty() && !name.chars().any(char::is_control));
    }
    let Ok(keys) = Keys::parse(KEYS) else { unreachable!("the key is good") };
    let issuer = Issuer::new("issuer", "registry", keys);
    let _ = Keys::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(issuer.prove(text, 0.0).is_none());
    if let Ok(quota) = Quota::parse(text) {
        assert!(text.starts_with(&quota.namespace));
    }
});
