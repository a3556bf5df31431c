//! Files that list images: skopeo's YAML (skopeo-sync(1), "YAML file content"), and one name a line.

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use dhow_spec::{Reference, Repository};
use yaml_rust2::parser::{Event, EventReceiver, Parser};
use yaml_rust2::{Yaml, YamlLoader};

use super::{Reach, Versions, of_repository};

/// What a list says of one registry.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The registry, as the list has it; nothing when its entries have whole names.
    pub registry: Option<String>,
    /// Which images.
    pub entries: Vec<Entry>,
    /// How to reach it.
    pub reach: Reach,
}

impl Listed {
    /// The registry, as references name it.
    pub(super) fn domain(&self) -> Option<String> {
        let registry = self.registry.as_ref()?;
        Some(Repository::parse(&format!("{registry}/x")).ok()?.domain().to_owned())
    }
}

/// Images of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Every tag of a repository.
    All(String),
    /// One image.
    One(Reference),
    /// Every tag of a repository that fits a regular expression.
    Matching {
        /// The repository.
        repository: String,
        /// The expression, anywhere in the tag.
        pattern: String,
    },
    /// Every tag of a repository that is one of some versions.
    Versions {
        /// The repository.
        repository: String,
        /// The versions.
        wanted: Versions,
    },
}

/// Reads a list of one name a line; empty lines and what follows `#` do not count. A name without tag stands for all tags.
///
/// # Errors
/// [`Kind::Invalid`] naming the line.
pub fn parse_list(text: &str) -> Result<Vec<Listed>> {
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        let reference = crate::remote::reference(name);
        let reference = reference.map_err(|error| error.context(format_args!("line {}: {name:?}", number + 1)))?;
        let is_whole = reference.tag().is_none() && reference.digest().is_none();
        entries.push(if is_whole { Entry::All(reference.to_string()) } else { Entry::One(reference) });
    }
    if entries.is_empty() {
        return Err(Error::new(Kind::Invalid, "the list names no images"));
    }
    Ok(vec![Listed { registry: None, entries, reach: Reach::default() }])
}

/// Reads skopeo's YAML.
///
/// # Errors
/// [`Kind::Invalid`] naming what is wrong; [`Kind::Unsupported`] for aliases, which could make a small file endless.
pub fn parse_yaml(text: &str) -> Result<Vec<Listed>> {
    refuse_aliases(text)?;
    let invalid =
        |error: &dyn std::fmt::Display| Error::new(Kind::Invalid, format!("the YAML cannot be read: {error}"));
    let documents = YamlLoader::load_from_str(text).map_err(|error| invalid(&error))?;
    let registries = documents.first().and_then(Yaml::as_hash);
    let registries = registries.ok_or_else(|| invalid(&"it names no registries"))?;
    registries
        .iter()
        .map(|(name, said)| {
            let name = string(name).ok_or_else(|| invalid(&"a registry's name is no text"))?;
            registry(&name, said).map_err(|error| error.context(&name))
        })
        .collect()
}

struct Aliases(bool);

impl EventReceiver for Aliases {
    fn on_event(&mut self, event: Event) {
        self.0 |= matches!(event, Event::Alias(_));
    }
}

fn refuse_aliases(text: &str) -> Result<()> {
    let mut aliases = Aliases(false);
    // What cannot be parsed is told by the reader that follows.
    let parsed = Parser::new_from_str(text).load(&mut aliases, true);
    if parsed.is_ok() && aliases.0 {
        return Err(Error::new(Kind::Unsupported, "aliases (`*name`) in YAML lists of images are not read"));
    }
    Ok(())
}

