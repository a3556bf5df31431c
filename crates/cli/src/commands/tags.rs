//! `tags`

use clap::Args;
use dhow_ops::remote;
use serde::Serialize;

use super::remote::{READ_ONLY, Reach, run};
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::{ListFormat, json};
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

const COLUMNS: Columns = Columns { type_name: "formatter.tag", headers: &[("Name", "NAME"), ("Tag", "TAG")] };

/// The arguments of `tags`.
#[derive(Args, Debug)]
pub(crate) struct Tags {
    /// Show at most so many
    #[arg(long, value_name = "int")]
    limit: Option<usize>,
    /// Write whole names instead of tags alone
    #[arg(long)]
    full_ref: bool,
    /// Write as "json" or by a Go template with .Name and .Tag
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "REPOSITORY")]
    names: Vec<String>,
}

/// What `--format json` writes.
#[derive(Debug, Serialize)]
struct Document {
    repository: String,
    tags: Vec<String>,
}

impl Verb for Tags {
    const ABOUT: &'static str = "List the tags of a repository in a registry";
    const OPERANDS: &'static str = "REPOSITORY";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        if self.limit == Some(0) {
            return Err(Failure::Client("--limit 0 would show nothing: it is 1 or more".to_owned()));
        }
        let repository = remote::repository(name)?;
        let context = self.reach.context(session, [repository.domain()])?;
        let tags = run(READ_ONLY, remote::tags(&context, &repository, self.limit))?;
        let shown = repository.familiar();
        let text = match ListFormat::parse(&self.format, false) {
            ListFormat::Json => {
                let tags = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
                json::line(&Document { repository: repository.name().to_owned(), tags }).map_err(Failure::Client)?
                    + "\n"
            }
            ListFormat::Template(template) => list::render(COLUMNS, &template, false, rows(shown, &tags))?,
            ListFormat::TableTemplate(template) => list::render(COLUMNS, &template, true, rows(shown, &tags))?,
            ListFormat::Table | ListFormat::Raw => {
                let prefix = if self.full_ref { format!("{shown}:") } else { String::new() };
                tags.iter().map(|tag| format!("{prefix}{tag}\n")).collect()
            }
        };
        session.console.text(text);
        Ok(())
    }
}

fn rows<'t>(repository: &'t str, tags: &'t [dhow_spec::Tag]) -> impl Iterator<Item = [(&'static str, String); 2]> + 't {
    tags.iter().map(move |tag| [("Name", repository.to_owned()), ("Tag", tag.as_str().to_owned())])
}
