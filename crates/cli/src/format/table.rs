//! Tables in docker's layout.

/// Narrowest column, in characters.
const WIDTH_MIN: usize = 10;

/// Spaces between a cell and the next column.
const PADDING: usize = 3;

/// Rows under a header. A column is as wide as its widest cell plus [`PADDING`]; the last cell of a row is never padded.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a header and no rows.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row with as many cells as the header.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The whole table, every line ended.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (index, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if index + 1 < row.len() {
                    let padding = widths[index].saturating_sub(cell.chars().count());
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.push('\n');
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let widest = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        (widest.unwrap_or(0) + PADDING).max(WIDTH_MIN)
    }
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
            table.row(row.iter().map(|&cell| cell.to_owned()).collect());
        }
        let expected = "\
REPOSITORY         TAG       IMAGE ID       CREATED              SIZE
ghcr.io/acme/web   v1        111111111111   30 hours ago         7.81MB
<none>             <none>    222222222222   About a minute ago   1e+03kB
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        assert_eq!(table.render(), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    }

    #[test]
    fn an_empty_last_cell_leaves_the_padding_of_the_one_before() {
        let mut table = Table::new(&["SIZE", "COMMENT"]);
        table.row(vec!["0B".to_owned(), String::new()]);
        assert_eq!(table.render(), "SIZE      COMMENT\n0B        \n");
    }
}
