use proptest::prelude::*;

use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), bytes: text.as_bytes().to_vec(), is_packaged: false }
}

fn parse(text: &str) -> Result<Containers> {
    Containers::parse(&[file("r.conf", text)])
}

/// What podman and skopeo cover with a prefix: the cases of containers-registries.conf(5), and those beside them.
#[test]
fn what_a_prefix_covers() {
    for (name, prefix, expected) in [
        ("example.com/foo/bar:1", "example.com", Some("example.com")),
        ("example.com/foo/bar:1", "example.com/foo", Some("example.com/foo")),
        ("example.com/foo/bar:1", "example.com/foo/bar", Some("example.com/foo/bar")),
        ("example.com/foo/bar:1", "example.com/foo/bar:1", Some("example.com/foo/bar:1")),
        ("example.com/foo/bar:1", "example.com/foo/ba", None),
        ("example.com/foo/bar:1", "example.co", None),
        ("example.com:5000/foo", "example.com", Some("example.com")),
        ("example.com:5000/foo", "example.com:5000", Some("example.com:5000")),
        ("example.com/foo@sha256:ab", "example.com/foo", Some("example.com/foo")),
        ("a.example.com/foo", "*.example.com", Some("a.example.com")),
        ("b.a.example.com:5000/foo", "*.example.com", Some("b.a.example.com")),
        ("x.example.com.example.com/foo", "*.example.com", Some("x.example.com.example.com")),
        ("example.com/foo", "*.example.com", None),
        ("aexample.com/foo", "*.example.com", None),
        ("a.example.com.evil/foo", "*.example.com", None),
        ("evil/a.example.com/foo", "*.example.com", None),
    ] {
        let found = covered(name, prefix).map(|length| &name[..length]);
        assert_eq!(found, expected, "{name} {prefix}");
    }
}

#[test]
fn the_longest_prefix_counts() {
    let text = "[[registry]]\nlocation = 'example.com'\n[[registry]]\nprefix = 'example.com/foo'\nlocation = 'in.example/x'\n\
                [[registry]]\nprefix = '*.example.com'\nblocked = true\n";
    let config = parse(text).unwrap();
    let prefix = |name: &str| config.registry(name).map(|registry| registry.prefix.clone());
    assert_eq!(prefix("example.com/foo/bar:1").as_deref(), Some("example.com/foo"));
    assert_eq!(prefix("example.com/food:1").as_deref(), Some("example.com"));
    assert_eq!(prefix("a.example.com/foo:1").as_deref(), Some("*.example.com"));
    assert_eq!(prefix("other.example/foo:1"), None);
}

#[test]
fn names_move_to_the_location() {
    let moved = |prefix: &str, location: &str, name: &str| {
        let registry = Registry {
            prefix: prefix.to_owned(),
            location: location.to_owned(),
            insecure: false,
            blocked: false,
            mirrors: Vec::new(),
            file: "r.conf".into(),
        };
        registry.moved(&Reference::parse(name).unwrap(), location).map(|moved| moved.to_string())
    };
    for (prefix, location, name, expected) in [
        ("example.com/foo", "in.example/bar", "example.com/foo/image:latest", "in.example/bar/image:latest"),
        ("docker.io", "mirror.example", "alpine:3", "mirror.example/library/alpine:3"),
        ("docker.io/library", "mirror.example:5000/hub", "alpine:3", "mirror.example:5000/hub/alpine:3"),
        ("*.example.com", "one.example", "a.example.com/x:1", "one.example/x:1"),
        ("*.example.com", "", "a.example.com/x:1", "a.example.com/x:1"),
        ("example.com/x", "docker.io/library/y", "example.com/x:1", "docker.io/library/y:1"),
    ] {
        assert_eq!(moved(prefix, location, name).unwrap(), expected);
    }
    let error = moved("example.com/foo", "nohost", "example.com/foo/x:1").unwrap_err().to_string();
    assert!(error.ends_with("it begins with no registry"), "{error}");
    assert!(moved("example.com/foo", "a.example/UP", "example.com/foo/x:1").is_err());
}

