//! Ages and points in time, as docker prints them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECOND: i128 = 1_000_000_000;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;

/// What Go prints for a time that was never set.
pub(crate) const GO_ZERO_TIME: &str = "0001-01-01 00:00:00 +0000 UTC";

/// Now, in nanoseconds since 1970.
pub(crate) fn now() -> i128 {
    Timestamp::now().as_nanosecond()
}

/// How long before `now` something was: `30 hours ago`. Both in nanoseconds since 1970; the future reads like this second.
pub(crate) fn ago(then: i128, now: i128) -> String {
    // Go's durations end at 292 years.
    let passed = (now - then).clamp(i64::MIN.into(), i64::MAX.into());
    format!("{} ago", duration(passed))
}

/// go-units' `HumanDuration`: there is never `1 day` or `1 week`, and weeks, months and years are cut, not rounded.
fn duration(nanoseconds: i128) -> String {
    let seconds = nanoseconds / SECOND;
    let minutes = nanoseconds / MINUTE;
    // As Go rounds: in floating point, which matters within a nanosecond of half an hour.
    let exact_hours = (nanoseconds / HOUR) as f64 + (nanoseconds % HOUR) as f64 / HOUR as f64;
    let hours = (exact_hours + 0.5) as i64;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / (24 * 7)),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / (24 * 30)),
        () => format!("{} years", nanoseconds / HOUR / (24 * 365)),
    }
}

/// Go's `Time.String()` to the second in the local zone: `2026-11-22 17:06:24 +0000 UTC`.
pub(crate) fn go_time(nanoseconds: i128) -> String {
    zoned(nanoseconds).map(|time| time.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()).unwrap_or_default()
}

/// RFC 3339 to the second in the local zone: `2026-11-22T17:07:41Z`.
pub(crate) fn rfc3339(nanoseconds: i128) -> String {
    let Some(time) = zoned(nanoseconds) else { return String::new() };
    let zone = if time.offset().is_zero() { "Z".to_owned() } else { time.strftime("%:z").to_string() };
    format!("{}{zone}", time.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// A time as Go's `time.RFC3339Nano` writes it: with as many digits as it takes.
pub(crate) fn rfc3339_nano(nanoseconds: i128, zone: TimeZone) -> String {
    let Ok(time) = Timestamp::from_nanosecond(nanoseconds) else { return String::new() };
    let time = time.to_zoned_datetime(zone);
    let zone = if time.offset().is_zero() { "Z".to_owned() } else { time.strftime("%:z").to_string() };
    format!("{}{zone}", time.strftime("%Y-%m-%dT%H:%M:%S%.f"))
}

fn zoned(nanoseconds: i128) -> Option<jiff::ZonedDateTime> {
    let seconds = i64::try_from(nanoseconds.div_euclid(SECOND)).ok()?;
    Some(Timestamp::from_second(seconds).ok()?.to_zoned_datetime(TimeZone::system()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_as_docker_prints_them() {
        let day = 24 * HOUR;
        let cases: [(i128, &str); 26] = [
            (-5 * SECOND, "Less than a second"),
            (SECOND - 1, "Less than a second"),
            (SECOND, "1 second"),
            (2 * SECOND - 1, "1 second"),
            (2 * SECOND, "2 seconds"),
            (59 * SECOND, "59 seconds"),
            (60 * SECOND, "About a minute"),
            (119 * SECOND, "About a minute"),
            (120 * SECOND, "2 minutes"),
            (59 * MINUTE + 59 * SECOND, "59 minutes"),
            (60 * MINUTE, "About an hour"),
            (89 * MINUTE, "About an hour"),
            (90 * MINUTE, "2 hours"),
            (30 * HOUR, "30 hours"),
            (47 * HOUR + 29 * MINUTE, "47 hours"),
            (47 * HOUR + 30 * MINUTE, "2 days"),
            (13 * day, "13 days"),
            (14 * day, "2 weeks"),
            (20 * day, "2 weeks"),
            (59 * day, "8 weeks"),
            (60 * day, "2 months"),
            (365 * day, "12 months"),
            (729 * day, "24 months"),
            (730 * day, "2 years"),
            (1094 * day, "2 years"),
            (56 * 365 * day, "56 years"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(duration(nanoseconds), expected, "{nanoseconds}");
        }
    }

    #[test]
    fn ago_counts_from_now() {
        assert_eq!(ago(0, 30 * HOUR), "30 hours ago");
    }

    #[test]
    fn times_have_as_many_digits_as_it_takes() {
        let cases: [(i128, &str); 4] = [
            (1_764_258_657_400_817_075, "2025-11-27T15:50:57.400817075Z"),
            (1_764_258_657_400_000_000, "2025-11-27T15:50:57.4Z"),
            (1_764_258_657_000_000_000, "2025-11-27T15:50:57Z"),
            (0, "1970-01-01T00:00:00Z"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(rfc3339_nano(nanoseconds, TimeZone::UTC), expected);
        }
        let east = TimeZone::fixed(jiff::tz::Offset::constant(5));
        assert_eq!(rfc3339_nano(1_500_000_000, east), "1970-01-01T05:00:01.5+05:00");
    }
}
