use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: f64 = 1_800_000_000.0;

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A pair, and the set with its public half.
fn pair() -> (Ed25519KeyPair, Value) {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": encode(pair.public_key().as_ref()) });
    (pair, json!({ "keys": [jwk] }))
}

fn keys(set: &Value) -> Keys {
    Keys::parse(set.to_string().as_bytes()).expect("keys")
}

fn issuer(set: &Value) -> Issuer {
    Issuer::new("auth", "registry", keys(set))
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = encode(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn claims() -> Value {
    json!({
        "iss": "auth", "sub": "alice", "aud": "registry", "exp": NOW + 300.0, "nbf": NOW - 1.0, "iat": NOW, "jti": "x",
        "access": [
            { "type": "repository", "name": "team/app", "actions": ["pull", "push"] },
            { "type": "repository(plugin)", "name": "team/plugin", "actions": ["*"] },
            { "type": "other", "name": "team/secret", "actions": ["pull"] },
        ],
    })
}

#[test]
fn what_a_token_allows() {
    let (pair, set) = pair();
    let token =
        token(&json!({ "alg": "EdDSA", "typ": "JWT" }), &claims(), |message| pair.sign(message).as_ref().to_vec());
    let grants = issuer(&set).prove(&token, NOW).expect("a good token");
    assert_eq!(grants.subject.as_deref(), Some("alice"));
    for (action, repository, expected) in [
        (Action::Pull, "team/app", true),
        (Action::Push, "team/app", true),
        (Action::Delete, "team/app", false),
        (Action::Delete, "team/plugin", true),
        (Action::Pull, "team/secret", false),
        (Action::Pull, "team", false),
        (Action::Pull, "team/app/x", false),
    ] {
        assert_eq!(grants.allows(action, repository), expected, "{action:?} {repository}");
    }
    assert!(!grants.allows_catalogue());
}

/// What is changed in good claims, and how it is called.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));

#[test]
fn claims_that_do_not_fit_are_refused() {
    let (pair, set) = pair();
    let (issuer, sign) = (issuer(&set), |message: &[u8]| pair.sign(message).as_ref().to_vec());
    let is_good = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        issuer.prove(&token(&json!({ "alg": "EdDSA" }), &claims, sign), NOW).is_some()
    };
    assert!(is_good(&|_| ()));
    assert!(is_good(&|claims| claims["aud"] = json!(["other", "registry"])));
    assert!(is_good(&|claims| claims["exp"] = json!(NOW - 59.0)), "within the leeway");
    assert!(is_good(&|claims| claims["nbf"] = json!(NOW + 59.0)), "within the leeway");
    assert!(is_good(&|claims| claims["access"] = Value::Null));
    let changes: [Change<'_>; 11] = [
        ("expired", &|claims| claims["exp"] = json!(NOW - 61.0)),
        ("no end", &|claims| drop(claims.as_object_mut().expect("claims").remove("exp"))),
        ("an end that is a text", &|claims| claims["exp"] = json!("2100")),
        ("not yet", &|claims| claims["nbf"] = json!(NOW + 61.0)),
        ("another issuer", &|claims| claims["iss"] = json!("auth2")),
        ("no issuer", &|claims| drop(claims.as_object_mut().expect("claims").remove("iss"))),
        ("another audience", &|claims| claims["aud"] = json!(["registry2"])),
        ("no audience", &|claims| drop(claims.as_object_mut().expect("claims").remove("aud"))),
        ("audiences that are none", &|claims| claims["aud"] = json!({ "registry": true })),
        ("access that is none", &|claims| claims["access"] = json!("repository:team/app:pull")),
        ("too long", &|claims| claims["filler"] = json!("x".repeat(TOKEN_BYTES_MAX))),
    ];
    for (named, change) in changes {
        assert!(!is_good(change), "{named}");
    }
}

#[test]
fn only_pinned_keys_count_and_each_for_its_own_algorithm() {
    let (pair, set) = pair();
    let issuer = issuer(&set);
    let good = |header: Value| {
        let token = token(&header, &claims(), |message| pair.sign(message).as_ref().to_vec());
        issuer.prove(&token, NOW).is_some()
    };
    assert!(good(json!({ "alg": "EdDSA", "kid": "one" })));
    assert!(!good(json!({ "alg": "EdDSA", "kid": "two" })));
    for algorithm in ["none", "None", "", "HS256", "RS256", "ES256", "eddsa"] {
        assert!(!good(json!({ "alg": algorithm })), "{algorithm}");
    }
    assert!(!good(json!({ "alg": "EdDSA", "crit": ["exp"] })), "what must be understood and is not");
    assert!(!good(json!({ "typ": "JWT" })), "no algorithm");

    // CVE-2025-24976: a key that the token brings along.
    let (stranger, strange) = self::pair();
    let signed = |header: Value| token(&header, &claims(), |message| stranger.sign(message).as_ref().to_vec());
    let brought = signed(json!({ "alg": "EdDSA", "jwk": strange["keys"][0] }));
    assert!(issuer.prove(&brought, NOW).is_none());

    // Unsigned.
    let bare = token(&json!({ "alg": "none" }), &claims(), |_| Vec::new());
    assert!(issuer.prove(&bare, NOW).is_none());
    // The public key taken for a shared secret.
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, pair.public_key().as_ref());
    let confused =
        token(&json!({ "alg": "HS256" }), &claims(), |message| aws_lc_rs::hmac::sign(&hmac, message).as_ref().to_vec());
    assert!(issuer.prove(&confused, NOW).is_none());
}

