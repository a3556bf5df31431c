//! `HEALTHCHECK`: how an engine is to find out whether a container is well.

use dhow_base::Result;
use dhow_spec::config::Healthcheck;

use super::{invalid, lines, list};
use crate::naming::Naming;

pub(super) fn healthcheck(naming: Naming, flags: &[String], rest: &str) -> Result<Healthcheck> {
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
        "CMD" => match list(naming, arguments)? {
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
