//! `completion`

use clap::Args;
use clap_complete::Shell;

use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::tree;
use crate::verb::{Count, Verb};

/// The arguments of `completion`.
#[derive(Args, Debug)]
pub(crate) struct Completion {
    #[arg(value_name = "SHELL")]
    shells: Vec<String>,
}

impl Verb for Completion {
    const ABOUT: &'static str = "Write what lets a shell (bash, zsh, fish, powershell) complete command lines";
    const OPERANDS: &'static str = "SHELL";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.shells
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        for name in &self.shells {
            let shell = match name.as_str() {
                "bash" => Shell::Bash,
                "zsh" => Shell::Zsh,
                "fish" => Shell::Fish,
                "powershell" => Shell::PowerShell,
                other => {
                    let message = format!("unknown shell {other:?}: there are bash, zsh, fish and powershell");
                    return Err(Failure::Client(message));
                }
            };
            let mut script = Vec::new();
            let program = session.personality.program();
            clap_complete::generate(shell, &mut tree::root(session.personality), program, &mut script);
            session.console.text(String::from_utf8_lossy(&script));
        }
        Ok(())
    }
}
