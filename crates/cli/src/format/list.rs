//! Lists through templates.

use std::collections::BTreeMap;

use dhow_template::{Lookup, Options, Template, Type, Value};

use super::table;
use crate::errors::{Failure, Outcome};

/// Exit code of a template that cannot be parsed, where docker shows a single object.
pub(crate) const TEMPLATE_ERROR: u8 = 64;

/// What a list's rows are to a template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// The name of docker's type, which messages show: `formatter.imageContext`.
    pub(crate) type_name: &'static str,
    /// Every placeholder with its header.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// Writes rows through a template; `has_header` makes a table of them. Every row has all placeholders of `columns`.
///
/// Nothing is written when the template fails at any row.
///
/// # Errors
/// Docker's message about a template that is none, or that fails.
pub(crate) fn render<R>(
    columns: Columns,
    template: &str,
    has_header: bool,
    rows: impl IntoIterator<Item = R>,
) -> Outcome<String>
where
    R: IntoIterator<Item = (&'static str, String)>,
{
    write(columns, template, has_header, rows.into_iter().map(|row| Value::context(columns.type_name, values(row))))
}

/// As [`render`], of what has labels: `.Label "name"` is one of them.
///
/// # Errors
/// As there.
pub(crate) fn render_labelled<R, V>(
    columns: Columns,
    template: &str,
    has_header: bool,
    rows: impl IntoIterator<Item = (R, BTreeMap<String, String>)>,
) -> Outcome<String>
where
    R: IntoIterator<Item = (&'static str, V)>,
    V: Into<Value>,
{
    let rows = rows.into_iter().map(|(row, labels)| {
        let label = Lookup { name: "Label", texts: labels };
        Value::context_with(columns.type_name, values(row), Some(label))
    });
    write(columns, template, has_header, rows)
}

fn values<V: Into<Value>>(row: impl IntoIterator<Item = (&'static str, V)>) -> Vec<(&'static str, Value)> {
    row.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn write(columns: Columns, template: &str, has_header: bool, rows: impl Iterator<Item = Value>) -> Outcome<String> {
    let parsed = Template::parse(template).map_err(|error| failure(&error))?;
    let mut body = Vec::new();
    for row in rows {
        parsed.execute(&row, Options::default(), &mut body).map_err(|error| failure(&error))?;
        body.push(b'\n');
    }
    if !has_header {
        return Ok(shown(body));
    }
    let mut text = header(columns, &parsed);
    text.push('\n');
    text.push_str(&shown(body));
    Ok(table::aligned(&text, table::Spacing::LIST))
}

/// Fills a template in with one object, whose escapes docker leaves alone.
///
/// # Errors
/// Docker's message about a template that is none, or that fails.
pub(crate) fn fill(template: &str, object: &Value) -> Outcome<String> {
    let template = Template::parse(template).map_err(|error| Failure::Usage {
        message: format!("template parsing error: {error}"),
        code: TEMPLATE_ERROR,
    })?;
    let mut output = Vec::new();
    template.execute(object, Options::default(), &mut output).map_err(|error| failure(&error))?;
    Ok(shown(output))
}

/// The template over the names of columns. Docker shows as much of it as comes before a failure.
fn header(columns: Columns, template: &Template) -> String {
    let names = columns.headers.iter().map(|(name, header)| (*name, Value::from(*header))).collect();
    let data = Value::map(Type::Text, Some(names));
    let mut output = Vec::new();
    let result = template.execute(&data, Options { is_header: true, ..Options::default() }, &mut output);
    if let Err(error) = result {
        tracing::debug!(%error, "the header is cut");
    }
    shown(output)
}

/// Docker's words for a template that does not work.
pub(crate) fn failure(error: &dhow_template::Error) -> Failure {
    Failure::Client(format!("template parsing error: {error}"))
}

/// Output as text. A template can cut a character in two; what is left of it cannot be shown.
pub(crate) fn shown(output: Vec<u8>) -> String {
    String::from_utf8(output).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns =
        Columns { type_name: "formatter.thing", headers: &[("ID", "THING ID"), ("Name", "NAME"), ("Size", "SIZE")] };

    fn rendered(template: &str, has_header: bool) -> Result<String, String> {
        let rows = [["1", "alpine", "7.8MB"], ["22", "a-much-longer-name", "0B"]];
        let names = COLUMNS.headers.iter().map(|(name, _)| *name);
        let rows = rows.map(|row| names.clone().zip(row.map(str::to_owned)).collect::<Vec<_>>());
        match render(COLUMNS, template, has_header, rows) {
            Ok(text) => Ok(text),
            Err(Failure::Client(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_line_for_each_row() {
        assert_eq!(rendered("{{.ID}}: {{upper .Name}}", false).unwrap(), "1: ALPINE\n22: A-MUCH-LONGER-NAME\n");
        assert_eq!(rendered("", false).unwrap(), "\n\n");
    }

    #[test]
    fn a_table_has_the_names_of_its_columns() {
        let expected = "\
THING ID:NAME           SIZE
1:ALPINE                7.8MB
22:A-MUCH-LONGER-NAME   0B
";
        assert_eq!(rendered("{{.ID}}:{{upper .Name}}\t{{.Size}}", true).unwrap(), expected);
        let padded = "THING ID     NAME.\n1            alpine.\n22           a-much-longer-name.\n";
        assert_eq!(rendered("{{truncate .ID 2}}\t{{pad .Name 2 0}}.", true).unwrap(), padded);
    }

    #[test]
    fn a_label_is_asked_for_by_its_name() {
        let labels = BTreeMap::from([("com.example.some-role".to_owned(), "web".to_owned())]);
        let row = || [([("ID", "1".to_owned())], labels.clone())];
        let shown = |template, has_header| render_labelled(COLUMNS, template, has_header, row());
        let check = |template, has_header, expected: &str| match shown(template, has_header) {
            Ok(text) => assert_eq!(text, expected, "{template}"),
            Err(Failure::Client(message)) => assert_eq!(message, expected, "{template}"),
            Err(other) => panic!("{other:?}"),
        };
        check("{{.ID}}={{.Label \"com.example.some-role\"}}/{{.Label \"none\"}}.", false, "1=web/.\n");
        check("{{\"com.example.some-role\" | .Label}}", false, "web\n");
        check("{{.Label \"com.example.some-role\"}}\t{{.ID}}", true, "some role   THING ID\nweb         1\n");
        let place = "template parsing error: template: :1:2: executing \"\" at <.Label>: ";
        check("{{.Label}}", false, &format!("{place}wrong number of args for Label: want 1 got 0"));
        check(
            "{{.Label 1}}",
            false,
            "template parsing error: template: :1:9: executing \"\" at <1>: expected string; found 1",
        );
    }

    #[test]
    fn what_fails_is_told_in_docker_s_words() {
        let message = "template parsing error: template: :1:2: executing \"\" at <.Nope>: \
                       can't evaluate field Nope in type *formatter.thing";
        assert_eq!(rendered("{{.Nope}}", false).unwrap_err(), message);
        assert_eq!(rendered("{{.ID", false).unwrap_err(), "template parsing error: template: :1: unclosed action");
    }
}
