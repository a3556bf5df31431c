//! `__complete`: what may stand where the cursor is, for the scripts that `completion` writes.
//!
//! Words and answer are those of cobra's protocol (spf13/cobra, `completions.go`), so that scripts made for docker and podman work
//! with this program under their names: a candidate a line, what it is behind a tab, at the end a colon and a number.

use std::ffi::OsString;

use clap::builder::ValueHint;
use clap::{Arg, Command};
use dhow_ops::completion::{Named, names};

use crate::console::Console;
use crate::environment::Environment;
use crate::personality::Personality;
use crate::session::{Globals, Session};
use crate::tree::{self, Located};
use crate::verb::Operands;

/// The words that ask for candidates: with what they are, and without.
const ASKING: [&str; 2] = ["__complete", "__completeNoDesc"];

/// Where there is no candidate, there is no file either (`ShellCompDirectiveNoFileComp`).
const NO_FILES: u8 = 4;

/// Platforms that images are made for.
const PLATFORMS: [&str; 9] = [
    "linux/386",
    "linux/amd64",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/arm64",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
    "windows/amd64",
];

/// Answers a shell, if one asks.
pub(crate) fn answer(arguments: &[OsString], personality: Personality, console: &Console) -> bool {
    let Some((asking, words)) = arguments.split_first() else { return false };
    let Some(number) = ASKING.iter().position(|word| asking == word) else { return false };
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Some((current, before)) = words.split_last() else { return false };
    let answer = Line::read(personality, &tree::root(personality), before).candidates(current);
    for (candidate, about) in answer.candidates {
        match about.filter(|about| number == 0 && !about.is_empty()) {
            Some(about) => console.line(format!("{candidate}\t{about}")),
            None => console.line(candidate),
        }
    }
    console.line(format!(":{}", if answer.takes_files { 0 } else { NO_FILES }));
    true
}

/// What may stand at the cursor.
#[derive(Default)]
struct Answer {
    /// Words, and what they are.
    candidates: Vec<(String, Option<String>)>,
    /// Whether it may be a file when it is none of them.
    takes_files: bool,
}

impl Answer {
    fn only(candidates: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        Self { candidates: candidates.into_iter().collect(), takes_files: false }
    }

    fn files() -> Self {
        Self { candidates: Vec::new(), takes_files: true }
    }
}

/// A command line up to the word at the cursor.
struct Line<'a> {
    personality: Personality,
    root: &'a Command,
    command: &'a Command,
    /// The words that led to the command.
    path: Vec<&'a str>,
    /// Operands given so far.
    operands: usize,
    /// Whether what begins with a dash is no flag any more.
    has_ended_flags: bool,
    /// The flag whose value the next word is.
    pending: Option<&'a Arg>,
    /// Where the store is, if the line says so.
    store: Option<String>,
}

impl<'a> Line<'a> {
    fn read(personality: Personality, root: &'a Command, words: &'a [String]) -> Self {
        let mut line = Self {
            personality,
            root,
            command: root,
            path: Vec::new(),
            operands: 0,
            has_ended_flags: false,
            pending: None,
            store: None,
        };
        words.iter().for_each(|word| line.take(word));
        line
    }

    fn take(&mut self, word: &'a str) {
        if let Some(flag) = self.pending.take() {
            self.note(flag, word);
        } else if self.is_flag(word) {
            self.take_flag(word);
        } else if let Some(below) = self.command.find_subcommand(word).filter(|_| self.operands == 0) {
            self.command = below;
            // What follows `help` is a command again.
            match below.get_name() {
                "help" => self.command = self.root,
                name => self.path.push(name),
            }
        } else {
            self.operands += 1;
        }
    }

    /// Whether a word is a flag. Behind the image of `run` there is only what is told to the container.
    fn is_flag(&self, word: &str) -> bool {
        let is_told = self.operands > 0 && self.operand_names() == Operands::ImageThenOthers;
        word.len() > 1 && word.starts_with('-') && !self.has_ended_flags && !is_told
    }

