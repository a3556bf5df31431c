//! `unshare`, as podman has it.

use clap::Args;
use dhow_ops::unshare::{self, NotStarted};

use super::container::machine;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// Exit code of a program that cannot be started.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a program that is not there.
const NOT_FOUND: u8 = 127;

/// The arguments of `unshare`.
#[derive(Args, Debug)]
pub(crate) struct Unshare {
    #[arg(long, hide = true)]
    rootless_netns: bool,
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    words: Vec<String>,
}

impl Verb for Unshare {
    const ABOUT: &'static str = "Run a command as root in a user namespace of its own";
    const OPERANDS: &'static str = "[COMMAND [ARG...]]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.words
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let environment = &session.environment;
        if environment.user == 0 && environment.in_user_namespace.is_none() {
            return Err(Failure::Client("please use unshare with rootless".to_owned()));
        }
        if self.rootless_netns {
            let message = "--rootless-netns is not supported: networks are for a container engine";
            return Err(Failure::Client(message.to_owned()));
        }
        let words = match (self.words.is_empty(), &environment.shell) {
            (false, _) => self.words,
            (true, Some(shell)) => vec![shell.clone()],
            (true, None) => return Err(Failure::Client("no command specified and no $SHELL specified".to_owned())),
        };
        machine(session)?;
        session.console.flush();
        let NotStarted { is_missing, message } = unshare::become_program(&words, &environment.search_path);
        let message = format!("{}{message}", session.personality.client_prefix());
        Err(Failure::Usage { message, code: if is_missing { NOT_FOUND } else { NOT_EXECUTABLE } })
    }
}
