//! A token that the pinned key has signed allows what its claims say and nothing else, whatever they are; names of certificates are
//! spelled as rules know them.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dhow_serve::access::{Action, Issuer, Keys, certificate_names};
use libfuzzer_sys::fuzz_target;

/// The secret key of RFC 8037, appendix A.1.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

static PAIR: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    let seed = URL_SAFE_NO_PAD.decode(SEED).expect("a seed");
    Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key")
});

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| {
    let x = URL_SAFE_NO_PAD.encode(PAIR.public_key().as_ref());
    let keys = format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}]}}");
    Issuer::new("issuer", "registry", Keys::parse(keys.as_bytes()).expect("keys"))
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(PAIR.sign(message.as_bytes())))
}

fuzz_target!(|input: (Option<&[u8]>, &[u8], &str)| {
    let (header, claims, repository) = input;
    let header = header.unwrap_or(b"{\"alg\":\"EdDSA\"}");
    if let Some(grants) = ISSUER.prove(&signed(header, claims), 1e9) {
        let said: serde_json::Value = serde_json::from_slice(claims).expect("claims are JSON");
        assert_eq!(said["iss"], "issuer");
        assert!(said["exp"].as_f64().is_some_and(|end| end + 60.0 > 1e9));
        for action in [Action::Pull, Action::Push, Action::Delete] {
            let entries = said["access"].as_array().map(Vec::as_slice).unwrap_or_default();
            let says = |entry: &&serde_json::Value| {
                let given = entry["actions"].as_array().map(Vec::as_slice).unwrap_or_default();
                entry["name"] == repository && given.iter().any(|given| given == "*" || given == action.name())
            };
            assert!(!grants.allows(action, repository) || entries.iter().any(|entry| says(&entry)));
        }
    }
    for name in certificate_names(claims) {
        assert!(["cn=", "dns=", "uri="].iter().any(|kind| name.starts_with(kind)), "{name}");
    }
});
