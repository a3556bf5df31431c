//! Number literals: Go's untyped constants.

use crate::quote;

/// A literal with every type that can hold it.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) float: Option<f64>,
}

impl Number {
    /// Reads a character constant.
    ///
    /// # Errors
    /// Go's words for what is wrong with it.
    pub(crate) fn character(text: &str) -> Result<Self, String> {
        let code = quote::unquoted_character(text);
        let code = code.ok_or_else(|| {
            if quote::unquoted_character(text).is_none() && first_is_bad(text) {
                "invalid syntax".to_owned()
            } else {
                format!("malformed character constant: {text}")
            }
        })?;
        Ok(Self { text: text.to_owned(), int: Some(code), float: Some(code as f64) })
    }

    /// Reads a number.
    ///
    /// # Errors
    /// Go's words for what is wrong with it; complex numbers, which nobody needs here, are refused in ours.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.strip_suffix('i').is_some_and(|real| float(real).is_some()) {
            return Err(format!("complex constants are not supported: {}", quote::quoted(text.as_bytes())));
        }
        let number = |int, float| Ok(Self { text: text.to_owned(), int, float });
        match integer(text) {
            Some(value) if i64::try_from(value).is_ok() => number(i64::try_from(value).ok(), Some(value as f64)),
            Some(value) if !text.starts_with(['+', '-']) && u64::try_from(value).is_ok() => {
                number(None, Some(value as f64))
            }
            _ => match float(text) {
                Some(_) if !text.contains(['.', 'e', 'E', 'p', 'P']) => {
                    Err(format!("integer overflow: {}", quote::quoted(text.as_bytes())))
                }
                Some(value) => {
                    let is_whole = value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0;
                    number(is_whole.then_some(value as i64), Some(value))
                }
                None => Err(format!("illegal number syntax: {}", quote::quoted(text.as_bytes()))),
            },
        }
    }

    /// Whether the constant is a floating-point one when nothing asks for another type.
    pub(crate) fn is_float(&self) -> bool {
        let is_hexadecimal = self.text.starts_with("0x") || self.text.starts_with("0X");
        let is_hexadecimal_integer = is_hexadecimal && !self.text.contains(['p', 'P']);
        !self.text.starts_with('\'') && !is_hexadecimal_integer && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn first_is_bad(text: &str) -> bool {
    let inside = text.get(1..).unwrap_or_default();
    let shortest = inside.char_indices().map(|(at, character)| at + character.len_utf8());
    !shortest.into_iter().any(|end| quote::unquoted_character(&format!("'{}'", &inside[..end])).is_some())
}

/// Reads an integer with Go's prefixes and underscores.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let digits = without_underscores(digits, base != 10)?;
    let is_good = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
    is_good.then(|| i128::from_str_radix(&digits, base).ok()).flatten().map(|value| sign * value)
}

/// Underscores may stand between digits, and behind a prefix.
fn without_underscores(digits: &str, has_prefix: bool) -> Option<String> {
    let misplaced = digits.contains("__") || digits.ends_with('_') || (digits.starts_with('_') && !has_prefix);
    (!misplaced).then(|| digits.replace('_', ""))
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if let Some(digits) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let value = hexadecimal(digits)?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let starts_right = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if !starts_right || !underscores_separate_digits(unsigned) {
        return None;
    }
    text.replace('_', "").parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether every underscore stands between two digits (Go's `strconv.underscoreOK`).
fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let is_right = |at: usize| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
    (0..bytes.len()).filter(|&at| bytes[at] == b'_').all(is_right)
}

/// A hexadecimal floating-point number: the exponent, of two, is required.
fn hexadecimal(digits: &str) -> Option<f64> {
    let (mantissa, exponent) = digits.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}").replace('_', "");
    let value = u64::from_str_radix(&all, 16).ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(value as f64 * 2f64.powi(shift))
}
