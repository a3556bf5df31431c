//! How values read: docker's sizes, ages, tables and JSON, to the byte.
//!
//! A verb that prints a list has one way in to all that `--format` can say: [`ListFormat::parse`] reads the option, and
//! [`list::render`] writes rows through a template when it is one. The plain table, `json` and `raw` are the verb's own
//! business: going through the engine would cost them more than everything else a list does.
//!
//! A verb for which docker has no format takes [`document::DocumentFormat`] and writes what is in [`schema`].

#[cfg(test)]
mod against_go;
pub(crate) mod ago;
pub(crate) mod document;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod natural;
pub(crate) mod object;
pub(crate) mod podman;
pub(crate) mod schema;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod units;

/// What docker shows where a value is missing.
pub(crate) const NONE: &str = "<none>";

/// How a list is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListFormat {
    /// Columns under a header.
    Table,
    /// One compact object a line.
    Json,
    /// One `name: value` a line; docker has it for images only.
    Raw,
    /// A Go template, one line for each row.
    Template(String),
    /// A Go template of a table's row.
    TableTemplate(String),
}

impl ListFormat {
    /// Reads the value of `--format`; `raw` only where the verb has it.
    pub(crate) fn parse(text: &str, has_raw: bool) -> Self {
        match text {
            "" | "table" => ListFormat::Table,
            "json" => ListFormat::Json,
            "raw" if has_raw => ListFormat::Raw,
            _ => match text.strip_prefix("table") {
                Some(template) => ListFormat::TableTemplate(unescaped(template)),
                None => ListFormat::Template(unescaped(text)),
            },
        }
    }
}

/// Docker takes the two characters `\\t` for a tab, and `\\n` for a line break, wherever they stand.
fn unescaped(template: &str) -> String {
    template.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let template = |text: &str| ListFormat::Template(text.to_owned());
        assert_eq!(ListFormat::parse("", true), ListFormat::Table);
        assert_eq!(ListFormat::parse("raw", true), ListFormat::Raw);
        assert_eq!(ListFormat::parse("raw", false), template("raw"));
        assert_eq!(ListFormat::parse(" {{.ID}}\\t{{.Tag}}\\n", true), template("{{.ID}}\t{{.Tag}}\n"));
        assert_eq!(
            ListFormat::parse("table {{.ID}}\\t{{.Tag}}", true),
            ListFormat::TableTemplate("{{.ID}}\t{{.Tag}}".to_owned())
        );
    }
}
