//! PAX extended headers (POSIX.1-2017, pax, "pax Extended Header").

use std::collections::BTreeMap;

use super::entry::{Time, Xattr};
use super::error::TarCause;
use super::sparse;

/// Longest value of an extended attribute (`XATTR_SIZE_MAX` of Linux).
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Longest name of one (`XATTR_NAME_MAX`).
const XATTR_NAME_BYTES_MAX: usize = 255;

/// Most extended attributes of one entry; file systems take far fewer.
const XATTRS_MAX: usize = 1000;

/// What extended headers say about the entry behind them.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
}

/// What they say about holes.
#[derive(Default)]
pub(super) struct PaxSparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    /// The map of versions 0.0 and 0.1.
    pub(super) map: Option<sparse::Builder>,
    offset: Option<u64>,
}

impl PaxSparse {
    /// Whether the map stands before the data.
    pub(super) fn is_1_0(&self) -> Result<bool, TarCause> {
        match (self.major, self.minor) {
            (Some(1), Some(0)) => Ok(true),
            (None, None) | (Some(0), Some(0 | 1)) => Ok(false),
            _ => Err(TarCause::Sparse("its version is not known")),
        }
    }
}

impl Pax {
    /// Reads all records of one extended header.
    pub(super) fn parse(data: &[u8]) -> Result<Self, TarCause> {
        let mut pax = Self::default();
        let mut seen: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        let mut libarchive = Vec::new();
        for record in Records(data) {
            let (key, value) = record?;
            let repeats = matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
            if !repeats && seen.insert(key, value).is_some_and(|before| before != value) {
                return Err(TarCause::Ambiguous(format!("the PAX record {:?}", String::from_utf8_lossy(key))));
            }
            pax.record(key, value, &mut libarchive)?;
        }
        // bsdtar writes both kinds for the same attribute.
        for xattr in libarchive {
            if !pax.xattrs.iter().any(|known| known.name == xattr.name) {
                pax.add_xattr(xattr)?;
            }
        }
        Ok(pax)
    }

    fn record(&mut self, key: &[u8], value: &[u8], libarchive: &mut Vec<Xattr>) -> Result<(), TarCause> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            if self.xattrs.iter().any(|known| known.name == name) {
                return Ok(());
            }
            return self.add_xattr(Xattr { name: name.to_vec(), value: value.to_vec() });
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let name = percent_decode(name).ok_or(TarCause::Xattr("its name is not URL-encoded"))?;
            let value = base64_decode(value).ok_or(TarCause::Xattr("its value is not base64"))?;
            libarchive.push(Xattr { name, value });
            return Ok(());
        }
        // An empty value takes back what a global header said, and the header's own field holds.
        if value.is_empty() {
            return Ok(());
        }
        match key {
            b"path" => self.path = Some(without_zero(value)?),
            b"linkpath" => self.link_path = Some(without_zero(value)?),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(owner(value)?),
            b"gid" => self.gid = Some(owner(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or(TarCause::Number("mtime"))?),
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.record(key, value)?;
                }
            }
        }
        Ok(())
    }

    fn add_xattr(&mut self, xattr: Xattr) -> Result<(), TarCause> {
        if xattr.name.is_empty() || xattr.name.len() > XATTR_NAME_BYTES_MAX || xattr.name.contains(&0) {
            return Err(TarCause::Xattr("its name is empty, too long or has a zero byte"));
        }
        if xattr.value.len() > XATTR_BYTES_MAX {
            return Err(TarCause::Xattr("its value is longer than 64 KiB"));
        }
        if self.xattrs.len() == XATTRS_MAX {
            return Err(TarCause::Limit("the number of extended attributes", XATTRS_MAX as u64));
        }
        self.xattrs.push(xattr);
        Ok(())
    }
}

