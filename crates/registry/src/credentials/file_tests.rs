#![allow(clippy::disallowed_methods, reason = "tests write scratch files")]

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::super::keys::HUB_KEY;
use super::*;

fn file(text: &str) -> (tempfile::TempDir, AuthFile) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    let config = AuthFile::load(&path, Dialect::Docker).unwrap();
    (directory, config)
}

fn bob() -> Credential {
    Credential::password("bob", Secret::new("hunter2"))
}

/// As a login does.
fn store(config: &mut AuthFile, server: &str, credential: &Credential) {
    config.update(|file| file.put(&Dialect::Docker.key(server), Some(credential))).unwrap();
}

#[test]
fn a_credential_is_kept_under_dockers_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/config.json");
    let mut config = AuthFile::load(&path, Dialect::Docker).unwrap();
    for name in ["docker.io", "index.docker.io", HUB_KEY, "https://index.docker.io/v1"] {
        store(&mut config, name, &bob());
    }
    store(&mut config, "https://localhost:5000/v2/", &bob());
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"Ym9iOmh1bnRlcjI=\"\n\t\t},\n\t\t\
                    \"localhost:5000\": {\n\t\t\t\"auth\": \"Ym9iOmh1bnRlcjI=\"\n\t\t}\n\t}\n}";
    assert_eq!(text, expected);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = AuthFile::load(&path, Dialect::Docker).unwrap();
    for name in ["docker.io", "localhost:5000"] {
        assert_eq!(again.get(name).unwrap(), Some(bob()), "{name}");
    }
    assert_eq!(again.get("localhost").unwrap(), None, "another port is another registry");
}

#[test]
fn what_is_not_known_is_kept_in_its_order() {
    let (_directory, mut config) =
        file(r#"{"psFormat":"x","zebra":{"b":1,"a":12345678901234567890},"auths":{"h":{"email":"e"}},"proxies":{}}"#);
    store(&mut config, "r.example", &bob());
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
    store(&mut AuthFile::load(&link, Dialect::Docker).unwrap(), "r.example", &bob());
    assert!(link.is_symlink());
    assert!(std::fs::read_to_string(&real).unwrap().contains("r.example"));
}

#[test]
fn older_spellings_are_found_and_erased() {
    for stored in ["r.example", "http://r.example", "https://r.example", "https://r.example/v1/", "r.example/v2/"] {
        let (_directory, mut config) =
            file(&format!(r#"{{"auths":{{"{stored}":{{"auth":"Ym9iOmh1bnRlcjI="}},"other":{{}}}}}}"#));
        assert_eq!(config.get("r.example").unwrap(), Some(bob()), "{stored}");
        config.update(|file| file.remove("r.example")).unwrap();
        assert!(!config.remove("r.example").unwrap(), "{stored}");
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
fn a_file_without_credentials_is_not_written_by_who_removes_all() {
    for text in [r#"{"credHelpers":{"r.example":"x"}}"#, r#"{"auths":{}}"#, "{}"] {
        let (_directory, mut config) = file(text);
        config.update(AuthFile::remove_all).unwrap();
        assert_eq!(std::fs::read_to_string(config.path()).unwrap(), text);
    }
    let (_directory, mut config) = file(r#"{"auths":{"r.example":{"auth":"Ym9iOmh1bnRlcjI="}}}"#);
    assert!(config.remove_all().unwrap() && !config.remove_all().unwrap());
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
        let error = AuthFile::load(&path, Dialect::Docker).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("config.json") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    std::fs::write(&path, "\n").unwrap();
    assert_eq!(AuthFile::load(&path, Dialect::Docker).unwrap().get("r").unwrap(), None);
}

#[test]
fn no_debug_text_has_a_secret() {
    let (_directory, config) = file(r#"{"auths":{"r.example":{"auth":"Ym9iOmh1bnRlcjI=","identitytoken":"sesame"}}}"#);
    let text = format!("{config:?} {:?}", config.get("r.example"));
    assert!(!text.contains("hunter2") && !text.contains("sesame") && !text.contains("Ym9i"), "{text}");
}

#[test]
fn logins_at_the_same_time_do_not_undo_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker/config.json");
    let hosts: Vec<String> = (0..16).map(|number| format!("r{number}.example")).collect();
    std::thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| store(&mut AuthFile::load(&path, Dialect::Docker).unwrap(), host, &bob()));
        }
    });
    let config = AuthFile::load(&path, Dialect::Docker).unwrap();
    for host in hosts {
        assert_eq!(config.get(&host).unwrap(), Some(bob()), "{host}");
    }
    let left = std::fs::read_dir(directory.path().join("docker")).unwrap().count();
    assert_eq!(left, 1, "nothing but the file is left");
}

proptest! {
    #[test]
    fn any_file_is_read_without_panic(text in "[\\PC]{0,200}", host in "[\\PC]{0,40}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        if let Ok(config) = AuthFile::load(&path, Dialect::Docker) {
            let _ = (config.get(&host), config.helper(&host), config.has(&host));
        }
    }

    #[test]
    fn passwords_survive(user in "[a-z$+]{1,20}", password in "[\\PC:]{1,40}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let credential = Credential::password(user, Secret::new(password));
        store(&mut AuthFile::load(&path, Dialect::Docker).unwrap(), "r.example", &credential);
        prop_assert_eq!(AuthFile::load(&path, Dialect::Docker).unwrap().get("r.example").unwrap(), Some(credential));
    }
}

/// Docker's own example, and what is none of a container's business.
#[test]
fn what_containers_are_told_of_proxies() {
    let shown = |text: &str| {
        let (_directory, config) = file(text);
        config.container_proxies().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let text = r#"{"proxies":{
        "default":{"httpProxy":"http://p:1","httpsProxy":"https://p:2","noProxy":"*.test,127.0.0.0/8","other":"x"},
        "tcp://docker.example:2376":{"httpProxy":"http://elsewhere"}
    }}"#;
    assert_eq!(
        shown(text),
        "HTTP_PROXY=http://p:1 http_proxy=http://p:1 HTTPS_PROXY=https://p:2 https_proxy=https://p:2 \
         NO_PROXY=*.test,127.0.0.0/8 no_proxy=*.test,127.0.0.0/8"
    );
    let rest = r#"{"proxies":{"default":{"httpProxy":"","ftpProxy":"f","allProxy":"socks5://a","noProxy":7}}}"#;
    assert_eq!(shown(rest), "FTP_PROXY=f ftp_proxy=f ALL_PROXY=socks5://a all_proxy=socks5://a");
    for nothing in ["{}", r#"{"proxies":{}}"#, r#"{"proxies":"x"}"#, r#"{"proxies":{"default":[]}}"#] {
        assert_eq!(shown(nothing), "", "{nothing}");
    }
}
