use dhow_base::fs;

use super::*;

/// A folder of configuration, written as a test needs it.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = scene.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_atomic(&path, text.as_bytes(), 0o600, fs::Durability::Cached).unwrap();
        }
        scene
    }

    fn read(&self, family: Family) -> Registries {
        let at = |path: &str| self.0.path().join(path);
        Registries::new(ConfigFiles {
            family,
            registries: vec![at("home/registries.conf"), at("etc/registries.conf")],
            registries_required: false,
            user_registries: Some(at("home/registries.conf")),
            system_drop_ins: Some(at("etc/registries.conf.d")),
            user_drop_ins: Some(at("home/registries.conf.d")),
            recorded: Some(at("cache/aliases.conf")),
            daemon: vec![at("home/daemon.json"), at("etc/daemon.json")],
            hosts: vec![at("hosts")],
            docker_certs: vec![at("docker-certs")],
            containers_certs: vec![at("containers-certs")],
            cert_dir: None,
            token_hosts: Vec::new(),
        })
    }
}

/// Where a name is looked for, in order: `domain/path`, the API's address where one is given, `!` for no verification,
/// `#` for what is not asked for tags.
fn routes(registries: &Registries, name: &str) -> Vec<String> {
    let reference = Reference::parse(name).unwrap();
    let shown = |route: Route| {
        let api = route.site.api.map_or_else(String::new, |api| format!(" at {api}"));
        let marks = [(route.site.insecure, "!"), (!route.resolves, "#")];
        let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
        format!("{}{marks}{api}", route.repository)
    };
    registries.routes(&reference).unwrap().into_iter().map(shown).collect()
}

const MIRRORED: &str = "[[registry]]\nprefix = 'example.com/foo'\nlocation = 'internal.example/bar'\n\
    [[registry.mirror]]\nlocation = 'mirror-0.example/for-foo'\n\
    [[registry.mirror]]\nlocation = 'mirror-1.example/tags'\ninsecure = true\npull-from-mirror = 'tag-only'\n\
    [[registry.mirror]]\nlocation = 'mirror-2.example/digests'\npull-from-mirror = 'digest-only'\n";

#[test]
fn mirrors_then_the_registry_itself() {
    let scene = Scene::new(&[("etc/registries.conf", MIRRORED)]);
    let registries = scene.read(Family::All);
    let by_tag = ["mirror-0.example/for-foo/image", "mirror-1.example/tags/image!", "internal.example/bar/image"];
    assert_eq!(routes(&registries, "example.com/foo/image:latest"), by_tag);
    let by_digest = ["mirror-0.example/for-foo/image", "mirror-2.example/digests/image", "internal.example/bar/image"];
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(routes(&registries, &format!("example.com/foo/image@{digest}")), by_digest);
    assert_eq!(routes(&registries, &format!("example.com/foo/image:latest@{digest}")), by_digest);
    assert_eq!(routes(&registries, "example.com/other:1"), ["example.com/other"]);
    let repository = Repository::parse("example.com/foo/image").unwrap();
    let primary = |is_write| registries.primary(&repository, is_write).unwrap().repository.to_string();
    assert_eq!(primary(false), "internal.example/bar/image");
    assert_eq!(primary(true), "example.com/foo/image", "a push goes where the name says");
}

#[test]
fn docker_s_mirrors_are_of_docker_hub() {
    let daemon = r#"{"registry-mirrors": ["https://m.example", "http://n.example:5000"], "insecure-registries": ["n.example:5000"]}"#;
    let scene = Scene::new(&[("etc/daemon.json", daemon)]);
    let expected = [
        "m.example/library/alpine at https://m.example/v2",
        "n.example:5000/library/alpine! at http://n.example:5000/v2",
        "docker.io/library/alpine",
    ];
    for family in [Family::All, Family::Docker] {
        assert_eq!(routes(&scene.read(family), "alpine:3"), expected);
        assert_eq!(routes(&scene.read(family), "quay.io/x:1"), ["quay.io/x"]);
    }
    assert_eq!(routes(&scene.read(Family::Containers), "alpine:3"), ["docker.io/library/alpine"]);
    let own = Scene::new(&[("etc/daemon.json", daemon), ("home/daemon.json", "{}")]);
    assert_eq!(routes(&own.read(Family::All), "alpine:3"), ["docker.io/library/alpine"], "the user's own comes first");
}

