//! Numbers in header fields: octal text, or base-256 as GNU tar and star write what octal cannot hold.

/// Reads a field as Go's `archive/tar` does: octal between spaces and zero bytes (empty is 0), or big-endian two's complement
/// when the highest bit of the first byte is set. Nothing when it is neither or does not fit.
pub(super) fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

/// Octal text alone, as in the checksum.
pub(super) fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let digits = &field[begin..];
    let end = digits.iter().position(is_padding).unwrap_or(digits.len());
    if !digits[end..].iter().all(is_padding) {
        // Bytes behind a zero byte are left-overs of the writer's buffer, bytes behind a space are a second number.
        let rest = &digits[end..];
        let first_zero = rest.iter().position(|byte| *byte == 0)?;
        if !rest[..first_zero].iter().all(is_padding) {
            return None;
        }
    }
    digits[..end].iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(field: &[u8]) -> Option<i64> {
    // The first byte has the marker in bit 7 and the sign in bit 6.
    let negative = field[0] & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        let byte = if index > 0 {
            *byte
        } else if negative {
            byte | 0x80
        } else {
            byte & 0x7f
        };
        value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_writer() {
        let mut largest = [0xff; 12];
        largest[..4].copy_from_slice(&[0x80, 0, 0, 0]);
        largest[4] = 0x7f;
        let mut too_large = [0; 12];
        too_large[0] = 0x80;
        too_large[3] = 1;
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644\0junk", Some(0o644)),
            (b"00000000", Some(0)),
            (b"", Some(0)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"777777777777", Some(0o777777777777)),
            (b"12 34\0", None),
            (b"000008\0", None),
            (b"-1\0", None),
            (b"+1\0", None),
            (&[0x80, 0, 0, 0, 0, 0, 0, 1], Some(1)),
            (&[0xff; 12], Some(-1)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], Some(-256)),
            (&largest, Some(i64::MAX)),
            (&too_large, None),
        ] {
            assert_eq!(parse(field), expected, "{field:?}");
        }
    }
}
