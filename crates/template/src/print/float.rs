//! Floating-point numbers as Go's `strconv` writes them.

/// Writes a finite or infinite number with one of the verbs `b`, `e`, `E`, `f`, `g`, `G`, `x`, `X`; without a precision as short as reads
/// back the same. There is always a sign.
pub(crate) fn format(value: f64, verb: char, precision: Option<usize>) -> String {
    let sign = if value.is_sign_negative() && !value.is_nan() { '-' } else { '+' };
    if !value.is_finite() {
        return format!("{sign}{}", if value.is_nan() { "NaN" } else { "Inf" });
    }
    let size = value.abs();
    let text = match verb {
        'b' => binary(size),
        'x' | 'X' => hexadecimal(size, precision),
        'f' => precision.map_or_else(|| format!("{size}"), |precision| format!("{size:.precision$}")),
        'e' | 'E' => scientific(size, precision),
        _ => general(size, precision),
    };
    let text = if verb.is_uppercase() { text.to_uppercase() } else { text };
    format!("{sign}{text}")
}

fn scientific(size: f64, precision: Option<usize>) -> String {
    let text = precision.map_or_else(|| format!("{size:e}"), |precision| format!("{size:.precision$e}"));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    with_exponent(mantissa, exponent.parse().unwrap_or(0))
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// The mantissa as a whole number, and the power of two that it is multiplied by.
fn binary(size: f64) -> String {
    const FRACTION: u32 = 52;
    const BIAS: i64 = 1023;
    let bits = size.to_bits();
    let (fraction, exponent) = (bits & ((1 << FRACTION) - 1), i64::try_from(bits >> FRACTION).unwrap_or(0));
    let (mantissa, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | (1 << FRACTION), exponent) };
    format!("{mantissa}p{:+}", exponent - BIAS - i64::from(FRACTION))
}

/// Binary exponent, mantissa in hexadecimal, rounded to even where a precision cuts it.
fn hexadecimal(size: f64, precision: Option<usize>) -> String {
    const FRACTION: u32 = 52;
    let bits = size.to_bits();
    let (mut mantissa, mut exponent) =
        (bits & ((1 << FRACTION) - 1), i64::try_from(bits >> FRACTION).unwrap_or(0) - 1023);
    if size == 0.0 {
        exponent = 0;
    } else if exponent == -1023 {
        let shift = mantissa.leading_zeros() - (63 - FRACTION);
        mantissa <<= shift;
        exponent = -1022 - i64::from(shift);
    } else {
        mantissa |= 1 << FRACTION;
    }
    let mut digits = format!("{:013x}", mantissa & ((1 << FRACTION) - 1));
    if let Some(precision) = precision.filter(|precision| *precision < 13) {
        let cut = 4 * (13 - u32::try_from(precision).unwrap_or(0));
        let (kept, rest, half) = (mantissa >> cut, mantissa & ((1 << cut) - 1), 1_u64 << (cut - 1));
        let rounded = kept + u64::from(rest > half || (rest == half && kept & 1 == 1));
        mantissa = rounded << cut;
        if mantissa >> (FRACTION + 1) != 0 {
            (mantissa, exponent) = (mantissa >> 1, exponent + 1);
        }
        digits = format!("{:013x}", mantissa & ((1 << FRACTION) - 1));
    }
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{digits:0<precision$}").chars().take(precision).collect(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{point}{digits}p{sign}{:02}", mantissa >> FRACTION, exponent.abs())
}

/// The shorter of both, as C's `%g` decides it.
fn general(size: f64, precision: Option<usize>) -> String {
    let digits = precision.map(|precision| precision.max(1));
    let text = digits.map_or_else(|| format!("{size:e}"), |digits| format!("{size:.*e}", digits - 1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let shown = mantissa.chars().filter(char::is_ascii_digit).count();
    // Without a precision Go decides as if it were 6, like C.
    let threshold = match digits {
        None => 6,
        Some(digits) => {
            let whole = usize::try_from(exponent + 1).unwrap_or(0);
            if digits > shown && shown >= whole { shown } else { digits }
        }
    };
    if size != 0.0 && (exponent < -4 || exponent >= i32::try_from(threshold).unwrap_or(i32::MAX)) {
        return with_exponent(mantissa, exponent);
    }
    let decimals = i32::try_from(shown).unwrap_or(i32::MAX) - 1 - exponent;
    format!("{size:.*}", usize::try_from(decimals).unwrap_or(0))
}
