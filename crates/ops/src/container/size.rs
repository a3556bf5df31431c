//! Sizes as docker's client takes them.

use dhow_base::{Error, Kind, Result};

/// A number of bytes with docker's units: `64m`, `1g`, `1024`.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words.
pub fn size(text: &str) -> Result<u64> {
    let invalid = || Error::new(Kind::Invalid, format!("invalid size: '{text}'"));
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(invalid()),
    };
    digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(size(text).ok(), expected, "{text}");
        check("64m", Some(64 << 20));
        check("1GB", Some(1 << 30));
        check("12", Some(12));
        check("x", None);
        check("99999999999999999999", None);
    }
}