impl PaxSparse {
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarCause> {
        match key {
            b"name" => self.name = Some(without_zero(value)?),
            b"major" => self.major = Some(decimal(value)?),
            b"minor" => self.minor = Some(decimal(value)?),
            b"realsize" | b"size" => {
                let size = decimal(value)?;
                if self.real_size.replace(size).is_some_and(|before| before != size) {
                    return Err(TarCause::Ambiguous("the real size".to_owned()));
                }
            }
            b"offset" => match self.offset.replace(decimal(value)?) {
                None => {}
                Some(_) => return Err(TarCause::Sparse("an offset has no length")),
            },
            b"numbytes" => {
                let offset = self.offset.take().ok_or(TarCause::Sparse("a length has no offset"))?;
                self.map.get_or_insert_default().push(offset, decimal(value)?)?;
            }
            b"map" => {
                if self.map.is_some() {
                    return Err(TarCause::Ambiguous("the sparse map".to_owned()));
                }
                let map = self.map.insert(sparse::Builder::default());
                let mut numbers = value.split(|byte| *byte == b',');
                while let Some(offset) = numbers.next() {
                    let length = numbers.next().ok_or(TarCause::Sparse("an offset has no length"))?;
                    map.push(decimal(offset)?, decimal(length)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Refuses global headers that would change what later entries are or where they end: readers disagree on whether such
/// records count. All others say nothing that matters here, and are ignored as docker and containerd do.
pub(super) fn check_global(data: &[u8]) -> Result<(), TarCause> {
    for record in Records(data) {
        let (key, _) = record?;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(TarCause::Pax("a global header changes names or sizes"));
        }
    }
    Ok(())
}

/// The records `<length> <key>=<value>\n`, where the length counts itself.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), TarCause>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        match record {
            Ok((key, value, rest)) => {
                self.0 = rest;
                Some(Ok((key, value)))
            }
            Err(cause) => {
                self.0 = &[];
                Some(Err(cause))
            }
        }
    }
}

/// Key, value, and what follows the record.
type Split<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split_record(data: &[u8]) -> Result<Split<'_>, TarCause> {
    const MALFORMED: TarCause = TarCause::Pax("a record's length is wrong");
    // The longest length that fits the limit on headers has seven digits.
    let space = data.iter().take(20).position(|byte| *byte == b' ').ok_or(MALFORMED)?;
    let length = usize::try_from(decimal(&data[..space]).map_err(|_| MALFORMED)?).map_err(|_| MALFORMED)?;
    if length < space + 3 || length > data.len() || data[length - 1] != b'\n' {
        return Err(MALFORMED);
    }
    let body = &data[space + 1..length - 1];
    let equals = body.iter().position(|byte| *byte == b'=').ok_or(TarCause::Pax("a record has no value"))?;
    if equals == 0 || body[..equals].contains(&0) {
        return Err(TarCause::Pax("a record has no valid key"));
    }
    Ok((&body[..equals], &body[equals + 1..], &data[length..]))
}

fn without_zero(value: &[u8]) -> Result<Vec<u8>, TarCause> {
    if value.contains(&0) { Err(TarCause::Pax("a name has a zero byte")) } else { Ok(value.to_vec()) }
}

/// Digits only: no sign, no space.
fn decimal(text: &[u8]) -> Result<u64, TarCause> {
    let value = text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    match value {
        Some(value) if !text.is_empty() && i64::try_from(value).is_ok() => Ok(value),
        _ => Err(TarCause::Pax("a number is not valid")),
    }
}

/// An owner may be any number here; its range is checked where the entry is made.
fn owner(value: &[u8]) -> Result<i64, TarCause> {
    match value.strip_prefix(b"-") {
        Some(digits) => Ok(-decimal(digits)?.cast_signed()),
        None => Ok(decimal(value)?.cast_signed()),
    }
}

/// Decimal seconds with a sign and a fraction, of which nine digits count.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = decimal(whole).ok()?.cast_signed();
    let nanoseconds =
        (0..9).fold(0, |value, index| value * 10 + u32::from(fraction.get(index).map_or(0, |digit| digit - b'0')));
    Some(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            decoded.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    Some(decoded)
}

/// Base64 with or without padding; libarchive writes none.
fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for character in group {
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let count = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        decoded.extend_from_slice(&bytes[1..1 + count]);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let length = (body..).find(|length| length.to_string().len() + body == *length).expect("a length");
        format!("{length} {key}={value}\n").into_bytes()
    }

    #[test]
    fn times_with_signs_and_fractions() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("1700000000.5", Some((1_700_000_000, 500_000_000))),
            ("1.0000000019", Some((1, 1))),
            ("-1", Some((-1, 0))),
            ("-1.25", Some((-2, 750_000_000))),
            ("1.", Some((1, 0))),
            ("", None),
            (".5", None),
            ("1.5x", None),
            ("1e9", None),
            ("99999999999999999999", None),
        ] {
            let time = time(text.as_bytes()).map(|time| (time.seconds, time.nanoseconds));
            assert_eq!(time, expected, "{text}");
        }
    }

    #[test]
    fn both_kinds_of_attributes() {
        let data = [
            record("SCHILY.xattr.user.a", "x=y"),
            record("LIBARCHIVE.xattr.user.a", "AAAA"),
            record("LIBARCHIVE.xattr.user.b%3D", "/wA"),
            record("SCHILY.xattr.user.empty", ""),
        ];
        let pax = Pax::parse(&data.concat()).expect("well-formed");
        let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.to_vec(), value: value.to_vec() };
        assert_eq!(pax.xattrs, [xattr(b"user.a", b"x=y"), xattr(b"user.empty", b""), xattr(b"user.b=", &[0xff, 0x00])]);
    }

    #[test]
    fn records_that_readers_could_understand_differently_are_refused() {
        assert!(Pax::parse(&[record("size", "1"), record("size", "1")].concat()).is_ok());
        for refused in [
            [record("size", "1"), record("size", "2")].concat(),
            record("size", "-1"),
            record("size", "+1"),
            record("size", " 1"),
            record("size", "9223372036854775808"),
            record("path", "a\0b"),
            b"5 a=b\n".to_vec(),
            b"7 a=b\n".to_vec(),
            b"x a=b\n".to_vec(),
            b"-6 a=b\n".to_vec(),
            b"4 a\n".to_vec(),
            b"5 =b\n".to_vec(),
            [record("path", "a"), b"\0".to_vec()].concat(),
            record("GNU.sparse.numbytes", "1"),
            record("GNU.sparse.map", "1,2,3"),
        ] {
            assert!(Pax::parse(&refused).is_err(), "{:?}", String::from_utf8_lossy(&refused));
        }
        assert!(check_global(&record("comment", "0123")).is_ok());
        assert!(check_global(&record("size", "1")).is_err());
    }
}
