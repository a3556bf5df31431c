//! `serve`

pub(super) mod gc;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use dhow_ops::serve::{
    AccessLog, AccessSection, CacheSection, Configuration, ImmutableTags, Listening, Quota, Rule, Source, StoreOptions,
    TlsSection, TokenSection, UpstreamSection,
};
use dhow_ops::strconv::parse_bool;
use dhow_ops::{runtime, serve};

use crate::environment;
use crate::errors::Outcome;
use crate::format::document::{DocumentFormat, Documents};
use crate::format::schema;
use crate::session::Session;
use crate::signals::Signals;
use crate::verb::{Count, Verb};

/// The arguments of `serve`. Each has a variable of the environment, and all but `--config-file` and `--format` a key in the file.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Configuration file (TOML); what is given here wins over it
    #[arg(long, value_name = "string", env = "DHOW_SERVE_CONFIG_FILE", hide_env = true)]
    config_file: Option<PathBuf>,
    #[command(flatten)]
    documents: DocumentFormat,
    /// Address and port to listen on, port 0 takes a free one (default "127.0.0.1:5000")
    #[arg(long, value_name = "string", env = "DHOW_SERVE_LISTEN", hide_env = true)]
    listen: Option<String>,
    /// Refuse pushes and deletes
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        env = "DHOW_SERVE_READ_ONLY",
        hide_env = true
    )]
    read_only: Option<bool>,
    /// Show people with a browser what the registry holds (default true)
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        env = "DHOW_SERVE_PAGE",
        hide_env = true
    )]
    page: Option<bool>,
    /// Folder that holds the content (default "registry" in the store's directory)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_ROOT_DIR", hide_env = true)]
    root_dir: Option<PathBuf>,
    /// Object store that holds the content instead ("s3://bucket/prefix", "gs://…", "az://…")
    #[arg(long, value_name = "string", env = "DHOW_SERVE_STORAGE", hide_env = true)]
    storage: Option<String>,
    /// Say how to reach the object store ("NAME=VALUE")
    #[arg(long, value_name = "setting", env = "DHOW_SERVE_OBJECT_STORE", hide_env = true, value_delimiter = ' ')]
    object_store: Vec<String>,
    /// Promise that no other server writes to the object store, so that it need not have conditional writes
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        env = "DHOW_SERVE_SINGLE_REPLICA",
        hide_env = true
    )]
    single_replica: Option<bool>,
    /// Write a line of JSON for each request to standard output, with --format to standard error
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        env = "DHOW_SERVE_ACCESS_LOG",
        hide_env = true
    )]
    access_log: Option<bool>,
    /// Set a bound on what clients may use ("NAME=NUMBER")
    #[arg(long, value_name = "limit", env = "DHOW_SERVE_LIMIT", hide_env = true, value_delimiter = ' ')]
    limit: Vec<String>,
    /// Certificate to speak HTTPS with (PEM), and those between it and its authority
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TLS_CERTIFICATE", hide_env = true)]
    tls_certificate: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TLS_KEY", hide_env = true)]
    tls_key: Option<PathBuf>,
    /// Let only clients connect that have a certificate of these authorities (PEM)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TLS_CLIENT_CA", hide_env = true)]
    tls_client_ca: Option<PathBuf>,
    /// File of accounts, as made by "htpasswd -B"
    #[arg(long, value_name = "string", env = "DHOW_SERVE_HTPASSWD", hide_env = true)]
    htpasswd: Option<PathBuf>,
    /// What clients show when they ask for a password (default "dhow")
    #[arg(long, value_name = "string", env = "DHOW_SERVE_REALM", hide_env = true)]
    realm: Option<String>,
    /// Let everybody pull everything
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        env = "DHOW_SERVE_ANONYMOUS_PULL",
        hide_env = true
    )]
    anonymous_pull: Option<bool>,
    /// Way to log in that clients are told of, with accounts and tokens: "token" (default), "basic" or "both"
    #[arg(long, value_name = "string", env = "DHOW_SERVE_CHALLENGE", hide_env = true)]
    challenge: Option<String>,
    /// Allow users something in repositories ("USERS:ACTIONS:REPOSITORIES")
    #[arg(long, value_name = "rule", env = "DHOW_SERVE_ALLOW", hide_env = true, value_delimiter = ' ')]
    allow: Vec<String>,
    /// Address at which clients get tokens
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TOKEN_REALM", hide_env = true)]
    token_realm: Option<String>,
    /// What the registry is called in tokens
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TOKEN_SERVICE", hide_env = true)]
    token_service: Option<String>,
    /// Who issues tokens
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TOKEN_ISSUER", hide_env = true)]
    token_issuer: Option<String>,
    /// Public keys of the issuer (PEM or a JSON Web Key Set)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_TOKEN_KEYS", hide_env = true)]
    token_keys: Option<PathBuf>,
    /// By how many seconds the issuer's clock may be off (default 60)
    #[arg(long, value_name = "int", env = "DHOW_SERVE_TOKEN_LEEWAY_SECONDS", hide_env = true)]
    token_leeway_seconds: Option<u64>,
    /// Offer the images of this machine, read-only
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = parse_bool,
        env = "DHOW_SERVE_LOCAL",
        hide_env = true
    )]
    local: Option<bool>,
    /// Keep copies of another registry ("NAME=REGISTRY")
    #[arg(long, value_name = "upstream", env = "DHOW_SERVE_UPSTREAM", hide_env = true, value_delimiter = ' ')]
    upstream: Vec<String>,
    /// Name of the upstream that names without one are looked up in
    #[arg(long, value_name = "string", env = "DHOW_SERVE_CACHE_DEFAULT", hide_env = true)]
    cache_default: Option<String>,
    /// Folder of copies (default "registry-cache" in the store's directory)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_CACHE_DIR", hide_env = true)]
    cache_dir: Option<PathBuf>,
    /// Bytes that all copies together may take (default 10737418240)
    #[arg(long, value_name = "int", env = "DHOW_SERVE_CACHE_BYTES", hide_env = true)]
    cache_bytes: Option<u64>,
    /// Seconds for which what a tag stands for, and a list, is taken for true (default 60)
    #[arg(long, value_name = "int", env = "DHOW_SERVE_CACHE_FRESH_SECONDS", hide_env = true)]
    cache_fresh_seconds: Option<u64>,
    /// Keep tags from being moved or deleted ("REPOSITORIES:TAGS")
    #[arg(long, value_name = "rule", env = "DHOW_SERVE_IMMUTABLE_TAGS", hide_env = true, value_delimiter = ' ')]
    immutable_tags: Vec<String>,
    /// Bound what a namespace may hold ("NAMESPACE:bytes=NUMBER,repositories=NUMBER,tags=NUMBER")
    #[arg(long, value_name = "quota", env = "DHOW_SERVE_QUOTA", hide_env = true, value_delimiter = ' ')]
    quota: Vec<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Serve {
    fn source(&self) -> dhow_base::Result<Source> {
        let overrides = Configuration {
            listen: self.listen.clone(),
            root_dir: self.root_dir.clone(),
            storage: self.storage.clone(),
            object_store: StoreOptions::parse(&self.object_store)?,
            single_replica: self.single_replica,
            read_only: self.read_only,
            page: self.page,
            access_log: self.access_log,
            limits: self.limit.iter().map(|text| serve::parse_limit(text)).collect::<Result<_, _>>()?,
            tls: TlsSection {
                certificate: self.tls_certificate.clone(),
                key: self.tls_key.clone(),
                client_ca: self.tls_client_ca.clone(),
            },
            access: AccessSection {
                htpasswd: self.htpasswd.clone(),
                realm: self.realm.clone(),
                anonymous_pull: self.anonymous_pull,
                challenge: self.challenge.as_deref().map(str::parse).transpose()?,
                token: TokenSection {
                    realm: self.token_realm.clone(),
                    service: self.token_service.clone(),
                    issuer: self.token_issuer.clone(),
                    keys: self.token_keys.clone(),
                    leeway_seconds: self.token_leeway_seconds,
                },
                rules: self.allow.iter().map(|text| Rule::parse(text)).collect::<Result<_, _>>()?,
            },
            immutable_tags: self
                .immutable_tags
                .iter()
                .map(|text| ImmutableTags::parse(text))
                .collect::<Result<_, _>>()?,
            quotas: self.quota.iter().map(|text| Quota::parse(text)).collect::<Result<_, _>>()?,
            local: self.local,
            cache: CacheSection {
                dir: self.cache_dir.clone(),
                bytes: self.cache_bytes,
                fresh_seconds: self.cache_fresh_seconds,
                default: self.cache_default.clone(),
                upstreams: self.upstream.iter().map(|text| UpstreamSection::parse(text)).collect::<Result<_, _>>()?,
            },
        };
        Ok(Source { file: self.config_file.clone(), overrides, environment: environment::object_stores() })
    }
}

