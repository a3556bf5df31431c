//! Documents: what `--format` makes of the result of a verb for which docker has no format.
//!
//! `json` writes each document on a line of its own; anything with `{{` in it is a Go template that is filled in with each.
//! Whatever else the verb says, questions and progress, goes to standard error then: standard output is for a program.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_template::{Options, Template, Value};
use serde::Serialize;

use super::schema::Failed;
use super::{json, list, unescaped};
use crate::console::Console;
use crate::errors::{Failure, Outcome};

/// The option `--format` of verbs whose results are documents.
#[derive(Args, Clone, Debug)]
pub(crate) struct DocumentFormat {
    /// Write results as JSON documents ("json"), or by a Go template over each of them
    #[arg(long, value_name = "string", default_value = "", value_parser = parse)]
    format: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Template(String),
}

/// Templates are parsed before anything is done: a mistake in one must not leave half the work behind.
fn parse(text: &str) -> Result<Form, String> {
    match text {
        "" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        template if template.contains("{{") => {
            let template = unescaped(template);
            Template::parse(&template).map_err(|error| format!("template parsing error: {error}"))?;
            Ok(Form::Template(template))
        }
        other => Err(format!("it is about the report, and {other:?} is neither \"json\" nor a Go template")),
    }
}

impl DocumentFormat {
    /// No documents.
    pub(crate) fn none() -> Self {
        Self { format: Form::Text }
    }

    /// Whether documents take the place of docker's text.
    pub(crate) fn is_given(&self) -> bool {
        self.format != Form::Text
    }

    /// Begins to write. From here on nothing but documents gets to standard output, if they are wanted.
    pub(crate) fn open<'s>(&self, console: &'s Console) -> Documents<'s> {
        if self.is_given() {
            console.divert();
        }
        Documents { console, form: self.format.clone() }
    }
}

/// Where documents are written to.
#[derive(Debug)]
pub(crate) struct Documents<'s> {
    console: &'s Console,
    form: Form,
}

impl Documents<'_> {
    /// Whether documents take the place of docker's text.
    pub(crate) fn are_wanted(&self) -> bool {
        self.form != Form::Text
    }

    /// Writes a document, at once; nothing when none is wanted.
    ///
    /// # Errors
    /// Docker's words for a template that fails over it.
    pub(crate) fn put(&self, document: &impl Serialize) -> Outcome {
        if let Some(text) = self.text(document)? {
            self.console.line(text);
            self.console.flush();
        }
        Ok(())
    }

    /// Whether such a document can be written, for a verb that would notice too late.
    ///
    /// # Errors
    /// As [`Documents::put`].
    pub(crate) fn rehearse(&self, document: &impl Serialize) -> Outcome {
        self.text(document).map(drop)
    }

    fn text(&self, document: &impl Serialize) -> Outcome<Option<String>> {
        Ok(match &self.form {
            Form::Text => None,
            Form::Json => Some(json::compact(document).map_err(Failure::Client)?),
            Form::Template(template) => Some(fill(template, document)?),
        })
    }

    /// Writes that something failed, in place of its document; `name` is the operand, if it was about one. Templates are
    /// only about results: they see no failures.
    pub(crate) fn fail(&self, name: Option<&str>, failure: &Failure) {
        if self.form != Form::Json {
            return;
        }
        for failed in Failed::all(name, failure) {
            // Nothing in it can fail to be written as JSON.
            if let Ok(line) = json::compact(&failed) {
                self.console.line(line);
            }
        }
        self.console.flush();
    }

    /// As [`Documents::fail`] where there was a failure; passes the outcome on.
    pub(crate) fn settle<T>(&self, name: Option<&str>, outcome: Outcome<T>) -> Outcome<T> {
        outcome.inspect_err(|failure| self.fail(name, failure))
    }
}

/// Runs what hands its results over one by one, each of which is shown at once. A result that cannot be shown ends it, and is the failure
/// that counts then: only a template can fail, and its text says how.
///
/// # Errors
/// The first failure to show a result, else those of `operation`.
pub(crate) fn one_by_one(
    operation: impl FnOnce(&mut dyn FnMut(Outcome) -> dhow_base::Result<()>) -> dhow_base::Result<()>,
) -> Outcome {
    let mut failed = None;
    let done = operation(&mut |shown: Outcome| {
        shown.map_err(|failure| {
            failed = Some(failure);
            Error::new(Kind::Invalid, "the template failed")
        })
    });
    failed.map_or_else(|| done.map_err(Failure::from), Err)
}

fn fill(template: &str, document: &impl Serialize) -> Outcome<String> {
    let template = Template::parse(template).map_err(|error| list::failure(&error))?;
    let value = serde_json::to_value(document).map_err(|error| Failure::Client(error.to_string()))?;
    // Documents have all their fields, always: one that is not there is a mistake.
    let options = Options { missing_key_is_error: true, ..Options::default() };
    let mut output = Vec::new();
    template.execute(&Value::from(&value), options, &mut output).map_err(|error| list::failure(&error))?;
    Ok(list::shown(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(parse(""), Ok(Form::Text));
        assert_eq!(parse("json"), Ok(Form::Json));
        assert_eq!(parse("{{.digest}}\\t{{.status}}"), Ok(Form::Template("{{.digest}}\t{{.status}}".to_owned())));
        assert!(parse("{{.digest").is_err_and(|message| message.ends_with("unclosed action")));
        assert!(parse("oci-archive").is_err_and(|message| message.contains("\"oci-archive\" is neither")));
    }

    #[test]
    fn templates_see_fields_by_their_names_in_json() {
        let document = serde_json::json!({"digest": "sha256:1", "sizeBytes": 123_456_789_012_u64, "error": null});
        let filled = |template: &str| fill(template, &document);
        assert_eq!(filled("{{.digest}} {{.sizeBytes}}").unwrap(), "sha256:1 123456789012");
        assert_eq!(filled("{{if .error}}no{{else}}yes{{end}}").unwrap(), "yes");
        assert!(matches!(filled("{{.dijest}}"), Err(Failure::Client(message)) if message.contains("no entry for key")));
    }
}
