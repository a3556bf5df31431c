//! How a container's program runs: what the user says over what the image says.

use dhow_base::{Error, Kind, Result};
use dhow_spec::config::{Healthcheck, RunConfig};

use super::mounts::cleaned;
use super::settings::Options;
use crate::import::changes::words::expand_alone;
use crate::naming::Naming;

/// The search path of a container whose image has none, as with docker.
pub(super) const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the user says over what the image says (moby `daemon/commit.go`, `merge`).
///
/// # Errors
/// [`Kind::Invalid`] in each engine's words when there is nothing to run.
pub(crate) fn merged(naming: Naming, options: &Options, image: Option<&RunConfig>) -> Result<RunConfig> {
    let none = RunConfig::default();
    let image = image.unwrap_or(&none);
    let mut config = image.clone();
    let mut environment = options.environment.clone();
    let is_set = |environment: &[String], name: &str| {
        environment.iter().any(|variable| variable.split('=').next() == Some(name))
    };
    for variable in with_merged(image.env.clone().unwrap_or_default(), options)? {
        let name = variable.split('=').next().unwrap_or_default();
        if !is_set(&environment, name) && !options.settings.is_unset(name) {
            environment.push(variable);
        }
    }
    config.env = Some(environment);
    match &options.entrypoint {
        Some(words) => {
            config.entrypoint = Some(words.clone()).filter(|words| words.iter().any(|word| !word.is_empty()));
            config.cmd = None;
        }
        // One empty word is none of the image's either.
        None => config.entrypoint = config.entrypoint.filter(|words| !words.is_empty() && *words != [""]),
    }
    if !options.command.is_empty() {
        config.cmd = Some(options.command.clone());
    }
    if config.entrypoint.iter().chain(&config.cmd).flatten().next().is_none() {
        let message = match naming {
            Naming::Docker => "no command specified",
            Naming::Podman => "no command or entrypoint provided, and no CMD or ENTRYPOINT from image",
        };
        return Err(Error::new(Kind::Invalid, message));
    }
    config.user = options.user.clone().filter(|user| !user.is_empty()).unwrap_or(config.user);
    config.working_dir =
        options.working_directory.clone().filter(|path| !path.is_empty()).unwrap_or(config.working_dir);
    if naming == Naming::Docker {
        // Podman looks for it as it is written.
        config.working_dir = cleaned(&config.working_dir).unwrap_or(config.working_dir);
    }
    if !options.labels.is_empty() {
        config.labels.get_or_insert_default().extend(options.labels.clone());
    }
    // Docker does not look whether there is a signal of a number.
    let is_docker_s = |text: &str| naming == Naming::Docker && text.parse::<i64>().is_ok_and(|number| number != 0);
    let given = options.stop_signal.as_deref().filter(|signal| !signal.is_empty() || naming == Naming::Podman);
    if let Some(signal) = given.filter(|signal| !is_signal(signal) && !is_docker_s(signal)) {
        return Err(Error::new(Kind::Invalid, format!("invalid signal: {signal}")));
    }
    config.stop_signal = given.map(str::to_owned).or(config.stop_signal);
    config.stop_timeout = options.stop_timeout.or(config.stop_timeout);
    config.healthcheck = healthcheck(options.health.clone(), config.healthcheck);
    if !options.exposed_ports.is_empty() {
        config.exposed_ports.get_or_insert_default().0.extend(options.exposed_ports.iter().cloned());
    }
    config.tty = options.terminal;
    config.open_stdin = options.interactive;
    config.image.clone_from(&options.image);
    Ok(config)
}

/// The user's way to tell whether the container is well, with the image's where it says nothing.
fn healthcheck(given: Option<Healthcheck>, image: Option<Healthcheck>) -> Option<Healthcheck> {
    let (mut check, image) = match (given, image) {
        (Some(given), Some(image)) => (given, image),
        (given, image) => return given.or(image),
    };
    check.test = check.test.filter(|words| !words.is_empty()).or(image.test);
    let numbers = [
        (&mut check.interval, image.interval),
        (&mut check.timeout, image.timeout),
        (&mut check.start_period, image.start_period),
        (&mut check.start_interval, image.start_interval),
        (&mut check.retries, image.retries),
    ];
    for (number, image) in numbers {
        *number = if *number == 0 { image } else { *number };
    }
    Some(check)
}