#[test]
fn later_files_win() {
    let config = Containers::parse(&[
        file("a", "unqualified-search-registries = ['a.example']\nshort-name-mode = 'enforcing'\n[aliases]\nx = 'a.example/x'\ny = 'a.example/y'\n[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\nlocation = 'm.example'\n"),
        file("b", "[aliases]\nx = 'b.example/x'\ny = ''\n[[registry]]\nlocation = 'r.example'\ninsecure = true\n"),
    ])
    .unwrap();
    assert_eq!(config.search, Some((vec!["a.example".to_owned()], "a".into())));
    assert_eq!(config.mode, Mode::Enforcing);
    assert_eq!(config.aliases.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!(config.aliases["x"].target, "b.example/x");
    let registry = config.registry("r.example/x").unwrap();
    assert!(registry.insecure && registry.mirrors.is_empty());
}

#[test]
fn the_old_form() {
    let config = parse("[registries.search]\nregistries = ['s.example']\n[registries.insecure]\nregistries = ['i.example']\n[registries.block]\nregistries = ['b.example', 'i.example']\n").unwrap();
    assert_eq!(config.search.as_ref().unwrap().0, ["s.example"]);
    assert!(config.registry("b.example/x").unwrap().blocked);
    let both = config.registry("i.example/x").unwrap();
    assert!(both.blocked && both.insecure);
}

/// Where skopeo 1.9.3 refuses a file, with its words.
#[test]
fn mistakes_in_skopeo_s_words() {
    for (text, expected) in [
        (
            "[[registry]]\nprefix = 'a.example'\n",
            "invalid condition: location is unset and prefix is not in the format: *.example.com",
        ),
        ("[[registry]]\ninsecure = true\n", "invalid condition: both location and prefix are unset"),
        (
            "[[registry]]\nlocation = 'https://b.example'\n",
            "invalid location \"https://b.example\": URI schemes are not supported",
        ),
        (
            "[[registry]]\nlocation = 'b.example'\n[[registry.mirror]]\ninsecure = true\n",
            "invalid condition: mirror location is unset (registry \"b.example\")",
        ),
        (
            "[[registry]]\nlocation = 'b.example'\npull-from-mirror = 'all'\n",
            "pull-from-mirror must not be set for a non-mirror registry \"b.example\"",
        ),
        (
            "[[registry]]\nlocation = 'b.example'\n[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'x'\n",
            "unsupported pull-from-mirror value \"x\" for mirror \"m.example\"",
        ),
        (
            "[[registry]]\nlocation = 'b.example'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'all'\n",
            "cannot set mirror-by-digest-only for the registry \"b.example\" and pull-from-mirror for its mirror \"m.example\"",
        ),
        (
            "[[registry]]\nprefix = 'a.*.example'\nlocation = 'b.example'\n",
            "invalid prefix \"a.*.example\": a star stands only before a host, as in *.example.com",
        ),
        ("short-name-mode = 'loud'\n", "invalid short-name mode: \"loud\""),
        ("[aliases]\n'a:1' = 'q.io/x'\n", "invalid short name \"a:1\": must not contain a tag or digest"),
        ("[aliases]\n'q.io/a' = 'q.io/x'\n", "invalid short name \"q.io/a\": must not contain a registry"),
        ("[aliases]\na = 'x'\n", "the alias \"a\" stands for \"x\", which is no full name of a repository"),
        (
            "[aliases]\na = 'q.io/x:1'\n",
            "the alias \"a\" stands for \"q.io/x:1\", which is no full name of a repository",
        ),
        ("unqualified-search-registries = ['']\n", "unqualified-search-registries has an empty name"),
        (
            "unqualified-search-registries = ['a']\n[registries.search]\nregistries = ['b']\n",
            "the old form ([registries.search] …) and the new are mixed",
        ),
    ] {
        assert_eq!(
            parse(text).unwrap_err().to_string(),
            format!("registries configuration \"r.conf\": {expected}"),
            "{text}"
        );
    }
    let error = parse("a = 1\nb = [").unwrap_err().to_string();
    assert!(error.starts_with("registries configuration \"r.conf\": line 2: "), "{error}");
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "[[registry]]\n", "[[registry.mirror]]\n", "[aliases]\n", "prefix = ", "location = ", "insecure = true\n",
                "mirror-by-digest-only = true\n", "pull-from-mirror = 'digest-only'\n", "'a.example/b'\n", "'*.a.example'\n",
                "'docker.io'\n", "''\n", "x = 'a.example/x'\n", "unqualified-search-registries = ['a.example', 'docker.io']\n",
                "'a.example/b:1'\n", "'[::1]:5000/x'\n", "blocked = true\n", "'é/*'\n",
            ]),
            0..16,
        ),
        name in "[a-z.:/*@é-]{0,30}",
    ) {
        if let Ok(config) = parse(&parts.concat()) {
            if let (Some(registry), Ok(reference)) = (config.registry(&name), Reference::parse(&name)) {
                let _ = registry.moved(&reference, &registry.location);
            }
            if let Ok(reference) = Reference::parse(&name)
                && let Some(registry) = config.registry(&reference.to_string())
                && let Ok(moved) = registry.moved(&reference, &registry.location)
            {
                prop_assert_eq!(moved.tag(), reference.tag());
            }
        }
    }
}
