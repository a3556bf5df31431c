//! What a verb is to the command line, and the tree of all of them.

use std::any::TypeId;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use dhow_base::{Error, Kind};
use dhow_ops::completion::Named;
use dhow_ops::strconv::parse_bool;

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// One verb: its arguments (the implementing type), how its usage reads and what it does.
pub(crate) trait Verb: Args {
    /// One line of help.
    const ABOUT: &'static str;
    /// What follows `[OPTIONS]` on the usage line.
    const OPERANDS: &'static str;
    /// How many operands it takes.
    const COUNT: Count;

    /// What its operands name, for completion.
    const NAMES: Operands = Operands::Others;

    /// The operands given.
    fn operands(&self) -> &[String];

    /// How many operands it takes with the options given.
    fn count(&self) -> Count {
        Self::COUNT
    }

    /// Does it.
    ///
    /// # Errors
    /// Whatever failed; what was printed until then stands.
    fn run(self, session: &Session<'_>) -> Outcome;
}

/// What the operands of a verb name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    /// Images.
    Images,
    /// An image, and behind it what is not known: not even flags are.
    ImageThenOthers,
    /// Containers.
    Containers,
    /// A container, and behind it what is not known.
    OneContainer,
    /// Images or containers.
    ImagesAndContainers,
    /// Volumes.
    Volumes,
    /// Images, containers or volumes.
    Everything,
    /// Files, or what nobody here knows.
    Others,
}

impl Operands {
    /// What the operand with this number may name; nothing where that is not known.
    pub(crate) fn at(self, number: usize) -> &'static [Named] {
        match self {
            Self::ImageThenOthers | Self::OneContainer if number > 0 => &[],
            Self::Images | Self::ImageThenOthers => &[Named::Images],
            Self::Containers | Self::OneContainer => &[Named::Containers],
            Self::ImagesAndContainers => &[Named::Images, Named::Containers],
            Self::Volumes => &[Named::Volumes],
            Self::Everything => &[Named::Images, Named::Containers, Named::Volumes],
            Self::Others => &[],
        }
    }
}

/// How many operands a verb takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// From so many to so many.
    Between(usize, usize),
    /// So many or fewer; none is [`Count::Exactly`] zero.
    AtMost(usize),
}

impl Count {
    /// Checks the number of operands given.
    ///
    /// # Errors
    /// The text about the number, as the tool has it that is called.
    pub(crate) fn check(
        self,
        given: usize,
        personality: Personality,
        path: &str,
        usage: impl FnOnce() -> String,
    ) -> Outcome {
        let fits = match self {
            Count::Exactly(number) => given == number,
            Count::AtLeast(number) => given >= number,
            Count::Between(least, most) => (least..=most).contains(&given),
            Count::AtMost(number) => given <= number,
        };
        if fits {
            return Ok(());
        }
        let message = personality.about_count(self, given, path, &usage());
        Err(Failure::Usage { message, code: personality.misused() })
    }

    /// Docker's rule, and its verb for looking into the help.
    pub(crate) fn in_docker_s_words(self) -> (String, &'static str) {
        let plural = |number: usize| if number == 1 { "argument" } else { "arguments" };
        match self {
            Count::Exactly(0) => ("accepts no arguments".to_owned(), "Run"),
            Count::Exactly(number) => (format!("requires {number} {}", plural(number)), "Run"),
            Count::AtLeast(number) => (format!("requires at least {number} {}", plural(number)), "See"),
            Count::Between(least, most) => {
                (format!("requires at least {least} and at most {most} {}", plural(most)), "Run")
            }
            Count::AtMost(number) => (format!("requires at most {number} {}", plural(number)), "Run"),
        }
    }

