//! The command line of dhow: arguments, output, exit codes, progress and the habits of docker and podman.
//!
//! Verbs live one to a file in `commands`; what they do is in `dhow-ops`. This is the only crate that prints, reads the
//! environment or decides exit codes.

mod absent;
mod background;
mod commands;
mod complete;
mod console;
mod daemon_flags;
mod environment;
mod errors;
mod format;
mod help;
#[cfg(test)]
mod known_flags;
mod logging;
mod personality;
mod progress;
mod session;
mod signals;
mod terminal;
mod tree;
mod usage;
mod verb;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;

use console::Console;
use environment::Environment;
use errors::{FAILED, FLAG_ERROR, Failure, Outcome};
use personality::Personality;
use session::{Globals, Session};
use tree::Located;

/// The whole command line as clap knows it, for whoever renders the reference.
pub fn command() -> clap::Command {
    tree::root(Personality::Dhow)
}

/// The help text of a command, as `--help` prints it; `words` lead to it (`["image", "ls"]`), none is the program itself.
pub fn help(words: &[&str]) -> String {
    help::render(Personality::Dhow, &command(), &Located::follow(Personality::Dhow, words.iter().copied()))
}

/// Runs the program with its arguments, the program's name first, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = internal(&arguments) {
        return ExitCode::from(code);
    }
    let console = Console::new();
    let personality = match Personality::choose(&arguments) {
        Ok(personality) => personality,
        Err((personality, message)) => {
            console.notice(format!("{}{message}", personality.client_prefix()));
            return ExitCode::from(FLAG_ERROR);
        }
    };
    let given = arguments.get(1..).unwrap_or_default();
    let outcome =
        if complete::answer(given, personality, &console) { Ok(()) } else { run(given, personality, &console) };
    let failure = match (outcome, console.finish()) {
        (Ok(()), Ok(())) => return ExitCode::SUCCESS,
        // Results that did not arrive count more than what else went wrong.
        (_, Err(failure)) | (Err(failure), Ok(())) => failure,
    };
    failure.report(personality, &console);
    ExitCode::from(failure.code(personality))
}

/// Sends to a file what would go to standard output.
fn redirect(file: Option<&Path>) -> Outcome {
    let Some(path) = file else { return Ok(()) };
    let failed = |error: &dyn Display| {
        let message = format!("unable to open file for standard output: {error}");
        Failure::Usage { message, code: FAILED }
    };
    let file = dhow_base::fs::open_or_create_with(path, 0o666).map_err(|error| failed(&error))?;
    // What is no plain file, such as /dev/null, has no end to cut off.
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        file.set_len(0).map_err(|error| failed(&error))?;
    }
    rustix::stdio::dup2_stdout(&file).map_err(|error| failed(&error))
}

/// What this program starts itself for: nothing that a user says.
fn internal(arguments: &[OsString]) -> Option<u8> {
    let (word, rest) = arguments.get(1..)?.split_first()?;
    let code = match word.to_str()? {
        dhow_ops::container::FIRST_PROCESS => dhow_ops::container::first_process(rest),
        dhow_ops::container::END_OF_CONTAINER => dhow_ops::container::end_unwatched(rest),
        dhow_ops::container::user_namespace::MAP_USERS => {
            dhow_ops::container::user_namespace::map_users(rest, &environment::search_path())
        }
        _ => return None,
    };
    Some(u8::try_from(code).unwrap_or(FAILED))
}

fn run(arguments: &[OsString], personality: Personality, console: &Console) -> Outcome {
    environment::arm_faults().map_err(Failure::Client)?;
    let located = Located::by_arguments(personality, arguments);
    let matches = match tree::parse(personality, &located, arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let root = tree::root(personality);
            if error.kind() == ErrorKind::DisplayHelp {
                console.text(help::render(personality, &root, &located));
                return Ok(());
            }
            return Err(usage::explain(personality, &error, &root, &located, arguments));
        }
    };
    let mut globals = Globals::from_arg_matches(&matches).map_err(|error| Failure::Client(error.to_string()))?;
    globals.log_level = globals.log_level.or_else(|| daemon_flags::level(&matches));
    logging::start(&globals, personality)?;
    redirect(tree::output_file(personality, &matches))?;
    if matches.get_flag("version") {
        console.line(commands::version::line());
        return Ok(());
    }
    if let Some(flag) = tree::remote_flag(personality, &matches) {
        let message = format!("--{flag} is not supported: dhow works on this machine and has no service to ask");
        return Err(Failure::Client(message));
    }
    let refusal = daemon_flags::refusal(&matches).filter(|_| personality != Personality::Podman).map(Failure::Client);
    match tree::verb_of(personality, &matches) {
        Some((verb, matches)) => {
            let environment = Environment::read();
            dhow_base::descriptors::raise();
            let session = Session { personality, path: located.path, console, environment, globals };
            match refusal {
                Some(failure) => Err(commands::refused(&session, failure)),
                None => verb.run(matches, &session),
            }
        }
        None => {
            if let Some(failure) = refusal {
                return Err(failure);
            }
            let help = help::render(personality, &tree::root(personality), &located);
            match personality {
                Personality::Podman => console.text(help),
                // Docker takes it for a mistake, though for no failure.
                _ => console.notice(help.trim()),
            }
            personality.missing_command(&located.path)
        }
    }
}
