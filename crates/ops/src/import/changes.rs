//! Dockerfile instructions that change an image's config without a build: `--change` of import and commit.

mod lines;
mod words;

use dhow_base::{Error, Kind, Result};
use dhow_spec::config::{Healthcheck, RunConfig};

use crate::container::{cleaned, is_signal};
use crate::naming::Naming;
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
/// instruction is for itself, and a `$` is a letter as any other.
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
    let Instruction { name, flags, rest } = instruction;
    let upper = name.to_ascii_uppercase();
    let takes_none = matches!(name.as_str(), "cmd" | "entrypoint");
    let takes_one = matches!(name.as_str(), "stopsignal" | "user" | "workdir");
    match flags.first() {
        Some(flag) if name != "healthcheck" => {
            let flag = flag.split('=').next().unwrap_or_default();
            return Err(invalid(format!("Unknown flag: {flag}")));
        }
        _ if !rest.is_empty() || takes_none || !is_known(name) => {}
        _ if takes_one => return Err(invalid(format!("{upper} requires exactly one argument"))),
        _ => return Err(invalid(format!("{upper} requires at least one argument"))),
    }
    let variables = config.env.clone().unwrap_or_default();
    let variables = (naming == Naming::Docker).then_some(variables.as_slice());
    match name.as_str() {
        "cmd" => config.cmd = Some(command(rest)?),
        "entrypoint" => config.entrypoint = Some(command(rest)?).filter(|words| !rest.is_empty() && !words.is_empty()),
        "env" => {
            let env = config.env.get_or_insert_default();
            for (key, value) in pairs(rest, &upper, variables)? {
                set(naming, env, &key, &value);
            }
        }
        "expose" => {
            let ports = config.exposed_ports.get_or_insert_default();
            for port in rest.split_whitespace() {
                for port in words::expand(port, variables)?.split_whitespace() {
                    ports.0.extend(ports_of(port)?);
                }
            }
        }
        "healthcheck" => config.healthcheck = Some(healthcheck(flags, rest)?),
        "label" => config.labels.get_or_insert_default().extend(pairs(rest, &upper, variables)?),
        "onbuild" => config.on_build.get_or_insert_default().push(trigger(rest)?),
        "stopsignal" => config.stop_signal = Some(signal(words::expand(rest, variables)?)?),
        "user" => config.user = words::expand(rest, variables)?,
        "volume" => config.volumes.get_or_insert_default().0.extend(volumes(rest, variables)?),
        "workdir" => config.working_dir = directory(&config.working_dir, &words::expand(rest, variables)?)?,
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

/// The JSON form of an instruction's arguments, behind which anything may stand; nothing when it is none.
fn list(text: &str) -> Result<Option<Vec<String>>> {
    if !text.starts_with('[') {
        return Ok(None);
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
fn command(text: &str) -> Result<Vec<String>> {
    Ok(list(text)?.unwrap_or_else(|| {
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

fn volumes(text: &str, variables: Option<&[String]>) -> Result<Vec<String>> {
    let volumes = list(text)?.unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect());
    let expanded = volumes.iter().map(|volume| match words::expand(volume, variables)?.trim() {
        "" => Err(invalid("VOLUME specified can not be an empty string")),
        volume => Ok(volume.to_owned()),
    });
    expanded.collect()
}

/// What a build upon the image does first.
fn trigger(text: &str) -> Result<String> {
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

fn healthcheck(flags: &[String], rest: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::default();
    for flag in flags {
        let (name, value) = flag.split_once('=').ok_or_else(|| invalid(format!("Missing a value on flag: {flag}")))?;
        let field = match name {
            "interval" => &mut check.interval,
            "timeout" => &mut check.timeout,
            "start-period" => &mut check.start_period,
            "start-interval" => &mut check.start_interval,
            "retries" => {
                check.retries =
                    value.parse().map_err(|_| invalid(format!("--retries must be a number, not {value:?}")))?;
                if check.retries < 0 {
                    return Err(invalid(format!("--retries cannot be negative ({value})")));
                }
                continue;
            }
            _ => return Err(invalid(format!("Unknown flag: {name}"))),
        };
        let time = nanoseconds(value).ok_or_else(|| invalid(format!("time: invalid duration {value:?}")))?;
        if time < 1_000_000 {
            return Err(invalid(format!("Interval {name:?} cannot be less than 1ms")));
        }
        *field = time;
    }
    let (kind, arguments) = lines::first_word(rest);
    check.test = Some(match kind.to_ascii_uppercase().as_str() {
        "NONE" if arguments.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err(invalid("HEALTHCHECK NONE takes no arguments")),
        "CMD" if arguments.is_empty() => return Err(invalid("Missing command after HEALTHCHECK CMD")),
        "CMD" => match list(arguments)? {
            Some(list) => [vec!["CMD".to_owned()], list].concat(),
            None => vec!["CMD-SHELL".to_owned(), arguments.to_owned()],
        },
        other => return Err(invalid(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
    });
    Ok(check)
}

/// Go's durations: `1m30s`, `1.5h`, `500ms`.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut total = 0_f64;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |at| end + at);
        let unit = match &rest[end..unit_end] {
            "ns" => 1e0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[unit_end..];
    }
    (total < 9e18).then_some(total as i64)
}

/// A directory as seen from another: one from the root stays as it is written.
fn directory(base: &str, path: &str) -> Result<String> {
    if path.is_empty() {
        return Err(invalid("cannot normalize nothing"));
    }
    Ok(if path.starts_with('/') { path.to_owned() } else { cleaned(&format!("/{base}/{path}")).unwrap_or_default() })
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

    /// What docker 20.10 made of the same instructions.
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
        check(Naming::Podman, &["ENV PATH=\"$PATH:/opt\""], r#"{"Env":["A=1","PATH=$PATH:/opt"]}"#);
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
