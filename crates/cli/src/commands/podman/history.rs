//! `history` of podman

use clap::Args;
use dhow_ops::history;
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
        let Filled { text, outcome } = self.render(&rows, ago::now())?;
        session.console.text(text);
        outcome
    }
}

impl History {
    fn render(&self, rows: &[history::Row], now: i128) -> Outcome<Filled> {
        let done = |text: String| Ok(Filled { text, outcome: Ok(()) });
        match self.format.as_deref() {
            Some(format) if podman::is_json(format) => {
                let steps: Vec<Json<'_>> = rows.iter().map(Json::of).collect();
                done(json::line(&steps).map_err(Failure::Client)? + "\n")
            }
            _ if self.quiet => done(rows.iter().map(|row| self.id(row) + "\n").collect()),
            Some(format) => REPORT.fill(format, true, rows.iter().map(|row| self.object(row, now)).collect()),
            None => {
                let rows = rows.iter().map(|row| {
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

    fn object(&self, row: &history::Row, now: i128) -> Value {
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
            Field::new("Tags", Value::texts::<&str>(Some(&[]))),
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
    size: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    #[serde(rename = "Created")]
    created_again: String,
}

impl<'a> Json<'a> {
    fn of(row: &'a history::Row) -> Self {
        let created = podman::rfc3339(row.created.unwrap_or(0));
        Self {
            id: row.id.as_ref().map_or(MISSING, |id| id.hex()),
            created: created.clone(),
            created_by: &row.created_by,
            size: row.size,
            comment: &row.comment,
            created_again: created,
        }
    }
}
