#![allow(clippy::disallowed_methods, reason = "tests write scratch files")]

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, DockerConfig) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    let config = DockerConfig::load(&path).unwrap();
    (directory, config)
}

fn bob() -> Credential {
    Credential::password("bob", Secret::new("hunter2"))
}

#[test]
fn a_credential_is_kept_under_dockers_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/config.json");
    let mut config = DockerConfig::load(&path).unwrap();
    for name in ["docker.io", "index.docker.io", HUB_KEY, "https://index.docker.io/v1"] {
        config.store(name, &bob()).unwrap();
    }
    config.store("https://localhost:5000/v2/", &bob()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"Ym9iOmh1bnRlcjI=\"\n\t\t},\n\t\t\
                    \"localhost:5000\": {\n\t\t\t\"auth\": \"Ym9iOmh1bnRlcjI=\"\n\t\t}\n\t}\n}";
    assert_eq!(text, expected);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = DockerConfig::load(&path).unwrap();
    for name in ["docker.io", "registry-1.docker.io", "localhost:5000"] {
        assert_eq!(again.get(name).unwrap(), Some(bob()), "{name}");
    }
    assert_eq!(again.get("localhost").unwrap(), None, "another port is another registry");
}

#[test]
fn keys_and_domains() {
    for (name, key_of, domain_of) in [
        ("docker.io", HUB_KEY, "docker.io"),
        (HUB_KEY, HUB_KEY, "docker.io"),
        ("registry-1.docker.io", HUB_KEY, "docker.io"),
        ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000", "127.0.0.1:5000"),
        ("ghcr.io", "ghcr.io", "ghcr.io"),
    ] {
        assert_eq!((key(name).as_str(), domain(name).as_str()), (key_of, domain_of), "{name}");
    }
}

#[test]
fn what_is_not_known_is_kept_in_its_order() {
    let (_directory, mut config) =
        file(r#"{"psFormat":"x","zebra":{"b":1,"a":12345678901234567890},"auths":{"h":{"email":"e"}},"proxies":{}}"#);
    config.store("r.example", &bob()).unwrap();
    let text = std::fs::read_to_string(config.path()).unwrap();
    let places: Vec<usize> =
        ["psFormat", "zebra", "\"b\"", "\"a\": 12345678901234567890", "email", "r.example", "proxies"]
            .iter()
            .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is lost: {text}")))
            .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn links_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real.json"), directory.path().join("config.json"));
    std::fs::write(&real, "{}").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    DockerConfig::load(&link).unwrap().store("r.example", &bob()).unwrap();
    assert!(link.is_symlink());
    assert!(std::fs::read_to_string(&real).unwrap().contains("r.example"));
}

#[test]
fn older_spellings_are_found_and_erased() {
    for stored in ["r.example", "http://r.example", "https://r.example", "https://r.example/v1/"] {
        let (_directory, mut config) =
            file(&format!(r#"{{"auths":{{"{stored}":{{"auth":"Ym9iOmh1bnRlcjI="}},"other":{{}}}}}}"#));
        assert_eq!(config.get("r.example").unwrap(), Some(bob()), "{stored}");
        let erased = config.erase(if stored.ends_with('/') { stored } else { "r.example" }).unwrap();
        assert!(erased, "{stored}");
        assert!(!config.erase("r.example").unwrap());
        let text = std::fs::read_to_string(config.path()).unwrap();
        assert!(!text.contains("r.example") && text.contains("other"), "{text}");
    }
}

#[test]
fn tokens_and_plain_fields_are_read() {
    let (_directory, config) = file(
        r#"{"auths":{
            "a":{"auth":"MDAwOgAA","identitytoken":"refresh"},
            "b":{"username":"bob","password":"hunter2"},
            "c":{"registrytoken":"bearer"},
            "d":{}}}"#,
    );
    let a = config.get("a").unwrap().unwrap();
    assert_eq!((a.username.as_str(), a.password.is_empty()), ("000", true), "a NUL is no password");
    assert_eq!(a.identity_token, Some(Secret::new("refresh")));
    assert_eq!(config.get("b").unwrap(), Some(bob()));
    assert_eq!(config.get("c").unwrap().unwrap().registry_token, Some(Secret::new("bearer")));
    assert_eq!(config.get("d").unwrap(), None);
}

#[test]
fn broken_entries_and_files_are_named_without_their_secrets() {
    for auth in ["%%%", "Ym9i", "gICA"] {
        let (_directory, config) = file(&format!(r#"{{"auths":{{"r.example":{{"auth":"{auth}"}}}}}}"#));
        let error = config.get("r.example").unwrap_err();
        assert!(error.to_string().starts_with("Invalid auth configuration file"), "{error}");
        assert!(!error.to_string().contains(auth));
        assert_eq!(config.get("other.example").unwrap(), None, "other registries go on");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    for text in [r#"{"auths": {"r": {"auth": "hunter2"#, "[]", "hunter2"] {
        std::fs::write(&path, text).unwrap();
        let error = DockerConfig::load(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("config.json") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    std::fs::write(&path, "\n").unwrap();
    assert_eq!(DockerConfig::load(&path).unwrap().get("r").unwrap(), None);
}

#[test]
fn helpers_are_never_passed_over() {
    let (_directory, mut config) =
        file(r#"{"credHelpers":{"r.example":"pass"},"credsStore":"desktop","auths":{"logged.in":{}}}"#);
    for host in ["r.example", "logged.in"] {
        let error = config.get(host).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        assert!(error.to_string().contains("docker-credential-"), "{error}");
        config.erase(host).unwrap_err();
    }
    assert_eq!(config.get("never.used").unwrap(), None, "without a login the helper has nothing");
    let error = config.store("never.used", &bob()).unwrap_err();
    assert!(error.to_string().contains("docker-credential-desktop"), "{error}");
    assert!(!config.erase("never.used").unwrap());
}

#[test]
fn no_debug_text_has_a_secret() {
    let (_directory, config) = file(r#"{"auths":{"r.example":{"auth":"Ym9iOmh1bnRlcjI=","identitytoken":"sesame"}}}"#);
    let text = format!("{config:?} {:?}", config.get("r.example"));
    assert!(!text.contains("hunter2") && !text.contains("sesame") && !text.contains("Ym9i"), "{text}");
}

proptest! {
    #[test]
    fn any_file_is_read_without_panic(text in "[\\PC]{0,200}", host in "[\\PC]{0,40}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        if let Ok(config) = DockerConfig::load(&path) {
            let _ = config.get(&host);
        }
    }

    #[test]
    fn passwords_survive(user in "[a-z$+]{1,20}", password in "[\\PC:]{1,40}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let credential = Credential::password(user, Secret::new(password));
        DockerConfig::load(&path).unwrap().store("r.example", &credential).unwrap();
        prop_assert_eq!(DockerConfig::load(&path).unwrap().get("r.example").unwrap(), Some(credential));
    }
}
