//! Cutting text to a width, and taking the teeth out of it.

use unicode_width::UnicodeWidthChar;

/// Cuts `text` to `columns` display columns, the last one an ellipsis. As docker does, East Asian wide characters count
/// two columns and every other one.
pub(crate) fn ellipsis(text: &str, columns: usize) -> String {
    if self::columns(text) <= columns {
        return text.to_owned();
    }
    let mut width = 0;
    let mut cut: String = text
        .chars()
        .take_while(|&character| {
            width += columns_of(character);
            width < columns
        })
        .collect();
    cut.push('…');
    cut
}

/// How many display columns a text takes, counted as in [`ellipsis`].
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(character: char) -> usize {
    if character.width() == Some(2) { 2 } else { 1 }
}

/// Replaces control characters, so that text from a registry or an image cannot drive the user's terminal. Line breaks
/// and tabs stay.
pub(crate) fn without_controls(text: &str) -> String {
    text.chars()
        .map(
            |character| {
                if character.is_control() && !matches!(character, '\n' | '\t') { '\u{fffd}' } else { character }
            },
        )
        .collect()
}

/// Docker's way to tell something beside the results, once they are out: [`info`] after an empty line.
pub(crate) fn note(text: &str) -> String {
    format!("\n{}", info(text))
}

/// Docker's way to tell something before there are results: further lines stand below the first.
pub(crate) fn info(text: &str) -> String {
    const HEADER: &str = " Info -> ";
    format!("{HEADER}{}", text.replace('\n', &format!("\n{}", " ".repeat(HEADER.len()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_as_docker_cuts() {
        let long = "ADD alpine-minirootfs-3.20.3-x86_64.tar.gz / # buildkit and some more";
        assert_eq!(ellipsis(long, 45), "ADD alpine-minirootfs-3.20.3-x86_64.tar.gz /…");
        assert_eq!(ellipsis("short", 45), "short");
        assert_eq!(ellipsis("12345", 5), "12345");
        assert_eq!(ellipsis("漢字漢字", 5), "漢字…");
        assert_eq!(ellipsis("漢字漢字", 8), "漢字漢字");
    }

    #[test]
    fn escape_sequences_lose_their_escape() {
        assert_eq!(without_controls("a\u{1b}[31mb\tc\nd\r"), "a\u{fffd}[31mb\tc\nd\u{fffd}");
    }

    #[test]
    fn notes_are_indented() {
        assert_eq!(note("a\nb"), "\n Info -> a\n         b");
    }
}
