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
    const ABOUT: &'static str = "List the tags of a repository in a registry, or the images of an archive or layout";
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
        let (shown, repository, tags) = self.found(session, name)?;
        let text = match ListFormat::parse(&self.format, false) {
            ListFormat::Json => json::line(&Document { repository, tags }).map_err(Failure::Client)? + "\n",
            ListFormat::Template(template) => list::render(COLUMNS, &template, false, rows(&shown, &tags))?,
            ListFormat::TableTemplate(template) => list::render(COLUMNS, &template, true, rows(&shown, &tags))?,
            ListFormat::Table | ListFormat::Raw => {
                let prefix = if self.full_ref { format!("{shown}:") } else { String::new() };
                tags.iter().map(|tag| format!("{prefix}{tag}\n")).collect()
            }
        };
        session.console.text(text);
        Ok(())
    }
}

impl Tags {
    /// What is listed, as it is shown and in full, and its tags; of an archive or layout, the names of its images.
    fn found(&self, session: &Session<'_>, name: &str) -> Outcome<(String, String, Vec<String>)> {
        if let Ok(place) = remote::place(name)
            && let Some(names) = remote::names_in(&session.local_context()?, &place)?
        {
            let tags = names.into_iter().take(self.limit.unwrap_or(usize::MAX)).collect();
            return Ok((name.to_owned(), name.to_owned(), tags));
        }
        let repository = remote::repository(name)?;
        let context = self.reach.context(session, [repository.domain()])?;
        let tags = run(READ_ONLY, remote::tags(&context, &repository, self.limit))?;
        let tags = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
        Ok((repository.familiar().to_owned(), repository.name().to_owned(), tags))
    }
}

fn rows<'t>(repository: &'t str, tags: &'t [String]) -> impl Iterator<Item = [(&'static str, String); 2]> + 't {
    tags.iter().map(move |tag| [("Name", repository.to_owned()), ("Tag", tag.clone())])
}
