//! Where the bytes of a blob that is under way came from, kept from one run to the next.

/// Which entity of which server the bytes of a blob came from, in the words of the source that gave them. Only that source
/// reads it: to ask for the rest on the condition that it is still the same entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The longest that is kept, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// `None` for a text that is empty, too long, or has control characters other than line feeds.
    pub fn new(text: String) -> Option<Self> {
        let is_plain = text.chars().all(|letter| letter == '\n' || !letter.is_control());
        (is_plain && !text.is_empty() && text.len() <= Self::BYTES_MAX).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_texts_are_kept() {
        for (text, is_kept) in [
            ("registry.example\nhttps://storage.example\n\"abc\"".to_owned(), true),
            ("x".repeat(Origin::BYTES_MAX), true),
            ("x".repeat(Origin::BYTES_MAX + 1), false),
            (String::new(), false),
            ("a\rb".to_owned(), false),
            ("a\0b".to_owned(), false),
        ] {
            assert_eq!(Origin::new(text.clone()).is_some(), is_kept, "{text:?}");
        }
    }
}