/// Examples of RFC 7515 (appendices A.2 and A.3) and RFC 8037 (appendix A.4).
#[test]
fn signatures_of_the_rfcs() {
    let rsa = json!({ "keys": [{ "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }] });
    let ec = json!({ "keys": [{ "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }] });
    let ed =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let examples = [
        (
            rsa,
            "RS256",
            format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            ec,
            "ES256",
            format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            ed,
            "EdDSA",
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (set, algorithm, message, signature) in examples {
        let (keys, signature) = (keys(&set), URL_SAFE_NO_PAD.decode(signature).expect("base64"));
        assert!(keys.verify(algorithm, None, message.as_bytes(), &signature), "{algorithm}");
        assert!(!keys.verify(algorithm, None, format!("{message}x").as_bytes(), &signature), "{algorithm}");
    }
}

#[test]
fn keys_in_pem_and_what_is_none() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key");
    let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
        aws_lc_rs::encoding::AsDer::as_der(pair.public_key()).expect("a key");
    let pem = |label: &str, der: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let sign = |message: &[u8]| pair.sign(&random, message).expect("a signature").as_ref().to_vec();
    let token = token(&json!({ "alg": "ES256", "kid": "any" }), &claims(), sign);
    let keys = Keys::parse(pem("PUBLIC KEY", der.as_ref()).as_bytes()).expect("keys");
    assert!(Issuer::new("auth", "registry", keys).prove(&token, NOW).is_some());

    // A certificate stands for its key.
    let certificate = include_bytes!("../../tests/registry/tls/server.pem");
    assert!(Keys::parse(certificate).is_ok());

    for (text, problem) in [
        (String::new(), "there is no public key"),
        ("hunter2".to_owned(), "there is no public key"),
        (pem("PRIVATE KEY", document.as_ref()), "it holds a private key"),
        (pem("PUBLIC KEY", b"nonsense"), "a key is neither"),
        ("{}".to_owned(), "it is no JSON Web Key Set"),
        ("{\"keys\":[]}".to_owned(), "there is no public key"),
        (json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }).to_string(), "key number 1 is a secret one"),
        (json!({ "keys": [{ "kty": "RSA", "n": "AAAA" }] }).to_string(), "key number 1 cannot be read"),
        (json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }] }).to_string(), "key number 1 cannot"),
        (json!({ "keys": [{ "kty": "new" }] }).to_string(), "there is no public key"),
    ] {
        let error = Keys::parse(text.as_bytes()).expect_err(&text);
        assert!(error.starts_with(problem), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_no_token(text in "[A-Za-z0-9_-]{0,20}(\\.[A-Za-z0-9_-]{0,20}){0,4}") {
        let (_, set) = pair();
        prop_assert_eq!(issuer(&set).prove(&text, NOW), None);
        let _ = Keys::parse(text.as_bytes());
    }
}