    /// The rule of the library that podman's command line is made with; none at all is podman's own rule.
    pub(crate) fn in_cobra_s_words(self, given: usize, path: &str) -> String {
        match self {
            Count::Exactly(0) => format!("`{path}` takes no arguments"),
            Count::Exactly(number) => format!("accepts {number} arg(s), received {given}"),
            Count::AtLeast(number) => format!("requires at least {number} arg(s), only received {given}"),
            Count::Between(least, most) => format!("accepts between {least} and {most} arg(s), received {given}"),
            Count::AtMost(number) => format!("accepts at most {number} arg(s), received {given}"),
        }
    }
}

/// For a verb that finds other operands than [`Verb::COUNT`] let through: a mistake of this program, which must not pass for a success.
///
/// # Errors
/// [`Kind::Internal`].
pub(crate) fn miscounted() -> Outcome {
    Err(Error::new(Kind::Internal, "there are not as many operands as the command takes").into())
}

/// A word on the command line: a verb, or a group of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// The word.
    pub(crate) name: &'static str,
    /// Other words for it at the same place.
    pub(crate) aliases: &'static [&'static str],
    /// All paths to the same verb, for the help; empty when there is only one.
    pub(crate) paths: &'static [&'static str],
    /// Whether the list of commands leaves it out.
    pub(crate) hidden: bool,
    /// What it stands for.
    pub(crate) meaning: Meaning,
    /// What it stands for when called as podman, where that is something else.
    pub(crate) as_podman: Option<Handle>,
    /// The word that podman's texts have for it, where that is one of the aliases.
    pub(crate) podman_s_word: Option<&'static str>,
    /// Verbs below a verb, such as `serve gc` below `serve`.
    pub(crate) below: &'static [Node],
}

/// What a word on the command line stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// Words below it.
    Group {
        /// One line of help.
        about: &'static str,
        /// The words.
        members: &'static [Node],
    },
    /// Something to do.
    Verb(Handle),
}

/// A [`Verb`] without its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    about: &'static str,
    operands: &'static str,
    names: Operands,
    arguments: fn(Command) -> Command,
    run: fn(&ArgMatches, &Session<'_>) -> Outcome,
}

