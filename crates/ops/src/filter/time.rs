//! Points in time as filters say them: how long ago, or when (moby `api/types/time`, GetTimestamp).

use dhow_base::{Error, Kind, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::layout::Layout;

const SECOND: i128 = 1_000_000_000;

/// Units of a duration, in nanoseconds: Go's, and days and weeks on top.
const UNITS: [(&str, i128); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
    ("w", 7 * 24 * 3600 * SECOND),
];

/// Now, in nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Reads a duration before `now` (`10m`, `1h30m`, `7d`, `2w`), a date with or without time and zone, or seconds since 1970.
/// Without a zone the time is local. Times out of range count as the end of it.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for what is none of these.
pub fn parse_past(text: &str, now: i64) -> Result<i64> {
    let clamp = |time: i128| i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX });
    if text != "0"
        && let Some(duration) = duration(text)
    {
        return Ok(clamp(i128::from(now) - duration));
    }
    let layout = Layout::of(text);
    match layout.parse(text, local_offset(now)) {
        Ok(time) => Ok(clamp(time)),
        Err(message) if text.contains('-') => Err(Error::new(Kind::Invalid, message)),
        Err(_) => unix(text).map(clamp).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("failed to parse value as time or duration: {text:?}"))
                .with_hint("say how long ago (90m, 36h, 7d, 2w) or when (2026-01-31, 2026-01-31T18:00)")
        }),
    }
}

/// Seconds that the local zone is ahead of UTC now.
fn local_offset(now: i64) -> i64 {
    let at = Timestamp::from_nanosecond(i128::from(now)).unwrap_or(Timestamp::UNIX_EPOCH);
    i64::from(at.to_zoned_datetime(TimeZone::system()).offset().seconds())
}

/// Go's `time.ParseDuration` with days and weeks, in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(units(number, *scale)?)?;
        rest = tail;
    }
    let is_something = !text.is_empty() && text != "+" && text != "-";
    // What Go cannot hold is no duration to docker either.
    (is_something && i64::try_from(sign * total).is_ok()).then_some(sign * total)
}

/// A number of units. As in Go, a fraction passes through a floating-point number, and digits that it cannot hold do not count.
fn units(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let (mut numerator, mut denominator) = (0_i64, 1_f64);
    for digit in fraction.bytes().map(|byte| i64::from(byte - b'0')) {
        match numerator.checked_mul(10).and_then(|numerator| numerator.checked_add(digit)) {
            Some(longer) => (numerator, denominator) = (longer, denominator * 10.0),
            None => break,
        }
    }
    // Both are exact enough: what is lost here is lost in Go.
    let part = (numerator as f64 * (unit as f64 / denominator)) as i128;
    i128::from(whole).checked_mul(unit)?.checked_add(part)
}

/// A decimal number of units, exactly.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 18 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(scale)?.checked_add(part * scale / divisor)
}

/// `seconds[.fraction]` since 1970, in nanoseconds.
fn unix(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().ok()?;
    if fraction.is_empty() || fraction.len() > 18 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(i128::from(seconds) * SECOND + scaled(&format!("0.{fraction}"), SECOND)?)
}

#[cfg(test)]
mod tests {
    use dhow_testkit::forgetful::chance;
    use dhow_testkit::peers::Go;

    use super::*;

    const NOW: i64 = 1_795_471_661_000_000_000;

