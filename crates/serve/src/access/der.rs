//! Just enough of DER (X.690) to read the common name out of a distinguished name.

/// Identifier of the attribute "common name" (X.520, 2.5.4.3).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// `UTF8String`, `PrintableString` and `IA5String`: the kinds of text that are also UTF-8.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// The common name in a distinguished name (RFC 5280, section 4.1.2.4); nothing when there is none, or more than one, so
/// that no two readers take different ones.
pub fn common_name(name: &[u8]) -> Option<&str> {
    let mut rest = name;
    if rest.first() == Some(&SEQUENCE) {
        rest = value(&mut rest, SEQUENCE)?;
    }
    let mut found = None;
    while !rest.is_empty() {
        let mut attributes = value(&mut rest, SET)?;
        while !attributes.is_empty() {
            let mut attribute = value(&mut attributes, SEQUENCE)?;
            if value(&mut attribute, OBJECT_IDENTIFIER)? == COMMON_NAME {
                let (tag, bytes) = next(&mut attribute)?;
                let text = std::str::from_utf8(bytes).ok().filter(|_| TEXTS.contains(&tag))?;
                if found.replace(text).is_some() {
                    return None;
                }
            }
        }
    }
    found.filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
}

/// The content of the next value, if it is of this kind.
fn value<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(rest).filter(|(found, _)| *found == tag).map(|(_, bytes)| bytes)
}

/// Kind and content of the next value. Lengths up to two bytes: no name is longer.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81 => (usize::from(*after.first()?), after.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*after.first()?, *after.get(1)?])), after.get(2..)?),
        _ => return None,
    };
    let bytes = after.get(..length)?;
    *rest = &after[length..];
    Some((tag, bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, u8::try_from(content.len()).expect("short")];
        bytes.extend_from_slice(content);
        bytes
    }

    fn attribute(identifier: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        let content = [wrap(OBJECT_IDENTIFIER, identifier), wrap(tag, text)].concat();
        wrap(SET, &wrap(SEQUENCE, &content))
    }

    #[test]
    fn the_one_common_name() {
        let organisation = attribute(&[0x55, 0x04, 0x0a], 0x0c, b"team");
        let alice = attribute(COMMON_NAME, 0x0c, b"alice");
        let name = [organisation.clone(), alice.clone()].concat();
        assert_eq!(common_name(&name), Some("alice"));
        assert_eq!(common_name(&wrap(SEQUENCE, &name)), Some("alice"));
        assert_eq!(common_name(&attribute(COMMON_NAME, 0x13, b"alice")), Some("alice"));
        assert_eq!(common_name(&organisation), None);
        assert_eq!(common_name(&[alice.clone(), alice.clone()].concat()), None);
        assert_eq!(common_name(&attribute(COMMON_NAME, 0x1e, b"\0a\0l")), None);
        assert_eq!(common_name(&attribute(COMMON_NAME, 0x0c, b"al\nice")), None);
        assert_eq!(common_name(&attribute(COMMON_NAME, 0x0c, b"\xff")), None);
        assert_eq!(common_name(&alice[..alice.len() - 1]), None);
        assert_eq!(common_name(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = common_name(&bytes);
        }
    }
}
