//! The command line as a whole: clap's view of it, and where on it the user is.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, Command};

use crate::daemon_flags;
use crate::personality::Personality;
use crate::session::Globals;
use crate::verb::{Handle, Node, like_pflag};

/// Global options whose value is an argument of its own, unless it follows an equals sign.
const GLOBALS_WITH_VALUE: [&str; 5] = ["--root", "--config", "--log-level", "--compat", "--out"];

/// Those that podman has besides: about its store, its containers and its service. There is nothing here to configure so.
const PODMAN_S_GLOBALS: [&str; 15] = [
    "--runroot",
    "--storage-driver",
    "--storage-opt",
    "--imagestore",
    "--cgroup-manager",
    "--events-backend",
    "--conmon",
    "--runtime",
    "--runtime-flag",
    "--tmpdir",
    "--volumepath",
    "--network-config-dir",
    "--network-cmd-path",
    "--hooks-dir",
    "--module",
];

/// Podman's name for a file that gets what would go to standard output.
const OUT: &str = "out";

/// Flags of podman that would have another machine do the work.
const PODMAN_S_REMOTE: [(&str, Option<char>, bool); 4] =
    [("remote", Some('r'), false), ("url", None, true), ("connection", Some('c'), true), ("identity", None, true)];

/// The whole command line under a personality's name, with every text.
pub(crate) fn root(personality: Personality) -> Command {
    let program = personality.program();
    let path = |node: &Node| format!("{program} {}", node.name);
    bare_root(personality).subcommands(personality.tree().iter().map(|node| node.command(personality, &path(node))))
}

/// Parses a command line. The place that it seems to mean is tried first, since the words of all others take longer to set up
/// than most verbs run; whatever does not fit there is for the whole tree to judge.
///
/// # Errors
/// Clap's, about the whole tree.
pub(crate) fn parse(
    personality: Personality,
    located: &Located,
    arguments: &[OsString],
) -> Result<ArgMatches, clap::Error> {
    let program = OsString::from(personality.program());
    let named = || std::iter::once(&program).chain(arguments);
    let narrow = bare_root(personality).subcommands(branch(personality, &located.nodes));
    narrow.try_get_matches_from(named()).or_else(|_| parser(personality).try_get_matches_from(named()))
}

/// The first of the nodes, with nothing below it but the next; below the last is all that is there.
fn branch(personality: Personality, nodes: &[&'static Node]) -> Option<Command> {
    let (first, below) = nodes.split_first()?;
    if below.is_empty() {
        return Some(first.parser(personality));
    }
    Some(first.parser_with(personality, branch(personality, below)))
}

/// The command line as the parser needs it, which costs a fraction of [`root`]; whoever shows texts needs that one.
fn parser(personality: Personality) -> Command {
    bare_root(personality).subcommands(personality.tree().iter().map(|node| node.parser(personality)))
}

fn bare_root(personality: Personality) -> Command {
    let program = personality.program();
    let command = Command::new(program)
        .bin_name(program)
        .about("Pulls, pushes, lists, archives and serves container images without a daemon")
        .override_usage(format!("{program} [OPTIONS] COMMAND"))
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Print version information and quit"),
        );
    let command = match personality {
        Personality::Podman => with_podman_s_globals(command),
        Personality::Dhow | Personality::Docker | Personality::Docker29 => daemon_flags::add_to(command),
    };
    Globals::augment_args(command)
        .about("Pulls, pushes, lists, archives and serves container images without a daemon")
        .long_about(None)
        .mut_args(like_pflag)
        .args_override_self(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
}

fn with_podman_s_globals(command: Command) -> Command {
    let accepted = PODMAN_S_GLOBALS
        .iter()
        .filter_map(|flag| flag.strip_prefix("--"))
        .map(|name| Arg::new(name).long(name).value_name("string").action(ArgAction::Append).global(true).hide(true));
    let switches = ["syslog", "noout"].map(|name| Arg::new(name).long(name).action(ArgAction::SetTrue).hide(true));
    let remote = PODMAN_S_REMOTE.iter().map(|&(name, short, has_value)| {
        let action = if has_value { ArgAction::Append } else { ArgAction::SetTrue };
        let argument = Arg::new(name).long(name).action(action).hide(true);
        match short {
            Some(letter) => argument.short(letter),
            None => argument,
        }
    });
    let out = Arg::new(OUT).long(OUT).value_name("string").action(ArgAction::Set).hide(true);
    command.args(accepted).args(switches).args(remote).arg(out)
}

/// The flag among the arguments that would have another machine do the work, which dhow has none of.
pub(crate) fn remote_flag(personality: Personality, matches: &ArgMatches) -> Option<&'static str> {
    if personality != Personality::Podman {
        return None;
    }
    let given = |name: &str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
    PODMAN_S_REMOTE.iter().map(|&(name, ..)| name).find(|name| given(name))
}

/// Where podman's flags say that results go instead of standard output.
pub(crate) fn output_file(personality: Personality, matches: &ArgMatches) -> Option<&Path> {
    if personality != Personality::Podman {
        return None;
    }
    let file = matches.get_one::<String>(OUT).map(Path::new);
    file.or_else(|| matches.get_flag("noout").then_some(Path::new("/dev/null")))
}

