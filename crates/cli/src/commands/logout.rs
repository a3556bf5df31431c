//! `logout`

use std::path::PathBuf;

use clap::Args;
use dhow_ops::{Context, login};

use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::schema;
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
    #[command(flatten)]
    documents: DocumentFormat,
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
        let documents = self.documents.open(session.console);
        documents.settle(None, self.logout(session, &documents))
    }
}

impl Logout {
    fn logout(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        let context = session.context(&Network { authfile: self.authfile.clone(), ..Network::default() })?;
        match self.servers.first() {
            Some(_) if self.all => Err(Failure::Client("--all takes no server".to_owned())),
            _ if self.all => all(session, &context, documents),
            server => one(session, &context, server.map(String::as_str), documents),
        }
    }
}

fn one(session: &Session<'_>, context: &Context, server: Option<&str>, documents: &Documents<'_>) -> Outcome {
    let console = session.console;
    let key = login::key(context, server)?;
    console.aside(format!("Removing login credentials for {}\n", login::name(&key, server)));
    session.warn_of_overlay();
    // Docker takes a failure for no reason to fail.
    let erased = login::logout(context, &key)
        .unwrap_or_else(|error| login::Erased { failures: vec![(key.clone(), error)], ..login::Erased::default() });
    warn(session, &erased);
    for place in &erased.remaining {
        console.notice(format!("WARNING: {} still has credentials for {key}", place.display()));
    }
    documents.put(&schema::Logout::new(Some(&key), &erased))
}

fn all(session: &Session<'_>, context: &Context, documents: &Documents<'_>) -> Outcome {
    let erased = login::logout_all(context)?;
    warn(session, &erased);
    documents.put(&schema::Logout::new(None, &erased))?;
    if !erased.failures.is_empty() {
        return Err(Failure::Quiet(crate::errors::FAILED));
    }
    session.console.aside("Removed login credentials for all registries\n");
    Ok(())
}

/// In docker's words, which are no failure to it.
fn warn(session: &Session<'_>, erased: &login::Erased) {
    if !erased.failures.is_empty() {
        let lines = erased.failures.iter().map(|(key, error)| format!("\n{key}: {error}"));
        session.console.notice(format!("WARNING: could not erase credentials:{}", lines.collect::<String>()));
    }
}