impl Verb for Serve {
    const ABOUT: &'static str = "Serve a registry on a local folder or an object store";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        documents.settle(None, self.serve(session, &documents))
    }
}

impl Serve {
    fn serve(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        let context = session.local_context()?;
        let source = self.source()?;
        let example = Listening { address: SocketAddr::from(([127, 0, 0, 1], 0)), is_secure: false, read_only: false };
        documents.rehearse(&schema::Listening::from(&example))?;
        let ready = |listening: Listening| {
            if !documents.are_wanted() {
                session.console.line(format!("Listening on {}", listening.url()));
                session.console.flush();
            }
            // What fails for this address failed in the rehearsal.
            let _ = documents.put(&schema::Listening::from(&listening));
        };
        let is_diverted = documents.are_wanted();
        let access_log = AccessLog::new(move |line| {
            // As with every program in a pipe, a reader that goes away ends the server.
            let _ = match is_diverted {
                true => writeln!(std::io::stderr().lock(), "{line}"),
                false => writeln!(std::io::stdout().lock(), "{line}"),
            };
        });
        runtime::block_on_all_cores(async {
            let mut signals = Signals::listen()?;
            let shutdown = async move {
                signals.next().await;
            };
            serve::serve(&context, source, access_log, ready, shutdown).await
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::{ArgMatches, Command, FromArgMatches as _};

    use super::*;

    /// A value for each key: as the file has it, and as the flag has it.
    const VALUES: [(&str, &str, &str); 30] = [
        ("listen", "'[::1]:7'", "[::1]:7"),
        ("root-dir", "'/content'", "/content"),
        ("storage", "'s3://bucket/prefix'", "s3://bucket/prefix"),
        ("object-store.<name>", "'http://127.0.0.1:1?a=b'", "<name>=http://127.0.0.1:1?a=b"),
        ("single-replica", "true", "true"),
        ("read-only", "true", "true"),
        ("page", "false", "false"),
        ("access-log", "true", "true"),
        ("limits.connections", "7", "connections=7"),
        ("tls.certificate", "'/server.pem'", "/server.pem"),
        ("tls.key", "'/key.pem'", "/key.pem"),
        ("tls.client-ca", "'/ca.pem'", "/ca.pem"),
        ("access.htpasswd", "'/accounts'", "/accounts"),
        ("access.realm", "'team'", "team"),
        ("access.anonymous-pull", "true", "true"),
        ("access.challenge", "'basic'", "basic"),
        ("access.token.realm", "'https://a/token'", "https://a/token"),
        ("access.token.service", "'registry'", "registry"),
        ("access.token.issuer", "'issuer'", "issuer"),
        ("access.token.keys", "'/keys.json'", "/keys.json"),
        ("access.token.leeway-seconds", "5", "5"),
        (
            "access.rules",
            "[{ users = ['a', '*'], allow = ['pull', 'push'], repositories = ['b/**'] }]",
            "a,*:pull,push:b/**",
        ),
        ("immutable-tags", "[{ repositories = ['**'], tags = ['v*'] }]", "**:v*"),
        ("quotas", "[{ namespace = 'a', bytes = 1, repositories = 2, tags = 3 }]", "a:bytes=1,repositories=2,tags=3"),
        ("local", "true", "true"),
        ("cache.upstreams", "[{ name = 'hub', registry = 'docker.io' }]", "hub=docker.io"),
        ("cache.default", "'hub'", "hub"),
        ("cache.dir", "'/copies'", "/copies"),
        ("cache.bytes", "5", "5"),
        ("cache.fresh-seconds", "5", "5"),
    ];

    fn command() -> Command {
        Serve::augment_args(Command::new("serve"))
    }

    /// The keys of the documentation's table, and the flags in it.
    fn documented() -> Vec<(&'static str, &'static str)> {
        let page = include_str!("../../../../docs/serve/configuration.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `--"));
        rows.map(|(key, rest)| (key, rest.split(['`', ' ']).next().expect("a flag"))).collect()
    }

    fn read(arguments: &ArgMatches) -> Configuration {
        Serve::from_arg_matches(arguments).expect("arguments").source().expect("a configuration").overrides
    }

    #[test]
    fn every_key_is_a_flag_and_a_variable_and_both_say_the_same() {
        let documented = documented();
        assert_eq!(documented.len(), VALUES.len());
        for (key, flag) in &documented {
            let key = if *key == "limits.<name>" { "limits.connections" } else { key };
            let (_, toml, given) = VALUES.iter().find(|(named, ..)| *named == key).expect(key);
            let text = format!("{} = {toml}", key.replace("<name>", "'<name>'"));
            let file = Configuration::parse(&text, Path::new("/")).expect(key);
            assert_ne!(file, Configuration::default(), "{key}");
            let flagged = command().try_get_matches_from(["serve", &format!("--{flag}={given}")]).expect(flag);
            assert_eq!(read(&flagged), file, "--{flag}");
        }
        let flags: BTreeSet<&str> = documented.into_iter().map(|(_, flag)| flag).chain(["config-file"]).collect();
        let (mut command, mut known) = (command(), BTreeSet::new());
        command.build();
        for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
            let flag = argument.get_long().expect("a flag");
            let variable = format!("DHOW_SERVE_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(variable.as_str()), "--{flag}");
            known.insert(flag);
        }
        assert_eq!(known, flags);
    }
}