/// Where on the tree the arguments lead.
#[derive(Debug)]
pub(crate) struct Located {
    /// The words that lead there, the program first.
    pub(crate) path: String,
    /// The words' nodes, outermost first; none is the program itself.
    pub(crate) nodes: Vec<&'static Node>,
}

impl Located {
    /// Follows words as far as the tree knows them.
    pub(crate) fn follow<'a>(personality: Personality, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut located = Self { path: personality.program().to_owned(), nodes: Vec::new() };
        for word in words {
            let members = located.nodes.last().map_or(personality.tree(), |node| node.members());
            let found = members.iter().find(|node| node.name == word || node.aliases.contains(&word));
            let Some(node) = found else { break };
            located.path.push(' ');
            located.path.push_str(node.word(personality));
            located.nodes.push(node);
        }
        located
    }

    /// Finds the place that a whole command line means, faulty or not.
    pub(crate) fn by_arguments(personality: Personality, arguments: &[OsString]) -> Self {
        let mut words = Vec::new();
        let mut is_value = false;
        for argument in arguments.iter().filter_map(|argument| argument.to_str()) {
            if is_value {
                is_value = false;
            } else if argument.starts_with('-') {
                is_value = GLOBALS_WITH_VALUE.contains(&argument)
                    || PODMAN_S_GLOBALS.contains(&argument)
                    || (words.is_empty() && personality != Personality::Podman && daemon_flags::takes_next(argument));
            } else {
                words.push(argument);
            }
        }
        Self::follow(personality, words)
    }

    /// The place as clap knows it.
    pub(crate) fn command<'a>(&self, root: &'a Command) -> &'a Command {
        self.nodes.iter().fold(root, |command, node| command.find_subcommand(node.name).unwrap_or(command))
    }

    /// The usage line of the place.
    pub(crate) fn usage(&self, command: &Command) -> String {
        let mut command = command.clone();
        let usage = command.render_usage().to_string();
        usage.strip_prefix("Usage:").unwrap_or(&usage).trim().to_owned()
    }
}

/// The verb that clap found, with its matches; `None` when the words end at a group or at the program itself.
pub(crate) fn verb_of(personality: Personality, mut matches: &ArgMatches) -> Option<(&'static Handle, &ArgMatches)> {
    let mut members = personality.tree();
    while let Some((name, below)) = matches.subcommand() {
        let node = members.iter().find(|node| node.name == name)?;
        matches = below;
        match node.handle(personality) {
            Some(handle) if matches.subcommand().is_none() => return Some((handle, matches)),
            _ => members = node.members(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(arguments: &[&str]) -> String {
        Located::by_arguments(Personality::Dhow, &arguments.iter().map(OsString::from).collect::<Vec<_>>()).path
    }

    #[test]
    fn clap_accepts_the_tree() {
        root(Personality::Dhow).debug_assert();
        parser(Personality::Dhow).debug_assert();
        parser(Personality::Podman).debug_assert();
        root(Personality::Podman).debug_assert();
    }

    /// The words that were found, and the arguments of each with their values as they were typed.
    fn words_and_values(matches: &ArgMatches) -> Vec<String> {
        let mut found = Vec::new();
        for id in matches.ids() {
            let raw = matches.try_get_raw(id.as_str()).ok().flatten();
            found.push(format!("{id} {:?}", raw.map(Iterator::collect::<Vec<_>>)));
        }
        if let Some((word, below)) = matches.subcommand() {
            found.push(word.to_owned());
            found.extend(words_and_values(below));
        }
        found
    }

    #[test]
    fn one_place_understands_what_the_whole_tree_understands() {
        for personality in [Personality::Dhow, Personality::Podman] {
            for line in [
                "image ls -q",
                "serve gc --dry-run",
                "serve",
                "image",
                "",
                "-D pull a",
                "--version",
                "nope",
                "pull --no",
            ] {
                let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
                let located = Located::by_arguments(personality, &arguments);
                let named = std::iter::once(&OsString::from("dhow")).chain(&arguments).cloned().collect::<Vec<_>>();
                let understood = |matches: Result<ArgMatches, clap::Error>| match matches {
                    Ok(matches) => Ok(words_and_values(&matches)),
                    Err(error) => Err(error.kind()),
                };
                let whole = understood(parser(personality).try_get_matches_from(named));
                let narrow = understood(parse(personality, &located, &arguments));
                assert_eq!(narrow, whole, "{line}");
            }
        }
    }

    #[test]
    fn finds_the_place() {
        assert_eq!(located(&["--root", "images", "-D", "image", "ls", "pull"]), "dhow image ls");
        assert_eq!(located(&["--config=x", "pull", "images"]), "dhow pull");
        assert_eq!(located(&["image", "nope"]), "dhow image");
        assert_eq!(located(&["-H", "unix:///x", "-c", "default", "-l", "info", "image", "ls"]), "dhow image ls");
        assert_eq!(located(&[]), "dhow");
    }
}