    fn take_flag(&mut self, word: &'a str) {
        if word == "--" {
            self.has_ended_flags = true;
        } else if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => {
                    if let Some(flag) = self.long(name) {
                        self.note(flag, value);
                    }
                }
                None => self.pending = self.long(long).filter(|flag| takes_next(flag)),
            }
        } else {
            self.pending = self.cluster(&word[1..]);
        }
    }

    /// The flag at the end of a cluster of short ones that waits for its value.
    fn cluster(&self, letters: &str) -> Option<&'a Arg> {
        for (at, letter) in letters.char_indices() {
            let flag = self.flags().find(|flag| flag.get_short() == Some(letter))?;
            if takes_next(flag) {
                return Some(flag).filter(|_| at + letter.len_utf8() == letters.len());
            }
        }
        None
    }

    fn note(&mut self, flag: &Arg, value: &str) {
        if flag.get_id() == "root" {
            self.store = Some(value.to_owned());
        }
    }

    /// The command's flags, and those that are flags of every command.
    fn flags(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        let is_root = self.path.is_empty();
        let global = self.root.get_arguments().filter(move |flag| !is_root && flag.is_global_set());
        self.command.get_arguments().filter(|flag| !flag.is_positional()).chain(global)
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        let has_it = |flag: &&Arg| {
            flag.get_long() == Some(name) || flag.get_all_aliases().is_some_and(|names| names.contains(&name))
        };
        self.flags().find(has_it)
    }

    fn operand_names(&self) -> Operands {
        let located = Located::follow(self.personality, self.path.iter().copied());
        let handle = located.nodes.last().and_then(|node| node.handle(self.personality));
        handle.map_or(Operands::Others, |handle| handle.names())
    }

    fn candidates(&self, current: &str) -> Answer {
        if let Some(flag) = self.pending {
            return values(flag, current, "");
        }
        if current.starts_with('-') && (self.is_flag(current) || current == "-") {
            return match current.strip_prefix("--").and_then(|long| long.split_once('=')) {
                Some((name, value)) => match self.long(name) {
                    Some(flag) => values(flag, value, &format!("--{name}=")),
                    None => Answer::default(),
                },
                None => self.flag_names(current),
            };
        }
        let mut commands = Answer::only(self.commands(current));
        if self.path.is_empty() || self.command.has_subcommands() && self.operand_names() == Operands::Others {
            return commands;
        }
        let kinds = self.operand_names().at(self.operands);
        if kinds.is_empty() && commands.candidates.is_empty() {
            return Answer::files();
        }
        commands.candidates.extend(kinds.iter().flat_map(|kind| self.names(*kind, current)).map(|name| (name, None)));
        commands
    }

    fn commands(&self, current: &str) -> Vec<(String, Option<String>)> {
        if self.operands > 0 {
            return Vec::new();
        }
        let shown = self.command.get_subcommands().filter(|below| !below.is_hide_set());
        let fitting = shown.filter(|below| below.get_name().starts_with(current));
        fitting.map(|below| (below.get_name().to_owned(), below.get_about().map(ToString::to_string))).collect()
    }

    fn flag_names(&self, current: &str) -> Answer {
        let shown = self.flags().filter(|flag| !flag.is_hide_set());
        let named = shown.filter_map(|flag| Some((format!("--{}", flag.get_long()?), flag)));
        let fitting = named.filter(|(name, _)| name.starts_with(current));
        Answer::only(fitting.map(|(name, flag)| (name, flag.get_help().map(|help| first_line(&help.to_string())))))
    }

    /// Names of what is here; none when the store cannot be read: a shell has no place for an error.
    fn names(&self, named: Named, beginning: &str) -> Vec<String> {
        let globals = Globals {
            root: self.store.clone().map(Into::into),
            compat: None,
            config: None,
            log_level: None,
            debug: false,
        };
        let console = Console::new();
        let environment = Environment::read();
        let session =
            Session { personality: self.personality, path: String::new(), console: &console, environment, globals };
        let Ok(context) = session.local_context() else { return Vec::new() };
        names(&context, named, beginning).unwrap_or_default()
    }
}

/// Whether a flag's value is the next word where none is in its own.
fn takes_next(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

/// What the value of a flag may be, behind what stands before it in the same word.
fn values(flag: &Arg, current: &str, before: &str) -> Answer {
    let mut values: Vec<String> = flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    match flag.get_id().as_str() {
        "platform" | "platforms" => values.extend(PLATFORMS.map(str::to_owned)),
        "format" | "filter" | "filters" => {}
        _ if values.is_empty() && flag.get_value_hint() != ValueHint::Other => return Answer::files(),
        _ => {}
    }
    values.retain(|value| value.starts_with(current));
    Answer::only(values.into_iter().map(|value| (format!("{before}{value}"), None)))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
