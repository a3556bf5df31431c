//! Tables in docker's layout.

use super::text;

/// Narrowest column, in display columns.
const WIDTH_MIN: usize = 10;

/// Spaces between a cell and the next column.
const PADDING: usize = 3;

/// Rows under a header. A column is as wide as its widest cell plus [`PADDING`]; the last cell of a row is never padded.
///
/// The cells lie one behind the other in one text: a list of ten thousand images would else spend its time on allocating
/// fifty thousand of them.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
    /// Where each cell ends in `text`; rows follow each other.
    ends: Vec<usize>,
    columns: Columns,
}

impl Table {
    /// A table with a header and no rows.
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = Self { text: String::new(), ends: Vec::new(), columns: Columns::new(header.len()) };
        table.row(header);
        table
    }

    /// Adds a row with as many cells as the header.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells = cells.into_iter().take(self.columns.widest.len());
        let start = self.ends.len();
        for cell in cells {
            self.text.push_str(cell.as_ref());
            self.ends.push(self.text.len());
        }
        let mut from = if start == 0 { 0 } else { self.ends[start - 1] };
        let row = self.ends[start..].iter().map(|&end| &self.text[std::mem::replace(&mut from, end)..end]);
        self.columns.measure(row);
    }

    /// The whole table, every line ended.
    pub(crate) fn render(&self) -> String {
        let mut text = String::with_capacity(self.text.len() * 2);
        let mut line = String::new();
        let mut start = 0;
        for row in self.ends.chunks(self.columns.widest.len().max(1)) {
            let cells = row.iter().map(|&end| &self.text[std::mem::replace(&mut start, end)..end]);
            self.columns.lay_out(cells, &mut line);
            text.push_str(&line);
        }
        text
    }
}

/// The columns of a table that is not held in memory: its rows are measured first and laid out, one by one, when they come
/// again.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The widest cell of each column, in display columns.
    widest: Vec<usize>,
}

impl Columns {
    /// So many columns, which nothing is in yet.
    pub(crate) fn new(count: usize) -> Self {
        Self { widest: vec![0; count] }
    }

    /// Makes room for a row, or for the header.
    pub(crate) fn measure<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        for (widest, cell) in self.widest.iter_mut().zip(cells) {
            let cell = cell.as_ref();
            // No text is wider than it has bytes, and few are wider than all before them.
            if cell.len() > *widest {
                *widest = width(cell).max(*widest);
            }
        }
    }

    /// Makes `line` the line of a row, ended.
    pub(crate) fn lay_out<S: AsRef<str>>(&self, cells: impl IntoIterator<Item = S>, line: &mut String) {
        line.clear();
        let mut cells = self.widest.iter().zip(cells).peekable();
        while let Some((widest, cell)) = cells.next() {
            let cell = cell.as_ref();
            line.push_str(cell);
            if cells.peek().is_some() {
                pad(line, (widest + PADDING).max(WIDTH_MIN).saturating_sub(width(cell)));
            }
        }
        line.push('\n');
    }
}

fn pad(line: &mut String, mut blanks: usize) {
    const BLANKS: &str = "                                ";
    while blanks > 0 {
        let some = blanks.min(BLANKS.len());
        line.push_str(&BLANKS[..some]);
        blanks -= some;
    }
}

/// The width of a cell in display columns.
fn width(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { text::columns(cell) }
}

/// How wide the columns of [`aligned`] text are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spacing {
    /// Narrowest column, in characters.
    least: usize,
    /// Spaces between a cell and the next column.
    padding: usize,
}

impl Spacing {
    /// That of docker's lists.
    pub(crate) const LIST: Self = Self { least: WIDTH_MIN, padding: PADDING };
    /// That of docker's `version`.
    pub(crate) const VERSION: Self = Self { least: 20, padding: 1 };
    /// That of podman's lists.
    pub(crate) const PODMAN: Self = Self { least: 12, padding: 2 };
}

/// Lays out text whose cells end with tabs, as docker's tab writer does: a column is as wide as the widest of its cells in
/// lines that follow each other; a line that has no cell there ends the column.
pub(crate) fn aligned(text: &str, spacing: Spacing) -> String {
    let lines: Vec<Vec<&str>> = text.split_terminator('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> =
        lines.iter().map(|cells| cells[..cells.len() - 1].iter().map(|cell| cell.chars().count()).collect()).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < widths.len() {
            let length = widths[start..].iter().take_while(|line| line.len() > column).count();
            let block = &mut widths[start..start + length];
            let widest = block.iter().map(|line| line[column]).max().unwrap_or(0);
            let width = (widest + spacing.padding).max(spacing.least);
            block.iter_mut().for_each(|line| line[column] = width);
            start += length + 1;
        }
    }
    let mut aligned = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        for (cell, width) in cells.iter().zip(widths) {
            aligned.push_str(cell);
            aligned.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        aligned.push_str(cells.last().copied().unwrap_or_default());
        aligned.push('\n');
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_docker_makes_them() {
        let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        let rows = [
            ["ghcr.io/acme/web", "v1", "111111111111", "30 hours ago", "7.81MB"],
            ["<none>", "<none>", "222222222222", "About a minute ago", "1e+03kB"],
        ];
        for row in rows {
            table.row(row);
        }
        let expected = "\
REPOSITORY         TAG       IMAGE ID       CREATED              SIZE
ghcr.io/acme/web   v1        111111111111   30 hours ago         7.81MB
<none>             <none>    222222222222   About a minute ago   1e+03kB
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&["CREATED BY", "SIZE"]);
        table.row(["RUN echo 日本", "0B"]);
        assert_eq!(table.render(), "CREATED BY      SIZE\nRUN echo 日本   0B\n");
    }

    #[test]
    fn text_with_tabs_is_laid_out() {
        let text = "A\tB\nlonger than twenty one\ty\n";
        let expected = "A                      B\nlonger than twenty one y\n";
        assert_eq!(aligned(text, Spacing::VERSION), expected);
        assert_eq!(aligned("A\tB\n", Spacing::LIST), "A         B\n");
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        assert_eq!(table.render(), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    }

    #[test]
    fn an_empty_last_cell_leaves_the_padding_of_the_one_before() {
        let mut table = Table::new(&["SIZE", "COMMENT"]);
        table.row(["0B", ""]);
        assert_eq!(table.render(), "SIZE      COMMENT\n0B        \n");
    }

    #[test]
    fn podman_s_columns_are_wider_and_closer() {
        let align = |text| aligned(text, Spacing::PODMAN);
        assert_eq!(align("A\tB\neleven char\tx\n"), "A            B\neleven char  x\n");
        assert_eq!(align("A\tB\n"), "A           B\n");
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
            assert_eq!(aligned(text, Spacing::LIST), expected, "{text:?}");
        }
    }
}