impl Node {
    /// A verb.
    pub(crate) const fn verb<V: Verb>(
        name: &'static str,
        aliases: &'static [&'static str],
        paths: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            aliases,
            paths,
            hidden: false,
            meaning: Meaning::Verb(Handle::of::<V>()),
            as_podman: None,
            podman_s_word: None,
            below: &[],
        }
    }

    /// A group of verbs.
    pub(crate) const fn group(name: &'static str, about: &'static str, members: &'static [Node]) -> Self {
        Self {
            name,
            aliases: &[],
            paths: &[],
            hidden: false,
            meaning: Meaning::Group { about, members },
            as_podman: None,
            podman_s_word: None,
            below: &[],
        }
    }

    /// Two lists as one of so many words.
    pub(crate) const fn joined<const COUNT: usize>(first: &[Self], second: &[Self]) -> [Self; COUNT] {
        assert!(first.len() + second.len() == COUNT);
        let mut joined = [first[0]; COUNT];
        let mut number = 0;
        while number < COUNT {
            joined[number] = if number < first.len() { first[number] } else { second[number - first.len()] };
            number += 1;
        }
        joined
    }

    /// Leaves the word out of lists of commands.
    pub(crate) const fn hide(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// Another verb when called as podman.
    pub(crate) const fn in_podman<V: Verb>(self) -> Self {
        Self { as_podman: Some(Handle::of::<V>()), ..self }
    }

    /// Another word in podman's texts.
    pub(crate) const fn called_in_podman(self, word: &'static str) -> Self {
        Self { podman_s_word: Some(word), ..self }
    }

    /// The word in texts.
    pub(crate) fn word(&self, personality: Personality) -> &'static str {
        self.podman_s_word.filter(|_| personality == Personality::Podman).unwrap_or(self.name)
    }

    /// The verb that it stands for, if it is one.
    pub(crate) fn handle(&self, personality: Personality) -> Option<&Handle> {
        match (&self.meaning, &self.as_podman) {
            (Meaning::Verb(_), Some(handle)) if personality == Personality::Podman => Some(handle),
            (Meaning::Verb(handle), _) => Some(handle),
            (Meaning::Group { .. }, _) => None,
        }
    }

    /// Adds verbs below a verb.
    pub(crate) const fn with(self, below: &'static [Node]) -> Self {
        Self { below, ..self }
    }

    /// The line of help.
    pub(crate) fn about(&self) -> &'static str {
        match &self.meaning {
            Meaning::Group { about, .. } => about,
            Meaning::Verb(handle) => handle.about,
        }
    }

    /// The words below it.
    pub(crate) fn members(&self) -> &'static [Node] {
        match &self.meaning {
            Meaning::Group { members, .. } => members,
            Meaning::Verb(_) => self.below,
        }
    }

    /// The word as the parser needs it: without texts, and a verb's arguments only once the parser arrives at the verb.
    pub(crate) fn parser(&self, personality: Personality) -> Command {
        self.parser_with(personality, self.members().iter().map(|member| member.parser(personality)))
    }

    /// The same with nothing below it but these.
    pub(crate) fn parser_with(&self, personality: Personality, below: impl IntoIterator<Item = Command>) -> Command {
        let command = Command::new(self.name).aliases(self.aliases.iter().copied()).hide(self.hidden);
        let command = command.subcommands(below);
        match self.handle(personality) {
            None => command,
            Some(handle) => command.defer(handle.arguments),
        }
    }

    /// The word as clap knows it; `path` are the words up to and including this one.
    pub(crate) fn command(&self, personality: Personality, path: &str) -> Command {
        let command =
            Command::new(self.name).about(self.about()).aliases(self.aliases.iter().copied()).hide(self.hidden);
        let members = self.members().iter();
        let below = members.map(|member| member.command(personality, &format!("{path} {}", member.name)));
        let command = command.subcommands(below.collect::<Vec<_>>());
        match self.handle(personality) {
            None => command.override_usage(path.to_owned()),
            Some(handle) => {
                // The doc comment of the arguments' type is for readers of the code.
                let command = (handle.arguments)(command).about(handle.about).long_about(None);
                let usage = usage_line(path, handle.operands, &command);
                command.override_usage(usage)
            }
        }
    }
}

impl Handle {
    const fn of<V: Verb>() -> Self {
        Self { about: V::ABOUT, operands: V::OPERANDS, names: V::NAMES, arguments: arguments::<V>, run: run::<V> }
    }

    /// What its operands name.
    pub(crate) fn names(&self) -> Operands {
        self.names
    }

    /// Runs the verb with its arguments.
    ///
    /// # Errors
    /// The verb's, and docker's text for a wrong number of operands.
    pub(crate) fn run(&self, matches: &ArgMatches, session: &Session<'_>) -> Outcome {
        (self.run)(matches, session)
    }
}

fn run<V: Verb>(matches: &ArgMatches, session: &Session<'_>) -> Outcome {
    let verb = V::from_arg_matches(matches).map_err(|error| Failure::Client(error.to_string()))?;
    let usage = || usage_line(&session.path, V::OPERANDS, &V::augment_args(Command::new("")));
    verb.count().check(verb.operands().len(), session.personality, &session.path, usage)?;
    verb.run(session)
}

fn arguments<V: Verb>(command: Command) -> Command {
    V::augment_args(command).mut_args(like_pflag)
}

fn usage_line(path: &str, operands: &str, command: &Command) -> String {
    let has_options = command.get_arguments().any(|argument| !argument.is_positional() && !argument.is_hide_set());
    let options = if has_options { " [OPTIONS]" } else { "" };
    format!("{path}{options} {operands}").trim_end().to_owned()
}

/// Flags that are on unless the user says `=false`.
const DEFAULT_TRUE: [&str; 4] = ["disable_content_trust", "human", "human_readable", "pause"];

