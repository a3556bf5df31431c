//! Docker's global flags about its daemon. There is none, so that they say nothing here, unless they name another machine.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Flags with a value, as they are typed, and their letters.
const WITH_VALUE: [(&str, Option<char>); 5] =
    [("host", Some('H')), ("context", Some('c')), ("tlscacert", None), ("tlscert", None), ("tlskey", None)];

/// Flags without one.
const SWITCHES: [&str; 2] = ["tls", "tlsverify"];

/// How docker's daemon runs containers and where it keeps their files: options of `run` and `create` there. Podman has them for
/// all verbs, and a verb cannot have an option of its own that all have, so that all have them here, too.
const OF_CONTAINERS: [&str; 2] = ["runtime", "storage-opt"];

/// Values of `--runtime` that docker's own installation has, which are all one here, and that one's name.
const RUNTIMES: [&str; 4] = ["", "runc", "io.containerd.runc.v2", "dhow"];

/// Docker's letter for `--log-level`, which is known before a command alone.
const LEVEL: &str = "level";

/// Whether `argument` is one of the flags, and its value the next argument.
pub(crate) fn takes_next(argument: &str) -> bool {
    let is_long = |name: &str| argument.strip_prefix("--") == Some(name);
    let is_letter = |letter: char| argument.strip_prefix('-').is_some_and(|rest| rest.chars().eq([letter]));
    is_letter('l') || WITH_VALUE.iter().any(|&(name, letter)| is_long(name) || letter.is_some_and(is_letter))
}

/// Adds the flags to the program itself: docker, too, knows them before a command alone.
pub(crate) fn add_to(command: Command) -> Command {
    let with_value = WITH_VALUE.iter().map(|&(name, letter)| {
        let argument = Arg::new(name).long(name).value_name("string").action(ArgAction::Append).hide(true);
        match letter {
            Some(letter) => argument.short(letter),
            None => argument,
        }
    });
    let switches = SWITCHES.map(|name| Arg::new(name).long(name).action(ArgAction::SetTrue).hide(true));
    let of_containers = OF_CONTAINERS
        .map(|name| Arg::new(name).long(name).value_name("string").action(ArgAction::Append).global(true).hide(true));
    let level = Arg::new(LEVEL).short('l').value_name("string").action(ArgAction::Set).hide(true);
    command.args(with_value).args(switches).args(of_containers).arg(level)
}

/// What `-l` says.
pub(crate) fn level(matches: &ArgMatches) -> Option<String> {
    matches.try_get_one::<String>(LEVEL).ok().flatten().cloned()
}

/// Why the flags cannot be heeded, if they cannot.
pub(crate) fn refusal(matches: &ArgMatches) -> Option<String> {
    let last = |name: &str| {
        let given =
            matches.try_contains_id(name).is_ok() && matches.value_source(name) == Some(ValueSource::CommandLine);
        given.then(|| matches.get_many::<String>(name)?.next_back()).flatten()
    };
    let refused = |flag: &str, value: &str| {
        format!("--{flag} {value:?} is not supported: dhow works on this machine and has no daemon to ask")
    };
    let elsewhere = last("host").filter(|host| !is_this_machine(host)).map(|host| refused("host", host));
    let contexts = || last("context").filter(|name| !["", "default"].contains(&name.as_str()));
    let runtime = || last("runtime").filter(|name| !RUNTIMES.contains(&name.as_str()));
    let other = |flag: &str, value: &str| {
        format!("--{flag} {value:?} is not supported: dhow runs containers itself, with files in its own store")
    };
    elsewhere
        .or_else(|| contexts().map(|name| refused("context", name)))
        .or_else(|| runtime().map(|name| other("runtime", name)))
        .or_else(|| last("storage-opt").map(|option| other("storage-opt", option)))
}

/// Whether a daemon of this address would be one of this machine, which dhow stands in for.
fn is_this_machine(host: &str) -> bool {
    host.is_empty() || ["unix://", "fd://"].iter().any(|scheme| host.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> ArgMatches {
        add_to(Command::new("docker")).get_matches_from(line.split(' '))
    }

    #[test]
    fn only_another_machine_is_refused() {
        for line in [
            "docker",
            "docker --tls --tlsverify --tlscacert a --tlscert b --tlskey c",
            "docker -H unix:///var/run/docker.sock",
            "docker --host tcp://old:2375 --host=unix:///run/docker.sock",
            "docker -c default",
            "docker --context default",
            "docker --runtime runc",
        ] {
            assert_eq!(refusal(&parsed(line)), None, "{line}");
        }
        for (line, flag) in [
            ("docker -H tcp://10.0.0.1:2375", "--host \"tcp://10.0.0.1:2375\""),
            ("docker --host=ssh://me@there", "--host \"ssh://me@there\""),
            ("docker -H 10.0.0.1", "--host \"10.0.0.1\""),
            ("docker -c there", "--context \"there\""),
            ("docker --runtime crun", "--runtime \"crun\""),
            ("docker --storage-opt size=1G", "--storage-opt \"size=1G\""),
        ] {
            let refusal = refusal(&parsed(line)).unwrap_or_default();
            assert!(refusal.starts_with(&format!("{flag} is not supported: ")), "{line}: {refusal}");
        }
    }

    #[test]
    fn flags_and_their_values_are_told_from_words() {
        for flag in ["-H", "--host", "-c", "--context", "--tlscacert", "--tlscert", "--tlskey", "-l"] {
            assert!(takes_next(flag), "{flag}");
        }
        for other in ["--tls", "--host=unix:///x", "-Hx", "-lx", "images", "-", "--", "host"] {
            assert!(!takes_next(other), "{other}");
        }
    }

    #[test]
    fn the_letter_of_the_level_is_docker_s() {
        assert_eq!(level(&parsed("docker -l debug")).as_deref(), Some("debug"));
        assert_eq!(level(&parsed("docker")), None);
    }
}
