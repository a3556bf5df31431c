//! Filters: which images a verb means. `images`, `rmi`, `image prune` and `system prune` read the same ones, so that a list
//! shows what a removal would take.
//!
//! Names and semantics are docker's (moby `daemon/images/images.go`, `api/types/filters`): different names must all hold;
//! of several labels all must, of several references and IDs any; of several times the tightest counts.

mod config;
mod glob;
mod layout;
mod named;
mod podman;
mod time;

use std::collections::HashSet;

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference};
use dhow_store::{Image, Labels, Store};

use crate::last_use;
use crate::naming::Naming;

pub(crate) use config::with_configured;
pub use named::NamePattern;
pub use time::parse_past;
pub(crate) use time::{duration as parse_duration, now};

/// A filter as the user gave it: name and value.
pub type Term = (String, String);

/// What must hold of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// `dangling`: whether it has no tag.
    pub dangling: Option<bool>,
    labels: Vec<LabelTest>,
    references: Vec<String>,
    ids: Vec<String>,
    /// `before`, `since`: other images, by what the user calls them.
    before: Vec<String>,
    since: Vec<String>,
    /// `until`: a time in nanoseconds since 1970.
    until: Option<i64>,
    containers: Option<bool>,
    readonly: Option<bool>,
    /// `unused-for` and `last-used`, likewise.
    unused_since: Option<i64>,
    /// Digests of manifests or indexes.
    digests: Vec<String>,
    /// Whose rules names follow.
    naming: Naming,
    /// What must not hold; podman has it for every filter.
    not: Vec<Filter>,
}

/// `label` and `label!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelTest {
    name: String,
    value: Option<String>,
    wanted: bool,
}

impl LabelTest {
    pub(crate) fn new(text: &str, wanted: bool) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()), wanted },
            None => Self { name: text.to_owned(), value: None, wanted },
        }
    }

    pub(crate) fn takes(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.name).is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found));
        found == self.wanted
    }
}

impl Filter {
    /// Reads filters.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words for a name that is none and a value that cannot be read.
    pub fn parse(terms: &[Term]) -> Result<Self> {
        let mut filter = Self::default();
        let now = now();
        for (name, value) in terms {
            match name.as_str() {
                "dangling" => filter.dangling = Some(boolean(name, terms)?),
                "containers" => filter.containers = Some(boolean(name, terms)?),
                "readonly" => filter.readonly = Some(boolean(name, terms)?),
                "label" => filter.labels.push(LabelTest::new(value, true)),
                "label!" => filter.labels.push(LabelTest::new(value, false)),
                "reference" => filter.references.push(glob::checked(value)?),
                "id" => filter.ids.push(value.strip_prefix("sha256:").unwrap_or(value).to_owned()),
                "digest" => filter.digests.push(value.clone()),
                "before" => filter.before.push(value.clone()),
                "since" => filter.since.push(value.clone()),
                "until" => filter.until = Some(tightest(filter.until, parse_past(value, now)?)),
                "unused-for" | "last-used" => {
                    filter.unused_since = Some(tightest(filter.unused_since, parse_past(value, now)?))
                }
                _ => return Err(unknown(name)),
            }
        }
        Ok(filter)
    }

    /// Reads podman's filters.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in podman's words.
    pub(crate) fn parse_for(naming: Naming, terms: &[Term]) -> Result<Self> {
        match naming {
            Naming::Docker => Self::parse(terms),
            Naming::Podman => podman::parse(terms),
        }
    }

    /// Asks for a name too: `repository[:tag]`, with the globs of Go's `path.Match`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a pattern that is none.
    pub(crate) fn and_reference(&mut self, pattern: &str) -> Result<()> {
        self.references.push(glob::checked(pattern)?);
        Ok(())
    }

    /// Whether it asks for names.
    pub(crate) fn has_references(&self) -> bool {
        !self.references.is_empty()
    }

    /// Whether a name is asked for.
    pub(crate) fn takes_name(&self, reference: &Reference) -> bool {
        let matches = match self.naming {
            Naming::Docker => glob::matches,
            Naming::Podman => glob::matches_an_ending,
        };
        self.references.is_empty() || self.references.iter().any(|pattern| matches(pattern, reference))
    }

