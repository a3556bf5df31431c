//! Columns out of tab-separated text, as Go's `text/tabwriter` aligns them.
//!
//! Unlike [`Table`](super::table::Table), which knows its columns, this takes any text: a user's template decides where the
//! tabs are, and lines may have different numbers of cells.

/// How wide columns are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Narrowest cell, in characters.
    width_min: usize,
    /// Spaces after the widest cell of a column.
    padding: usize,
}

/// Podman's.
pub(crate) const PODMAN: Style = Style { width_min: 12, padding: 2 };

/// A piece of a line; every one but the last of its line was ended by a tab.
type Cell<'a> = &'a str;

/// Aligns the cells of `text`. A column is a run of neighbouring lines that all have a tab-ended cell at that place; the
/// last cell of a line belongs to no column.
pub(crate) fn align(style: Style, text: &str) -> String {
    let lines: Vec<Vec<Cell<'_>>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut writer = Writer { style, lines: &lines, widths: Vec::new(), text: String::with_capacity(text.len() * 2) };
    writer.format(0, lines.len());
    // What follows the last line end is no line of its own.
    writer.text.pop();
    writer.text
}

struct Writer<'a> {
    style: Style,
    lines: &'a [Vec<Cell<'a>>],
    /// Widths of the columns that enclose the lines being formatted.
    widths: Vec<usize>,
    text: String,
}

impl Writer<'_> {
    fn format(&mut self, mut start: usize, end: usize) {
        let column = self.widths.len();
        let has_cell = |line: &Vec<Cell<'_>>| column + 1 < line.len();
        let mut at = start;
        while at < end {
            if !has_cell(&self.lines[at]) {
                at += 1;
                continue;
            }
            self.write(start, at);
            start = at;
            let mut width = self.style.width_min;
            while at < end && has_cell(&self.lines[at]) {
                width = width.max(self.lines[at][column].chars().count() + self.style.padding);
                at += 1;
            }
            self.widths.push(width);
            self.format(start, at);
            self.widths.pop();
            start = at;
        }
        self.write(start, end);
    }

    fn write(&mut self, start: usize, end: usize) {
        for line in &self.lines[start..end] {
            for (index, cell) in line.iter().enumerate() {
                self.text.push_str(cell);
                if let Some(width) = self.widths.get(index) {
                    let padding = width.saturating_sub(cell.chars().count());
                    self.text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PODMAN, Style, align};

    const DOCKER: Style = Style { width_min: 10, padding: 3 };

    #[test]
    fn podman_s_columns_are_wider_and_closer() {
        assert_eq!(align(PODMAN, "A\tB\neleven char\tx\n"), "A            B\neleven char  x\n");
        assert_eq!(align(PODMAN, "A\tB\n"), "A           B\n");
    }

    /// The expected texts are what Go's `tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)` prints.
    #[test]
    fn aligns_as_go_does() {
        for (text, expected) in [
            ("", ""),
            ("A\n", "A\n"),
            ("A\tB\nlonger than ten\tx\n", "A                 B\nlonger than ten   x\n"),
            ("A\tB\tC\nno tabs\nx\ty\tz\n", "A         B         C\nno tabs\nx         y         z\n"),
            ("wide cell one\ta\nshort\tb\tc\n", "wide cell one   a\nshort           b         c\n"),
            ("ünï\tx\n", "ünï       x\n"),
            ("\tx\n", "          x\n"),
            ("a\t\n", "a         \n"),
        ] {
            assert_eq!(align(DOCKER, text), expected, "{text:?}");
        }
    }
}
