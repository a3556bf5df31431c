//! What every verb is given: who calls, where things are, where to write.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind};
use dhow_ops::transfers::Transfers;
use dhow_ops::{Account, ConfigFiles, Context, Places, Settings, Who};

use crate::console::Console;
use crate::environment::Environment;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::terminal;
use crate::verb::given;

/// Options that every command takes, before or behind its name.
#[derive(Args, Clone, Debug)]
pub(crate) struct Globals {
    /// Directory of the local store (default "$XDG_DATA_HOME/dhow", or "/var/lib/dhow" as root)
    #[arg(long, value_name = "string", global = true)]
    pub(crate) root: Option<PathBuf>,
    /// Behave as "docker" (28), "docker29" or "podman" (default "$DHOW_COMPAT", else the name of the link, else "dhow")
    #[arg(long, value_name = "string", global = true, value_parser = Personality::parse)]
    #[allow(dead_code, reason = "was read before all other arguments, which depend on it")]
    pub(crate) compat: Option<Personality>,
    /// Directory of the client's config.json (default "~/.docker")
    #[arg(long, value_name = "string", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Log what happens inside, from this level on ("trace", "debug", "info", "warn", "error")
    #[arg(long, value_name = "string", global = true)]
    pub(crate) log_level: Option<String>,
    /// Log at level "debug"
    #[arg(short = 'D', long, global = true)]
    pub(crate) debug: bool,
}

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    /// Whose habits to take on.
    pub(crate) personality: Personality,
    /// The words that led to the verb, the program first: `docker image ls`.
    pub(crate) path: String,
    /// Where to write.
    pub(crate) console: &'a Console,
    /// The variables that count.
    pub(crate) environment: Environment,
    /// The options of every command.
    pub(crate) globals: Globals,
}

impl Session<'_> {
    /// The handles of a verb that talks to registries; nothing is opened yet.
    ///
    /// # Errors
    /// When nothing tells where the store is.
    pub(crate) fn context(&self, network: &Network) -> Outcome<Context> {
        self.handles(network, Who::Stored, Transfers::default())
    }

    /// As [`Session::context`], as whom the user wants to be at the registries of this run, which must be one.
    ///
    /// # Errors
    /// As [`Session::context`], and when `--creds` cannot be used.
    pub(crate) fn context_as<'d>(
        &self,
        network: &Network,
        identity: &Identity,
        domains: impl IntoIterator<Item = &'d str>,
    ) -> Outcome<Context> {
        self.context_moving(network, identity, domains, Transfers::default())
    }

    /// As [`Session::context_as`], with what the user says about transfers.
    ///
    /// # Errors
    /// As [`Session::context_as`].
    pub(crate) fn context_moving<'d>(
        &self,
        network: &Network,
        identity: &Identity,
        domains: impl IntoIterator<Item = &'d str>,
        transfers: Transfers,
    ) -> Outcome<Context> {
        self.handles(network, identity.who(self.console, domains)?, transfers)
    }

    fn handles(&self, network: &Network, who: Who, transfers: Transfers) -> Outcome<Context> {
        Ok(Context::new(Settings {
            store_root: self.store_root()?,
            scratch_directory: self.environment.scratch_directory.clone(),
            credentials: self.credentials(network),
            who,
            tls_verify: network.tls_verify,
            registries: ConfigFiles {
                cert_dir: given(network.cert_dir.as_ref()).cloned(),
                ..self.environment.registry_files(self.personality.registries())
            },
            proxies: self.environment.proxies.clone(),
            naming: self.personality.naming(),
            user_agent: concat!("dhow/", env!("CARGO_PKG_VERSION")).to_owned(),
            transfers,
        }))
    }

    /// The handles of a verb that stays on this machine.
    ///
    /// # Errors
    /// As [`Session::context`].
    pub(crate) fn local_context(&self) -> Outcome<Context> {
        self.context(&Network::default())
    }

    fn credentials(&self, network: &Network) -> Places {
        Places {
            auth_file: self.auth_file(network).cloned(),
            environment: self.environment.docker_auth.clone(),
            docker_config: self.docker_config_dir().join("config.json"),
            containers: self.environment.containers_auth_files(),
            search_path: self.environment.search_path.clone(),
        }
    }

    /// Says that what is stored does not count, for the verbs that store credentials.
    pub(crate) fn warn_of_overlay(&self) {
        if self.environment.docker_auth.is_some() {
            self.console.notice("WARNING: DOCKER_AUTH_CONFIG is set and takes precedence.");
        }
    }

    /// The store's directory.
    ///
    /// # Errors
    /// When nothing tells where it is, or its path is not UTF-8.
    pub(crate) fn store_root(&self) -> Outcome<PathBuf> {
        let refused = |message| {
            let error = Error::new(Kind::Invalid, message);
            Failure::Engine(error.with_hint("give its directory with --root"))
        };
        let root = self.globals.root.clone().or_else(|| self.environment.store_root());
        let unknown = "cannot tell where the store is: neither HOME nor DHOW_ROOT is set";
        let root = root.ok_or_else(|| refused(unknown.to_owned()))?;
        if root.to_str().is_none() {
            // It stands in records, and in what is printed, as text.
            return Err(refused(format!("the path of the store is not UTF-8: {root:?}")));
        }
        Ok(root)
    }

    /// Podman refuses a file of credentials that is not there, where it only reads it; to docker and skopeo that means no account.
    ///
    /// # Errors
    /// In podman's words.
    pub(crate) fn check_authfile(&self, network: &Network) -> Outcome {
        let Some(path) = given(self.auth_file(network)) else { return Ok(()) };
        let is_missing = std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if self.personality != Personality::Podman || !is_missing {
            return Ok(());
        }
        let verb = self.path.split_once(' ').map_or("", |(_, verb)| verb);
        let step = if verb == "logout" || verb.starts_with("manifest") { "checking authfile: " } else { "" };
        Err(Failure::Client(format!("{step}stat {}: no such file or directory", path.display())))
    }

    fn auth_file<'a>(&'a self, network: &'a Network) -> Option<&'a PathBuf> {
        given(network.authfile.as_ref()).or(self.environment.auth_file.as_ref())
    }

    /// Docker's file, if the user said where that is and named no other one: podman keeps logins there then.
    pub(crate) fn given_docker_config(&self, network: &Network) -> Option<PathBuf> {
        let folder = self.globals.config.as_ref().or(self.environment.docker_config.as_ref());
        folder.filter(|_| self.auth_file(network).is_none()).map(|folder| folder.join("config.json"))
    }

    /// The file that podman keeps logins in, unless it is told another one.
    pub(crate) fn podman_auth_file(&self, network: &Network) -> PathBuf {
        let given = self.auth_file(network).cloned().or_else(|| self.given_docker_config(network));
        given.or_else(|| self.environment.containers_auth_files().into_iter().next()).unwrap_or_default()
    }

    /// The directory of `config.json`. A user without any home has it where a container's usual `HOME=/` would put it.
    pub(crate) fn docker_config_dir(&self) -> PathBuf {
        let given = self.globals.config.clone().or_else(|| self.environment.docker_config_dir());
        given.unwrap_or_else(|| PathBuf::from("/.docker"))
    }
}

