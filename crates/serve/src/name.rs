//! The names in a request: repositories and upload sessions. Both become file names, so both are strict.

use std::fmt;
use std::sync::Arc;

/// Longest repository name taken, in bytes; clients cap host and name together at 255 (distribution spec, "Pull").
const REPOSITORY_BYTES_MAX: usize = 255;

/// A repository name as the distribution spec allows it.
///
/// Every component begins with a lower-case letter or digit, so a name can neither climb out of a directory nor meet
/// the `_`-prefixed directories that a repository's own records are kept in. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// Parses `component[/component…]`; nothing when the text is no repository name.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= REPOSITORY_BYTES_MAX && text.split('/').all(is_component)).then(|| Self(text.into()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, the grammar of one path component.
fn is_component(text: &str) -> bool {
    let is_word_byte = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_in_words = bytes.first().is_some_and(is_word_byte) && bytes.last().is_some_and(is_word_byte);
    ends_in_words
        && bytes.split(is_word_byte).all(|separator| match separator {
            b"" | b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|byte| *byte == b'-'),
        })
}

/// The name of one upload session: a random UUID, unguessable and safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// Makes a version 4 UUID of 16 random bytes (RFC 9562, section 5.4).
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        use fmt::Write as _;

        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            // Writing to a `String` does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Parses the one spelling that [`UploadId::from_random`] makes; nothing for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        is_uuid.then(|| Self(text.to_owned()))
    }

    /// The session's text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_specification() {
        for name in ["a", "library/alpine", "a.b_c__d-e---f/0", "x/y/z", "manifests/blobs/uploads"] {
            assert!(RepositoryName::parse(name).is_some(), "{name}");
        }
        for name in
            ["", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a.-b", "-a", "a-", "_a", "a/..", "..", "a/_b", "é"]
        {
            assert!(RepositoryName::parse(name).is_none(), "{name}");
        }
        assert!(RepositoryName::parse(&"a".repeat(255)).is_some());
        assert!(RepositoryName::parse(&"a".repeat(256)).is_none());
    }

    #[test]
    fn upload_ids_are_uuids_and_nothing_else() {
        let id = UploadId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(UploadId::parse(id.as_str()), Some(id));
        for text in ["", "..", "../../../../../../../../../etc/passwd.", "FFFFFFFF-ffff-4fff-bfff-ffffffffffff"] {
            assert_eq!(UploadId::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn accepted_names_match_the_grammar_and_stay_below_the_root(text in "[a-z0-9._/-]{1,20}") {
            let Some(name) = RepositoryName::parse(&text) else { return Ok(()) };
            prop_assert!(name.as_str().split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '_', '-'])));
        }
    }
}
