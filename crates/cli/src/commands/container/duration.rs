//! Go's durations, as its flags read them.

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds of a duration such as `1m30s`.
///
/// # Errors
/// In the words of Go's `time.ParseDuration`.
pub(super) fn nanoseconds(text: &str) -> Result<i64, String> {
    let quoted = quoted(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let is_numeral = |character: char| character.is_ascii_digit() || character == '.';
    let (mut rest, mut total) = (unsigned, 0_i128);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let after_point = after.strip_prefix('.').unwrap_or("");
        let digits = after_point.find(|character: char| !character.is_ascii_digit()).unwrap_or(after_point.len());
        let fraction = &after_point[..digits];
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let after = if after.starts_with('.') { &after_point[digits..] } else { after };
        let (unit, next) = after.split_at(after.find(is_numeral).unwrap_or(after.len()));
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {quoted}"));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, scale) =
            known.ok_or_else(|| format!("time: unknown unit {} in duration {quoted}", self::quoted(unit)))?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let part: f64 = format!("0.{fraction}0").parse().map_err(|_| invalid())?;
        total += i128::from(whole) * scale + (part * *scale as f64) as i128;
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = next;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if text.starts_with('-') { -total } else { total })
}

/// As package `time` quotes: what is not ASCII by its bytes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=0x7f => quoted.push(char::from(byte)),
            _ => {
                let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default());
                quoted.push_str("\\x");
                quoted.extend(digits);
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(nanoseconds(text), expected.map_err(str::to_owned), "{text}");
        };
        check("0", Ok(0));
        check("1m30s", Ok(90_000_000_000));
        check("-1.5h", Ok(-5_400_000_000_000));
        check("+.5s", Ok(500_000_000));
        check("1.s", Ok(1_000_000_000));
        check("1µs", Ok(1_000));
        check("", Err("time: invalid duration \"\""));
        check("-", Err("time: invalid duration \"-\""));
        check(".s", Err("time: invalid duration \".s\""));
        check("x", Err("time: invalid duration \"x\""));
        check("99999999h", Err("time: invalid duration \"99999999h\""));
        check("1h1", Err("time: missing unit in duration \"1h1\""));
        check("1x", Err("time: unknown unit \"x\" in duration \"1x\""));
        check("1é", Err("time: unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\""));
    }
}
