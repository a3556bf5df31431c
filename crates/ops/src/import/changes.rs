//! Dockerfile instructions that change an image's config without a build: `--change` of import and commit.

use std::collections::BTreeMap;

use dhow_base::{Error, Kind, Result};
use dhow_spec::config::{Healthcheck, NameSet, RunConfig};

use crate::naming::Naming;

/// Applies instructions to an empty config.
///
/// # Errors
/// [`Kind::Invalid`], in docker's words for instructions that a config cannot take.
pub(crate) fn apply(naming: Naming, instructions: &[String]) -> Result<RunConfig> {
    apply_to(naming, RunConfig::default(), instructions)
}

/// Applies instructions to a container's config. With docker, an entry point takes away a command that did not come with it, and what is empty at
/// the end stays the container's (moby, `daemon/commit.go`, `merge`); with podman each instruction is for itself.
///
/// # Errors
/// As [`apply`].
pub(crate) fn apply_to(naming: Naming, mut config: RunConfig, instructions: &[String]) -> Result<RunConfig> {
    let (cmd, entrypoint) = (config.cmd.clone(), config.entrypoint.clone());
    let mut has_own_cmd = false;
    for text in instructions.iter().flat_map(|text| text.lines()).map(str::trim) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (name, rest) = (name.to_ascii_lowercase(), rest.trim());
        change(&mut config, &name, rest)?;
        match name.as_str() {
            "cmd" => has_own_cmd |= !rest.is_empty() && !is_empty(config.cmd.as_ref()),
            "entrypoint" if naming == Naming::Docker && !has_own_cmd => config.cmd = None,
            _ => {}
        }
    }
    if naming == Naming::Podman {
        config.cmd = config.cmd.filter(|cmd| !cmd.is_empty());
    } else if is_empty(config.entrypoint.as_ref()) {
        if is_empty(config.cmd.as_ref()) {
            config.cmd = cmd.or(config.cmd);
        }
        config.entrypoint = config.entrypoint.or(entrypoint);
    }
    Ok(config)
}

fn is_empty(command: Option<&Vec<String>>) -> bool {
    command.is_none_or(Vec::is_empty)
}

fn change(config: &mut RunConfig, name: &str, rest: &str) -> Result<()> {
    let upper = name.to_ascii_uppercase();
    let needs = |count: &str| Error::new(Kind::Invalid, format!("{upper} requires {count}"));
    let one = || if rest.is_empty() { Err(needs("exactly one argument")) } else { Ok(rest.to_owned()) };
    let some = || if rest.is_empty() { Err(needs("at least one argument")) } else { Ok(()) };
    match name {
        "cmd" => config.cmd = Some(command(rest)),
        "entrypoint" => config.entrypoint = Some(command(rest)).filter(|words| !rest.is_empty() && !words.is_empty()),
        "env" => {
            some()?;
            let env = config.env.get_or_insert_default();
            for (key, value) in pairs(rest, &upper)? {
                env.retain(|known| known.split('=').next() != Some(&key));
                env.push(format!("{key}={value}"));
            }
        }
        "expose" => {
            some()?;
            let ports = config.exposed_ports.get_or_insert_default();
            for port in rest.split_whitespace() {
                ports.0.extend(ports_of(port)?);
            }
        }
        "healthcheck" => config.healthcheck = Some(healthcheck(rest)?),
        "label" => {
            some()?;
            config.labels.get_or_insert_with(BTreeMap::new).extend(pairs(rest, &upper)?);
        }
        "onbuild" => config.on_build.get_or_insert_default().push(one()?),
        "stopsignal" => config.stop_signal = Some(one()?),
        "user" => config.user = one()?,
        "volume" => {
            some()?;
            let volumes = list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            if volumes.iter().any(String::is_empty) {
                return Err(Error::new(Kind::Invalid, "VOLUME specified can not be an empty string"));
            }
            config.volumes.get_or_insert_with(NameSet::default).0.extend(volumes);
        }
        "workdir" => config.working_dir = joined(&config.working_dir, &one()?),
        other => return Err(Error::new(Kind::Invalid, format!("{other} is not a valid change command"))),
    }
    Ok(())
}

/// The JSON form of an instruction's arguments; nothing when it is none.
fn list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// A command in JSON form, or for the shell.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| {
        let text = Some(text).filter(|text| !text.is_empty());
        ["/bin/sh", "-c"].into_iter().chain(text).map(str::to_owned).collect()
    })
}

/// `key=value` pairs, quoted as in a shell; a single `key value` is the old form.
fn pairs(text: &str, instruction: &str) -> Result<Vec<(String, String)>> {
    let words = words(text);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let Some((key, value)) = text.split_once(char::is_whitespace) else {
            return Err(Error::new(Kind::Invalid, format!("{instruction} must have two arguments")));
        };
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) => Err(Error::new(Kind::Invalid, format!("{instruction} names can not be blank"))),
        None => {
            let message = format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value");
            Err(Error::new(Kind::Invalid, message))
        }
    };
    words.iter().map(pair).collect()
}

/// Splits at spaces outside of quotes; quotes and backslashes go.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\'', Some('\'')) | ('"', Some('"')) => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (space, None) if space.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// `80`, `80/udp` or `8000-8002/tcp` as docker writes ports.
fn ports_of(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::new(Kind::Invalid, format!("invalid containerPort: {text}"));
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
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

fn healthcheck(text: &str) -> Result<Healthcheck> {
    let invalid = |message: String| Error::new(Kind::Invalid, message);
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        rest = after.trim_start();
        let (name, value) = flag.split_once('=').ok_or_else(|| invalid(format!("Missing a value on flag: {flag}")))?;
        let field = match name {
            "interval" => &mut check.interval,
            "timeout" => &mut check.timeout,
            "start-period" => &mut check.start_period,
            "start-interval" => &mut check.start_interval,
            "retries" => {
                check.retries =
                    value.parse().map_err(|_| invalid(format!("--retries must be a number, not {value:?}")))?;
                continue;
            }
            _ => return Err(invalid(format!("Unknown flag: {name}"))),
        };
        *field = nanoseconds(value).ok_or_else(|| invalid(format!("time: invalid duration {value:?}")))?;
    }
    let (kind, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let arguments = arguments.trim();
    check.test = Some(match kind.to_ascii_uppercase().as_str() {
        "NONE" if arguments.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err(invalid("HEALTHCHECK NONE takes no arguments".to_owned())),
        "CMD" if arguments.is_empty() => return Err(invalid("Missing command after HEALTHCHECK CMD".to_owned())),
        "CMD" => match list(arguments) {
            Some(list) => [vec!["CMD".to_owned()], list].concat(),
            None => vec!["CMD-SHELL".to_owned(), arguments.to_owned()],
        },
        "" => return Err(invalid("HEALTHCHECK requires at least one argument".to_owned())),
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

/// A directory as seen from another, cleaned; `/` is where it begins.
fn joined(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
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
        check(&["ENV A=1 B=\"2 3\"", "ENV A 4 5"], r#"{"Env":["B=2 3","A=4 5"]}"#);
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

    #[test]
    fn others_are_refused() {
        check(&["FROM x"], "from is not a valid change command");
        check(&["RUN x"], "run is not a valid change command");
        check(&["EXPOSE x"], "invalid containerPort: x");
        check(&["ENV"], "ENV requires at least one argument");
        check(&["ENV A"], "ENV must have two arguments");
        check(&["HEALTHCHECK --interval=x CMD y"], "time: invalid duration \"x\"");
        check(&["USER"], "USER requires exactly one argument");
    }
}
