//! How values of options are read: sizes, numbers, variables, labels, and the files that hold them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_base::Kind;
use dhow_base::fs::read_limited;
use dhow_ops::size::parse_size;

use super::super::proxies;
use crate::errors::{FLAG_ERROR, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// Longest file of variables or labels that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A processor, in its billionths.
pub(super) const NANO: u64 = 1_000_000_000;

/// Says of a flag's value what docker's client says while it reads the command line.
pub(in crate::commands::container) fn misread(session: &Session<'_>, value: &str, flag: &str, why: &str) -> Failure {
    let usage = format!("{} [OPTIONS] IMAGE [COMMAND] [ARG...]", session.path);
    let what = format!("invalid argument {value:?} for {flag:?} flag: {why}");
    Failure::Usage { message: session.personality.about_flag(&what, &usage, &session.path), code: FLAG_ERROR }
}

/// Says that there is no such flag, as a client does that knows none of the name.
pub(in crate::commands::container) fn unknown_flag(session: &Session<'_>, name: &str) -> Failure {
    let usage = format!("{} [OPTIONS] IMAGE [COMMAND] [ARG...]", session.path);
    let message = session.personality.about_flag(&format!("unknown flag: --{name}"), &usage, &session.path);
    Failure::Usage { message, code: FLAG_ERROR }
}

/// As [`misread`]; podman tells of some values only when it has read the whole command line, in its own words.
pub(super) fn misread_by(session: &Session<'_>, value: &str, flag: &str, why: &str, by_podman: &str) -> Failure {
    match session.personality {
        Personality::Podman => Failure::Client(by_podman.to_owned()),
        _ => misread(session, value, flag, why),
    }
}

/// A number of bytes, if one is given; podman's words begin with what it could not do.
pub(in crate::commands::container) fn bytes(
    session: &Session<'_>,
    given: Option<&str>,
    flag: &str,
    podman_could_not: &str,
) -> Outcome<Option<u64>> {
    let read = |text: &str| {
        parse_size(text).map_err(|why| misread_by(session, text, flag, &why, &format!("{podman_could_not}: {why}")))
    };
    given.map(read).transpose()
}

/// As [`bytes`]; -1 is any number of them.
pub(super) fn size_or_any(
    session: &Session<'_>,
    given: Option<&str>,
    flag: &str,
    podman_could_not: &str,
) -> Outcome<Option<i64>> {
    match given {
        Some("-1") => Ok(Some(-1)),
        given => {
            Ok(bytes(session, given, flag, podman_could_not)?.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
        }
    }
}

/// A number of processors, in billionths of one (docker/cli, `opts.ParseCPUs`): `1.5`, `3/2` or `15e-1`.
pub(super) fn nano_cpus(text: &str) -> Result<i64, String> {
    let unread = || format!("failed to parse {text} as a rational number");
    let (numerator, denominator) = ratio(text).ok_or_else(unread)?;
    let nano = numerator.checked_mul(i128::from(NANO)).ok_or_else(unread)?;
    if nano % denominator != 0 {
        return Err("value is too precise".to_owned());
    }
    i64::try_from(nano / denominator).map_err(|_| unread())
}

/// A number as a ratio of whole ones: a decimal, perhaps with a power of ten, or two numbers and a slash (Go, `big.Rat.SetString`).
fn ratio(text: &str) -> Option<(i128, i128)> {
    let (sign, number) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let whole = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i128>().ok())?;
    if let Some((over, under)) = number.split_once('/') {
        return Some((sign * whole(over)?, whole(under).filter(|under| *under != 0)?));
    }
    let (mantissa, power) = match number.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = sign * whole(&format!("{integer}{fraction}"))?;
    let power = power.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    if power < 0 { Some((digits, scale)) } else { Some((digits.checked_mul(scale)?, 1)) }
}

/// What `--volume` says, with a source that begins with a dot as a path from where this program runs, as docker's client and podman read it.
pub(super) fn from_here(text: &str) -> Cow<'_, str> {
    match text.split_once(':') {
        Some((source, rest)) if source.starts_with('.') => match std::path::absolute(source) {
            Ok(path) => Cow::Owned(format!("{}:{rest}", path.display())),
            Err(_) => Cow::Borrowed(text),
        },
        _ => Cow::Borrowed(text),
    }
}

/// Variables that are `handed_on`, those of files, then those of options; one without a value has that of this process, or takes away the image's.
pub(super) fn variables(
    session: &Session<'_>,
    handed_on: Vec<String>,
    files: &[PathBuf],
    given: &[String],
) -> Outcome<Vec<String>> {
    let mut variables = handed_on;
    let own = |name: &str| session.environment.value_of(name).map(|value| format!("{name}={value}"));
    for path in named(session, files) {
        for line in lines(session.personality, path).map_err(|failure| of_file(session.personality, path, failure))? {
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(of_file(session.personality, path, misnamed(session, path, &line, name)));
            }
            match beginning(session, &line) {
                Some(beginning) => variables.extend(all_with(session, beginning)),
                None => variables.extend(if line.contains('=') { Some(line) } else { own(&line) }),
            }
        }
    }
    variables.extend(proxies::of_config(session, given)?);
    for variable in given {
        if variable.starts_with('=') || variable.is_empty() {
            let why = format!("invalid environment variable: {variable}");
            return Err(misread(session, variable, "-e, --env", &why));
        }
        if let Some(beginning) = beginning(session, variable) {
            variables.extend(all_with(session, beginning));
            continue;
        }
        // One that is not set goes to docker's engine by its name alone, which takes away what the image says of it.
        let unset = || Some(variable.clone()).filter(|_| session.personality != Personality::Podman);
        variables.extend(if variable.contains('=') { Some(variable.clone()) } else { own(variable).or_else(unset) });
    }
    let mut last: Vec<String> = Vec::new();
    for variable in variables {
        let name = variable.split('=').next().unwrap_or_default().to_owned();
        match last.iter_mut().find(|known| known.split('=').next() == Some(&name)) {
            Some(known) => *known = variable,
            None => last.push(variable),
        }
    }
    Ok(last)
}

