use super::*;
use crate::config::containers::File;

fn config(text: &str, is_packaged: bool) -> Containers {
    Containers::parse(&[File { path: "r.conf".into(), bytes: text.as_bytes().to_vec(), is_packaged }]).unwrap()
}

fn names(text: &str, habit: Habit, config: &Containers, recorded: &[(&str, &str)]) -> Result<(Vec<String>, Reason)> {
    let recorded = recorded.iter().map(|(name, target)| ((*name).to_owned(), (*target).to_owned())).collect();
    let found = resolve(text, habit, config, &recorded, Path::new("recorded.conf"))?;
    Ok((found.candidates.iter().map(ToString::to_string).collect(), found.reason))
}

const PACKAGED: &str = "[aliases]\nfedora = 'registry.fedoraproject.org/fedora'\n";
const SEARCHED: &str = "unqualified-search-registries = ['quay.io', 'docker.io']\n[aliases]\nfedora = 'f.example/fedora'\n'acme/web' = 'w.example/web'\n";

#[test]
fn what_names_stand_for() {
    let (packaged, searched) = (config(PACKAGED, true), config(SEARCHED, true));
    let own = config(PACKAGED, false);
    let none = Containers::default();
    let search = || Reason::Ask("r.conf".into(), Mode::Permissive);
    let alias = || Reason::Alias("r.conf".into());
    for (text, habit, config, expected, reason) in [
        ("alpine:3", Habit::Dhow, &none, &["docker.io/library/alpine:3"][..], Reason::Itself),
        ("fedora", Habit::Dhow, &packaged, &["docker.io/library/fedora"], Reason::Itself),
        ("fedora", Habit::Docker, &searched, &["docker.io/library/fedora"], Reason::Itself),
        ("fedora", Habit::Containers, &packaged, &["registry.fedoraproject.org/fedora"], alias()),
        ("fedora:40", Habit::Dhow, &own, &["registry.fedoraproject.org/fedora:40"], alias()),
        ("fedora:40", Habit::Dhow, &searched, &["f.example/fedora:40"], alias()),
        ("acme/web", Habit::Dhow, &searched, &["w.example/web"], alias()),
        ("alpine:3", Habit::Dhow, &searched, &["quay.io/alpine:3", "docker.io/library/alpine:3"], search()),
        ("acme/x", Habit::Dhow, &searched, &["quay.io/acme/x", "docker.io/acme/x"], search()),
        ("docker.io/fedora", Habit::Dhow, &searched, &["docker.io/library/fedora"], Reason::Itself),
        ("localhost/fedora", Habit::Dhow, &searched, &["localhost/fedora"], Reason::Itself),
    ] {
        let found = names(text, habit, config, &[]).unwrap();
        assert_eq!(found, (expected.iter().map(|&name| name.to_owned()).collect(), reason), "{text} {habit:?}");
    }
}

#[test]
fn digests_stay() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let (found, _) = names(&format!("fedora:1@{digest}"), Habit::Dhow, &config(SEARCHED, false), &[]).unwrap();
    assert_eq!(found, [format!("f.example/fedora:1@{digest}")]);
}

#[test]
fn recorded_aliases_win_once_podman_s_rules_count() {
    let recorded = [("fedora", "chosen.example/fedora")];
    let (found, reason) = names("fedora", Habit::Dhow, &config(SEARCHED, false), &recorded).unwrap();
    assert_eq!((found, reason), (vec!["chosen.example/fedora".to_owned()], Reason::Alias("recorded.conf".into())));
    let (found, _) = names("fedora", Habit::Dhow, &Containers::default(), &recorded).unwrap();
    assert_eq!(found, ["docker.io/library/fedora"]);
}

#[test]
fn who_cannot_be_asked() {
    let ask = |mode: &str| {
        let config = config(&format!("short-name-mode = '{mode}'\n{SEARCHED}"), false);
        resolve("x", Habit::Dhow, &config, &BTreeMap::new(), Path::new("")).unwrap()
    };
    let tried = ask("permissive").unasked("x").unwrap();
    assert_eq!((tried.candidates.len(), tried.reason), (2, Reason::Search("r.conf".into())));
    assert_eq!(ask("disabled").reason, Reason::Search("r.conf".into()));
    let error = ask("enforcing").unasked("x").unwrap_err();
    assert_eq!(error.to_string(), "short-name \"x\": short-name resolution enforced but cannot prompt without a TTY");
    assert_eq!(error.hint(), Some("give the full name: quay.io/x or docker.io/library/x"));
}

#[test]
fn nothing_says_what_it_stands_for() {
    let error = names("x", Habit::Containers, &Containers::default(), &[]).unwrap_err().to_string();
    assert_eq!(error, "short-name \"x\" did not resolve to an alias and no unqualified-search registries are defined");
    let bad = config("unqualified-search-registries = ['nohost']\n", false);
    let error = names("x", Habit::Dhow, &bad, &[]).unwrap_err().to_string();
    assert_eq!(error, "\"r.conf\": \"nohost\" in unqualified-search-registries is no registry");
}

#[test]
fn choices_are_recorded_in_podman_s_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("containers/short-name-aliases.conf");
    for (text, chosen) in [("b/c:1", "quay.io/b/c"), ("a", "docker.io/library/a")] {
        record(&path, text, &Repository::parse(chosen).unwrap()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "[aliases]\na = \"docker.io/library/a\"\n\"b/c\" = \"quay.io/b/c\"\n"
    );
    assert_eq!(recorded(&path).len(), 2);
    fs::write_atomic(&path, b"nonsense", 0o600, Durability::Cached).unwrap();
    assert!(recorded(&path).is_empty() && record(&path, "c", &Repository::parse("quay.io/c").unwrap()).is_err());
}