    #[test]
    fn durations_are_go_s_with_days_and_weeks() {
        let hour = 3600 * SECOND;
        for (text, expected) in [
            ("10m", Some(600 * SECOND)),
            ("1h30m", Some(5400 * SECOND)),
            ("168h", Some(168 * hour)),
            ("1.5h", Some(5400 * SECOND)),
            (".5s", Some(SECOND / 2)),
            ("-1s", Some(-SECOND)),
            ("+2us", Some(2000)),
            ("3µs4ns", Some(3004)),
            ("7d", Some(168 * hour)),
            ("2w", Some(336 * hour)),
            ("1w2d3h", Some(219 * hour)),
            ("0", Some(0)),
            ("", None),
            ("-", None),
            ("5", None),
            ("h", None),
            (".h", None),
            ("1y", None),
            ("1h ", None),
            ("999999999999999999999h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn times_in_all_of_docker_s_forms() {
        let at = 1_706_724_245_i64;
        for (text, seconds) in [
            ("2024-01-31T18:04:05Z", at),
            ("2024-01-31T20:04:05+02:00", at),
            ("2024-01-31T16:34:05-01:30", at),
            ("2024-01-31T18:04Z", at - 5),
            ("2024-01-31T18Z", at - 5 - 240),
            ("2024-01-31Z", at - 5 - 240 - 18 * 3600),
            ("2024-01-31+01:00", at - 5 - 240 - 19 * 3600),
            ("1706724245", at),
            ("0", 0),
        ] {
            assert_eq!(parse_past(text, NOW).map_err(|e| e.to_string()), Ok(seconds * 1_000_000_000), "{text}");
        }
        assert_eq!(parse_past("1706724245.5", NOW).unwrap(), at * 1_000_000_000 + 500_000_000);
        assert_eq!(parse_past("2024-01-31T18:04:05.25Z", NOW).unwrap(), at * 1_000_000_000 + 250_000_000);
        assert_eq!(parse_past("1h", NOW).unwrap(), NOW - 3_600_000_000_000);
    }

    #[test]
    fn without_a_zone_the_time_is_local() {
        let offset = local_offset(NOW) * 1_000_000_000;
        for text in ["2024-01-31T18:04:05", "2024-01-31T18:04:05.0"] {
            assert_eq!(parse_past(text, NOW).unwrap(), 1_706_724_245_000_000_000 - offset, "{text}");
        }
        for text in ["2024-01-31", "2024-01-31T00", "2024-01-31T00:00"] {
            assert_eq!(parse_past(text, NOW).unwrap(), 1_706_659_200_000_000_000 - offset, "{text}");
        }
    }

    #[test]
    fn refuses_in_docker_s_words() {
        for (text, message) in [
            ("foo", "failed to parse value as time or duration: \"foo\""),
            ("1y", "failed to parse value as time or duration: \"1y\""),
            ("", "failed to parse value as time or duration: \"\""),
            ("-1", "parsing time \"-1\" as \"2006-01-02\": cannot parse \"-1\" as \"2006\""),
            ("2024-13-01", "parsing time \"2024-13-01\": month out of range"),
            ("2024-02-30", "parsing time \"2024-02-30\": day out of range"),
            ("2024-01-31T25", "parsing time \"2024-01-31T25\": hour out of range"),
            ("2024-1-1", "parsing time \"2024-1-1\" as \"2006-01-02\": cannot parse \"1-1\" as \"01\""),
            ("2024-01-31x", "parsing time \"2024-01-31x\": extra text: \"x\""),
        ] {
            assert_eq!(parse_past(text, NOW).unwrap_err().to_string(), message, "{text}");
        }
    }

    const PROGRAM: &str = r#"
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		duration, err := time.ParseDuration(lines.Text())
		if err != nil {
			fmt.Println("none")
		} else {
			fmt.Println(duration.Nanoseconds())
		}
	}
}
"#;

    #[test]
    fn durations_by_chance_are_those_of_go() {
        let go = match Go::compile(PROGRAM) {
            Ok(go) => go,
            Err(error) => {
                println!("skipped: {error}");
                return;
            }
        };
        let mut random = chance();
        let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap();
        const PIECES: [&str; 24] = [
            "h",
            "m",
            "s",
            "ms",
            "us",
            "µs",
            "ns",
            "h",
            "m",
            "s",
            ".",
            "0",
            "1",
            "5",
            "9",
            "37",
            "360",
            "2562047",
            "x",
            "-",
            "+",
            " ",
            "00000000001",
            "999999999999999999",
        ];
        let questions: Vec<String> =
            (0..50_000).map(|_| (0..=below(9)).map(|_| PIECES[below(PIECES.len())]).collect::<String>()).collect();
        let answers = go.answers(&questions).unwrap();
        for (question, answer) in questions.iter().zip(answers) {
            let said = duration(question).map_or_else(|| "none".to_owned(), |duration| duration.to_string());
            assert_eq!(said, answer, "{question:?}");
        }
    }
}
