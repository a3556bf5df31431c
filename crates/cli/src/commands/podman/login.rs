//! `login` and `logout` of podman

use std::io;
use std::path::PathBuf;

use clap::Args;
use dhow_base::Kind;
use dhow_base::secret::Secret;
use dhow_ops::login::{self, Kept};
use dhow_ops::{Context, runtime};

use crate::errors::{Failure, Outcome};
use crate::session::{Network, Session};
use crate::signals;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `login`.
#[derive(Args)]
pub(crate) struct Login {
    /// Print the user name that is stored for the registry, and do nothing else
    #[arg(long)]
    get_login: bool,
    /// Password or access token; other users of this machine can see it
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Read the password or access token from standard input
    #[arg(long)]
    password_stdin: bool,
    /// User name
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    /// Say where the credentials were stored
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    network: Network,
    #[arg(value_name = "REGISTRY")]
    servers: Vec<String>,
}

impl Verb for Login {
    const ABOUT: &'static str = "Prove who you are to a registry, and remember it";
    const OPERANDS: &'static str = "[REGISTRY]";
    const COUNT: Count = Count::AtMost(1);

    fn operands(&self) -> &[String] {
        &self.servers
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.context(&self.network)?;
        let server = &registry(&context, &self.servers)?;
        let stored = login::existing(&context, server)?;
        if self.get_login {
            return match stored {
                Some(stored) => {
                    session.console.line(stored.username());
                    Ok(())
                }
                None => Err(Failure::Client(format!("not logged into {server}"))),
            };
        }
        if self.password_stdin && self.username.is_none() {
            return Err(Failure::Client("Must provide --username with --password-stdin".to_owned()));
        }
        let flow = Flow { context: &context, server };
        let nothing_given = self.username.is_none() && self.password.is_none();
        if nothing_given && let Some(stored) = &stored {
            session.console.line(format!("Authenticating with existing credentials for {server}"));
            if flow.prove(stored).is_ok() {
                session.console.line(format!("Existing credentials are valid. Already logged in to {server}"));
                return Ok(());
            }
            session.console.line("Existing credentials are invalid, please enter valid username and password");
        }
        let default = stored.as_ref().map(login::Login::username).unwrap_or_default();
        let proven = flow.prove(&self.complete(session, default)?)?;
        // Podman keeps logins in a file of its own, or as docker does where it was said where docker's file is.
        let kept = if session.given_docker_config(&self.network).is_some() {
            login::store(&context, server, &proven)?
        } else {
            let file = session.podman_auth_file(&self.network);
            let own = session.context(&Network { authfile: Some(file), ..self.network.clone() })?;
            login::store(&own, server, &proven)?
        };
        if self.verbose
            && let Kept::File(path) = kept
        {
            session.console.line(format!("Used: {}", path.display()));
        }
        session.console.line("Login Succeeded!");
        Ok(())
    }
}

impl Login {
    /// Asks for what is missing.
    fn complete(&self, session: &Session<'_>, default: &str) -> Outcome<login::Login> {
        let console = session.console;
        let failed = |what: &str, why: &str| {
            Err(Failure::Client(format!("getting username and password: reading {what}: {why}")))
        };
        let username = match self.username.as_deref().filter(|username| !username.is_empty()) {
            Some(username) => username.to_owned(),
            None => {
                let question =
                    if default.is_empty() { "Username: ".to_owned() } else { format!("Username ({default}): ") };
                let (answer, is_ended) = terminal::ask_for_line(console, &question)?;
                if !is_ended {
                    return failed("username", "EOF");
                }
                if answer.trim().is_empty() { default.to_owned() } else { answer.trim().to_owned() }
            }
        };
        let password = match &self.password {
            Some(password) if !password.is_empty() => Secret::new(password.clone()),
            _ if self.password_stdin => terminal::read_password(io::stdin().lock())?,
            _ => Secret::new(""),
        };
        if !password.is_empty() {
            return Ok(login::Login::new(&username, password));
        }
        if !terminal::input_is_terminal() {
            console.text("Password: ");
            return failed("password", "inappropriate ioctl for device");
        }
        Ok(login::Login::new(&username, terminal::ask_secret(console, "Password: ")?))
    }
}

/// The registry that is named, else the one that podman takes then.
fn registry(context: &Context, named: &[String]) -> Outcome<String> {
    match named.first() {
        Some(named) => Ok(named.clone()),
        None => Ok(login::default_registry(context)?),
    }
}

/// One registry.
struct Flow<'a> {
    context: &'a Context,
    server: &'a str,
}

impl Flow<'_> {
    fn prove(&self, credentials: &login::Login) -> Outcome<login::Login> {
        let proof = login::prove(self.context, self.server, credentials);
        let outcome = runtime::block_on(async { Ok(signals::interruptible(proof, "nothing was stored").await) })?;
        outcome.map_err(|failure| match failure {
            Failure::Engine(error) if error.kind() == Kind::Unauthorized => {
                Failure::Client(format!("logging into {:?}: invalid username/password", self.server))
            }
            Failure::Engine(error) if error.kind() != Kind::Cancelled => {
                Failure::Client(format!("authenticating creds for {:?}: {error}", self.server))
            }
            other => other,
        })
    }
}

/// The arguments of `logout`.
#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// Forget the credentials of all registries
    #[arg(short, long)]
    all: bool,
    /// File of credentials to use instead of all others (default "$REGISTRY_AUTH_FILE")
    #[arg(long, value_name = "string")]
    authfile: Option<PathBuf>,
    #[arg(value_name = "REGISTRY")]
    servers: Vec<String>,
}

impl Verb for Logout {
    const ABOUT: &'static str = "Forget the credentials of a registry";
    const OPERANDS: &'static str = "[REGISTRY]";
    const COUNT: Count = Count::AtMost(1);

    fn operands(&self) -> &[String] {
        &self.servers
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let network = Network { authfile: self.authfile, cert_dir: None, tls_verify: None };
        session.check_authfile(&network)?;
        let everywhere = session.context(&network)?;
        let own = session.context(&Network { authfile: Some(session.podman_auth_file(&network)), ..network })?;
        let console = session.console;
        if self.all {
            if !self.servers.is_empty() {
                return Err(Failure::Client("--all takes no registry".to_owned()));
            }
            let erased = login::logout_all(&own)?;
            if let Some((key, error)) = erased.failures.first() {
                return Err(Failure::Client(format!("could not erase credentials of {key}: {error}")));
            }
            console.line("Removed login credentials for all registries");
            return Ok(());
        }
        let server = &registry(&everywhere, &self.servers)?;
        if login::existing(&own, server)?.is_none() {
            if login::existing(&everywhere, server)?.is_some() {
                console.line(format!(
                    "Not logged into {server} with current tool. Existing credentials were established via docker login. \
                     Please use docker logout instead."
                ));
                return Ok(());
            }
            return Err(Failure::Client(format!("not logged into {server}")));
        }
        let erased = login::logout(&own, server)?;
        if let Some((key, error)) = erased.failures.first() {
            return Err(Failure::Client(format!("could not erase credentials of {key}: {error}")));
        }
        console.line(format!("Removed login credentials for {server}"));
        Ok(())
    }
}
