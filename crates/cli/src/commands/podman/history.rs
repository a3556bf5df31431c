//! `history` of podman

use clap::Args;
use dhow_ops::{Naming, history, summary};
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use crate::errors::{Failure, Outcome};
use crate::format::podman::{self, Filled, Report};
use crate::format::{ago, json, units};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// What stands for the ID of a step that is no image of its own.
const MISSING: &str = "<missing>";

/// Bytes of CREATED BY, the three dots among them.
const CREATED_BY_BYTES: usize = 45;

const REPORT: Report = Report {
    name: "history",
    row: Type::Named("images.historyReporter"),
    headers: &[
        ("Comment", "COMMENT"),
        ("Created", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", "CREATED"),
        ("ID", "ID"),
        ("Size", "SIZE"),
        ("Tags", "TAGS"),
    ],
};

/// The arguments of `history`.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// Write as "json" or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print dates in human readable form (default true)
    #[arg(short = 'H', long)]
    human: bool,
    /// Do not shorten IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for History {
    const ABOUT: &'static str = "Show how an image was made";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let [name] = self.names.as_slice() else { return miscounted() };
        let rows = history::history(&context, name, None)?;
        let names = summary::describe(&context, name)?.summary.names;
        let names: Vec<String> = names.iter().map(|name| Naming::Podman.shown(name)).collect();
        // Podman tells the names at its steps down to the topmost layer.
        let topmost = rows.iter().position(|row| row.size > 0).unwrap_or(rows.len());
        let tags = |position: usize| if position > topmost { &[][..] } else { &names };
        let steps: Vec<Step<'_>> =
            rows.iter().enumerate().map(|(position, row)| Step { row, tags: tags(position) }).collect();
        let Filled { text, outcome } = self.render(&steps, ago::now())?;
        session.console.text(text);
        outcome
    }
}

/// A step, with the names of the image that it made.
struct Step<'a> {
    row: &'a history::Row,
    tags: &'a [String],
}

impl History {
    fn render(&self, steps: &[Step<'_>], now: i128) -> Outcome<Filled> {
        let done = |text: String| Ok(Filled { text, outcome: Ok(()) });
        match self.format.as_deref() {
            Some(format) if podman::is_json(format) => {
                let steps: Vec<Json<'_>> = steps.iter().map(Json::of).collect();
                done(json::line(&steps).map_err(Failure::Client)? + "\n")
            }
            Some(format) if podman::is_json_of_rows(format) => {
                let steps = steps.iter().map(|step| Json { created_again: None, ..Json::of(step) });
                done(json::lines(steps).map_err(Failure::Client)?)
            }
            _ if self.quiet => done(steps.iter().map(|step| self.id(step.row) + "\n").collect()),
            Some(format) => REPORT.fill(format, true, steps.iter().map(|step| self.object(step, now)).collect()),
            None => {
                let rows = steps.iter().map(|Step { row, .. }| {
                    let size = units::short_size(row.size);
                    vec![self.id(row), self.created(row, now), self.created_by(row), size, row.comment.clone()]
                });
                done(podman::table(&["ID", "CREATED", "CREATED BY", "SIZE", "COMMENT"], rows, true))
            }
        }
    }

    fn id(&self, row: &history::Row) -> String {
        match &row.id {
            Some(id) if self.no_trunc => id.hex().to_owned(),
            Some(id) => id.short().to_owned(),
            None => MISSING.to_owned(),
        }
    }

    fn created(&self, row: &history::Row, now: i128) -> String {
        let created = row.created.unwrap_or(0);
        if self.human { ago::ago(created.into(), now) } else { podman::rfc3339(created) }
    }

    /// Podman counts bytes, and may cut a character in two.
    fn created_by(&self, row: &history::Row) -> String {
        let text = row.created_by.as_bytes();
        if self.no_trunc || text.len() <= CREATED_BY_BYTES {
            return row.created_by.clone();
        }
        String::from_utf8_lossy(&text[..CREATED_BY_BYTES - 3]).into_owned() + "..."
    }

    fn object(&self, Step { row, tags }: &Step<'_>, now: i128) -> Value {
        let text = |name, text: String| Field::new(name, Value::from(text));
        let created = row.created.unwrap_or(0);
        let fields = vec![
            text("Comment", row.comment.clone()),
            text("Created", self.created(row, now)),
            text("CreatedAt", podman::go_time(created)),
            text("CreatedBy", self.created_by(row)),
            text("CreatedSince", ago::ago(created.into(), now)),
            text("ID", self.id(row)),
            text("Size", units::short_size(row.size)),
            Field::new("Tags", Value::texts(Some(tags))),
        ];
        Value::structure("images.historyReporter", fields)
    }
}

/// A step as podman writes it in JSON, in its order.
#[derive(Serialize)]
struct Json<'a> {
    id: &'a str,
    created: String,
    #[serde(rename = "CreatedBy", skip_serializing_if = "str::is_empty")]
    created_by: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    size: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    #[serde(rename = "Created", skip_serializing_if = "Option::is_none")]
    created_again: Option<String>,
}

impl<'a> Json<'a> {
    fn of(Step { row, tags }: &Step<'a>) -> Self {
        let created = podman::rfc3339(row.created.unwrap_or(0));
        Self {
            id: row.id.as_ref().map_or(MISSING, |id| id.hex()),
            created: created.clone(),
            created_by: &row.created_by,
            tags,
            size: row.size,
            comment: &row.comment,
            created_again: Some(created),
        }
    }
}
