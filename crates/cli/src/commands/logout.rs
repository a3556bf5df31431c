//! `logout`

use clap::Args;
use dhow_ops::login;

use crate::errors::Outcome;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `logout`.
#[derive(Args, Debug)]
pub(crate) struct Logout {
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
        let key = login::server_key(self.servers.first().map(String::as_str));
        session.console.line(format!("Removing login credentials for {key}"));
        if let Err(error) = login::logout(&session.local_context()?, &key) {
            session.console.notice(format!("WARNING: could not erase credentials:\n{key}: {error}"));
        }
        Ok(())
    }
}
