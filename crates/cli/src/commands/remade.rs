//! What the verbs share that make an image of another one: `mutate`, `append`, `flatten`, `rebase`.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use dhow_base::priority;
use dhow_ops::{Common, Context, Location, Platforms, Remade};

use super::remote::{Reach, run};
use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::{schema, text};
use crate::session::Session;

/// What an interrupted user can count on.
const UNFINISHED: &str = "nothing has a new name";

/// Where the result goes, how it is told, and how registries are reached.
#[derive(Args, Clone, Debug)]
pub(super) struct Outlet {
    /// Name of the result, in the registry or store of the image unless it says another place; without it, the image's own
    #[arg(short, long, value_name = "string", aliases = ["new_tag", "rebased"])]
    tag: Option<String>,
    /// Write the result to an archive instead, which docker, podman and OCI tools read
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    #[command(flatten)]
    documents: DocumentFormat,
    #[command(flatten)]
    reach: Reach,
}

impl Outlet {
    /// The request that these options and those of the verb make.
    ///
    /// # Errors
    /// What is no place, and what `SOURCE_DATE_EPOCH` says when it is no time.
    pub(super) fn common(
        &self,
        session: &Session<'_>,
        image: Option<Location>,
        platforms: Platforms,
    ) -> Outcome<Common> {
        let named = self.tag.as_deref().map(|tag| Location::parse_beside(tag, image.as_ref())).transpose()?;
        let target = match (&self.output, named) {
            (None, named) => named,
            (Some(path), named) => Some(Location::DockerArchive { path: path.clone(), name: name(named) }),
        };
        Ok(Common { image, platforms, target, repository: None, created: created(session)? })
    }

    /// The handles of the verb; `others` are places beside the image that are read.
    ///
    /// # Errors
    /// Those of [`Reach::context`].
    pub(super) fn context(&self, session: &Session<'_>, common: &Common, others: &[&Location]) -> Outcome<Context> {
        let places =
            [common.image.as_ref(), common.target.as_ref()].into_iter().flatten().chain(others.iter().copied());
        let repository = common.repository.as_ref().map(dhow_spec::Repository::domain);
        self.reach.context(session, places.filter_map(Location::domain).chain(repository))
    }

    /// Does the work and tells what came of it.
    ///
    /// # Errors
    /// The verb's.
    pub(super) fn run(
        &self,
        session: &Session<'_>,
        name: Option<&str>,
        work: impl Future<Output = dhow_base::Result<Remade>>,
    ) -> Outcome {
        priority::lower();
        let documents = self.documents.open(session.console);
        let remade = documents.settle(name, run(UNFINISHED, work))?;
        if documents.are_wanted() {
            documents.put(&schema::Remade::new(name, &remade))?;
        } else {
            session.console.line(match &remade.reference {
                Some(reference) => format!("{}@{}", reference.repository().name(), remade.digest),
                None => remade.digest.to_string(),
            });
        }
        if let Some(note) = &remade.note {
            session.console.notice(text::note(note));
        }
        Ok(())
    }
}

/// The name that was given for an image in an archive.
fn name(named: Option<Location>) -> Option<String> {
    match named? {
        Location::Registry(reference) => Some(reference.to_string()),
        Location::Store(name) => Some(name),
        _ => None,
    }
}

fn created(session: &Session<'_>) -> Outcome<Option<String>> {
    let Some(text) = session.environment.source_date_epoch.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let time = text.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match time {
        Some(time) => Ok(Some(time.to_string())),
        None => {
            let message = format!("SOURCE_DATE_EPOCH={text:?} is no time: it is a number of seconds since 1970");
            Err(Failure::Client(message))
        }
    }
}

/// What pflag's `StringToString` makes of the values of an option: pairs, several of them with commas.
///
/// # Errors
/// pflag's words for what is no pair.
pub(super) fn pairs(values: &[String]) -> Outcome<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for value in values {
        // A value may have commas as long as there is no second pair.
        let parts =
            if value.matches('=').count() == 1 { vec![value.trim_matches('"').to_owned()] } else { fields(value) };
        for part in parts {
            let (key, value) = pair(&part)?;
            pairs.insert(key, value);
        }
    }
    Ok(pairs)
}

/// A pair.
///
/// # Errors
/// pflag's words for what is none.
pub(super) fn pair(text: &str) -> Outcome<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::Client(format!("{text} must be formatted as key=value"))),
    }
}

/// What pflag's `StringSlice` makes of the values of an option.
pub(super) fn list(values: &[String]) -> Vec<String> {
    values.iter().flat_map(|value| fields(value)).collect()
}

/// The fields of a line of CSV (RFC 4180): commas divide, unless they are within quotes.
fn fields(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut found = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = found.last_mut() else { break };
        match character {
            '"' if !is_quoted && field.is_empty() => is_quoted = true,
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            ',' if !is_quoted => found.push(String::new()),
            _ => field.push(character),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_pflag_reads_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("sh,-c,\"a,b\"", &["sh", "-c", "a,b"]),
            ("a,,b", &["a", "", "b"]),
            ("\"say \"\"hi\"\"\"", &["say \"hi\""]),
        ] {
            assert_eq!(fields(text), expected, "{text}");
        }
        let pairs = |text: &str| {
            let pairs = pairs(&[text.to_owned()]).map_err(|failure| format!("{failure:?}"));
            pairs.map(|pairs| pairs.into_iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>())
        };
        assert_eq!(pairs("a=1,b=2"), Ok(vec!["a:1".to_owned(), "b:2".to_owned()]));
        assert_eq!(pairs("a=1,2"), Ok(vec!["a:1,2".to_owned()]));
        assert!(pairs("a").is_err_and(|message| message.contains("a must be formatted as key=value")));
    }
}