#[test]
fn hosts_of_containerd() {
    let hosts = "server = 'https://real.example'\n[host.'https://m.example/base']\ncapabilities = ['pull']\n\
                 [host.'http://n.example:5000']\nskip_verify = true\n[host.'https://push.example']\ncapabilities = ['push']\n";
    let scene = Scene::new(&[
        ("hosts/docker.io/hosts.toml", hosts),
        ("hosts/r.example_5000_/hosts.toml", "[host.'https://m.example']\n"),
        ("hosts/_default/hosts.toml", "[host.'https://any.example']\n"),
    ]);
    let registries = scene.read(Family::All);
    let expected = [
        "m.example/library/alpine# at https://m.example/base/v2",
        "n.example:5000/library/alpine! at http://n.example:5000/v2",
        "real.example/library/alpine at https://real.example/v2",
    ];
    assert_eq!(routes(&registries, "alpine:3"), expected);
    assert_eq!(routes(&registries, "r.example:5000/x:1"), ["m.example/x at https://m.example/v2", "r.example:5000/x"]);
    assert_eq!(routes(&registries, "quay.io/x:1"), ["any.example/x at https://any.example/v2", "quay.io/x"]);
    let route = &registries.routes(&Reference::parse("quay.io/x").unwrap()).unwrap()[0];
    assert_eq!(route.site.namespace.as_deref(), Some("quay.io"));
    for family in [Family::Docker, Family::Containers] {
        assert_eq!(routes(&scene.read(family), "alpine:3"), ["docker.io/library/alpine"]);
    }
    let hub = Scene::new(&[("hosts/docker.io/hosts.toml", "server = 'https://registry-1.docker.io'\n")]);
    assert_eq!(routes(&hub.read(Family::All), "alpine"), ["docker.io/library/alpine"]);
}

#[test]
fn one_family_decides_about_a_name() {
    let scene = Scene::new(&[
        ("etc/registries.conf", "[[registry]]\nlocation = 'docker.io'\n[[registry.mirror]]\nlocation = 'c.example'\n"),
        ("hosts/docker.io/hosts.toml", "[host.'https://h.example']\n"),
        ("etc/daemon.json", r#"{"registry-mirrors": ["https://d.example"], "insecure-registries": ["c.example"]}"#),
    ]);
    let all = ["c.example/library/alpine!", "docker.io/library/alpine"];
    assert_eq!(routes(&scene.read(Family::All), "alpine"), all, "insecure-registries count for mirrors too");
    assert_eq!(routes(&scene.read(Family::Docker), "alpine").len(), 2);
    assert_eq!(routes(&scene.read(Family::Docker), "alpine")[0], "d.example/library/alpine at https://d.example/v2");
    assert_eq!(
        routes(&scene.read(Family::Containers), "alpine"),
        ["c.example/library/alpine", "docker.io/library/alpine"]
    );
}

#[test]
fn drop_ins_in_their_order() {
    let registry =
        |mirror: &str| format!("[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\nlocation = '{mirror}'\n");
    let (main, system, user) = (registry("main.example"), registry("system.example"), registry("user.example"));
    let mut files = vec![
        ("etc/registries.conf", main.as_str()),
        ("etc/registries.conf.d/10.conf", system.as_str()),
        ("etc/registries.conf.d/20.bak", "no ="),
    ];
    let first = |files: &[(&str, &str)]| routes(&Scene::new(files).read(Family::All), "r.example/x")[0].clone();
    assert_eq!(first(&files), "system.example/x");
    files.push(("home/registries.conf.d/05.conf", user.as_str()));
    assert_eq!(first(&files), "user.example/x");
    files.pop();
    files.push(("home/registries.conf", "[[registry]]\nlocation = 'other.example'\n"));
    assert_eq!(first(&files), "r.example/x", "the user's file takes the place of all of the system's");
}

#[test]
fn blocked_names() {
    let scene = Scene::new(&[("etc/registries.conf", "[[registry]]\nlocation = 'bad.example/ns'\nblocked = true\n")]);
    let registries = scene.read(Family::All);
    let reference = Reference::parse("bad.example/ns/app").unwrap();
    let error = registries.routes(&reference).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("registry bad.example/ns is blocked in /") && text.ends_with("/etc/registries.conf"),
        "{text}"
    );
    assert_eq!(error.kind(), Kind::Denied);
    assert!(registries.primary(reference.repository(), true).is_err(), "a push is, too");
    assert_eq!(routes(&registries, "bad.example/other"), ["bad.example/other"]);
}

