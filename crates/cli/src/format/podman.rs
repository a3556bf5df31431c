//! How podman's lists read: its tables, sizes and templates (containers/common `pkg/report`).

use std::rc::Rc;

use dhow_template::{List, Options, Template, Type, Value};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::table::{self, Spacing};
use super::{json, list, units};
use crate::errors::{Failure, Outcome};

/// A table; without rows too.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, has_heading: bool) -> String {
    let mut text = if has_heading { header.join("\t") + "\n" } else { String::new() };
    for row in rows {
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    align(&text)
}

/// Lays columns out; a line that a failing template did not end stays so.
fn align(text: &str) -> String {
    let mut aligned = table::aligned(text, Spacing::PODMAN);
    if !text.ends_with('\n') {
        aligned.pop();
    }
    aligned
}

/// A size in a list of images: three significant digits, and a space before the unit.
pub(crate) fn size(bytes: u64) -> String {
    let text = units::short_size(bytes);
    let unit = text.trim_end_matches(|character: char| character.is_ascii_alphabetic()).len();
    format!("{} {}", &text[..unit], &text[unit..])
}

/// A time as Go prints it, in UTC: `2024-01-02 03:04:05 +0000 UTC`.
pub(crate) fn go_time(nanoseconds: i64) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// A time in RFC 3339 to the second, in UTC.
pub(crate) fn rfc3339(nanoseconds: i64) -> String {
    Timestamp::from_second(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default().to_string()
}

/// Whether `--format` asks for JSON: in one word, or by what is no template but meant as one. `{{json .}}` is a template like any other, as
/// with docker and since podman 4.4: an object for each row, and not a list of all.
pub(crate) fn is_json(format: &str) -> bool {
    let format = format.trim();
    let inside = format.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    matches!(inside.map_or(format, str::trim), "json") || inside.is_some_and(|inside| inside.trim() == "json.")
}

/// Whether `--format` is a template that writes rows as JSON and nothing else. For other templates lists have members of other names and
/// types than in JSON, as podman's have by methods.
pub(crate) fn is_json_of_rows(format: &str) -> bool {
    let inside = format.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inside.is_some_and(|inside| inside.split_whitespace().eq(["json", "."]))
}

/// JSON with an indent of one's choice, without escaping HTML.
pub(crate) fn indented(value: &impl Serialize, indent: &str) -> Outcome<String> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(indent.as_bytes()));
    value.serialize(&mut serializer).map_err(|error| Failure::Client(error.to_string()))?;
    Ok(json::escape(&list::shown(bytes), false))
}

/// JSON indented by four spaces, `<`, `>` and `&` escaped.
pub(crate) fn pretty(value: &impl Serialize) -> Outcome<String> {
    Ok(json::escape(&indented(value, "    ")?, true))
}

/// What a list's rows are to a template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// What messages call the template.
    pub(crate) name: &'static str,
    /// The type of a row, as messages have it.
    pub(crate) row: Type,
    /// The header of each placeholder.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// What became of a template: text, and the failure that ended it.
#[derive(Debug)]
pub(crate) struct Filled {
    /// What was written.
    pub(crate) text: String,
    /// Why no more was written.
    pub(crate) outcome: Outcome,
}

impl Report {
    /// Writes rows through a template; `table …` puts headers above them. What was written before a failure stays.
    ///
    /// # Errors
    /// Go's message about what is no template.
    pub(crate) fn fill(self, format: &str, has_heading: bool, rows: Vec<Value>) -> Outcome<Filled> {
        let (is_table, template) = match format.strip_prefix("table ") {
            Some(rest) => (true, rest),
            None => (false, format),
        };
        // A `\n` inside of quotes is Go's, which a line that ends there would break: then the template is taken as it is.
        let parsed = Template::parse(&looped(&ended(&unescaped(template, is_table)), is_table))
            .or_else(|_| Template::parse(&looped(template, is_table)))
            .map_err(|error| self.failure(&error))?;
        let mut output = Vec::new();
        if is_table && has_heading {
            let names = self.headers.iter().map(|(name, header)| (*name, Value::from(*header))).collect();
            let headers = vec![Value::map(Type::Text, Some(names))];
            let options = Options { is_header: true, ..Options::default() };
            parsed.execute(&of(Type::Any, headers), options, &mut output).map_err(|error| self.failure(&error))?;
        }
        let outcome =
            parsed.execute(&of(self.row, rows), Options::default(), &mut output).map_err(|error| self.failure(&error));
        let text = list::shown(output);
        let text = if is_table { align(&text) } else { text };
        Ok(Filled { text, outcome })
    }

    /// Fills a template in with one object; the line ends with it.
    ///
    /// # Errors
    /// Go's message about what is no template, or fails.
    pub(crate) fn fill_one(self, format: &str, object: &Value) -> Outcome<String> {
        let template = template_of_one(format).map_err(|error| self.failure(&error))?;
        let mut output = Vec::new();
        template.execute(object, Options::default(), &mut output).map_err(|error| self.failure(&error))?;
        Ok(list::shown(output))
    }