/// How names begin that podman takes all variables of: `NAME*`, or `*` for whatever there is.
fn beginning<'a>(session: &Session<'_>, variable: &'a str) -> Option<&'a str> {
    let may_be = session.personality == Personality::Podman && !variable.contains('=');
    variable.strip_suffix('*').filter(|_| may_be)
}

/// This process's variables whose names begin so.
fn all_with(session: &Session<'_>, beginning: &str) -> impl Iterator<Item = String> {
    session.environment.all().into_iter().filter(move |variable| variable.starts_with(beginning))
}

/// What is said of a line of a file that names no variable.
fn misnamed(session: &Session<'_>, path: &Path, line: &str, name: &str) -> Failure {
    let what = match (session.personality, name) {
        (Personality::Podman, "") => return Failure::Client(format!("invalid environment variable: {line:?}")),
        (Personality::Podman, name) => {
            return Failure::Client(format!("name {name:?} has white spaces, poorly formatted name"));
        }
        (_, "") => format!("no variable name on line '{line}'"),
        (_, name) => format!("variable '{name}' contains whitespaces"),
    };
    Failure::Client(format!("invalid env file ({}): {what}", path.display()))
}

/// Labels of files, then those of options.
///
/// # Errors
/// In each client's words for what is no label.
pub(super) fn labels(session: &Session<'_>, files: &[PathBuf], given: &[String]) -> Outcome<BTreeMap<String, String>> {
    let is_podman = session.personality == Personality::Podman;
    let mut labels = BTreeMap::new();
    let mut add = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            let why = format!("invalid label '{text}': empty name");
            let by_podman = format!("unable to process labels: invalid label format: {text:?}");
            return Err(misread_by(session, text, "-l, --label", &why, &by_podman));
        }
        let name_alone = name.trim_start();
        if !is_podman && (name_alone.is_empty() || name_alone.contains(char::is_whitespace)) {
            let why = match name_alone {
                "" => format!("invalid label '{text}': empty name"),
                name => format!("label '{name}' contains whitespaces"),
            };
            return Err(misread(session, text, "-l, --label", &why));
        }
        labels.insert(name.to_owned(), value.to_owned());
        Ok(())
    };
    let about = |failure: Failure| if is_podman { failure.about("unable to process labels") } else { failure };
    for path in named(session, files) {
        for line in lines(session.personality, path).map_err(about)? {
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(about(misnamed(session, path, &line, name)));
            }
            // Both clients leave out what has no value in a file.
            if line.contains('=') {
                add(&line)?;
            }
        }
    }
    given.iter().try_for_each(|label| add(label))?;
    Ok(labels)
}

fn of_file(personality: Personality, path: &Path, failure: Failure) -> Failure {
    match failure {
        Failure::Client(why) if personality == Personality::Podman => {
            Failure::Client(format!("parsing env file {:?}: {why}", path.display().to_string()))
        }
        failure => failure,
    }
}

/// The files that are read: to podman, one without a name is none.
fn named<'f>(session: &Session<'_>, files: &'f [PathBuf]) -> impl Iterator<Item = &'f PathBuf> {
    let is_podman = session.personality == Personality::Podman;
    files.iter().filter(move |path| !is_podman || !path.as_os_str().is_empty())
}

/// The lines of a file that say something.
fn lines(personality: Personality, path: &Path) -> Outcome<Vec<String>> {
    let bytes = read_limited(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        Kind::NotFound => Failure::Client(format!("open {}: no such file or directory", path.display())),
        _ if path.is_dir() => {
            let why = Failure::Client(format!("read {}: is a directory", path.display()));
            if personality == Personality::Podman {
                why
            } else {
                why.about(format!("invalid env file ({})", path.display()))
            }
        }
        _ => Failure::Client(error.to_string()),
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Client(format!("invalid env file ({}): it is no UTF-8", path.display())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let says = |line: &&str| !line.is_empty() && !line.starts_with('#');
    Ok(text.lines().map(str::trim_start).filter(says).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_ratios() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(
                nano_cpus(text).as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|text| *text),
                "{text}"
            );
        };
        check("1", Ok(1_000_000_000));
        check("1.5", Ok(1_500_000_000));
        check(".01", Ok(10_000_000));
        check("2.", Ok(2_000_000_000));
        check("0.1234567890", Ok(123_456_789));
        check("0.1234567891", Err("value is too precise"));
        check("x", Err("failed to parse x as a rational number"));
        check("-1", Ok(-1_000_000_000));
        check("+0.5", Ok(500_000_000));
        check("1/2", Ok(500_000_000));
        check("-3/2", Ok(-1_500_000_000));
        check("1/3", Err("value is too precise"));
        check("15e-1", Ok(1_500_000_000));
        check("1E0", Ok(1_000_000_000));
        check("1e-32", Err("value is too precise"));
        check("1/0", Err("failed to parse 1/0 as a rational number"));
        check("1/-2", Err("failed to parse 1/-2 as a rational number"));
        check("1e99", Err("failed to parse 1e99 as a rational number"));
        check("-", Err("failed to parse - as a rational number"));
        check("", Err("failed to parse  as a rational number"));
    }
}
