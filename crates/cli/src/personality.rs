//! Whose habits the program takes on: what `--compat` says, else `DHOW_COMPAT`, else the name it was called by.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use dhow_ops::{Family, Naming};

use crate::absent;
use crate::commands;
use crate::environment;
use crate::errors::{Failure, Outcome};
use crate::tree::Located;
use crate::verb::{Count, Node};

/// The option that chooses a personality.
const OPTION: &str = "--compat";

/// The tool that the user thinks is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Personality {
    /// dhow itself: docker 28's behaviour without the talk of a daemon.
    #[default]
    Dhow,
    /// Docker 28; the name of a link, too.
    Docker,
    /// Docker 29, which shows other lists than 28 did.
    Docker29,
    /// Podman 5; the name of a link, too.
    Podman,
}

impl Personality {
    /// Chooses by the arguments, the program's name first. What cannot be understood is left for those who report it.
    ///
    /// # Errors
    /// The personality to report it in, and what is wrong with `DHOW_COMPAT`.
    pub(crate) fn choose(arguments: &[OsString]) -> Result<Self, (Self, String)> {
        let program = arguments.first().and_then(|path| Path::new(path).file_name()).and_then(OsStr::to_str);
        let linked = match program {
            Some("docker") => Personality::Docker,
            Some("podman") => Personality::Podman,
            _ => Personality::Dhow,
        };
        if let Some(given) = Self::given(arguments.get(1..).unwrap_or_default()) {
            return Ok(Self::parse(given).unwrap_or(linked));
        }
        let Some(name) = environment::personality() else { return Ok(linked) };
        let name = name.to_string_lossy();
        Self::parse(&name).map_err(|problem| (linked, format!("invalid value {name:?} of DHOW_COMPAT: {problem}")))
    }

