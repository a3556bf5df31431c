//! `login`

use std::io;

use clap::Args;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind};
use dhow_ops::login::{self, Kept};
use dhow_ops::{Context, runtime};

use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, text};
use crate::personality::Personality;
use crate::session::{Network, Session};
use crate::signals;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `login`.
#[derive(Args)]
pub(crate) struct Login {
    /// Password or access token; other users of this machine can see it
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Read the password or access token from standard input
    #[arg(long)]
    password_stdin: bool,
    /// User name
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    /// Print the user name that is stored for the server, and do nothing else
    #[arg(long)]
    get_login: bool,
    /// Say where the credentials were stored
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    documents: DocumentFormat,
    #[command(flatten)]
    network: Network,
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
}

impl Verb for Login {
    const ABOUT: &'static str = "Prove who you are to a registry, and remember it";
    const OPERANDS: &'static str = "[SERVER]";
    const COUNT: Count = Count::AtMost(1);

    fn operands(&self) -> &[String] {
        &self.servers
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        documents.settle(None, self.login(session, &documents))
    }
}

impl Login {
    fn login(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        let username = self.username.clone().unwrap_or_default();
        let password = self.password(session, &username)?;
        let context = session.context(&self.network)?;
        let key = login::key(&context, self.servers.first().map(String::as_str))?;
        let flow = Flow { session, documents, context: &context, key: &key };
        if self.get_login {
            return flow.show_user();
        }
        session.warn_of_overlay();
        let nothing_given = username.is_empty() && password.is_empty();
        let known = if nothing_given { login::existing(&context, &key)? } else { None };
        if let Some(stored) = &known
            && flow.with_stored(stored)?
        {
            return Ok(());
        }
        let default = known.as_ref().map(login::Login::username).unwrap_or_default();
        let proven = flow.prove(&flow.complete(username, password, default)?)?;
        flow.store(&proven, self.verbose)
    }

    /// The password that the options give, after docker's checks of them; empty when they give none.
    fn password(&self, session: &Session<'_>, username: &str) -> Outcome<Secret> {
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        // Docker 29 has it both ways.
        let is_dash = session.personality == Personality::Docker29 && self.password.as_deref() == Some("-");
        let given = self.password.as_deref().filter(|_| !is_dash);
        let from_input = self.password_stdin || is_dash;
        if self.username.as_deref() == Some("") {
            return refuse("username is empty");
        }
        if given.is_some() && self.password_stdin {
            return refuse("conflicting options: cannot specify both --password and --password-stdin");
        }
        if given == Some("") {
            return refuse("password is empty");
        }
        if given.is_some() {
            session.console.notice("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        }
        if !from_input {
            return Ok(Secret::new(given.unwrap_or_default()));
        }
        if username.is_empty() {
            return refuse("the --password-stdin option requires --username to be set");
        }
        // Docker goes on as without a password when there is none to read.
        terminal::read_password(io::stdin().lock())
    }
}

/// The steps of a login to one registry.
struct Flow<'a> {
    session: &'a Session<'a>,
    documents: &'a Documents<'a>,
    context: &'a Context,
    key: &'a str,
}

impl Flow<'_> {
    fn show_user(&self) -> Outcome {
        match login::existing(self.context, self.key)? {
            Some(stored) if self.documents.are_wanted() => {
                self.documents.put(&schema::Login::stored(self.key, stored.username()))
            }
            Some(stored) => {
                self.session.console.line(stored.username());
                Ok(())
            }
            None => {
                let message = format!("Error: not logged into {}", self.key);
                Err(Failure::Reported(Error::new(Kind::NotFound, message)))
            }
        }
    }

    /// Tries what is stored; `false` when the registry does not want it any more.
    fn with_stored(&self, stored: &login::Login) -> Outcome<bool> {
        let program = self.session.personality.program();
        let console = self.session.console;
        let user = match stored.username() {
            "" => String::new(),
            username => format!(" [Username: {username}]"),
        };
        let hint = format!("To login with a different account, run '{program} logout' followed by '{program} login'");
        console.notice(format!("Authenticating with existing credentials...{user}\n{}\n\n", text::note(&hint)));
        match self.prove(stored) {
            Ok(_) => {
                self.succeed(stored.username(), None)?;
                Ok(true)
            }
            Err(Failure::Engine(error)) if error.kind() == Kind::Unauthorized => {
                console.notice("Stored credentials invalid or expired");
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks for what is missing.
    fn complete(&self, username: String, password: Secret, default: &str) -> Outcome<login::Login> {
        let console = self.session.console;
        let must_ask = username.is_empty() || password.is_empty();
        if must_ask && !terminal::input_is_terminal() {
            return Err(Failure::Client(self.session.personality.no_terminal_to_log_in().to_owned()));
        }
        let username = if username.is_empty() { self.ask_username(default)? } else { username };
        let password = if password.is_empty() { terminal::ask_secret(console, "Password: ")? } else { password };
        if password.is_empty() {
            return Err(Failure::Client("Error: Password Required".to_owned()));
        }
        Ok(login::Login::new(&username, password))
    }

    fn ask_username(&self, default: &str) -> Outcome<String> {
        let question = if default.is_empty() { "Username: ".to_owned() } else { format!("Username ({default}): ") };
        let answer = terminal::ask(self.session.console, &question)?;
        let answer = answer.trim();
        match (answer, default) {
            ("", "") => Err(Failure::Client("Error: Non-null Username Required".to_owned())),
            ("", default) => Ok(default.to_owned()),
            (answer, _) => Ok(answer.to_owned()),
        }
    }

    fn prove(&self, credentials: &login::Login) -> Outcome<login::Login> {
        let proof = login::prove(self.context, self.key, credentials);
        runtime::block_on(async { Ok(signals::interruptible(proof, "nothing was stored").await) })?
    }

    fn store(&self, proven: &login::Login, verbose: bool) -> Outcome {
        let console = self.session.console;
        let kept = login::store(self.context, self.key, proven)
            .map_err(|error| Failure::Reported(error.context("Error saving credentials")))?;
        if let Kept::File(path) = &kept
            && proven.has_password()
        {
            console.notice(format!(
                "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
                 Configure a credential helper to remove this warning. See\n\
                 https://docs.docker.com/go/credential-store/\n",
                path.display()
            ));
        }
        if verbose {
            console.aside(match &kept {
                Kept::File(path) | Kept::AsBefore(path) => format!("Used: {}\n", path.display()),
                Kept::Helper(name) => format!("Used: docker-credential-{name}\n"),
            });
        }
        self.succeed(proven.username(), Some(&kept))
    }

    fn succeed(&self, username: &str, kept: Option<&Kept>) -> Outcome {
        self.session.console.aside("Login Succeeded\n");
        self.documents.put(&schema::Login::succeeded(self.key, username, kept))
    }
}
