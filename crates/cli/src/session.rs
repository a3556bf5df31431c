//! What every verb is given: who calls, where things are, where to write.

use std::path::PathBuf;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::{Context, Settings};

use crate::console::Console;
use crate::environment::Environment;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;

/// Options that every command takes, before or behind its name.
#[derive(Args, Clone, Debug)]
pub(crate) struct Globals {
    /// Directory of the local store (default "$XDG_DATA_HOME/dhow", or "/var/lib/dhow" as root)
    #[arg(long, value_name = "string", global = true)]
    pub(crate) root: Option<PathBuf>,
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
        if self.environment.has_auth_config {
            self.console.notice("WARNING: DOCKER_AUTH_CONFIG is set, but dhow does not read it yet");
        }
        self.handles(network.tls_verify)
    }

    fn handles(&self, tls_verify: bool) -> Outcome<Context> {
        Ok(Context::new(Settings {
            store_root: self.store_root()?,
            docker_config_dir: self.docker_config_dir(),
            tls_verify,
            user_agent: concat!("dhow/", env!("CARGO_PKG_VERSION")).to_owned(),
        }))
    }

    /// The handles of a verb that stays on this machine.
    ///
    /// # Errors
    /// As [`Session::context`].
    pub(crate) fn local_context(&self) -> Outcome<Context> {
        self.handles(true)
    }

    /// The store's directory.
    ///
    /// # Errors
    /// When nothing tells where it is.
    pub(crate) fn store_root(&self) -> Outcome<PathBuf> {
        let root = self.globals.root.clone().or_else(|| self.environment.store_root());
        root.ok_or_else(|| {
            let error = Error::new(Kind::Invalid, "cannot tell where the store is: neither HOME nor DHOW_ROOT is set");
            Failure::Engine(error.with_hint("give its directory with --root"))
        })
    }

    /// The directory of `config.json`. A user without any home has it where a container's usual `HOME=/` would put it.
    pub(crate) fn docker_config_dir(&self) -> PathBuf {
        let given = self.globals.config.clone().or_else(|| self.environment.docker_config_dir());
        given.unwrap_or_else(|| PathBuf::from("/.docker"))
    }
}

/// Options of the verbs that talk to registries.
#[derive(Args, Clone, Debug)]
pub(crate) struct Network {
    /// Require HTTPS and valid certificates of registries (default true)
    #[arg(long)]
    pub(crate) tls_verify: bool,
}
