//! `images`, `image ls` of podman

use std::collections::{BTreeMap, HashSet};

use clap::Args;
use dhow_ops::images::Sort;
use dhow_ops::summary::{self, Summary};
use dhow_spec::Reference;
use dhow_template::{Field, Type, Value};
use serde::Serialize;
use serde_json::json;

use super::filters;
use crate::errors::{Failure, Outcome};
use crate::format::podman::{self, Filled, Report};
use crate::format::{NONE, ago, json};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

const REPORT: Report = Report {
    name: "images",
    row: Type::Named("images.imageReporter"),
    headers: &[
        ("Containers", "CONTAINERS"),
        ("Created", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("CreatedTime", "CREATED TIME"),
        ("Dangling", "DANGLING"),
        ("Digest", "DIGEST"),
        ("History", "HISTORY"),
        ("ID", "IMAGE ID"),
        ("Id", "ID"),
        ("IsDangling", "IS DANGLING"),
        ("IsReadOnly", "IS READ ONLY"),
        ("Labels", "LABELS"),
        ("Names", "NAMES"),
        ("ParentId", "PARENT ID"),
        ("ReadOnly", "R/O"),
        ("RepoDigests", "REPO DIGESTS"),
        ("RepoTags", "REPO TAGS"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("VirtualSize", "VIRTUAL SIZE"),
    ],
};

/// The arguments of `images`.
#[derive(Args, Debug)]
pub(crate) struct Images {
    /// Accepted for old scripts; there are no intermediate images to hide
    #[arg(short, long)]
    #[allow(dead_code, reason = "there are no intermediate images here")]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show only images that fit: "dangling=true", "reference=PATTERN", "label=KEY[=VALUE]", "before=IMAGE",
    /// "after=IMAGE", "until=TIME", "id=ID", "digest=DIGEST"; with "!=" those that do not
    #[arg(short, long, value_name = "strings")]
    filter: Vec<String>,
    /// Write as "json" or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show the names that an image has
    #[arg(long)]
    history: bool,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    /// Leave the table's header out
    #[arg(short, long)]
    noheading: bool,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Sort by "created", "id", "repository", "size" or "tag"
    #[arg(long, value_name = "string", default_value = "created")]
    sort: String,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Images {
    const ABOUT: &'static str = "List images";
    const OPERANDS: &'static str = "[IMAGE]";
    const COUNT: Count = Count::AtMost(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if !self.names.is_empty() && !self.filter.is_empty() {
            return Err(Failure::Client("cannot specify an image and a filter(s)".to_owned()));
        }
        let sort = self.sort()?;
        let reference = self.names.first().cloned();
        let context = session.local_context()?;
        let request = summary::Request { reference, filters: filters(&self.filter, refusal)? };
        let summaries = summary::list(&context, &request)?;
        let mut rows: Vec<Row<'_>> = summaries.iter().flat_map(Row::all).collect();
        sorted(&mut rows, sort);
        let Filled { text, outcome } = self.render(&rows)?;
        session.console.text(text);
        outcome
    }
}

fn refusal(text: &str) -> String {
    format!("invalid image filter {text:?}: must be in the format \"filter=value or filter!=value\"")
}

impl Images {
    fn sort(&self) -> Outcome<Sort> {
        Ok(match self.sort.as_str() {
            "created" => Sort::Created,
            "id" => Sort::Id,
            "repository" => Sort::Repository,
            "size" => Sort::Size,
            "tag" => Sort::Tag,
            other => {
                let message = format!(
                    "{other:?} is not a valid field for sorting. Choose from: id, repository, size, tag, created"
                );
                return Err(Failure::Client(message));
            }
        })
    }

    fn render(&self, rows: &[Row<'_>]) -> Outcome<Filled> {
        let done = |text: String| Ok(Filled { text, outcome: Ok(()) });
        match self.format.as_deref() {
            Some(format) if podman::is_json(format) => {
                let rows: Vec<Json<'_>> = rows.iter().map(Row::json).collect();
                done(podman::pretty(&rows)? + "\n")
            }
            _ if self.quiet => {
                let mut seen = HashSet::new();
                let rows = rows.iter().filter(|row| seen.insert(&row.summary.id));
                done(rows.map(|row| self.id(row.summary) + "\n").collect())
            }
            Some(format) if podman::is_json_of_rows(format) => {
                done(json::lines(rows.iter().map(Row::alone)).map_err(Failure::Client)?)
            }
            Some(format) => {
                let now = ago::now();
                REPORT.fill(format, !self.noheading, rows.iter().map(|row| self.object(row, now)).collect())
            }
            None => done(self.table(rows)),
        }
    }

    fn table(&self, rows: &[Row<'_>]) -> String {
        let mut header = vec!["REPOSITORY", "TAG"];
        header.extend(self.digests.then_some("DIGEST"));
        header.extend(["IMAGE ID", "CREATED", "SIZE"]);
        header.extend(self.history.then_some("HISTORY"));
        let now = ago::now();
        let rows = rows.iter().map(|row| {
            let summary = row.summary;
            let mut cells = vec![row.repository.clone(), row.tag.clone()];
            cells.extend(self.digests.then(|| summary.digest.to_string()));
            cells.extend([self.id(summary), since(summary, now), podman::size(summary.size)]);
            cells.extend(self.history.then(|| names_of(summary).join(", ")));
            cells
        });
        podman::table(&header, rows, !self.noheading)
    }

    fn id(&self, summary: &Summary) -> String {
        if self.no_trunc { summary.id.to_string() } else { summary.id.short().to_owned() }
    }

    fn object(&self, row: &Row<'_>, now: i128) -> Value {
        let summary = row.summary;
        let text = |name, text: String| Field::new(name, Value::from(text));
        let created = summary.created.unwrap_or(0);
        let labels = summary.labels.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect();
        let names = names_of(summary);
        let number = |number: u64| Value::Int64(i64::try_from(number).unwrap_or(i64::MAX));
        let fields = vec![
            Field::new("Containers", number(summary.containers)),
            text("Created", since(summary, now)),
            text("CreatedAt", podman::go_time(created)),
            text("CreatedSince", since(summary, now)),
            text("CreatedTime", podman::go_time(created)),
            Field::new("Dangling", Value::from(summary.is_dangling())),
            text("Digest", summary.digest.to_string()),
            text("History", names.join(", ")),
            text("ID", self.id(summary)),
            text("Id", summary.id.hex().to_owned()),
            Field::new("IsDangling", Value::from(summary.is_dangling())),
            Field::new("IsReadOnly", Value::from(false)),
            Field::new("Labels", Value::map(Type::Text, Some(labels))),
            Field::new("Names", Value::texts(Some(&names))),
            text("ParentId", String::new()),
            Field::new("ReadOnly", Value::from(false)),
            Field::new("RepoDigests", Value::texts(Some(&summary.repo_digests))),
            Field::new("RepoTags", Value::texts(Some(&names))),
            text("Repository", row.repository.clone()),
            Field::new("SharedSize", Value::Int(0)),
            text("Size", podman::size(summary.size)),
            text("Tag", row.tag.clone()),
            Field::new("VirtualSize", number(summary.size)),
        ];
        Value::structure("images.imageReporter", fields)
    }
}

/// An image by one of its names.
struct Row<'a> {
    summary: &'a Summary,
    repository: String,
    tag: String,
}

impl<'a> Row<'a> {
    /// One for each name with a tag, or one: by a digest, or for no name (podman, `cmd/podman/images/list.go`, `sortImages`).
    fn all(summary: &'a Summary) -> Vec<Self> {
        let row = |repository: String, tag: String| Row { summary, repository, tag };
        let named = |name: &Reference| {
            let tag = name.tag().map_or_else(|| NONE.to_owned(), ToString::to_string);
            row(name.repository().to_string(), tag)
        };
        let tagged: Vec<Self> = summary.names.iter().filter(|name| name.tag().is_some()).map(named).collect();
        match (tagged.is_empty(), summary.names.first()) {
            (false, _) => tagged,
            (true, Some(by_digest)) => vec![named(by_digest)],
            (true, None) => vec![row(NONE.to_owned(), NONE.to_owned())],
        }
    }

    /// As a template has it that writes rows as JSON: with the name of the row.
    fn alone(&self) -> serde_json::Value {
        let mut row = json!(self.json());
        row["RepoTags"] = json!(names_of(self.summary));
        row["repository"] = json!(self.repository);
        row["tag"] = json!(self.tag);
        row
    }

    fn json(&self) -> Json<'a> {
        let summary = self.summary;
        let names = names_of(summary);
        let created = summary.created.unwrap_or(0);
        Json {
            id: summary.id.hex(),
            parent_id: "",
            repo_tags: None,
            repo_digests: &summary.repo_digests,
            size: summary.size,
            shared_size: 0,
            virtual_size: summary.size,
            labels: Some(&summary.labels).filter(|labels| !labels.is_empty()),
            containers: summary.containers,
            dangling: summary.is_dangling(),
            names: names.clone(),
            digest: summary.digest.as_str(),
            history: names,
            created: created.div_euclid(1_000_000_000),
            created_at: podman::rfc3339(created),
        }
    }
}

/// A row as podman writes it in JSON, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json<'a> {
    id: &'a str,
    parent_id: &'a str,
    repo_tags: Option<()>,
    repo_digests: &'a [String],
    size: u64,
    shared_size: u64,
    virtual_size: u64,
    labels: Option<&'a BTreeMap<String, String>>,
    containers: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dangling: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    digest: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<String>,
    created: i64,
    created_at: String,
}

fn names_of(summary: &Summary) -> Vec<String> {
    summary.names.iter().map(ToString::to_string).collect()
}

fn since(summary: &Summary, now: i128) -> String {
    ago::ago(summary.created.unwrap_or(0).into(), now)
}

/// The rows come newest first.
fn sorted(rows: &mut [Row<'_>], sort: Sort) {
    match sort {
        Sort::Created => {}
        Sort::Id => rows.sort_by(|a, b| a.summary.id.cmp(&b.summary.id)),
        Sort::Repository => rows.sort_by(|a, b| a.repository.cmp(&b.repository)),
        Sort::Size => rows.sort_by_key(|row| row.summary.size),
        Sort::Tag => rows.sort_by(|a, b| a.tag.cmp(&b.tag)),
    }
}