/// Options of the verbs that talk to registries.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Network {
    /// File of credentials to use instead of all others (default "$REGISTRY_AUTH_FILE")
    #[arg(long, value_name = "string")]
    pub(crate) authfile: Option<PathBuf>,
    /// Folder of certificates to use instead of those configured for the registry
    #[arg(long, value_name = "string")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Require HTTPS and valid certificates of registries (default true, or what is configured of the registry)
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) tls_verify: Option<bool>,
}

/// Who to be at the registry, for the verbs that move images.
#[derive(Args, Clone)]
pub(crate) struct Identity {
    /// Use this account instead of a stored one; without a password, ask for it
    #[arg(long, value_name = "user[:password]")]
    creds: Option<String>,
    /// Use no account, whatever is stored
    #[arg(long)]
    no_creds: bool,
    /// What stands before "creds" in the names of the options.
    #[arg(skip)]
    side: &'static str,
    /// What one side of a copy is given instead of an account.
    #[arg(skip)]
    registry_token: Option<String>,
}

/// By hand, since there may be a password in it.
impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// What came by the options of one `side` of a copy: `src-` or `dest-`.
    pub(crate) fn of(side: &'static str, creds: Option<String>, no_creds: bool) -> Self {
        Self { creds, no_creds, side, registry_token: None }
    }

    /// As whom an access token is for, if one is given.
    #[must_use]
    pub(crate) fn or_token(self, registry_token: Option<String>) -> Self {
        Self { registry_token, ..self }
    }

    /// Who to be. An account is bound to the one registry that all names are of: another one must not get to see it.
    fn who<'d>(&self, console: &Console, domains: impl IntoIterator<Item = &'d str>) -> Outcome<Who> {
        let side = self.side;
        if let Some(token) = &self.registry_token {
            if self.creds.is_some() || self.no_creds {
                let message =
                    format!("conflicting options: --{side}registry-token excludes --{side}creds and --{side}no-creds");
                return Err(Failure::Client(message));
            }
            let Some(domain) = domains.into_iter().next() else { return Ok(Who::Stored) };
            return Ok(Who::Token { domain: domain.to_owned(), token: Secret::new(token) });
        }
        let Some(given) = &self.creds else { return Ok(if self.no_creds { Who::Nobody } else { Who::Stored }) };
        if self.no_creds {
            let message = format!("conflicting options: --{side}creds and --{side}no-creds exclude each other");
            return Err(Failure::Client(message));
        }
        let mut domains = domains.into_iter();
        let Some(domain) = domains.next() else { return Ok(Who::Stored) };
        if let Some(other) = domains.find(|other| *other != domain) {
            let message = format!("--{side}creds is for one registry, but the names are of {domain} and {other}");
            return Err(Failure::Client(message));
        }
        let (username, password) = match given.split_once(':') {
            Some((username, password)) => (username, Secret::new(password)),
            None if terminal::input_is_terminal() => (given.as_str(), terminal::ask_secret(console, "Password: ")?),
            None => {
                let message = format!("--{side}creds has no password, and there is no terminal to ask for it");
                return Err(Failure::Client(message));
            }
        };
        if username.is_empty() || password.is_empty() {
            let message = format!("--{side}creds needs a user name and a password: user:password");
            return Err(Failure::Client(message));
        }
        Ok(Who::Account(Account { domain: domain.to_owned(), username: username.to_owned(), password }))
    }
}
