use std::time::Instant;

use dhow_testkit::helper;

use super::*;

fn installed(characters: &[&str]) -> (tempfile::TempDir, helper::Helpers, Helpers) {
    let folder = tempfile::tempdir().unwrap();
    let fakes = helper::Helpers::install(&folder.path().join("bin"), characters).unwrap();
    let search = std::env::join_paths([fakes.folder(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    (folder, fakes, Helpers::new(search))
}

fn bob() -> Credential {
    Credential::password("bob", Secret::new("hunter2"))
}

#[test]
fn what_is_kept_comes_back() {
    let (_folder, fakes, helpers) = installed(&["good"]);
    assert_eq!(helpers.get("good", "r.example").unwrap(), None);
    helpers.store("good", "r.example", &bob()).unwrap();
    helpers
        .store("good", super::super::keys::HUB_KEY, &Credential::identity_token("amy", Secret::new("sesame")))
        .unwrap();
    assert_eq!(helpers.get("good", "r.example").unwrap(), Some(bob()));
    let hub = helpers.get("good", super::super::keys::HUB_KEY).unwrap().unwrap();
    assert_eq!(hub, Credential::identity_token("", Secret::new("sesame")), "docker's mark of a token is no user name");
    let listed = helpers.list("good").unwrap();
    let expected = [("https://index.docker.io/v1/", "<token>"), ("r.example", "bob")];
    assert_eq!(listed, expected.map(|(server, user)| (server.to_owned(), user.to_owned())).into());
    helpers.erase("good", "r.example").unwrap();
    helpers.erase("good", "r.example").unwrap();
    assert_eq!(helpers.get("good", "r.example").unwrap(), None);
    assert_eq!(fakes.log("good").first().map(String::as_str), Some("get r.example"));
}

#[test]
fn failures_in_docker_s_words() {
    let (_folder, _fakes, helpers) = installed(&["sad", "empty"]);
    let error = helpers.get("sad", "r.example").unwrap_err();
    let expected = "error getting credentials - err: exit status 3, out: `the keychain is locked; no agent is running`";
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Io, expected));
    let error = helpers.store("sad", "r.example", &bob()).unwrap_err();
    assert!(error.to_string().starts_with("error storing credentials - err: exit status 3, out: `"), "{error}");
    assert_eq!(helpers.get("empty", "r.example").unwrap(), None);
    let error = helpers.erase("missing", "r.example").unwrap_err();
    let expected = "error erasing credentials - err: exec: \"docker-credential-missing\": executable file not found in \
                    $PATH, out: ``";
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Unsupported, expected));
}

#[test]
fn no_message_of_a_helper_gives_a_secret_away() {
    let (_folder, _fakes, helpers) = installed(&["echo", "halfway", "garbage", "endless"]);
    let mut errors = vec![helpers.store("echo", "r.example", &bob()).unwrap_err()];
    errors.extend(["halfway", "garbage", "endless"].map(|name| helpers.get(name, "r.example").unwrap_err()));
    for error in errors {
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(error.kind(), Kind::Io);
    }
}

#[test]
fn helpers_end_in_time() {
    let (_folder, _fakes, mut helpers) = installed(&["slow", "daemon"]);
    let start = Instant::now();
    // What a helper leaves running may keep its outputs open: the answer is complete all the same.
    assert_eq!(helpers.get("daemon", "r.example").unwrap(), Some(bob()));
    helpers.patience = Duration::from_millis(300);
    let error = helpers.get("slow", "r.example").unwrap_err();
    assert!(error.to_string().contains("did not end within"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// A configuration that somebody else wrote must not say which program is run (CVE-2021-41092 began with a configuration
/// that was wrong about helpers).
#[test]
fn only_programs_on_the_search_path_are_run() {
    let (folder, fakes, helpers) = installed(&["good"]);
    for name in ["", "../bin/docker-credential-good", "/bin/sh", "a/b", "a b", ".hidden", "-x", "é", &"a".repeat(200)]
    {
        let error = helpers.get(name, "r.example").unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{name:?}: {error}");
        assert!(!helpers.has(name));
    }
    // Neither is the current folder searched, nor what cannot be executed.
    assert!(helpers.has("good") && !Helpers::new("").has("good") && !Helpers::new(".:bin").has("good"));
    #[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
    std::fs::write(folder.path().join("bin/docker-credential-text"), "no program").unwrap();
    assert!(!helpers.has("text"));
    assert_eq!(fakes.log("good"), Vec::<String>::new());
}

/// CVE-2020-5260 and CVE-2024-50349: what is given to a helper is one line, whoever chose the server's name.
#[test]
fn a_server_s_name_is_one_line() {
    let (_folder, fakes, helpers) = installed(&["good"]);
    for server in ["", "r.example\nhost=other", "r.example\r", "r\0", "r example", "-r.example", "r\u{85}x"] {
        assert_eq!(helpers.get("good", server).unwrap_err().kind(), Kind::Invalid, "{server:?}");
        assert_eq!(helpers.store("good", server, &bob()).unwrap_err().kind(), Kind::Invalid, "{server:?}");
        assert_eq!(helpers.erase("good", server).unwrap_err().kind(), Kind::Invalid, "{server:?}");
    }
    assert_eq!(fakes.log("good"), Vec::<String>::new());
}
