//! `search`

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::search::{self, Hit, Request};

use super::remote::{READ_ONLY, Reach, run};
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::text::ellipsis;
use crate::format::{ListFormat, json};
use crate::session::Session;
use crate::verb::{Count, Verb};

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
    #[arg(long, value_name = "int", default_value_t = 25)]
    limit: usize,
    /// Show whole descriptions
    #[arg(long)]
    no_trunc: bool,
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
        let Some(term) = self.terms.first() else { return Ok(()) };
        if self.list_tags {
            let program = session.personality.program();
            let message = format!("--list-tags is not supported: `{program} tags {term}` lists tags");
            return Err(Failure::Client(message));
        }
        if !(1..=search::HITS_MAX).contains(&self.limit) {
            let message = format!("limit {} is outside the range of [1, {}]", self.limit, search::HITS_MAX);
            return Err(refused(message));
        }
        let mut request = Request { term: term.clone(), most: self.limit, stars_min: 0, official: None };
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
