//! Dockerfile instructions that change an image's config without a build: `--change` of import and commit.

mod healthcheck;
mod lines;
pub(crate) mod words;

use dhow_base::{Error, Kind, Result};
use dhow_spec::config::RunConfig;

use crate::container::{cleaned, is_signal};
use crate::naming::Naming;
use healthcheck::healthcheck;
use lines::Instruction;

/// Applies instructions to an empty config.
///
/// # Errors
/// [`Kind::Invalid`], in docker's words for instructions that a config cannot take.
pub(crate) fn apply(naming: Naming, instructions: &[String]) -> Result<RunConfig> {
    apply_to(naming, RunConfig::default(), instructions)
}

/// Applies instructions to a container's config. With docker, variables in them are those of the config, an entry point takes away a command
/// that did not come with it, and what is empty at the end stays the container's (moby, `daemon/commit.go`, `merge`); with podman each
/// instruction is for itself, and there are no variables.
///
/// # Errors
/// As [`apply`].
pub(crate) fn apply_to(naming: Naming, mut config: RunConfig, instructions: &[String]) -> Result<RunConfig> {
    let (cmd, entrypoint, user) = (config.cmd.clone(), config.entrypoint.clone(), config.user.clone());
    let mut has_own_cmd = false;
    for instruction in lines::read(instructions)? {
        let Instruction { name, rest, .. } = &instruction;
        change(naming, &mut config, &instruction)?;
        match name.as_str() {
            "cmd" => has_own_cmd |= !rest.is_empty() && !is_empty(config.cmd.as_ref()),
            "entrypoint" if naming == Naming::Docker && !has_own_cmd => config.cmd = None,
            _ => {}
        }
    }
    if naming == Naming::Podman {
        config.cmd = config.cmd.filter(|cmd| !cmd.is_empty());
        return Ok(config);
    }
    if is_empty(config.entrypoint.as_ref()) {
        if is_empty(config.cmd.as_ref()) {
            config.cmd = cmd.or(config.cmd);
        }
        config.entrypoint = config.entrypoint.or(entrypoint);
    }
    if config.user.is_empty() {
        config.user = user;
    }
    Ok(config)
}

fn is_empty(command: Option<&Vec<String>>) -> bool {
    command.is_none_or(Vec::is_empty)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

fn change(naming: Naming, config: &mut RunConfig, instruction: &Instruction) -> Result<()> {
    let Instruction { name, flags, rest, text } = instruction;
    let is_docker = naming == Naming::Docker;
    let rest = if is_docker || name == "healthcheck" { rest } else { text };
    let upper = name.to_ascii_uppercase();
    let takes_none = matches!(name.as_str(), "cmd" | "entrypoint");
    let takes_one = matches!(name.as_str(), "stopsignal" | "user" | "workdir");
    match flags.first() {
        Some(flag) if is_docker && name != "healthcheck" => {
            let flag = flag.split('=').next().unwrap_or_default();
            return Err(invalid(format!("Unknown flag: {flag}")));
        }
        _ if !rest.is_empty() || takes_none || !is_known(name) => {}
        _ if takes_one => return Err(invalid(format!("{upper} requires exactly one argument"))),
        _ => return Err(invalid(format!("{upper} requires at least one argument"))),
    }
    let variables = config.env.clone().unwrap_or_default();
    let variables = is_docker.then_some(variables.as_slice());
    let one = |word: &str| if is_docker { words::expand(word, variables) } else { Ok(word.to_owned()) };
    match name.as_str() {
        "cmd" => config.cmd = Some(command(naming, rest)?),
        "entrypoint" => {
            config.entrypoint = Some(command(naming, rest)?).filter(|words| !rest.is_empty() && !words.is_empty());
        }
        "env" => {
            let env = config.env.get_or_insert_default();
            for (key, value) in pairs(rest, &upper, variables)? {
                set(naming, env, &key, &value);
            }
        }
        "expose" => {
            let ports = config.exposed_ports.get_or_insert_default();
            for port in rest.split_whitespace() {
                for port in one(port)?.split_whitespace() {
                    ports.0.extend(ports_of(port)?);
                }
            }
        }
        "healthcheck" => config.healthcheck = Some(healthcheck(naming, flags, rest)?),
        "label" => config.labels.get_or_insert_default().extend(pairs(rest, &upper, variables)?),
        "onbuild" => config.on_build.get_or_insert_default().push(trigger(naming, rest)?),
        "stopsignal" => config.stop_signal = Some(signal(one(rest)?)?),
        "user" => config.user = one(rest)?,
        "volume" => config.volumes.get_or_insert_default().0.extend(volumes(naming, rest, one)?),
        "workdir" => config.working_dir = directory(naming, &config.working_dir, &one(rest)?)?,
        other => return Err(invalid(format!("{other} is not a valid change command"))),
    }
    Ok(())
}

/// Whether an instruction changes a config.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        "cmd"
            | "entrypoint"
            | "env"
            | "expose"
            | "healthcheck"
            | "label"
            | "onbuild"
            | "stopsignal"
            | "user"
            | "volume"
            | "workdir"
    )
}