    /// The value of the last `--compat` among the arguments. They cannot be parsed before it is known what they may be.
    fn given(arguments: &[OsString]) -> Option<&str> {
        let mut given = None;
        let mut arguments = arguments.iter().filter_map(|argument| argument.to_str()).take_while(|&text| text != "--");
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix(OPTION) {
                Some("") => given = arguments.next().or(given),
                Some(rest) => given = rest.strip_prefix('=').or(given),
                None => {}
            }
        }
        given
    }

    /// Reads the value of `--compat`.
    ///
    /// # Errors
    /// What it may be.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "dhow" => Personality::Dhow,
            "docker" => Personality::Docker,
            "docker29" => Personality::Docker29,
            "podman" => Personality::Podman,
            _ => return Err("must be \"dhow\", \"docker\", \"docker29\" or \"podman\"".to_owned()),
        })
    }

    /// Whose configuration of registries counts.
    pub(crate) fn registries(self) -> Family {
        match self {
            Personality::Dhow => Family::All,
            Personality::Docker | Personality::Docker29 => Family::Docker,
            Personality::Podman => Family::Containers,
        }
    }

    /// The name in usage texts.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Personality::Dhow => "dhow",
            Personality::Docker | Personality::Docker29 => "docker",
            Personality::Podman => "podman",
        }
    }

    /// Everything that can be said to the program.
    pub(crate) fn tree(self) -> &'static [Node] {
        match self {
            Personality::Dhow | Personality::Docker | Personality::Docker29 | Personality::Podman => commands::TREE,
        }
    }

    /// Whose rules names follow.
    pub(crate) fn naming(self) -> Naming {
        match self {
            Personality::Dhow | Personality::Docker | Personality::Docker29 => Naming::Docker,
            Personality::Podman => Naming::Podman,
        }
    }

    /// What stands before an error that docker's daemon would have reported.
    pub(crate) fn engine_prefix(self) -> &'static str {
        match self {
            Personality::Dhow => "",
            Personality::Docker | Personality::Docker29 => "Error response from daemon: ",
            Personality::Podman => self.client_prefix(),
        }
    }

    /// What stands before an error that the program found itself.
    pub(crate) fn client_prefix(self) -> &'static str {
        match self {
            Personality::Dhow | Personality::Docker | Personality::Docker29 => "",
            Personality::Podman => "Error: ",
        }
    }

    /// What is said to who must type, but has no terminal.
    pub(crate) fn no_terminal_to_log_in(self) -> &'static str {
        match self {
            Personality::Docker29 => "error: cannot perform an interactive login from a non-TTY device",
            _ => "Error: Cannot perform an interactive login from a non TTY device",
        }
    }

    /// Exit code of what fails and has no code of its own.
    pub(crate) fn failed(self) -> u8 {
        match self {
            Personality::Dhow | Personality::Docker | Personality::Docker29 => 1,
            Personality::Podman => 125,
        }
    }

    /// Exit code of a wrong number of arguments and of a word that is no command.
    pub(crate) fn misused(self) -> u8 {
        self.failed()
    }

    /// Several failures in one text, where they are not just told one after the other.
    pub(crate) fn several(self, failures: &[String]) -> Option<String> {
        match self {
            Personality::Dhow | Personality::Docker | Personality::Docker29 => None,
            // Go's multierror, which podman's errors are collected in.
            Personality::Podman => {
                let items: String = failures.iter().map(|failure| format!("\n\t* {failure}")).collect();
                Some(format!("{} errors occurred:{items}", failures.len()))
            }
        }
    }

    /// Words about a flag, with whatever stands around them.
    pub(crate) fn about_flag(self, what: &str, usage: &str, path: &str) -> String {
        match self {
            Personality::Podman => format!("Error: {what}\nSee '{path} --help'"),
            _ => format!("{what}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information"),
        }
    }

    /// Words about a number of arguments that a command does not take.
    pub(crate) fn about_count(self, count: Count, given: usize, path: &str, usage: &str) -> String {
        if self == Personality::Podman {
            return format!("Error: {}", count.in_cobra_s_words(given, path));
        }
        let (rule, verb) = count.in_docker_s_words();
        let program = self.program();
        format!("{program}: '{path}' {rule}\n\nUsage:  {usage}\n\n{verb} '{path} --help' for more information")
    }

    /// What follows the help when the arguments end before they say what to do.
    pub(crate) fn missing_command(self, path: &str) -> Outcome {
        match self {
            Personality::Dhow | Personality::Docker | Personality::Docker29 => Ok(()),
            Personality::Podman => Err(Failure::Client(format!("missing command '{path} COMMAND'"))),
        }
    }

    /// Words about a word that is no command, where one should be.
    pub(crate) fn about_command(self, word: &str, located: &Located) -> String {
        let path = &located.path;
        let instead = absent::instead(path, word).map(|instead| format!(": {instead}")).unwrap_or_default();
        if self == Personality::Podman {
            return format!(
                "Error: unrecognized command `{path} {word}`{instead}\nTry '{path} --help' for more information"
            );
        }
        let program = self.program();
        let usage = if located.nodes.is_empty() { String::new() } else { format!("Usage:  {path}\n\n") };
        format!("{program}: unknown command: {path} {word}{instead}\n\n{usage}Run '{path} --help' for more information")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str) -> Personality {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Personality::choose(&arguments).expect("no variable is set")
    }

    #[test]
    fn the_name_decides_unless_the_option_does() {
        for (line, expected) in [
            ("/usr/bin/docker", Personality::Docker),
            ("podman images", Personality::Podman),
            ("./dhow", Personality::Dhow),
            ("dhow-0.1", Personality::Dhow),
            ("dhow --compat podman images", Personality::Podman),
            ("docker images --compat=docker29", Personality::Docker29),
            ("docker --compat podman --compat dhow images", Personality::Dhow),
            ("docker save -- --compat podman", Personality::Docker),
            ("docker --compatible podman", Personality::Docker),
            ("podman --compat lxc", Personality::Podman),
            ("podman --compat", Personality::Podman),
        ] {
            assert_eq!(chosen(line), expected, "{line}");
        }
        assert_eq!(Personality::choose(&[]), Ok(Personality::Dhow));
    }

    #[test]
    fn podman_collects_errors() {
        let failures = ["a: image not known".to_owned(), "b: image not known".to_owned()];
        let expected = "2 errors occurred:\n\t* a: image not known\n\t* b: image not known";
        assert_eq!(Personality::Podman.several(&failures).as_deref(), Some(expected));
        assert_eq!(Personality::Docker.several(&failures), None);
    }
}
