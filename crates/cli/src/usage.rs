//! Arguments that cannot be understood, in the words of docker's flag library.

use std::error::Error as _;
use std::ffi::OsString;
use std::num::ParseIntError;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use dhow_ops::strconv;

use crate::errors::{FLAG_ERROR, Failure};
use crate::personality::Personality;
use crate::tree::Located;

/// Turns clap's complaint into docker's. `root` is the whole command line, `arguments` what the user typed.
pub(crate) fn explain(
    personality: Personality,
    error: &clap::Error,
    root: &Command,
    located: &Located,
    arguments: &[OsString],
) -> Failure {
    if error.kind() == ErrorKind::InvalidSubcommand {
        let word = text(error, ContextKind::InvalidSubcommand);
        let message = personality.about_command(&word, located);
        return Failure::Usage { message, code: personality.misused() };
    }
    let flag = text(error, ContextKind::InvalidArg);
    let before_commands = Located::follow(personality, []);
    let located = if stands_before_commands(&flag, located, arguments) { &before_commands } else { located };
    let command = located.command(root);
    let what = match error.kind() {
        ErrorKind::UnknownArgument => unknown_flag(&flag, arguments),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(error, ContextKind::InvalidValue);
            match error.source() {
                Some(source) => {
                    let why = match source.downcast_ref::<ParseIntError>() {
                        Some(error) => strconv::about_int(&value, error),
                        None => source.to_string(),
                    };
                    format!("invalid argument {value:?} for {:?} flag: {why}", spelling(&flag, command, root))
                }
                None if !value.is_empty() => {
                    let known = values(error).join(", ");
                    format!(
                        "invalid argument {value:?} for {:?} flag: must be one of {known}",
                        spelling(&flag, command, root)
                    )
                }
                None => format!("flag needs an argument: {}", needy(&flag, arguments)),
            }
        }
        ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("flag needs an argument: {}", needy(&flag, arguments))
        }
        _ => error.kind().as_str().unwrap_or("the arguments cannot be understood").to_owned(),
    };
    // Cobra's line of usage for a program that is given an argument; its help shows another.
    let usage = located.usage(command) + if located.nodes.is_empty() { " [ARG...]" } else { "" };
    let message = personality.about_flag(&what, &usage, &located.path);
    Failure::Usage { message, code: FLAG_ERROR }
}

/// Whether a flag that nobody knows stands before the first command: docker then speaks for the program, not the command.
fn stands_before_commands(flag: &str, located: &Located, arguments: &[OsString]) -> bool {
    let Some(first) = located.path.split(' ').nth(1) else { return true };
    let mut before = arguments.iter().take_while(|argument| *argument != first);
    before.any(|argument| argument.to_str().is_some_and(|text| text.split('=').next() == Some(flag)))
}

/// The values that a flag takes.
fn values(error: &clap::Error) -> &[String] {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => values,
        _ => &[],
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

fn unknown_flag(flag: &str, arguments: &[OsString]) -> String {
    match short(flag) {
        Some(letter) => format!("unknown shorthand flag: {letter:?} in {}", cluster(letter, arguments)),
        None => format!("unknown flag: {flag}"),
    }
}

/// How pflag names a flag that lacks its value: as it was typed.
fn needy(flag: &str, arguments: &[OsString]) -> String {
    let name = flag.split([' ', '=', '[']).next().unwrap_or(flag);
    let typed_long = arguments.iter().any(|argument| argument == name);
    let letter = arguments.iter().rev().filter_map(|argument| argument.to_str()).find(|text| short(text).is_some());
    match letter.and_then(|text| Some((text, text.chars().last()?))) {
        Some((text, letter)) if !typed_long => format!("{letter:?} in {text}"),
        _ => name.to_owned(),
    }
}

/// The letter of `-x…`.
fn short(flag: &str) -> Option<char> {
    flag.strip_prefix('-')?.chars().next().filter(|&letter| letter != '-')
}

/// What is left of the argument from the letter on: pflag reads a cluster from the left.
fn cluster(letter: char, arguments: &[OsString]) -> String {
    let typed = arguments.iter().filter_map(|argument| argument.to_str());
    let found = typed.take_while(|&text| text != "--").find(|text| short(text).is_some() && text.contains(letter));
    let rest = found.and_then(|text| text.find(letter).map(|at| &text[at..]));
    rest.map_or_else(|| format!("-{letter}"), |rest| format!("-{rest}"))
}

/// `-f, --filter`: both spellings of a flag that clap calls `--filter <filter>`.
fn spelling(flag: &str, command: &Command, root: &Command) -> String {
    let name = flag.split([' ', '=', '[']).next().unwrap_or(flag);
    let long = name.trim_start_matches('-');
    let argument =
        command.get_arguments().chain(root.get_arguments()).find(|argument| argument.get_long() == Some(long));
    match argument.and_then(|argument| argument.get_short()) {
        Some(letter) => format!("-{letter}, {name}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn numbers_are_refused_in_go_s_words() {
        let check = |arguments: &[&str], expected: &str| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let located = Located::by_arguments(Personality::Docker, &arguments);
            let error = tree::parse(Personality::Docker, &located, &arguments).expect_err("a mistake");
            let root = tree::root(Personality::Docker);
            let told = match explain(Personality::Docker, &error, &root, &located, &arguments) {
                Failure::Usage { message, .. } => message,
                other => format!("{other:?}"),
            };
            assert_eq!(told.lines().next(), Some(expected), "{arguments:?}");
        };
        let why = "strconv.ParseInt: parsing \"x\": invalid syntax";
        check(&["search", "--limit", "x", "y"], &format!("invalid argument \"x\" for \"--limit\" flag: {why}"));
        check(&["ps", "-n", "x"], &format!("invalid argument \"x\" for \"-n, --last\" flag: {why}"));
    }
}
