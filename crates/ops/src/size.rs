//! Sizes as docker's and podman's programs read those of their users, and in their words for what is none (go-units, `RAMInBytes`).

/// Reads a number of bytes: `64m`, `1.5g`, `1 GiB`, `1e3`. Units are binary, `20g`, `20GB` and `20GiB` the same.
///
/// # Errors
/// The words of docker's client for what is no size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let invalid = || format!("invalid size: '{text}'");
    // The unit is what follows the last digit, dot or blank; one blank may be between.
    let last = text.rfind(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' ')).ok_or_else(invalid)?;
    let (number, unit) = (&text[..=last], &text[last + 1..]);
    let number = parse_number(number.strip_suffix(' ').unwrap_or(number))?;
    if number.is_nan() || number < 0.0 {
        return Err(invalid());
    }
    let bytes = number * factor(unit).ok_or_else(|| format!("invalid suffix: '{}'", told(unit)))?;
    // Docker's number turns negative there, which no option takes.
    if bytes < i64::MAX as f64 { Ok(bytes as u64) } else { Err(invalid()) }
}

/// Go's `ParseFloat`, but for numbers in hexadecimal and underscores between digits.
fn parse_number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))?;
    if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
        return Err(format!("strconv.ParseFloat: parsing {text:?}: value out of range"));
    }
    Ok(number)
}

fn factor(unit: &str) -> Option<f64> {
    let unit = unit.to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(1024_f64.powi(power))
}

/// A unit as it is told of: docker has small letters by the time that it looks closer at one that is not too long.
fn told(unit: &str) -> String {
    if unit.len() > 3 { unit.to_owned() } else { unit.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_as_docker_reads_them() {
        let check = |text: &str, expected: Result<u64, &str>| {
            assert_eq!(parse_size(text), expected.map_err(str::to_owned), "{text}");
        };
        check("0", Ok(0));
        check("32", Ok(32));
        check("32b", Ok(32));
        check("32B", Ok(32));
        check("32k", Ok(32 << 10));
        check("32KB", Ok(32 << 10));
        check("1.5 MiB", Ok(3 << 19));
        check("0.5g", Ok(1 << 29));
        check(".5g", Ok(1 << 29));
        check("5.m", Ok(5 << 20));
        check("10.5M", Ok(21 << 19));
        check("0.3k", Ok(307));
        check("20g", Ok(20 << 30));
        check("2T", Ok(2 << 40));
        check("3p", Ok(3 << 50));
        check("1e3", Ok(1000));
        check("1e3k", Ok(1_024_000));
        check("+1k", Ok(1024));
        check("1 ", Ok(1));
        check("", Err("invalid size: ''"));
        check("x", Err("invalid size: 'x'"));
        check("-1", Err("invalid size: '-1'"));
        check("-0.5g", Err("invalid size: '-0.5g'"));
        check("1x", Err("invalid suffix: 'x'"));
        check("1X", Err("invalid suffix: 'x'"));
        check("1ib", Err("invalid suffix: 'ib'"));
        check("1bb", Err("invalid suffix: 'bb'"));
        check("1ki", Err("invalid suffix: 'ki'"));
        check("1kbit", Err("invalid suffix: 'kbit'"));
        check("1KBit", Err("invalid suffix: 'KBit'"));
        check("1e", Err("invalid suffix: 'e'"));
        check("1é", Err("invalid suffix: 'é'"));
        check("1.2.3", Err("strconv.ParseFloat: parsing \"1.2.3\": invalid syntax"));
        check("1,5g", Err("strconv.ParseFloat: parsing \"1,5\": invalid syntax"));
        check(" 1g", Err("strconv.ParseFloat: parsing \" 1\": invalid syntax"));
        check("1  g", Err("strconv.ParseFloat: parsing \"1 \": invalid syntax"));
        check("1g ", Err("strconv.ParseFloat: parsing \"1g\": invalid syntax"));
        check(" ", Err("strconv.ParseFloat: parsing \"\": invalid syntax"));
        check("1e400", Err("strconv.ParseFloat: parsing \"1e400\": value out of range"));
        check("inf ", Err("invalid size: 'inf '"));
        check("nan ", Err("invalid size: 'nan '"));
        check("9999999p", Err("invalid size: '9999999p'"));
        check("99999999999999999999", Err("invalid size: '99999999999999999999'"));
    }

    proptest! {
        /// Eighths are exact in binary, so that integers can say what comes out.
        #[test]
        fn fractions_count(whole in 0_u64..1 << 20, eighths in 0_u64..8, power in 0_usize..4, form in 0_usize..6) {
            let letter = ["", "k", "m", "g"][power];
            let unit = match form {
                0 => letter.to_owned(),
                1 => letter.to_uppercase(),
                2 => format!("{letter}b"),
                3 => format!("{letter}B"),
                4 if power > 0 => format!("{letter}iB"),
                _ => format!(" {letter}"),
            };
            let text = format!("{whole}.{:03}{unit}", eighths * 125);
            prop_assert_eq!(parse_size(&text), Ok(((whole * 8 + eighths) << (10 * power)) / 8), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), like_one in "[0-9. e+-]{0,6}[kmgtpib]{0,4}") {
            for text in [text, like_one] {
                prop_assert!(parse_size(&text).is_ok_and(|bytes| i64::try_from(bytes).is_ok()) || parse_size(&text).is_err());
            }
        }
    }
}
