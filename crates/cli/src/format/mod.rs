//! How values read: docker's sizes, ages, tables and JSON, to the byte.

pub(crate) mod ago;
pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod units;

/// What docker shows where a value is missing.
pub(crate) const NONE: &str = "<none>";

/// How a list is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListFormat {
    /// Columns under a header.
    Table,
    /// One compact object a line.
    Json,
    /// One `name: value` a line; docker has it for images only.
    Raw,
}

impl ListFormat {
    /// Reads the value of `--format`; `raw` only where the verb has it.
    ///
    /// # Errors
    /// Names the formats there are: Go templates are not among them yet.
    pub(crate) fn parse(text: &str, has_raw: bool) -> Result<Self, String> {
        match text {
            "" | "table" => Ok(ListFormat::Table),
            "json" => Ok(ListFormat::Json),
            "raw" if has_raw => Ok(ListFormat::Raw),
            _ => {
                let known = if has_raw { "\"table\", \"json\" and \"raw\"" } else { "\"table\" and \"json\"" };
                Err(format!("--format {text:?} is not supported: only {known} are, Go templates are not yet"))
            }
        }
    }
}