/// Text, or a number that stands where text belongs: `1.10` without quotes is `1.10`.
fn string(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn registry(name: &str, said: &Yaml) -> Result<Listed> {
    let invalid = |what: &str| Error::new(Kind::Invalid, what.to_owned());
    let fields = said.as_hash().ok_or_else(|| invalid("says nothing of its images"))?;
    let mut listed = Listed { registry: Some(name.to_owned()), entries: Vec::new(), reach: Reach::default() };
    for (key, value) in fields {
        match string(key).as_deref() {
            Some("images") => images(name, value, &mut listed.entries)?,
            Some(key @ ("images-by-tag-regex" | "images-by-semver")) => {
                for (repository, pattern) in value.as_hash().into_iter().flatten() {
                    let found = string(repository).zip(string(pattern));
                    let (repository, pattern) = found.ok_or_else(|| invalid(&format!("{key}: no text")))?;
                    let repository = format!("{name}/{repository}");
                    listed.entries.push(match key {
                        "images-by-semver" => {
                            let wanted = Versions::parse(&pattern);
                            let wanted = wanted.map_err(|error| error.context(format_args!("{key}: {repository}")))?;
                            Entry::Versions { repository, wanted }
                        }
                        _ => Entry::Matching { repository, pattern },
                    });
                }
            }
            Some("credentials") => {
                let field = |field: &str| string(&value[field]).filter(|text| !text.is_empty());
                let account = field("username").zip(field("password"));
                let (username, password) = account.ok_or_else(|| invalid("credentials: no username or password"))?;
                listed.reach.account = Some((username, Secret::new(password)));
            }
            Some("tls-verify") => {
                let verify = value.as_bool().ok_or_else(|| invalid("tls-verify is true or false"))?;
                listed.reach.tls_verify = Some(verify);
            }
            Some("cert-dir") => {
                let folder = string(value).filter(|folder| !folder.is_empty());
                listed.reach.cert_dir = Some(folder.ok_or_else(|| invalid("cert-dir is no path"))?.into());
            }
            other => return Err(invalid(&format!("{:?} is not known", other.unwrap_or_default()))),
        }
    }
    Ok(listed)
}

fn images(registry: &str, value: &Yaml, entries: &mut Vec<Entry>) -> Result<()> {
    let invalid = |what: &str| Error::new(Kind::Invalid, what.to_owned());
    for (repository, tags) in value.as_hash().into_iter().flatten() {
        let repository = string(repository).ok_or_else(|| invalid("images: a repository's name is no text"))?;
        let repository = format!("{registry}/{repository}");
        let tags = match tags {
            Yaml::Null => &[][..],
            Yaml::Array(tags) => tags,
            _ => return Err(invalid(&format!("images: {repository}: a list of tags belongs here"))),
        };
        if tags.is_empty() {
            entries.push(Entry::All(repository.clone()));
        }
        for tag in tags {
            let tag = string(tag).ok_or_else(|| invalid(&format!("images: {repository}: a tag is no text")))?;
            entries.push(Entry::One(of_repository(&repository, &tag)?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - 2.10
    images-by-tag-regex:
        nginx: ^1\.13\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 3.12.0"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
"#;

    #[test]
    fn skopeo_s_example() {
        let listed = parse_yaml(YAML).expect("it is skopeo's own");
        let shown: Vec<String> = listed.iter().map(|registry| format!("{:?}", registry.entries)).collect();
        assert_eq!(listed.len(), 2);
        assert!(shown[0].contains("All(\"registry.example.com/busybox\")"), "{shown:?}");
        assert_eq!(
            listed[0].entries[2],
            Entry::One(Reference::parse("registry.example.com/redis:2.10").expect("a name"))
        );
        assert!(matches!(&listed[0].entries[3], Entry::Matching { pattern, .. } if pattern.starts_with("^1")));
        assert!(matches!(&listed[0].entries[4], Entry::Versions { wanted, .. } if wanted.contain("3.20")));
        assert_eq!(listed[0].reach.cert_dir.as_deref(), Some(std::path::Path::new("/home/john/certs")));
        assert_eq!(listed[0].reach.account.as_ref().map(|(name, _)| name.as_str()), Some("john"));
        assert_eq!((listed[0].reach.tls_verify, listed[1].reach.tls_verify), (Some(true), Some(false)));
        assert_eq!(listed[1].domain().as_deref(), Some("quay.io"));
        assert!(!format!("{listed:?}").contains("this is a"), "{listed:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let bomb = "a: &a {images: {x: []}}\nb: *a\n";
        for (text, expected) in [
            ("", "the YAML cannot be read: it names no registries"),
            ("a.example:\n  imagse: {}\n", "a.example: \"imagse\" is not known"),
            ("a.example:\n  images:\n    x: latest\n", "a.example: images: a.example/x: a list of tags belongs here"),
            (
                "a.example:\n  images-by-semver: {x: newest}\n",
                "a.example: images-by-semver: a.example/x: improper constraint: \"newest\"",
            ),
            ("a.example:\n  tls-verify: maybe\n", "a.example: tls-verify is true or false"),
            (bomb, "aliases (`*name`) in YAML lists of images are not read"),
        ] {
            assert_eq!(parse_yaml(text).expect_err(text).to_string(), expected);
        }
    }

    #[test]
    fn lists_of_names() {
        let listed = parse_list("# mirror these\nalpine:3.20\n\nquay.io/a/b  # all of it\n").expect("a list");
        let expected =
            [Entry::One(Reference::parse("alpine:3.20").expect("a name")), Entry::All("quay.io/a/b".to_owned())];
        assert_eq!(listed[0].entries, expected);
        assert!(parse_list("\nUPPER:1\n").expect_err("no name").to_string().starts_with("line 2: \"UPPER:1\": "));
        assert_eq!(parse_list("# nothing\n").expect_err("empty").kind(), Kind::Invalid);
    }
}
