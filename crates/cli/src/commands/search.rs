//! `search`

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::remote;
use dhow_ops::search::{self, Hit, Request};
use dhow_spec::Reference;
use serde_json::json;

use super::remote::{READ_ONLY, Reach, run};
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::text::ellipsis;
use crate::format::{ListFormat, json, podman};
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

/// How many are shown if nobody says.
const LIMIT: usize = 25;

/// Docker shows so much of a description, in display columns.
const DESCRIPTION_COLUMNS: usize = 45;

/// Docker's word in tables and templates for what holds; in JSON it is `true`.
const OK: &str = "[OK]";

const COLUMNS: Columns = Columns {
    type_name: "registry.searchContext",
    headers: &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")],
};

/// The arguments of `search`.
#[derive(Args, Debug)]
pub(crate) struct Search {
    /// Accepted for podman's scripts; the columns are docker's anyway
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "podman's other table is not drawn")]
    compatible: bool,
    /// Show only what fits: "stars=NUMBER", "is-official=BOOL"
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Write as "json" (one line each) or by a Go template
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Show at most so many
    #[arg(long, value_name = "int", default_value_t = LIMIT)]
    limit: usize,
    /// Show whole descriptions
    #[arg(long)]
    no_trunc: bool,
    /// List the tags of a repository, as podman has it
    #[arg(long, hide = true)]
    list_tags: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "TERM")]
    terms: Vec<String>,
}

impl Verb for Search {
    const ABOUT: &'static str = "Search Docker Hub, or another registry, for repositories";
    const OPERANDS: &'static str = "[REGISTRY/]TERM";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.terms
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(term) = self.terms.first() else { return miscounted() };
        if self.list_tags {
            return self.tags(session, term);
        }
        if self.limit > search::HITS_MAX {
            let message = format!("limit {} is outside the range of [1, {}]", self.limit, search::HITS_MAX);
            return Err(refused(message));
        }
        let mut request = Request { term: term.clone(), most: self.most(), stars_min: 0, official: None };
        for filter in &self.filter {
            apply(filter, &mut request)?;
        }
        let domain = search::domain(term);
        let context = self.reach.context(session, [domain.as_str()])?;
        // In the registry's order, as docker shows them: the likeliest first.
        let hits = run(READ_ONLY, search::search(&context, &request))?;
        let rows = hits.iter().map(|hit| self.row(hit, |is_so| if is_so { OK } else { "" }));
        let text = match ListFormat::parse(&self.format, false) {
            ListFormat::Json => self.json(&hits)?,
            ListFormat::Template(template) if template.trim() == "{{json .}}" => self.json(&hits)?,
            ListFormat::Template(template) => list::render(COLUMNS, &template, false, rows)?,
            ListFormat::TableTemplate(template) => list::render(COLUMNS, &template, true, rows)?,
            ListFormat::Table | ListFormat::Raw => {
                let mut table = Table::new(&["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
                for hit in &hits {
                    let official = if hit.is_official { OK } else { "" };
                    table.row([&hit.name, &self.description(hit), &hit.star_count.to_string(), official]);
                }
                table.render()
            }
        };
        session.console.text(text);
        Ok(())
    }
}

impl Search {
    /// So many are shown: as many as usual where none is said, as with docker and podman.
    fn most(&self) -> usize {
        if self.limit == 0 { LIMIT } else { self.limit }
    }

    /// Lists tags in the registry's order. Of `--format`, podman heeds "json" here alone.
    fn tags(&self, session: &Session<'_>, term: &str) -> Outcome {
        if !self.filter.is_empty() {
            return Err(Failure::Client("filters are not applicable to list tags result".to_owned()));
        }
        let name = term.strip_prefix("docker://").unwrap_or(term);
        let repository = Reference::parse(name).map_err(Error::from)?.repository().clone();
        let context = self.reach.context(session, [repository.domain()])?;
        let tags = run(READ_ONLY, remote::tags(&context, &repository, Some(self.most())))?;
        let name = repository.name();
        session.console.text(match podman::is_json(&self.format) {
            true => {
                podman::indented(
                    &[json!({ "Name": name, "Tags": tags.iter().map(ToString::to_string).collect::<Vec<_>>() })],
                    "    ",
                )? + "\n"
            }
            false => {
                let rows: Vec<_> = tags.iter().map(|tag| vec![name.to_owned(), tag.as_str().to_owned()]).collect();
                podman::table(&["NAME", "TAG"], rows, true)
            }
        });
        Ok(())
    }

    fn json(&self, hits: &[Hit]) -> Outcome<String> {
        let mut text = String::new();
        for hit in hits {
            let row = self.row(hit, |is_so| if is_so { "true" } else { "false" });
            let object: std::collections::BTreeMap<_, _> = row.into_iter().collect();
            text.push_str(&json::line(&object).map_err(Failure::Client)?);
            text.push('\n');
        }
        Ok(text)
    }

    fn row(&self, hit: &Hit, shown: fn(bool) -> &'static str) -> [(&'static str, String); 4] {
        [
            ("Name", hit.name.clone()),
            ("Description", self.description(hit)),
            ("StarCount", hit.star_count.to_string()),
            ("IsOfficial", shown(hit.is_official).to_owned()),
        ]
    }

    fn description(&self, hit: &Hit) -> String {
        let line = hit.description.replace(['\n', '\r'], " ");
        if self.no_trunc { line } else { ellipsis(&line, DESCRIPTION_COLUMNS) }
    }
}

fn apply(filter: &str, request: &mut Request) -> Outcome {
    match filter.split_once('=').map(|(key, value)| (key.trim().to_lowercase(), value.trim())) {
        None => {
            let message = format!("invalid argument {filter:?} for \"-f, --filter\" flag: invalid filter {filter:?}");
            Err(Failure::Client(message))
        }
        Some((key, value)) if key == "stars" => match value.parse() {
            Ok(stars) => {
                request.stars_min = stars;
                Ok(())
            }
            Err(_) => Err(refused(format!("invalid filter 'stars={value}'"))),
        },
        Some((key, value)) if key == "is-official" => match value {
            "true" | "1" | "false" | "0" => {
                request.official = Some(matches!(value, "true" | "1"));
                Ok(())
            }
            _ => Err(refused(format!("invalid filter 'is-official={value}'"))),
        },
        Some((key, _)) => Err(refused(format!("invalid filter '{key}'"))),
    }
}

/// What docker's daemon refuses, not its client.
fn refused(message: String) -> Failure {
    Failure::Engine(Error::new(Kind::Invalid, message))
}
