//! Human sizes as docker's go-units prints them, with the quirks of C's and Go's `%g`.

const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

const BINARY_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// A size with four significant digits: progress, totals, virtual sizes.
pub(crate) fn human_size(bytes: u64) -> String {
    scaled(bytes, 4)
}

/// A size with three significant digits: the SIZE columns. 999,999 bytes really read `1e+03kB`.
pub(crate) fn short_size(bytes: u64) -> String {
    scaled(bytes, 3)
}

/// A size of memory, in units of 1024, with four significant digits: `7.66GiB`.
pub(crate) fn binary_size(bytes: u64) -> String {
    scaled_by(1024.0, &BINARY_UNITS, bytes, 4)
}

fn scaled(bytes: u64, digits: usize) -> String {
    scaled_by(1000.0, &UNITS, bytes, digits)
}

fn scaled_by(base: f64, units: &[&str], bytes: u64, digits: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", general(value, digits), units[unit])
}

/// `%.*g`: `digits` significant digits without trailing zeros, exponential when the rounded value needs more digits.
fn general(value: f64, digits: usize) -> String {
    let exponential = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= digits {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    without_trailing_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_powers_of_two() {
        for (bytes, expected) in [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (8_224_108_544, "7.659GiB")] {
            assert_eq!(binary_size(bytes), expected);
        }
    }

    #[test]
    fn three_digits_as_docker_prints_them() {
        let cases: [(u64, &str); 11] = [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (7_806_463, "7.81MB"),
            (999_499, "999kB"),
            (999_999, "1e+03kB"),
            (1_500_000_000, "1.5GB"),
            (1_536_000_000, "1.54GB"),
            (u64::MAX, "18.4EB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(short_size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn four_digits_as_docker_prints_them() {
        let cases: [(u64, &str); 9] = [
            (0, "0B"),
            (100, "100B"),
            (1134, "1.134kB"),
            (36_860, "36.86kB"),
            (65_540, "65.54kB"),
            (999_999, "1000kB"),
            (3_624_000, "3.624MB"),
            (7_806_463, "7.806MB"),
            (1_536_000_000, "1.536GB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(human_size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn small_and_large_exponents() {
        assert_eq!(general(0.000_012_345, 3), "1.23e-05");
        assert_eq!(general(123_456.0, 3), "1.23e+05");
        assert_eq!(general(0.5, 3), "0.5");
    }
}