/// Flags of which it matters whether the user said anything.
const UNSAID: [&str; 3] = ["dest_tls_verify", "src_tls_verify", "tls_verify"];

/// Options of files that are as good as not given when their value is empty, which clap's own parser of paths refuses.
const MAY_BE_EMPTY: [&str; 11] = [
    "authfile",
    "cert_dir",
    "cidfile",
    "dest_authfile",
    "dest_cert_dir",
    "digestfile",
    "env_file",
    "iidfile",
    "label_file",
    "src_authfile",
    "src_cert_dir",
];

/// A file that is given, not by an empty name.
pub(crate) fn given(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// Makes a flag behave as those of docker's pflag. Of one without value, `-q`, `--quiet=true` and `--quiet=0` all parse; to one with a value
/// belongs the next word, whatever it looks like.
pub(crate) fn like_pflag(argument: Arg) -> Arg {
    if !matches!(argument.get_action(), ArgAction::SetTrue) {
        let is_file = MAY_BE_EMPTY.contains(&argument.get_id().as_str());
        let argument = match is_file && argument.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
            true => argument.value_parser(OsStringValueParser::new().map(PathBuf::from)),
            false => argument,
        };
        let is_valued = !argument.is_positional() && argument.get_action().takes_values();
        // A flag that was made so before.
        let is_valued = is_valued && !argument.is_require_equals_set();
        return if is_valued { argument.allow_hyphen_values(true) } else { argument };
    }
    let id = argument.get_id().as_str();
    let default = if DEFAULT_TRUE.contains(&id) { "true" } else { "false" };
    let argument = if UNSAID.contains(&id) { argument } else { argument.default_value(default) };
    argument
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .hide_default_value(true)
        .value_name("bool")
        .value_parser(clap::builder::StringValueParser::new().try_map(|text| parse_bool(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(count: Count, given: usize) -> Option<String> {
        match count.check(given, Personality::Docker, "docker tag", || "docker tag A B".to_owned()) {
            Err(Failure::Usage { message, code: 1 }) => Some(message),
            _ => None,
        }
    }

    #[test]
    fn counts_in_docker_s_words() {
        let text = "docker: 'docker tag' requires 2 arguments\n\nUsage:  docker tag A B\n\n\
                    Run 'docker tag --help' for more information";
        assert_eq!(message(Count::Exactly(2), 1).as_deref(), Some(text));
        assert_eq!(message(Count::Exactly(2), 2), None);
        assert!(message(Count::AtLeast(1), 0).is_some_and(|text| {
            text.contains("requires at least 1 argument\n")
                && text.ends_with("See 'docker tag --help' for more information")
        }));
        assert!(message(Count::AtMost(1), 2).is_some_and(|text| text.contains("requires at most 1 argument\n")));
        assert!(
            message(Count::Between(1, 2), 0)
                .is_some_and(|text| text.contains("requires at least 1 and at most 2 arguments\n"))
        );
        assert!(message(Count::Exactly(0), 1).is_some_and(|text| text.contains("accepts no arguments\n")));
    }

    #[test]
    fn counts_in_podman_s_words() {
        let message = |count: Count, given| match count.check(given, Personality::Podman, "podman tag", String::new) {
            Err(Failure::Usage { message, code: 125 }) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message(Count::Exactly(0), 1), "Error: `podman tag` takes no arguments");
        assert_eq!(message(Count::Exactly(2), 1), "Error: accepts 2 arg(s), received 1");
        assert_eq!(message(Count::AtLeast(2), 1), "Error: requires at least 2 arg(s), only received 1");
        assert_eq!(message(Count::AtMost(1), 2), "Error: accepts at most 1 arg(s), received 2");
        assert_eq!(message(Count::Between(1, 2), 3), "Error: accepts between 1 and 2 arg(s), received 3");
    }
}