#[test]
fn mistakes_name_the_file() {
    for (path, text) in [
        ("etc/daemon.json", "{"),
        ("hosts/docker.io/hosts.toml", "x ="),
        ("etc/registries.conf", "x ="),
        ("etc/registries.conf.d/a.conf", "x ="),
    ] {
        let error =
            Scene::new(&[(path, text)]).read(Family::All).routes(&Reference::parse("alpine").unwrap()).unwrap_err();
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_home_that_is_no_folder_has_nothing() {
    let at = |name: &str| PathBuf::from("/dev/null").join(name);
    let files = ConfigFiles {
        registries: vec![at("registries.conf")],
        user_drop_ins: Some(at("registries.conf.d")),
        daemon: vec![at("daemon.json")],
        hosts: vec![at("hosts")],
        docker_certs: vec![at("certs.d")],
        ..ConfigFiles::default()
    };
    assert_eq!(routes(&Registries::new(files), "alpine"), ["docker.io/library/alpine"]);
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let given = ConfigFiles {
        registries: vec!["/nonexistent/r.conf".into()],
        registries_required: true,
        ..ConfigFiles::default()
    };
    let error = Registries::new(given).routes(&Reference::parse("alpine").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "registries configuration \"/nonexistent/r.conf\": there is no such file");
}

#[test]
fn certificates_of_a_registry() {
    use dhow_testkit::registry::{AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY};
    let scene = Scene::new(&[
        ("docker-certs/r.example:5000/ca.crt", AUTHORITY),
        ("containers-certs/r.example:5000/client.cert", CLIENT_CERTIFICATE),
        ("containers-certs/r.example:5000/client.key", CLIENT_KEY),
        ("hosts/r.example_5000_/more.crt", AUTHORITY),
        ("docker-certs/keyless.example/client.cert", CLIENT_CERTIFICATE),
        ("docker-certs/alone.example/client.key", CLIENT_KEY),
        ("docker-certs/text.example/ca.crt", "no certificate"),
    ]);
    let counts = |family| {
        let tls = scene.read(family).tls("r.example:5000").unwrap();
        (tls.authorities.len(), tls.identities.len())
    };
    assert_eq!(counts(Family::All), (2, 1));
    assert_eq!(counts(Family::Docker), (1, 0));
    assert_eq!(counts(Family::Containers), (1, 1));
    let all = scene.read(Family::All);
    assert!(all.tls("r.example").unwrap().is_empty(), "the port is part of the name");
    for (domain, expected) in [
        ("keyless.example", "missing key client.key for client certificate client.cert in "),
        ("alone.example", "missing client certificate client.cert for key client.key in "),
        ("text.example", "has no certificates in PEM form"),
    ] {
        let error = all.tls(domain).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for name in ["../x", "..", "", "a/b"] {
        assert!(all.tls(name).unwrap().is_empty());
    }
    let secret = format!("{:?}", scene.read(Family::All).tls("r.example:5000").unwrap());
    assert!(!secret.contains("PRIVATE KEY"));
}

#[test]
fn helpers_are_those_of_the_last_file_that_says_so() {
    let scene = Scene::new(&[
        ("etc/registries.conf", "credential-helpers = ['pass', 'containers-auth.json']\n"),
        ("etc/registries.conf.d/1.conf", "unqualified-search-registries = ['r.test']\n"),
    ]);
    assert_eq!(scene.read(Family::All).credential_helpers().unwrap(), ["pass", "containers-auth.json"]);
    assert!(scene.read(Family::Docker).credential_helpers().unwrap().is_empty());
    let scene = Scene::new(&[
        ("etc/registries.conf", "credential-helpers = ['pass']\n"),
        ("etc/registries.conf.d/1.conf", "credential-helpers = ['../x']\n"),
    ]);
    let error = scene.read(Family::Containers).credential_helpers().unwrap_err();
    assert!(error.to_string().ends_with("\"../x\" in credential-helpers is no name of a credential helper"), "{error}");
}

/// Where a short name is looked up on this machine.
#[test]
fn short_names_that_are_here() {
    let scene = Scene::new(&[
        ("etc/registries.conf", "unqualified-search-registries = ['a.test', 'docker.io']\n"),
        ("etc/registries.conf.d/shortnames.conf", "[aliases]\n'web' = 'quay.io/acme/web'\n"),
        ("cache/aliases.conf", "[aliases]\n'chosen' = 'b.test/chosen'\n"),
    ]);
    let shown = |family, text: &str| {
        let names = scene.read(family).resolve_here(text).unwrap();
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let searched = ["a.test/web:1", "docker.io/library/web:1"];
    assert_eq!(shown(Family::All, "web:1"), [&["quay.io/acme/web:1"][..], &searched].concat());
    let here = ["quay.io/acme/web:1", "localhost/web:1"];
    assert_eq!(shown(Family::Containers, "web:1"), [&here[..], &searched].concat());
    assert_eq!(shown(Family::All, "chosen"), ["b.test/chosen", "a.test/chosen", "docker.io/library/chosen"]);
    for (family, text) in [(Family::Docker, "web:1"), (Family::All, "r.test/web"), (Family::All, "No Name")] {
        assert!(shown(family, text).is_empty(), "{text}");
    }
    // What a package brings along counts for podman, and for dhow once somebody has it search.
    let scene = Scene::new(&[("etc/registries.conf.d/shortnames.conf", "[aliases]\n'web' = 'quay.io/acme/web'\n")]);
    assert!(scene.read(Family::All).resolve_here("web").unwrap().is_empty());
    let names = scene.read(Family::Containers).resolve_here("web").unwrap();
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["quay.io/acme/web", "localhost/web"]);
}

/// Files with nothing but aliases matter to short names only: full names go on although one has a mistake in it.
#[test]
fn aliases_are_parsed_when_a_short_name_comes() {
    let scene = Scene::new(&[
        ("etc/registries.conf", MIRRORED),
        ("etc/registries.conf.d/000-shortnames.conf", "# comment\n\n[aliases] # more\n  'web' = 'no full name'\n"),
    ]);
    let registries = scene.read(Family::Containers);
    assert_eq!(routes(&registries, "other.example/image:1"), ["other.example/image"]);
    assert!(registries.resolve("r.test/web").is_ok());
    let error = registries.resolve("web").unwrap_err().to_string();
    assert!(error.contains("000-shortnames.conf") && error.contains("no full name"), "{error}");
    for (text, expected) in [
        ("[aliases]\na = 'b'\n", true),
        ("a = 1\n[aliases]\n", false),
        ("[aliases]\n[[registry]]\n", false),
        ("[aliases]\n[ registry ]\n", false),
        ("[aliases]\nx = [\n[1]]\n", false),
        ("", false),
    ] {
        let file = File { path: PathBuf::new(), bytes: text.as_bytes().to_vec(), is_packaged: true };
        assert_eq!(file.has_only_aliases(), expected, "{text:?}");
    }
}

/// A folder of containerd is looked into once: its `hosts.toml` counts as it was then, for mirrors and certificates.
#[test]
fn hosts_are_read_once() {
    let scene = Scene::new(&[("hosts/r.test/hosts.toml", "server = 'https://r.test'\n[host.'https://m.test']\n")]);
    let registries = scene.read(Family::All);
    let before = routes(&registries, "r.test/image:1");
    fs::remove_file(&scene.0.path().join("hosts/r.test/hosts.toml")).unwrap();
    fs::write_atomic(&scene.0.path().join("hosts/r.test/odd.crt"), b"no certificate", 0o600, fs::Durability::Cached)
        .unwrap();
    assert_eq!(routes(&registries, "r.test/image:1"), before);
    // Another run sees what is there now.
    assert!(scene.read(Family::All).routes(&Reference::parse("r.test/image:1").unwrap()).is_err());
}
