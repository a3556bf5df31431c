//! Lists of wholes: docker 29's own, and the tree.

use dhow_ops::settings::{self, Listing};
use dhow_ops::{Context, wholes};

use super::view::{self, Details, Edition, Entry, Platform, Screen};
use super::{Images, filters};
use crate::errors::{Failure, Outcome};
use crate::format::text::without_controls;
use crate::format::units;
use crate::personality::Personality;
use crate::session::Session;

impl Images {
    /// Whether the list is one of wholes.
    ///
    /// # Errors
    /// Docker's words for options that do not go with `--tree`.
    pub(super) fn is_of_wholes(&self, session: &Session<'_>, context: &Context) -> Outcome<bool> {
        let others = [
            ("--quiet", self.quiet),
            ("--no-trunc", self.no_trunc),
            // As docker spells it.
            ("--show-digest", self.digests),
            ("--format", !self.format.is_empty()),
            ("--noheading", self.noheading),
            ("--sort", self.sort.is_some()),
        ];
        let other = others.iter().find(|(_, given)| *given);
        match other {
            Some((option, _)) if self.tree => {
                Err(Failure::Client(format!("{option} is not yet supported with --tree")))
            }
            None if self.tree => Ok(true),
            Some(_) => Ok(false),
            None => Ok(session.personality == Personality::Docker29
                && settings::list_format(context, Listing::Images).is_none()),
        }
    }

    /// Prints the list of wholes, and says how many there are.
    pub(super) fn list_wholes(&self, session: &Session<'_>, context: &Context) -> Outcome<usize> {
        let edition = match session.personality {
            Personality::Docker => Edition::Experiment,
            _ => Edition::Settled,
        };
        let request = wholes::Request {
            reference: self.reference(),
            filters: filters::given(&self.filter),
            untagged: self.shows_untagged(),
            platforms: self.tree,
        };
        let wholes = wholes::list(context, &request)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(wholes.len());
        for whole in &wholes {
            match whole.names.as_slice() {
                names @ [_, _, ..] if !self.tree => entries.extend(names.iter().map(|name| entry(whole, &[name]))),
                names => entries.push(entry(whole, &names.iter().collect::<Vec<_>>())),
            }
        }
        if edition == Edition::Settled {
            // Those without a name come last.
            entries.sort_by(|a, b| {
                let first = |entry: &Entry| (entry.names.is_empty(), entry.names.first().cloned());
                first(a).cmp(&first(b))
            });
        }
        let is_terminal = session.console.is_terminal();
        // The experiment knows nothing of NO_COLOR.
        let is_coloured = is_terminal && (edition == Edition::Experiment || !session.environment.no_color);
        let screen = Screen { columns: session.console.columns(), is_terminal, is_coloured };
        session.console.drawn(&view::draw(&entries, edition, screen));
        Ok(entries.len())
    }

    /// Docker 29 hides what has no tag unless it is asked for.
    pub(super) fn shows_untagged(&self) -> bool {
        let mut dangling = self.filter.iter().flatten().filter(|(name, _)| name == "dangling").peekable();
        self.all || (dangling.peek().is_some() && dangling.all(|(_, value)| value != "false"))
    }
}

fn entry(whole: &wholes::Whole, names: &[&String]) -> Entry {
    let platform = |part: &wholes::Part| Platform {
        // The index that says it comes from anywhere.
        name: without_controls(&part.platform.to_string()),
        is_here: part.is_here,
        details: details(part.manifest.short(), part.bytes, part.in_use),
    };
    Entry {
        names: names.iter().map(|name| (*name).clone()).collect(),
        details: details(whole.id.short(), whole.bytes, whole.in_use),
        platforms: whole.platforms.iter().map(platform).collect(),
    }
}

/// Nothing is unpacked here, so that on disk there is the content and nothing else.
fn details(id: &str, bytes: u64, in_use: bool) -> Details {
    let size = units::short_size(bytes);
    Details { id: id.to_owned(), disk_usage: size.clone(), content_size: size, in_use }
}
