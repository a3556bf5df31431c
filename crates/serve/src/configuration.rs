//! The configuration file, and what the command line says in its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result, fs};
use serde::Deserialize;

use crate::access::{Challenge, ImmutableTags, Rule};
use crate::options::{Limits, ObjectStorage, StoreOptions};
use crate::quota::Quota;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything that can be configured; nothing where the default counts. `docs/serve/configuration.md` tells of each key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configuration {
    /// Address and port to listen on.
    pub listen: Option<String>,
    /// The folder that holds the content.
    pub root_dir: Option<PathBuf>,
    /// The object store that holds the content instead: `s3://bucket/prefix` and the like.
    pub storage: Option<String>,
    /// How to reach it.
    pub object_store: StoreOptions,
    /// Promises that only one server writes to it.
    pub single_replica: Option<bool>,
    /// Refuses pushes and deletes.
    pub read_only: Option<bool>,
    /// Shows people with a browser what the registry holds.
    pub page: Option<bool>,
    /// Writes a line of JSON for each request.
    pub access_log: Option<bool>,
    /// Bounds on what clients may use: the names of [`Limits::set`].
    pub limits: BTreeMap<String, u64>,
    /// HTTPS in place of HTTP.
    pub tls: TlsSection,
    /// Who may do what.
    pub access: AccessSection,
    /// Tags that stay.
    pub immutable_tags: Vec<ImmutableTags>,
    /// How much namespaces may hold.
    pub quotas: Vec<Quota>,
    /// Offers the images of this machine, and nothing else.
    pub local: Option<bool>,
    /// Copies of other registries.
    pub cache: CacheSection,
}

/// The table `[cache]`: copies of what other registries have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CacheSection {
    /// The folder of copies.
    pub dir: Option<PathBuf>,
    /// Bytes that all copies together may take.
    pub bytes: Option<u64>,
    /// How long what a tag stands for is taken for true, in seconds.
    pub fresh_seconds: Option<u64>,
    /// Name of the upstream that names without one are looked up in.
    pub default: Option<String>,
    /// The registries that are copied.
    pub upstreams: Vec<UpstreamSection>,
}

/// One entry of `cache.upstreams`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSection {
    /// How the names of its copies begin.
    pub name: String,
    /// The registry, as image names have it.
    pub registry: String,
}

impl UpstreamSection {
    /// Reads `<name>=<registry>`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it has not that form.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = text.split_once('=').filter(|(name, registry)| !name.is_empty() && !registry.is_empty());
        let (name, registry) = parts.ok_or_else(|| {
            Error::new(Kind::Invalid, format!("invalid upstream {text:?}"))
                .with_hint("write <name>=<registry>, such as hub=docker.io")
        })?;
        Ok(Self { name: name.to_owned(), registry: registry.to_owned() })
    }
}

/// The table `[tls]`: files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TlsSection {
    /// The server's certificate, and those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Authorities of clients: only clients that have a certificate of one of them may connect.
    pub client_ca: Option<PathBuf>,
}

/// The table `[access]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AccessSection {
    /// The file of accounts.
    pub htpasswd: Option<PathBuf>,
    /// What clients show when they ask for a password.
    pub realm: Option<String>,
    /// Lets everybody pull everything.
    pub anonymous_pull: Option<bool>,
    /// Which ways to log in clients are told of, where there are both.
    pub challenge: Option<Challenge>,
    /// Tokens, in place of accounts or beside them.
    pub token: TokenSection,
    /// Who may do what where.
    pub rules: Vec<Rule>,
}

/// The table `[access.token]`: who issues tokens for this registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TokenSection {
    /// Address at which clients get tokens.
    pub realm: Option<String>,
    /// What this registry is called in tokens: their audience.
    pub service: Option<String>,
    /// What the issuer calls itself in tokens.
    pub issuer: Option<String>,
    /// File of the issuer's public keys: PEM, or a JSON Web Key Set.
    pub keys: Option<PathBuf>,
    /// By how much clocks may differ, in seconds.
    pub leeway_seconds: Option<u64>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, read again when it changes.
    pub file: Option<PathBuf>,
    /// What wins over the file.
    pub overrides: Configuration,
    /// What object stores' own tools read from the environment.
    pub environment: StoreOptions,
}

