//! Truths and numbers as Go's programs read those of their users, and in its words for what is none (Go, package `strconv`).

use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;

/// Reads a truth.
///
/// # Errors
/// Go's words for what is none.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Reads a decimal number that may be negative.
///
/// # Errors
/// Go's words for what is none, or is too large.
pub fn parse_int<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| about_int(text, &error))
}

/// Reads a decimal number that is never negative.
///
/// # Errors
/// As [`parse_int`].
pub fn parse_uint<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| told("ParseUint", text, &error))
}

/// What [`parse_int`] says of a text that Rust could not read.
pub fn about_int(text: &str, error: &ParseIntError) -> String {
    told("ParseInt", text, error)
}

fn told(function: &str, text: &str, error: &ParseIntError) -> String {
    let why = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {text:?}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truths_as_go_reads_them() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("0"), Ok(false));
        assert_eq!(parse_bool("yes"), Err("strconv.ParseBool: parsing \"yes\": invalid syntax".to_owned()));
    }

    #[test]
    fn numbers_as_go_reads_them() {
        let check =
            |got: Result<i64, String>, expected: Result<i64, &str>| assert_eq!(got, expected.map_err(str::to_owned));
        check(parse_int("-7"), Ok(-7));
        check(parse_int("7s"), Err("strconv.ParseInt: parsing \"7s\": invalid syntax"));
        check(parse_int(""), Err("strconv.ParseInt: parsing \"\": invalid syntax"));
        check(
            parse_int("9223372036854775808"),
            Err("strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
        );
        check(parse_uint::<u16>("65535").map(i64::from), Ok(65535));
        check(
            parse_uint::<u16>("65536").map(i64::from),
            Err("strconv.ParseUint: parsing \"65536\": value out of range"),
        );
        check(parse_uint::<u16>("-1").map(i64::from), Err("strconv.ParseUint: parsing \"-1\": invalid syntax"));
    }
}