/// Sets a variable: in the place of the one with its name with docker, at the end with podman.
fn set(naming: Naming, env: &mut Vec<String>, key: &str, value: &str) {
    let has_name = |known: &String| known.split('=').next() == Some(key);
    let variable = format!("{key}={value}");
    match env.iter_mut().find(|known| has_name(known)) {
        Some(known) if naming == Naming::Docker => *known = variable,
        _ => {
            env.retain(|known| !has_name(known));
            env.push(variable);
        }
    }
}

/// The JSON form of an instruction's arguments, behind which anything may stand with docker; nothing when it is none.
fn list(naming: Naming, text: &str) -> Result<Option<Vec<String>>> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    if naming == Naming::Podman {
        return Ok(serde_json::from_str(text).ok());
    }
    let Some(Ok(list)) = serde_json::Deserializer::from_str(text).into_iter::<Vec<serde_json::Value>>().next() else {
        return Ok(None);
    };
    let words = list.into_iter().map(|word| match word {
        serde_json::Value::String(word) => Ok(word),
        _ => Err(invalid("When using JSON array syntax, arrays must be comprised of strings only.")),
    });
    words.collect::<Result<_>>().map(Some)
}

/// A command in JSON form, or for the shell.
fn command(naming: Naming, text: &str) -> Result<Vec<String>> {
    Ok(list(naming, text)?.unwrap_or_else(|| {
        let text = Some(text).filter(|text| !text.is_empty());
        ["/bin/sh", "-c"].into_iter().chain(text).map(str::to_owned).collect()
    }))
}

/// `key=value` pairs, quoted as in a shell; a single `key value` is the old form.
fn pairs(text: &str, instruction: &str, variables: Option<&[String]>) -> Result<Vec<(String, String)>> {
    let words = words::split(text);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (key, value) = lines::first_word(text);
        if value.is_empty() {
            return Err(invalid(format!("{instruction} must have two arguments")));
        }
        return Ok(vec![(words::expand(key, variables)?, words::expand(value, variables)?)]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((words::expand(key, variables)?, words::expand(value, variables)?)),
        Some(_) => Err(invalid(format!("{instruction} names can not be blank"))),
        None => Err(invalid(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))),
    };
    words.iter().map(pair).collect()
}

fn volumes(naming: Naming, text: &str, one: impl Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let volumes = list(naming, text)?.unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect());
    let expanded = volumes.iter().map(|volume| match one(volume)?.trim() {
        "" => Err(invalid("VOLUME specified can not be an empty string")),
        volume => Ok(volume.to_owned()),
    });
    expanded.collect()
}