    /// Go's message, with the name that podman gives its templates.
    fn failure(self, error: &dhow_template::Error) -> Failure {
        let name = self.name;
        let text = error.to_string().replacen("template: :", &format!("template: {name}:"), 1);
        Failure::Client(text.replacen("executing \"\"", &format!("executing {name:?}"), 1))
    }
}

/// The template of one object, which ends its line; so podman and skopeo read it.
///
/// # Errors
/// That it is none.
pub(crate) fn template_of_one(format: &str) -> Result<Template, dhow_template::Error> {
    Template::parse(&ended(&unescaped(format, false))).or_else(|_| Template::parse(format))
}

/// A template with the tabs and line ends that are written as docker's users write them; in a table a space is a tab, too.
fn unescaped(template: &str, is_table: bool) -> String {
    let template = if is_table { template.replace(' ', "\t") } else { template.to_owned() };
    template.replace("\\t", "\t").replace("\\n", "\n")
}

/// A template that ends its line.
fn ended(template: &str) -> String {
    let end = if template.ends_with('\n') { "" } else { "\n" };
    format!("{template}{end}")
}

/// Podman's templates run over all rows; one that does not do so itself is put into a loop, and that of a table always is.
fn looped(template: &str, is_table: bool) -> String {
    match !is_table && loops_over_all(template) {
        true => template.to_owned(),
        false => format!("{{{{range .}}}}{template}{{{{end -}}}}"),
    }
}

fn of(element: Type, items: Vec<Value>) -> Value {
    Value::List(Rc::new(List { element, items, is_nil: false }))
}

/// Whether a template has a loop over all rows, in one of the forms that podman looks for: `{{range .}}` with spaces or without.
fn loops_over_all(template: &str) -> bool {
    template.split("{{").skip(1).any(|action| {
        let words = action.trim_start().strip_prefix("range").and_then(|rest| rest.trim_start().strip_prefix('.'));
        words.is_some_and(|rest| rest.trim_start().starts_with("}}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_template::Field;

    const REPORT: Report = Report {
        name: "things",
        row: Type::Named("things.reporter"),
        headers: &[("ID", "THING ID"), ("Name", "NAME")],
    };

    fn filled(format: &str) -> String {
        let row = |id: &str, name: &str| {
            let fields = vec![Field::new("ID", Value::from(id)), Field::new("Name", Value::from(name))];
            Value::structure("things.reporter", fields)
        };
        let rows = vec![row("1", "alpine"), row("22", "a-much-longer-name")];
        match REPORT.fill(format, true, rows) {
            Ok(Filled { text, outcome: Ok(()) }) => text,
            Ok(Filled { outcome: Err(Failure::Client(message)), .. }) | Err(Failure::Client(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn templates_run_over_all_rows() {
        assert_eq!(filled("{{.ID}}\\t{{upper .Name}}"), "1\tALPINE\n22\tA-MUCH-LONGER-NAME\n");
        assert_eq!(filled("{{range .}}{{.ID}},{{end}}"), "1,22,\n");
        assert_eq!(filled("x{{ range  . }}{{.ID}},{{end}}"), "x1,22,\n");
        assert_eq!(filled("range {{.ID}}"), "range 1\nrange 22\n");
        assert_eq!(filled("{{.ID}}{{\"\\n\"}}"), "1\n22\n");
        assert_eq!(filled("{{range .}}{{.ID}}{{println}}{{end}}"), "1\n22\n\n");
        assert_eq!(filled("{{.ID}}{{printf \"\\t%s\\n\" .Name}}x\\n"), "1\talpine\nx\\n22\ta-much-longer-name\nx\\n");
        assert_eq!(filled("{{.ID"), "template: things:1: bad character U+007B '{'");
        assert_eq!(
            filled("table {{.Name}} - {{.ID}}"),
            "NAME                -           THING ID\nalpine              -           1\na-much-longer-name  -           22\n"
        );
        assert_eq!(
            filled("table {{.Name}} {{.ID}}"),
            "NAME                THING ID\nalpine              1\na-much-longer-name  22\n"
        );
        let message = "template: things:1:13: executing \"things\" at <.Nope>: can't evaluate field Nope in type \
                       things.reporter";
        assert_eq!(filled("{{.Nope}}"), message);
    }

    #[test]
    fn sizes_keep_their_distance() {
        let sizes = [0, 22_145, 999_999, 7_806_463].map(size);
        assert_eq!(sizes, ["0 B", "22.1 kB", "1e+03 kB", "7.81 MB"]);
    }

    #[test]
    fn json_is_asked_for_in_several_ways() {
        assert!(is_json("json") && is_json(" {{ json. }}") && is_json("{{json}}"));
        assert!(is_json_of_rows(" {{ json  . }}") && !is_json_of_rows("{{json .ID}}") && !is_json_of_rows("json"));
        assert!(!is_json("{{json .}}") && !is_json("{{json .ID}}") && !is_json("") && !is_json("json."));
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(go_time(1_704_164_645_500_000_000), "2024-01-02 03:04:05 +0000 UTC");
        assert_eq!(rfc3339(1_704_164_645_500_000_000), "2024-01-02T03:04:05Z");
    }
}