impl Configuration {
    /// Reads the text of a configuration file. Relative paths in it begin at `folder`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the place in the text, and for a limit that is not one.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut parsed: Self =
            toml::from_str(text).map_err(|error| Error::new(Kind::Invalid, error.to_string().trim_end()))?;
        parsed.limits()?;
        parsed.paths().into_iter().flatten().for_each(|path| *path = folder.join(&*path));
        Ok(parsed)
    }

    fn paths(&mut self) -> [Option<&mut PathBuf>; 7] {
        let (tls, access) = (&mut self.tls, &mut self.access);
        let tls = [&mut tls.certificate, &mut tls.key, &mut tls.client_ca].map(Option::as_mut);
        let [certificate, key, client_ca] = tls;
        let (accounts, keys) = (access.htpasswd.as_mut(), access.token.keys.as_mut());
        [self.root_dir.as_mut(), self.cache.dir.as_mut(), accounts, keys, certificate, key, client_ca]
    }

    /// The limits, with the default where none is given.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that no limit has.
    pub fn limits(&self) -> Result<Limits> {
        let mut limits = Limits::default();
        self.limits.iter().try_for_each(|(name, value)| limits.set(name, *value))?;
        Ok(limits)
    }

    /// The object store that holds the content, if it is not in a folder.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when a folder is named as well.
    pub fn object_storage(&self, environment: &StoreOptions) -> Result<Option<ObjectStorage>> {
        let Some(location) = self.storage.clone() else { return Ok(None) };
        if let Some(folder) = &self.root_dir {
            let message = format!("the content cannot be both in {location:?} and in {folder:?}");
            return Err(Error::new(Kind::Invalid, message).with_hint("give either storage or root-dir"));
        }
        Ok(Some(ObjectStorage {
            location,
            options: self.object_store.clone(),
            environment: environment.clone(),
            single_replica: self.single_replica.unwrap_or(false),
        }))
    }

    /// This configuration, with what `other` says in place of what it says itself. A list replaces a list.
    fn overridden_by(mut self, other: &Self) -> Self {
        fn replace<T: Clone>(value: &mut Option<T>, other: &Option<T>) {
            if other.is_some() {
                value.clone_from(other);
            }
        }
        fn replace_list<T: Clone>(value: &mut Vec<T>, other: &[T]) {
            if !other.is_empty() {
                *value = other.to_vec();
            }
        }
        replace(&mut self.listen, &other.listen);
        replace(&mut self.root_dir, &other.root_dir);
        replace(&mut self.storage, &other.storage);
        self.object_store.0.extend(other.object_store.0.clone());
        replace(&mut self.single_replica, &other.single_replica);
        replace(&mut self.read_only, &other.read_only);
        replace(&mut self.page, &other.page);
        replace(&mut self.access_log, &other.access_log);
        self.limits.extend(other.limits.clone());
        replace(&mut self.tls.certificate, &other.tls.certificate);
        replace(&mut self.tls.key, &other.tls.key);
        replace(&mut self.tls.client_ca, &other.tls.client_ca);
        replace(&mut self.access.htpasswd, &other.access.htpasswd);
        replace(&mut self.access.realm, &other.access.realm);
        replace(&mut self.access.anonymous_pull, &other.access.anonymous_pull);
        replace(&mut self.access.challenge, &other.access.challenge);
        let (token, given) = (&mut self.access.token, &other.access.token);
        replace(&mut token.realm, &given.realm);
        replace(&mut token.service, &given.service);
        replace(&mut token.issuer, &given.issuer);
        replace(&mut token.keys, &given.keys);
        replace(&mut token.leeway_seconds, &given.leeway_seconds);
        replace_list(&mut self.access.rules, &other.access.rules);
        replace_list(&mut self.immutable_tags, &other.immutable_tags);
        replace_list(&mut self.quotas, &other.quotas);
        replace(&mut self.local, &other.local);
        replace(&mut self.cache.dir, &other.cache.dir);
        replace(&mut self.cache.bytes, &other.cache.bytes);
        replace(&mut self.cache.fresh_seconds, &other.cache.fresh_seconds);
        replace(&mut self.cache.default, &other.cache.default);
        replace_list(&mut self.cache.upstreams, &other.cache.upstreams);
        self
    }

    /// Whether a running server would have to start anew to heed the other configuration in full.
    pub(crate) fn needs_restart_for(&self, other: &Self) -> bool {
        let fixed = |of: &Self| {
            (
                of.listen.clone(),
                of.root_dir.clone(),
                (of.storage.clone(), of.object_store.clone(), of.single_replica),
                of.read_only,
                of.page,
                of.access_log,
                of.limits.clone(),
                of.tls.certificate.is_some(),
                of.local,
                of.cache.clone(),
            )
        };
        fixed(self) != fixed(other)
    }
}

