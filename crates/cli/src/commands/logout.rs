//! `logout`

use std::path::PathBuf;

use clap::Args;
use dhow_ops::{Context, login};

use crate::errors::{Failure, Outcome};
use crate::session::{Network, Session};
use crate::verb::{Count, Verb};

/// The arguments of `logout`.
#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// Forget the credentials of all registries
    #[arg(short, long)]
    all: bool,
    /// File of credentials to use instead of all others (default "$REGISTRY_AUTH_FILE")
    #[arg(long, value_name = "string")]
    authfile: Option<PathBuf>,
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
}

impl Verb for Logout {
    const ABOUT: &'static str = "Forget the credentials of a registry";
    const OPERANDS: &'static str = "[SERVER]";
    const COUNT: Count = Count::AtMost(1);

    fn operands(&self) -> &[String] {
        &self.servers
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.context(&Network { authfile: self.authfile, ..Network::default() })?;
        match self.servers.first() {
            Some(_) if self.all => Err(Failure::Client("--all takes no server".to_owned())),
            _ if self.all => all(session, &context),
            server => one(session, &context, server.map(String::as_str)),
        }
    }
}

fn one(session: &Session<'_>, context: &Context, server: Option<&str>) -> Outcome {
    let console = session.console;
    let key = login::key(context, server)?;
    console.line(format!("Removing login credentials for {}", login::name(&key, server)));
    session.warn_of_overlay();
    match login::logout(context, &key) {
        Ok(erased) => {
            warn(session, &erased);
            for place in &erased.remaining {
                console.notice(format!("WARNING: {} still has credentials for {key}", place.display()));
            }
        }
        Err(error) => console.notice(format!("WARNING: could not erase credentials:\n{key}: {error}")),
    }
    Ok(())
}

fn all(session: &Session<'_>, context: &Context) -> Outcome {
    let erased = login::logout_all(context)?;
    warn(session, &erased);
    if !erased.failures.is_empty() {
        return Err(Failure::Quiet(crate::errors::FAILED));
    }
    session.console.line("Removed login credentials for all registries");
    Ok(())
}

/// In docker's words, which are no failure to it.
fn warn(session: &Session<'_>, erased: &login::Erased) {
    if !erased.failures.is_empty() {
        let lines = erased.failures.iter().map(|(key, error)| format!("\n{key}: {error}"));
        session.console.notice(format!("WARNING: could not erase credentials:{}", lines.collect::<String>()));
    }
}