/// What a build upon the image does first.
fn trigger(naming: Naming, text: &str) -> Result<String> {
    if naming == Naming::Podman {
        return Ok(text.to_owned());
    }
    match lines::first_word(text).0.to_ascii_uppercase().as_str() {
        "ONBUILD" => Err(invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        name @ ("FROM" | "MAINTAINER") => Err(invalid(format!("{name} isn't allowed as an ONBUILD trigger"))),
        _ => Ok(text.to_owned()),
    }
}

fn signal(name: String) -> Result<String> {
    if is_signal(&name) { Ok(name) } else { Err(invalid(format!("invalid signal: {name}"))) }
}

/// `80`, `80/udp` or `8000-8002/tcp` as docker writes ports.
fn ports_of(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::new(Kind::Invalid, format!("invalid containerPort: {text}"));
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    // What a port of the container is on the machine is none of the image's business.
    let numbers = numbers.rsplit(':').next().unwrap_or(numbers);
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::new(Kind::Invalid, format!("invalid proto: {protocol}")));
    }
    let number = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (first, last) = match numbers.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(numbers)?, number(numbers)?),
    };
    if first > last {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// A directory as seen from another; with docker, one from the root stays as it is written.
fn directory(naming: Naming, base: &str, path: &str) -> Result<String> {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("/{base}/{path}") };
    match naming {
        _ if path.is_empty() => Err(invalid("cannot normalize nothing")),
        Naming::Docker if path.starts_with('/') => Ok(whole),
        _ => Ok(cleaned(&whole).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The config as JSON, or the error.
    fn check(instructions: &[&str], expected: &str) {
        let instructions: Vec<String> = instructions.iter().map(|text| (*text).to_owned()).collect();
        let got = match apply(Naming::Docker, &instructions) {
            Ok(config) => serde_json::to_string(&config).expect("JSON"),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{instructions:?}");
    }

    /// What docker 20.10 and podman 4.3.1 made of containers with and without an entry point.
    #[test]
    fn commands_and_entry_points_change_each_other() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let check = |naming, base: Option<&str>, instructions: &[&str], cmd: Option<&str>, entrypoint: Option<&str>| {
            let config = RunConfig { cmd: Some(words("a b")), entrypoint: base.map(words), ..RunConfig::default() };
            let given: Vec<String> = instructions.iter().map(|text| (*text).to_owned()).collect();
            let got = apply_to(naming, config, &given).expect("a config");
            assert_eq!(
                (got.cmd, got.entrypoint),
                (cmd.map(words), entrypoint.map(words)),
                "{naming:?} {instructions:?}"
            );
        };
        let docker =
            |base, instructions: &[&str], cmd, entrypoint| check(Naming::Docker, base, instructions, cmd, entrypoint);
        docker(None, &["ENTRYPOINT [\"/x\"]"], None, Some("/x"));
        docker(Some("/e"), &["ENTRYPOINT [\"/x\"]"], None, Some("/x"));
        docker(Some("/e"), &["CMD [\"q\"]", "ENTRYPOINT [\"/x\"]"], Some("q"), Some("/x"));
        docker(Some("/e"), &["ENTRYPOINT [\"/x\"]", "CMD [\"q\"]"], Some("q"), Some("/x"));
        docker(Some("/e"), &["ENTRYPOINT []"], Some("a b"), Some("/e"));
        docker(Some("/e"), &["CMD []"], Some(""), Some("/e"));
        docker(None, &["CMD []"], Some("a b"), None);
        docker(None, &["USER x"], Some("a b"), None);
        let podman =
            |instructions: &[&str], cmd, entrypoint| check(Naming::Podman, Some("/e"), instructions, cmd, entrypoint);
        podman(&["ENTRYPOINT [\"/x\"]"], Some("a b"), Some("/x"));
        podman(&["ENTRYPOINT []"], Some("a b"), None);
        podman(&["CMD []"], None, Some("/e"));
    }

    #[test]
    fn instructions_change_the_config() {
        check(&[r#"CMD ["a", "b"]"#], r#"{"Cmd":["a","b"]}"#);
        check(&["cmd a b"], r#"{"Cmd":["/bin/sh","-c","a b"]}"#);
        check(&["CMD"], r#"{"Cmd":["/bin/sh","-c"]}"#);
        check(&[r#"CMD ["a", "b"] c"#], r#"{"Cmd":["a","b"]}"#);
        check(
            &["CMD a \\", "  b", "EXPOSE 8080:80"],
            r#"{"ExposedPorts":{"80/tcp":{}},"Cmd":["/bin/sh","-c","a   b"]}"#,
        );
        check(&["ENV A=1 B=\"2 3\"", "ENV A 4 5"], r#"{"Env":["A=4 5","B=2 3"]}"#);
        check(
            &["EXPOSE 80 53/udp 8000-8001"],
            r#"{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}}}"#,
        );
        check(&["LABEL a=b 'c d'=e"], r#"{"Labels":{"a":"b","c d":"e"}}"#);
        check(&["USER nobody", "WORKDIR /a", "WORKDIR b/../c"], r#"{"User":"nobody","WorkingDir":"/a/c"}"#);
        check(&[r#"VOLUME ["/a", "/b c"]"#, "VOLUME /d /e"], r#"{"Volumes":{"/a":{},"/b c":{},"/d":{},"/e":{}}}"#);
        check(&["STOPSIGNAL SIGINT"], r#"{"StopSignal":"SIGINT"}"#);
        check(&["ONBUILD RUN x"], r#"{"OnBuild":["RUN x"]}"#);
        check(&["HEALTHCHECK NONE"], r#"{"Healthcheck":{"Test":["NONE"]}}"#);
        check(
            &["HEALTHCHECK --interval=1m30s --retries=3 CMD curl x"],
            r#"{"Healthcheck":{"Test":["CMD-SHELL","curl x"],"Interval":90000000000,"Retries":3}}"#,
        );
    }

    /// What docker 20.10 and podman 4.3.1 made of the same instructions.
    #[test]
    fn variables_are_those_of_the_config() {
        let check = |naming, instructions: &[&str], expected: &str| {
            let config =
                RunConfig { env: Some(vec!["PATH=/bin".to_owned(), "A=1".to_owned()]), ..RunConfig::default() };
            let given: Vec<String> = instructions.iter().map(|text| (*text).to_owned()).collect();
            let config = apply_to(naming, config, &given).expect("a config");
            assert_eq!(serde_json::to_string(&config).expect("JSON"), expected, "{instructions:?}");
        };
        let docker = |instructions: &[&str], expected| check(Naming::Docker, instructions, expected);
        docker(&["ENV PATH=$PATH:/opt B=$A", "ENV C=$B"], r#"{"Env":["PATH=/bin:/opt","A=1","B=1","C=1"]}"#);
        docker(
            &["LABEL a=\"x$PATH\" b='$PATH'", "USER \"u$A\"", "WORKDIR /w/../${A}"],
            r#"{"User":"u1","Env":["PATH=/bin","A=1"],"WorkingDir":"/w/../1","Labels":{"a":"x/bin","b":"$PATH"}}"#,
        );
        docker(&["EXPOSE 8$A ${NONE}"], r#"{"ExposedPorts":{"81/tcp":{}},"Env":["PATH=/bin","A=1"]}"#);
        docker(&["VOLUME /v$A"], r#"{"Env":["PATH=/bin","A=1"],"Volumes":{"/v1":{}}}"#);
        docker(&["CMD echo $A"], r#"{"Env":["PATH=/bin","A=1"],"Cmd":["/bin/sh","-c","echo $A"]}"#);
        let podman = |instructions: &[&str], expected| check(Naming::Podman, instructions, expected);
        podman(&["ENV PATH=\"$PATH:/opt\""], r#"{"Env":["A=1","PATH=$PATH:/opt"]}"#);
        podman(
            &["USER \"$A\"", "WORKDIR /a/../b", r#"CMD --x ["a"] c"#],
            r#"{"User":"\"$A\"","Env":["PATH=/bin","A=1"],"Cmd":["/bin/sh","-c","--x [\"a\"] c"],"WorkingDir":"/b"}"#,
        );
    }

    #[test]
    fn others_are_refused() {
        check(&["FROM x"], "from is not a valid change command");
        check(&["RUN x"], "run is not a valid change command");
        check(&["EXPOSE x"], "invalid containerPort: x");
        check(&["ENV"], "ENV requires at least one argument");
        check(&["ENV A"], "ENV must have two arguments");
        check(&["HEALTHCHECK --interval=x CMD y"], "time: invalid duration \"x\"");
        check(&["USER"], "USER requires exactly one argument");
        check(&["ONBUILD FROM x"], "FROM isn't allowed as an ONBUILD trigger");
        check(&["ONBUILD onbuild RUN x"], "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
        check(&["WORKDIR $NONE"], "cannot normalize nothing");
        check(&["VOLUME $NONE"], "VOLUME specified can not be an empty string");
        check(&["STOPSIGNAL FOO"], "invalid signal: FOO");
        check(&["CMD [1]"], "When using JSON array syntax, arrays must be comprised of strings only.");
        check(&["CMD --flag=1 x"], "Unknown flag: flag");
        check(&["HEALTHCHECK --interval=1us CMD y"], "Interval \"interval\" cannot be less than 1ms");
        check(&["HEALTHCHECK --retries=-1 CMD y"], "--retries cannot be negative (-1)");
        check(
            &["LABEL multi=\"a\\"],
            "failed to process \"\\\"a\": unexpected end of statement while looking for matching double-quote",
        );
    }
}