/// The image's variables, and those that are made of them one after the other (podman, `specgen/generate.CompleteSpec`; version 4 drops
/// those that the image has not).
fn with_merged(mut variables: Vec<String>, options: &Options) -> Result<Vec<String>> {
    for word in &options.merged_environment {
        // Of several with a name the first counts.
        let own = [Some(SEARCH_PATH), options.settings.own_variable()];
        let known: Vec<String> =
            variables.iter().cloned().chain(own.into_iter().flatten().map(str::to_owned)).collect();
        let expanded = expand_alone(word, Some(&known))
            .map_err(|error| error.context(format_args!("unable to process variables for --env-merge {word}")))?;
        let Some((name, _)) = expanded.split_once('=') else {
            return Err(Error::new(Kind::Invalid, format!("missing `=` for --env-merge substitution {word}")));
        };
        let same = variables.iter_mut().find(|variable| variable.split('=').next() == Some(name));
        match same {
            Some(variable) => *variable = expanded,
            None => variables.push(expanded),
        }
    }
    Ok(variables)
}

/// Names of signals (signal(7)), without those of real time.
const SIGNALS: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// Whether a text is a signal's number or name (moby `signal.ParseSignal`).
pub(crate) fn is_signal(text: &str) -> bool {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    match text.parse::<u8>() {
        Ok(number) => (1..=64).contains(&number),
        Err(_) => SIGNALS.contains(&name) || name.starts_with("RTMIN") || name.starts_with("RTMAX"),
    }
}

/// The program and its arguments.
pub(crate) fn arguments(config: &RunConfig) -> Vec<String> {
    config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_variables_are_made_of_the_image_s() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let check = |merged: &[&str], expected: Result<&[&str], &str>| {
            let options = Options { merged_environment: list(merged), ..Options::default() };
            let got = with_merged(list(&["A=1", "B=2"]), &options).map_err(|error| error.to_string());
            assert_eq!(got, expected.map(list).map_err(str::to_owned), "{merged:?}");
        };
        check(&["A=${A}a", "B=${A}b"], Ok(&["A=1a", "B=1ab"]));
        check(&["B=$NONE-"], Ok(&["A=1", "B=-"]));
        check(&["C=${A:-x}=y"], Ok(&["A=1", "B=2", "C=1=y"]));
        check(&["PATH=$PATH:/x"], Ok(&["A=1", "B=2", &format!("{SEARCH_PATH}:/x")]));
        check(&["A"], Err("missing `=` for --env-merge substitution A"));
        let quote = "unexpected end of statement while looking for matching single-quote";
        check(&["'A=a"], Err(&format!("unable to process variables for --env-merge 'A=a: {quote}")));
    }

    #[test]
    fn working_directories_have_no_detours_with_docker() {
        let check = |naming: Naming, given: Option<&str>, image: &str, expected: &str| {
            let image =
                RunConfig { working_dir: image.to_owned(), cmd: Some(vec!["x".to_owned()]), ..RunConfig::default() };
            let options = Options { working_directory: given.map(str::to_owned), ..Options::default() };
            let config = merged(naming, &options, Some(&image)).expect("a configuration");
            assert_eq!(config.working_dir, expected);
        };
        check(Naming::Docker, Some("/a/../b/"), "/c", "/b");
        check(Naming::Docker, None, "/c//d/.", "/c/d");
        check(Naming::Docker, None, "c", "c");
        check(Naming::Docker, None, "", "");
        check(Naming::Podman, Some("/a/../b/"), "/c", "/a/../b/");
    }

    #[test]
    fn the_user_s_words_come_before_the_image_s() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let image = RunConfig {
            entrypoint: Some(words("/entry -x")),
            cmd: Some(words("default")),
            env: Some(words("A=1 B=2")),
            user: "bob".to_owned(),
            ..RunConfig::default()
        };
        let check = |entrypoint: Option<&str>, command: &str, expected: &str| {
            let command = if command.is_empty() { Vec::new() } else { words(command) };
            let options = Options {
                entrypoint: entrypoint.map(|word| vec![word.to_owned()]),
                command,
                environment: words("B=3"),
                ..Options::default()
            };
            let got = match merged(Naming::Docker, &options, Some(&image)) {
                Ok(config) => {
                    assert_eq!(config.env, Some(words("B=3 A=1")));
                    assert_eq!(config.user, "bob");
                    arguments(&config).join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected);
        };
        check(None, "", "/entry -x default");
        check(None, "a b", "/entry -x a b");
        check(Some("sh"), "", "sh");
        check(Some("sh"), "-c x", "sh -c x");
        check(Some(""), "a", "a");
        check(Some(""), "", "no command specified");
        let image =
            RunConfig { entrypoint: Some(vec![String::new()]), cmd: Some(words("default")), ..RunConfig::default() };
        let empty = merged(Naming::Podman, &Options::default(), Some(&image)).expect("a program");
        assert_eq!(arguments(&empty), ["default"]);
        let signals = ["9", "TERM", "sigkill", "SIGRTMIN+3"].into_iter().all(is_signal);
        assert!(signals && !["0", "65", "odd", ""].into_iter().any(is_signal));
    }
}