    /// The images for which all holds, in their order. What is slow to learn is asked only of those for which the rest does.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when an image to compare with is not here; those of the store.
    pub fn select(&self, store: &Store, mut images: Vec<Image>) -> Result<Vec<Image>> {
        let times = Times::find(self, store)?;
        if self.readonly.is_some_and(|wanted| wanted == store.is_writable()) {
            return Ok(Vec::new());
        }
        images.retain(|image| self.takes_row(image) && times.take(image.created));
        if let Some(since) = self.unused_since {
            let uses = store.last_uses()?;
            images.retain(|image| last_use::of(image, &uses) < since);
        }
        if !self.labels.is_empty() {
            let ids: Vec<&Digest> = images.iter().map(|image| &image.id).collect();
            let mut is_taken = self.take_by_labels(store, &ids)?.into_iter();
            images.retain(|_| is_taken.next().unwrap_or(false));
        }
        for digest in &self.digests {
            let id = Digest::parse(digest).ok().and_then(|digest| store.find_target(&digest).ok());
            images.retain(|image| id.as_ref().is_some_and(|found| found.image_id == image.id));
        }
        for not in &self.not {
            let taken: HashSet<Digest> = not.select(store, images.clone())?.into_iter().map(|image| image.id).collect();
            images.retain(|image| !taken.contains(&image.id));
        }
        Ok(images)
    }

    /// Whether nothing is asked of an image but its labels, or nothing at all.
    pub(crate) fn is_of_labels(&self) -> bool {
        *self == Self { labels: self.labels.clone(), naming: self.naming, ..Self::default() }
    }

    /// Which of these images have the labels asked for.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn take_by_labels(&self, store: &Store, ids: &[&Digest]) -> Result<Vec<bool>> {
        if self.labels.is_empty() {
            return Ok(vec![true; ids.len()]);
        }
        // Of an image that cannot be read nothing is known: neither that it has a label nor that it has not.
        let mut is_taken = vec![false; ids.len()];
        store.see_labels(ids, |place, labels| is_taken[place] = self.takes_labels(&labels))?;
        Ok(is_taken)
    }

    fn takes_row(&self, image: &Image) -> bool {
        let dangling = match self.dangling {
            // A name with a digest is as good as any to podman.
            Some(true) if self.naming == Naming::Podman => image.is_nameless(),
            Some(true) => image.is_dangling(),
            // An image that only has a digest is both to docker.
            Some(false) => !image.is_nameless(),
            None => true,
        };
        dangling
            && self.containers.is_none_or(|wanted| wanted == (image.containers > 0))
            && (self.ids.is_empty() || self.ids.iter().any(|id| image.id.hex().starts_with(id.as_str())))
            && (self.references.is_empty() || names_of(image).any(|name| self.takes_name(&name)))
    }

    /// When the image was made that a filter compares with.
    fn created(&self, store: &Store, filter: &str, name: &str) -> Result<Option<i64>> {
        let found = self.naming.find(store, name, &[]).map_err(|error| match self.naming {
            Naming::Docker => error,
            Naming::Podman => {
                error.context(format_args!("could not find local image for filter filter {filter:?}={name:?}"))
            }
        });
        Ok(store.image(&found?.image_id)?.created)
    }

    fn takes_labels(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|test| test.takes(labels))
    }
}

/// All names of an image, those with tags first.
pub(crate) fn names_of(image: &Image) -> impl Iterator<Item = Reference> {
    let digests = image.repo_digests.iter();
    let digests = digests.map(|(repository, digest)| Reference::from_digest(repository.clone(), digest.clone()));
    image.references.iter().cloned().chain(digests)
}

/// Between which times an image must be made; neither is one of them.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    after: Option<i64>,
    before: Option<i64>,
}

impl Times {
    fn find(filter: &Filter, store: &Store) -> Result<Self> {
        let mut times = Self { after: None, before: filter.until };
        for name in &filter.before {
            // Before an image of unknown age there is nothing that is surely older.
            let created = filter.created(store, "before", name)?.unwrap_or(i64::MIN);
            times.before = Some(tightest(times.before, created));
        }
        for name in &filter.since {
            let created = filter.created(store, "since", name)?.unwrap_or(i64::MAX);
            times.after = Some(times.after.map_or(created, |after| after.max(created)));
        }
        Ok(times)
    }

