//! Writes HTML that is escaped by construction.
//!
//! Everything that a page shows of a repository was written by somebody else. Text and values of attributes go through
//! one escape; addresses are of a type that only this server's own paths have; there is no way to write markup, a script
//! or a style as text.

use super::address::Link;

/// Longest text of a repository's content that is shown in one piece, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// A piece of HTML.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// The attributes that pages use, but for those that hold addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attribute {
    AriaHidden,
    AriaLabel,
    AutoComplete,
    Charset,
    Class,
    Content,
    DateTime,
    For,
    Height,
    Id,
    Lang,
    Method,
    Name,
    Placeholder,
    Role,
    Scope,
    Type,
    Value,
    Width,
    X,
}

impl Attribute {
    fn as_str(self) -> &'static str {
        match self {
            Attribute::AriaHidden => "aria-hidden",
            Attribute::AriaLabel => "aria-label",
            Attribute::AutoComplete => "autocomplete",
            Attribute::Charset => "charset",
            Attribute::Class => "class",
            Attribute::Content => "content",
            Attribute::DateTime => "datetime",
            Attribute::For => "for",
            Attribute::Height => "height",
            Attribute::Id => "id",
            Attribute::Lang => "lang",
            Attribute::Method => "method",
            Attribute::Name => "name",
            Attribute::Placeholder => "placeholder",
            Attribute::Role => "role",
            Attribute::Scope => "scope",
            Attribute::Type => "type",
            Attribute::Value => "value",
            Attribute::Width => "width",
            Attribute::X => "x",
        }
    }
}

/// Attributes of one element.
pub(super) type Attributes<'a> = &'a [(Attribute, &'a str)];

impl Html {
    /// A whole document, to be filled.
    pub(super) fn document() -> Self {
        Self("<!doctype html>\n".to_owned())
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) {
        escape(&mut self.0, text);
    }

    /// An element and what is in it.
    pub(super) fn element(&mut self, name: &'static str, attributes: Attributes<'_>, inner: impl FnOnce(&mut Self)) {
        self.open(name, attributes, None);
        inner(self);
        self.close(name);
    }

    /// An element with text in it.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |html| html.text(text));
    }

    /// An element that has no inside, such as `input`.
    pub(super) fn void(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.open(name, attributes, None);
    }

    /// A link to another page of this server.
    pub(super) fn link(&mut self, to: &Link, attributes: Attributes<'_>, text: &str) {
        self.open("a", attributes, Some(("href", to)));
        self.text(text);
        self.close("a");
    }

    /// A style sheet or an icon of this server.
    pub(super) fn asset(&mut self, relation: &'static str, to: &Link) {
        self.0.push_str("<link rel=\"");
        self.0.push_str(relation);
        self.0.push('"');
        self.address("href", to);
        self.0.push('>');
    }

    /// A form that is sent to this server.
    pub(super) fn form(&mut self, to: &Link, attributes: Attributes<'_>, inner: impl FnOnce(&mut Self)) {
        self.open("form", attributes, Some(("action", to)));
        inner(self);
        self.close("form");
    }

    /// The bytes to send.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>, address: Option<(&'static str, &Link)>) {
        self.0.push('<');
        self.0.push_str(name);
        if let Some((attribute, to)) = address {
            self.address(attribute, to);
        }
        for (attribute, value) in attributes {
            self.0.push(' ');
            self.0.push_str(attribute.as_str());
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &'static str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        // Between blocks a line's end means nothing, and it keeps the source readable.
        if matches!(name, "div" | "li" | "tr" | "table" | "section" | "header" | "main" | "head" | "p" | "dd") {
            self.0.push('\n');
        }
    }

    fn address(&mut self, attribute: &'static str, to: &Link) {
        self.0.push(' ');
        self.0.push_str(attribute);
        self.0.push_str("=\"");
        escape(&mut self.0, to.as_str());
        self.0.push('"');
    }
}

/// Escapes what has a meaning in HTML. Characters that are not shown, or that turn the text around them, become a mark
/// that is: with them a text could be made to look like another one.
fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(character),
            _ if character.is_control() || is_invisible(character) => html.push('\u{fffd}'),
            _ => html.push(character),
        }
    }
}

/// Marks of direction (Unicode Standard Annex 9), joiners without width, line separators, and the tags of plane 14.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The beginning of a text that is too long to be shown, with a mark that says so.
pub(super) fn clipped(text: &str) -> String {
    clip(text, TEXT_BYTES_MAX)
}

/// At most `bytes_max` bytes of a text.
pub(super) fn clip(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes_max)])
}

/// A number of bytes for people, in decimal units as docker has them.
pub(super) fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // What would be rounded up to a thousand reads better in the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number and what it counts.
pub(super) fn count_text(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut html = Html::default();
        html.leaf("p", &[(Attribute::Class, text)], text);
        html.into_string()
    }

    #[test]
    fn nothing_of_a_text_is_markup() {
        let text = "<script>alert('1')</script>\" onload=\"&amp;";
        let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;&amp;amp;";
        assert_eq!(written(text), format!("<p class=\"{escaped}\">{escaped}</p>\n"));
    }

    #[test]
    fn what_cannot_be_seen_is_marked() {
        for hidden in ['\u{202e}', '\u{200b}', '\0', '\u{1b}', '\u{85}', '\u{2066}', '\u{feff}', '\u{e0041}'] {
            assert!(written(&format!("a{hidden}b")).contains("a\u{fffd}b"), "{hidden:?}");
        }
        assert!(written("a\tb\nc é 漢").contains("a\tb\nc é 漢"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("aé", 2), "a…");
        assert_eq!(clipped(&"x".repeat(5_000)).len(), TEXT_BYTES_MAX + '…'.len_utf8());
    }

    #[test]
    fn sizes_as_people_read_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_951, "10 kB"),
            (999_600, "1.0 MB"),
            (29_150_479, "29 MB"),
            (5 << 30, "5.4 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_text(text in any::<String>()) {
            let html = written(&text);
            let inner = html.trim_end().trim_start_matches("<p class=\"").trim_end_matches("</p>");
            prop_assert_eq!(inner.matches(['<', '\'']).count(), 0);
            prop_assert_eq!((inner.matches('>').count(), inner.matches('"').count()), (1, 1));
        }
    }
}