impl Source {
    /// Reads the file, if there is one, and puts the overrides over it.
    ///
    /// # Errors
    /// Those of [`Configuration::parse`] with the file's name, and of reading it.
    pub fn load(&self) -> Result<Configuration> {
        let Some(path) = &self.file else { return Ok(self.overrides.clone()) };
        let bytes = fs::read_limited(path, FILE_BYTES_MAX)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::Invalid, format!("the configuration {path:?} is not UTF-8")))?;
        let folder = path.parent().unwrap_or(path);
        let configuration = Configuration::parse(&text, folder)
            .map_err(|error| error.context(format_args!("the configuration {path:?} cannot be read")))?;
        Ok(configuration.overridden_by(&self.overrides))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::access::Action;

    const EVERY_KEY: &str = r#"
        listen = "0.0.0.0:5000"
        root-dir = "content"
        storage = "s3://bucket/prefix"
        single-replica = true
        read-only = true
        page = false
        access-log = true
        local = true
        [object-store]
        endpoint = "http://127.0.0.1:8333"
        secret-access-key = "hunter2"
        [limits]
        connections = 7
        [tls]
        certificate = "server.pem"
        key = "/etc/key.pem"
        client-ca = "ca.pem"
        [access]
        htpasswd = "/etc/accounts"
        realm = "team"
        anonymous-pull = true
        challenge = "token"
        [access.token]
        realm = "https://auth.example.org/token"
        service = "registry.example.org"
        issuer = "auth.example.org"
        keys = "keys.json"
        leeway-seconds = 5
        [[access.rules]]
        users = ["alice", "*"]
        allow = ["pull", "push", "delete"]
        repositories = ["team/**"]
        [[immutable-tags]]
        repositories = ["**"]
        tags = ["v*"]
        [[quotas]]
        namespace = "team"
        bytes = 1000000
        repositories = 10
        tags = 100
        [cache]
        dir = "copies"
        bytes = 1000000
        fresh-seconds = 30
        default = "hub"
        [[cache.upstreams]]
        name = "hub"
        registry = "docker.io"
    "#;

    fn parse(text: &str) -> Result<Configuration> {
        Configuration::parse(text, Path::new("/etc/dhow"))
    }

    #[test]
    fn every_key_is_read_and_paths_begin_at_the_file() {
        let parsed = parse(EVERY_KEY).expect("a configuration");
        assert_eq!(parsed.root_dir, Some("/etc/dhow/content".into()));
        assert_eq!(parsed.tls.client_ca, Some("/etc/dhow/ca.pem".into()));
        assert_eq!(parsed.access.htpasswd, Some("/etc/accounts".into()));
        assert_eq!(parsed.access.token.keys, Some("/etc/dhow/keys.json".into()));
        assert_eq!(parsed.limits().expect("limits").connections, 7);
        assert!(!format!("{parsed:?}").contains("hunter2"), "keys are not shown");
        let both = parsed.object_storage(&StoreOptions::default()).unwrap_err();
        assert!(both.to_string().contains("s3://bucket/prefix"), "{both}");
        let storage = Configuration { root_dir: None, ..parsed.clone() }.object_storage(&StoreOptions::default());
        let storage = storage.expect("a storage").expect("one that is given");
        assert_eq!((storage.options.0.len(), storage.single_replica), (2, true));
        assert_eq!(parsed.access.rules[0].allow, [Action::Pull, Action::Push, Action::Delete]);
        assert_eq!(parsed.immutable_tags[0].tags, ["v*"]);
        assert_eq!(parsed.cache.dir, Some("/etc/dhow/copies".into()));
        assert_eq!(parsed.cache.upstreams[0].registry, "docker.io");
    }

    /// The keys of a table as they are written, those in lists of tables without their number.
    fn keys(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    keys(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
                }
            }
            _ => drop(found.insert(path.to_owned())),
        }
    }

    #[test]
    fn the_documentation_has_every_key() {
        let page = include_str!("../../../docs/serve/configuration.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        let (limits, documented): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.len() == 3);
        let mut written = BTreeSet::new();
        keys(&toml::from_str(EVERY_KEY).expect("TOML"), "", &mut written);
        written.retain(|key| key != "limits.connections" && !key.starts_with("object-store."));
        written.extend(["limits.<name>".to_owned(), "object-store.<name>".to_owned()]);
        let documented: BTreeSet<String> = documented.iter().map(|row| row[0].to_owned()).collect();
        assert_eq!(documented, written);

        let names: Vec<&str> = limits.iter().map(|row| row[0]).collect();
        assert_eq!(names, Limits::NAMES);
        for row in &limits {
            let mut set = Limits::default();
            set.set(row[0], row[1].parse().expect("a number")).expect("a limit");
            assert_eq!(set, Limits::default(), "the default of {}", row[0]);
        }
    }

    /// A key that is not in [`EVERY_KEY`] keeps this from compiling or passing.
    #[test]
    fn every_key_is_every_key() {
        let parsed = parse(EVERY_KEY).expect("a configuration");
        let Configuration {
            listen,
            root_dir,
            storage,
            object_store,
            single_replica,
            read_only,
            page,
            access_log,
            limits,
            tls: TlsSection { certificate, key, client_ca },
            access: AccessSection { htpasswd, realm, anonymous_pull, challenge, token, rules },
            immutable_tags,
            quotas,
            local,
            cache: CacheSection { dir, bytes, fresh_seconds, default, upstreams },
        } = parsed;
        let TokenSection { realm: token_realm, service, issuer, keys, leeway_seconds } = token;
        assert!([listen, storage, realm, token_realm, service, issuer, default].iter().all(Option::is_some));
        assert!([root_dir, certificate, key, client_ca, htpasswd, keys, dir].iter().all(Option::is_some));
        assert!([single_replica, read_only, page, access_log, anonymous_pull, local].iter().all(Option::is_some));
        assert!([leeway_seconds, bytes, fresh_seconds].iter().all(Option::is_some) && challenge.is_some());
        assert!(!limits.is_empty() && !rules.is_empty() && !immutable_tags.is_empty());
        assert!(!object_store.0.is_empty() && !quotas.is_empty() && !upstreams.is_empty());
    }

    #[test]
    fn slips_are_named() {
        for (text, named) in [
            ("lisen = \"x\"", "lisen"),
            ("[access]\nrule = []", "rule"),
            ("[limits]\nconections = 1", "conections"),
            ("[[access.rules]]\nusers = [\"a\"]\nrepositories = [\"a\"]", "allow"),
            ("[[access.rules]]\nusers = []\nallow = [\"read\"]\nrepositories = [\"a\"]", "read"),
            ("listen = 5", "listen"),
            ("[limits]\nconnections = -1", "connections"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_given_wins_and_the_rest_stays() {
        let file = parse(EVERY_KEY).expect("a configuration");
        let given = Configuration {
            listen: Some("[::1]:1".to_owned()),
            limits: BTreeMap::from([("upload-sessions".to_owned(), 3)]),
            ..Configuration::default()
        };
        let merged = file.clone().overridden_by(&given);
        assert_eq!(merged.listen.as_deref(), Some("[::1]:1"));
        assert_eq!((merged.limits.len(), &merged.access), (2, &file.access));
        assert!(merged.needs_restart_for(&file) && !file.needs_restart_for(&file));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "([a-z-]{1,8}|[\\[\\]=\"\n.]){0,30}") {
            let _ = parse(&text);
        }
    }
}
