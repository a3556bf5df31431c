#![allow(clippy::disallowed_methods, reason = "tests write scratch files")]

use std::os::unix::fs::PermissionsExt;

use dhow_base::Kind;
use dhow_testkit::helper;

use super::*;

/// A user's folders, with credential helpers.
struct Home {
    folder: tempfile::TempDir,
    fakes: helper::Helpers,
    places: Places,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let fakes = helper::Helpers::install(&path("bin"), &["good", "other", "sad"]).unwrap();
        let search_path = std::env::join_paths([fakes.folder(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
        let containers = vec![path("runtime.json"), path("lasting.json")];
        let places = Places { docker_config: path("config.json"), containers, search_path, ..Places::default() };
        Self { folder, fakes, places }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn modified(&self, name: &str) -> std::time::SystemTime {
        std::fs::metadata(self.path(name)).unwrap().modified().unwrap()
    }

    fn open(&self) -> Keychain {
        Keychain::open(&self.places).unwrap()
    }

    /// The user that requests to a repository are made as.
    fn user(&self, repository: &str) -> Option<String> {
        let keychain = self.open();
        let account = keychain.account(&Repository::parse(repository).unwrap());
        keychain.get(&account).unwrap().map(|credential| credential.username)
    }

    fn with_helpers(&self) -> Helpers {
        Helpers::new(&self.places.search_path)
    }
}

/// A file with plain entries, each for a user of that name.
fn plain(entries: &[(&str, &str)]) -> String {
    let entry = |(key, user): &(&str, &str)| format!(r#""{key}":{{"username":"{user}","password":"pw"}}"#);
    format!(r#"{{"auths":{{{}}}}}"#, entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn named(user: &str) -> Credential {
    Credential::password(user, Secret::new("hunter2"))
}

#[test]
fn files_are_looked_into_in_order() {
    let mut home = Home::new();
    assert_eq!(home.user("r.example/app"), None);
    for (place, user) in [("lasting.json", "lasting"), ("runtime.json", "runtime"), ("config.json", "docker")] {
        home.write(place, &plain(&[("r.example", user)]));
        assert_eq!(home.user("r.example/app").as_deref(), Some(user));
        assert_eq!(home.user("other.example/app"), None);
    }
    home.places.environment = Some(Secret::new(plain(&[("r.example", "environment")])));
    assert_eq!(home.user("r.example/app").as_deref(), Some("environment"));
    home.places.auth_file = Some(home.path("only.json"));
    assert_eq!(home.user("r.example/app"), None, "nothing else counts");
    home.write("only.json", &plain(&[("docker.io", "only")]));
    assert_eq!(home.user("alpine").as_deref(), Some("only"));
}

#[test]
fn the_narrowest_namespace_wins() {
    let home = Home::new();
    let entries =
        [("quay.io/acme/app", "app"), ("quay.io", "quay"), ("quay.io/acme", "acme"), ("docker.io/bob", "bob")];
    home.write("config.json", &plain(&entries));
    for (repository, user) in [
        ("quay.io/acme/app", Some("app")),
        ("quay.io/acme/app/sub", Some("app")),
        ("quay.io/acme/application", Some("acme")),
        ("quay.io/acmes/app", Some("quay")),
        ("bob/app", Some("bob")),
        ("alice/app", None),
        ("quay.io.evil.example/acme/app", None),
    ] {
        assert_eq!(home.user(repository).as_deref(), user, "{repository}");
    }
    // A file that comes earlier decides, however wide its entry is.
    home.write("lasting.json", &plain(&[("quay.io/acme/app/deep", "deep")]));
    assert_eq!(home.user("quay.io/acme/app/deep").as_deref(), Some("app"));
}

#[test]
fn helpers_come_before_plain_entries() {
    let home = Home::new();
    home.with_helpers().store("good", "r.example", &named("helped")).unwrap();
    home.with_helpers().store("other", "own.example", &named("own")).unwrap();
    let auths = r#""auths":{"r.example":{},"own.example":{},"plain.example":{"username":"plain","password":"pw"}}"#;
    home.write("config.json", &format!(r#"{{{auths},"credsStore":"good","credHelpers":{{"*.example":"other"}}}}"#));
    assert_eq!(home.user("own.example/app").as_deref(), Some("own"));
    assert_eq!(home.user("r.example/app"), None, "its helper is the other one, which has nothing");
    assert_eq!(home.user("plain.example/app").as_deref(), Some("plain"));
    home.write("config.json", r#"{"credsStore":"good"}"#);
    assert_eq!(home.user("r.example/app").as_deref(), Some("helped"), "helpers may know more than was logged in to");
}

#[test]
fn a_helper_that_fails_is_not_passed_over() {
    let home = Home::new();
    home.write("lasting.json", &plain(&[("r.example", "lasting")]));
    home.write("config.json", r#"{"credsStore":"sad"}"#);
    let error = home.open().get("r.example").unwrap_err();
    assert!(error.to_string().starts_with("r.example: error getting credentials - err: exit status 3"), "{error}");
    for text in [r#"{"credHelpers":{"r.example":"missing"}}"#, r#"{"credsStore":"missing","auths":{"r.example":{}}}"#] {
        home.write("config.json", text);
        assert_eq!(home.open().get("r.example").unwrap_err().kind(), Kind::Unsupported, "{text}");
    }
    // A leftover from another machine, which says nothing about this registry.
    home.write("config.json", r#"{"credsStore":"missing"}"#);
    assert_eq!(home.user("r.example/app").as_deref(), Some("lasting"));
    home.write("config.json", r#"{"credHelpers":{"r.example":"../good"}}"#);
    assert_eq!(home.open().get("r.example").unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn a_broken_file_of_another_program_costs_nothing() {
    let home = Home::new();
    home.write("runtime.json", "hunter2");
    home.write("lasting.json", &plain(&[("r.example", "lasting")]));
    assert_eq!(home.user("r.example/app").as_deref(), Some("lasting"));
    home.write("config.json", "hunter2");
    let error = Keychain::open(&home.places).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn logins_are_kept_where_the_configuration_says() {
    let home = Home::new();
    home.write("config.json", r#"{"credsStore":"good","credHelpers":{"own.example":"other"},"psFormat":"x"}"#);
    let mut keychain = home.open();
    assert_eq!(keychain.store("docker.io", &named("bob")).unwrap(), Kept::Helper("good".into()));
    assert_eq!(keychain.store("own.example", &named("bob")).unwrap(), Kept::Helper("other".into()));
    let expected = "{\n\t\"credsStore\": \"good\",\n\t\"credHelpers\": {\n\t\t\"own.example\": \"other\"\n\t},\n\t\"psFormat\": \
                    \"x\",\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {},\n\t\t\"own.example\": {}\n\t}\n}";
    assert_eq!(home.read("config.json"), expected);
    assert_eq!(home.fakes.log("good"), ["store https://index.docker.io/v1/"]);
    let erased = keychain.erase("docker.io").unwrap();
    assert!(erased.failures.is_empty() && erased.remaining.is_empty());
    assert!(!home.read("config.json").contains("index.docker.io"));
    assert_eq!(home.user("alpine"), None);
    home.write("config.json", "{}");
    assert_eq!(home.open().store("r.example", &named("bob")).unwrap(), Kept::File(home.path("config.json")));
    let (before, written) = (home.read("config.json"), home.modified("config.json"));
    let again = home.open().store("r.example", &named("bob")).unwrap();
    assert_eq!(again, Kept::AsBefore(home.path("config.json")));
    assert_eq!((home.read("config.json"), home.modified("config.json")), (before, written), "left alone");
    let other = home.open().store("r.example", &named("alice")).unwrap();
    assert_eq!(other, Kept::File(home.path("config.json")));
    assert_eq!(std::fs::metadata(home.path("config.json")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn docker_s_own_helper_is_taken_when_nothing_is_configured() {
    let home = Home::new();
    helper::Helpers::install(&home.path("bin"), &["pass"]).unwrap();
    std::os::unix::fs::symlink("/bin/true", home.path("bin/pass")).unwrap();
    assert_eq!(home.open().store("r.example", &named("bob")).unwrap(), Kept::Helper("pass".into()));
    assert!(home.read("config.json").contains("\"credsStore\": \"pass\""));
    assert_eq!(home.user("r.example/app").as_deref(), Some("bob"));
}

#[test]
fn podman_s_file_has_podman_s_keys() {
    let mut home = Home::new();
    home.places.auth_file = Some(home.path("new/auth.json"));
    let mut keychain = home.open();
    for server in ["docker.io", "quay.io/acme", "https://r.example/v2/"] {
        keychain.store(server, &named("bob")).unwrap();
    }
    let text = home.read("new/auth.json");
    let keys: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = keys["auths"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["docker.io", "quay.io/acme", "r.example"]);
    keychain.erase("quay.io").unwrap();
    assert_eq!(home.user("quay.io/acme/app").as_deref(), Some("bob"), "a namespace is another account");
    keychain.erase("quay.io/acme").unwrap();
    assert_eq!(home.user("quay.io/acme/app"), None);
    assert_eq!(home.user("alpine").as_deref(), Some("bob"));
}

#[test]
fn what_a_logout_leaves_behind_is_told() {
    let home = Home::new();
    home.write("lasting.json", &plain(&[("r.example", "podman")]));
    home.write("config.json", &plain(&[("r.example", "docker")]));
    let erased = home.open().erase("r.example").unwrap();
    assert_eq!(erased.remaining, [home.path("lasting.json")]);
    assert_eq!(home.user("r.example/app").as_deref(), Some("podman"));
    home.write("config.json", r#"{"credsStore":"sad"}"#);
    let erased = home.open().erase("r.example").unwrap();
    let keys: Vec<&str> = erased.failures.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["r.example", "http://r.example", "https://r.example"]);
}

#[test]
fn all_can_be_forgotten_at_once() {
    let home = Home::new();
    let helpers = home.with_helpers();
    helpers.store("good", "unlisted.example", &named("bob")).unwrap();
    helpers.store("other", "own.example", &named("bob")).unwrap();
    home.write(
        "config.json",
        r#"{"credsStore":"good","credHelpers":{"own.example":"other","*.example":"other"},
            "auths":{"plain.example":{"auth":"Ym9iOnB3"},"own.example":{}},"psFormat":"x"}"#,
    );
    assert!(home.open().erase_all().unwrap().failures.is_empty());
    assert_eq!((helpers.list("good").unwrap().len(), helpers.list("other").unwrap().len()), (0, 0));
    let text = home.read("config.json");
    assert!(text.contains("\"auths\": {}") && text.contains("psFormat") && text.contains("*.example"), "{text}");
}

#[test]
fn a_given_account_is_for_one_registry() {
    let home = Home::new();
    home.write("config.json", &plain(&[("other.example", "stored"), ("r.example/ns", "narrow")]));
    let given = Given { domain: "r.example".into(), credential: named("given"), stored: home.open() };
    for (repository, user) in
        [("r.example/ns/app", Some("given")), ("other.example/app", Some("stored")), ("app", None)]
    {
        let account = given.account(&Repository::parse(repository).unwrap());
        assert_eq!(given.get(&account).unwrap().map(|found| found.username).as_deref(), user, "{repository}");
    }
}

#[test]
fn headers_for_registries() {
    let home = Home::new();
    home.write("config.json", r#"{"HttpHeaders":{"X-Meta-Team":"blue","User-Agent":"mine","x-meta-n":7}}"#);
    assert_eq!(home.open().registry_headers(), [("X-Meta-Team".to_owned(), "blue".to_owned())]);
}

/// `credential-helpers` of registries.conf: helpers and files in its order, podman's way.
#[test]
fn helpers_and_files_in_the_order_of_registries_conf() {
    let home = Home::new();
    let order = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let open = |names: &[&str]| home.open().with_order(order(names));
    let user = |keychain: &Keychain, account: &str| keychain.get(account).unwrap().map(|found| found.username);
    home.with_helpers().store("good", "r.test", &Credential::password("helped", Secret::new("p"))).unwrap();
    home.write("runtime.json", r#"{"auths":{"r.test":{"auth":"ZmlsZWQ6cA=="},"r.test/ns":{"auth":"bmFycm93OnA="}}}"#);
    for (names, account, expected) in [
        (&[][..], "r.test", Some("filed")),
        (&["containers-auth.json"], "r.test", Some("filed")),
        (&["good", "containers-auth.json"], "r.test", Some("helped")),
        (&["containers-auth.json", "good"], "r.test", Some("filed")),
        (&["containers-auth.json", "good"], "r.test/ns", Some("narrow")),
        // Helpers know registries, no namespaces.
        (&["good"], "r.test/ns", Some("helped")),
        (&["good"], "other.test", None),
        // One that fails keeps no other from its turn.
        (&["sad", "good"], "r.test", Some("helped")),
        (&["nowhere", "containers-auth.json"], "r.test", Some("filed")),
    ] {
        assert_eq!(user(&open(names), account).as_deref(), expected, "{names:?} {account}");
    }
    assert!(open(&["nowhere"]).get("r.test").is_err(), "what cannot be asked may have known");
    // Docker's own file comes first, as ever.
    home.write("config.json", r#"{"auths":{"r.test":{"auth":"ZG9ja2VyOnA="}}}"#);
    assert_eq!(user(&open(&["good"]), "r.test").as_deref(), Some("docker"));
}

/// A login with podman's file goes to the first helper that takes it.
#[test]
fn logins_go_where_registries_conf_says() {
    let home = Home::new();
    let places = Places { auth_file: Some(home.path("auth.json")), ..home.places.clone() };
    let open = |names: &[&str]| {
        let order = names.iter().map(|&name| name.to_owned()).collect();
        Keychain::open(&places).unwrap().with_order(order)
    };
    let credential = Credential::password("me", Secret::new("p"));
    let kept = open(&["sad", "good", "containers-auth.json"]).store("r.test", &credential).unwrap();
    assert_eq!(kept, Kept::Helper("good".to_owned()));
    assert!(!home.path("auth.json").exists());
    assert_eq!(open(&["good"]).get("r.test").unwrap().map(|found| found.username).as_deref(), Some("me"));
    // Namespaces are for files only.
    let kept = open(&["good", "containers-auth.json"]).store("r.test/ns", &credential).unwrap();
    assert_eq!(kept, Kept::File(home.path("auth.json")));
    let refused = open(&["good"]).store("r.test/ns", &credential).unwrap_err();
    assert_eq!(refused.to_string(), "namespaced key is not supported for credential helper \"good\"");
    let erased = open(&["good", "containers-auth.json"]).erase("r.test").unwrap();
    assert!(erased.failures.is_empty(), "{erased:?}");
    assert_eq!(open(&["good"]).get("r.test").unwrap(), None);
    open(&["good"]).store("r.test", &credential).unwrap();
    open(&["good", "nowhere", "containers-auth.json"]).erase_all().unwrap();
    assert_eq!(open(&["good"]).get("r.test").unwrap(), None);
    assert!(!home.read("auth.json").contains("r.test/ns"));
}