    fn take(&self, created: Option<i64>) -> bool {
        match created {
            Some(created) => {
                self.after.is_none_or(|after| created > after) && self.before.is_none_or(|before| created < before)
            }
            None => self.after.is_none() && self.before.is_none(),
        }
    }
}

fn tightest(present: Option<i64>, other: i64) -> i64 {
    present.map_or(other, |present| present.min(other))
}

/// Docker's sentence for a filter that there is not.
pub(crate) fn unknown(name: &str) -> Error {
    Error::new(Kind::Invalid, format!("invalid filter '{name}'"))
}

/// A yes or no. Docker's engine reads fewer words than its client, and refuses both at once.
fn boolean(name: &str, terms: &[Term]) -> Result<bool> {
    let mut values: Vec<&str> = Vec::new();
    for (_, value) in terms.iter().filter(|(other, _)| other == name) {
        if !values.contains(&value.as_str()) {
            values.push(value);
        }
    }
    let is_true = values.iter().any(|value| matches!(*value, "1" | "true"));
    let is_false = values.iter().any(|value| matches!(*value, "0" | "false"));
    if is_true == is_false {
        let values = values.join(" ");
        return Err(Error::new(Kind::Invalid, format!("invalid filter '{name}=[{values}]'")));
    }
    Ok(is_true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(terms: &[(&str, &str)]) -> Result<Filter> {
        let terms: Vec<Term> = terms.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Filter::parse(&terms)
    }

    fn refusal(terms: &[(&str, &str)]) -> String {
        parse(terms).map_or_else(|error| error.to_string(), |filter| format!("{filter:?}"))
    }

    #[test]
    fn refuses_in_docker_s_words() {
        assert_eq!(refusal(&[("foo", "x")]), "invalid filter 'foo'");
        assert_eq!(refusal(&[("dangling", "x")]), "invalid filter 'dangling=[x]'");
        assert_eq!(refusal(&[("dangling", "T")]), "invalid filter 'dangling=[T]'");
        assert_eq!(refusal(&[("dangling", "false"), ("dangling", "true")]), "invalid filter 'dangling=[false true]'");
        assert_eq!(refusal(&[("until", "x")]), "failed to parse value as time or duration: \"x\"");
        assert_eq!(refusal(&[("reference", "a[")]), "syntax error in pattern");
    }

    #[test]
    fn last_use_has_two_names() {
        let both = parse(&[("unused-for", "100"), ("last-used", "50")]).unwrap();
        assert_eq!(both.unused_since, Some(50_000_000_000));
        assert_eq!(parse(&[("last-used", "100")]).unwrap(), parse(&[("unused-for", "100")]).unwrap());
        assert!(refusal(&[("last-used", "soon")]).contains("\"soon\""));
    }

    #[test]
    fn booleans_are_the_engine_s() {
        for (value, expected) in [("1", true), ("true", true), ("0", false), ("false", false)] {
            assert_eq!(parse(&[("dangling", value)]).unwrap().dangling, Some(expected), "{value}");
        }
    }

    #[test]
    fn of_several_times_the_tightest_counts() {
        let both = parse(&[("until", "100"), ("until", "50"), ("until", "70")]).unwrap();
        assert_eq!(both.until, Some(50_000_000_000));
        let times = Times { after: Some(10), before: Some(20) };
        let taken: Vec<i64> = (8..23).filter(|time| times.take(Some(*time))).collect();
        assert_eq!(taken, (11..20).collect::<Vec<_>>());
        assert!(!times.take(None) && Times::default().take(None));
    }

    #[test]
    fn labels_are_compared_by_name_and_value() {
        let labels = Labels::from([("a".to_owned(), "b=c".to_owned()), ("empty".to_owned(), String::new())]);
        for (text, expected) in
            [("a", true), ("a=b=c", true), ("a=", false), ("a=b", false), ("x", false), ("empty=", true)]
        {
            assert_eq!(LabelTest::new(text, true).takes(&labels), expected, "{text}");
            assert_eq!(LabelTest::new(text, false).takes(&labels), !expected, "{text}");
        }
    }
}
