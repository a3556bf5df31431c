//! `completion`

use clap::{Arg, ArgAction, Args, Command};
use clap_complete::Shell;

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::tree;
use crate::verb::{Count, Verb};

/// Scripts that ask this program for what completes a line, as [`crate::complete`] answers; `PROGRAM` stands for its name.
const BASH: &str = include_str!("completion/bash.sh");
const ZSH: &str = include_str!("completion/zsh.sh");
const FISH: &str = include_str!("completion/fish.fish");

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
            let program = session.personality.program();
            let script = match name.as_str() {
                "bash" => BASH.replace("PROGRAM", program),
                "zsh" => ZSH.replace("PROGRAM", program),
                "fish" => FISH.replace("PROGRAM", program),
                "powershell" => powershell(session.personality),
                other => {
                    let message = format!("unknown shell {other:?}: there are bash, zsh, fish and powershell");
                    return Err(Failure::Client(message));
                }
            };
            session.console.text(script);
        }
        Ok(())
    }
}

/// A script that knows the words and flags, but not what is here.
fn powershell(personality: Personality) -> String {
    let mut script = Vec::new();
    let mut command = with_switches(tree::root(personality));
    clap_complete::generate(Shell::PowerShell, &mut command, personality.program(), &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line with plain switches. Ours may have a value behind an equals sign; the scripts would take the next word for
/// it, and complete nothing there.
fn with_switches(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = command.mut_args(as_switch);
    names.iter().fold(command, |command, name| command.mut_subcommand(name, with_switches))
}

fn as_switch(argument: Arg) -> Arg {
    let is_bool = argument.get_value_names().is_some_and(|names| matches!(names, [name] if name.as_str() == "bool"));
    if !is_bool || !argument.is_require_equals_set() {
        return argument;
    }
    let nothing = None::<&'static str>;
    argument
        .action(ArgAction::SetTrue)
        .num_args(0)
        .require_equals(false)
        .hide_default_value(false)
        .default_value(nothing)
        .default_missing_value(nothing)
        .value_name(nothing)
        .value_parser(clap::value_parser!(bool))
}
