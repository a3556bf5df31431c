//! Which entity of a blob a server has, by the validator it gave: what a range of another one would do harm to.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dhow_base::{Error, Kind, Result};
use dhow_content::Origin;
use dhow_spec::Digest;
use reqwest::header::{DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

use crate::transport::Answer;

/// How much older than the answer a date of modification must be to stand for one entity alone: within a second there may be
/// two, and two clocks may differ by more (RFC 9110 §8.8.2.2).
const STRONG_DATE_AGE_MIN: Duration = Duration::from_secs(60);

/// What one server says of which entity it has: a strong entity tag, or a date where it has no tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    /// Scheme, host and port of who answered in the end. Others have tags of their own.
    server: String,
    value: HeaderValue,
}

impl Validator {
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let server = answer.url.origin().ascii_serialization();
        strong(answer.headers()).map(|value| Self { server, value: value.clone() })
    }

    /// Whether it is of another entity than `other`, as far as that can be told: tags of two servers differ, and so do a tag
    /// and a date.
    pub(crate) fn is_other(&self, other: &Validator) -> bool {
        let is_tag = |validator: &Validator| validator.value.as_bytes().starts_with(b"\"");
        self.server == other.server && is_tag(self) == is_tag(other) && self.value != other.value
    }

    /// What `If-Range` has.
    pub(crate) fn value(&self) -> HeaderValue {
        self.value.clone()
    }
}

/// The validator that may be used with `If-Range` (RFC 9110 §13.1.5): a strong entity tag; a date only where there is no tag.
fn strong(headers: &HeaderMap) -> Option<&HeaderValue> {
    if let Some(tag) = headers.get(ETAG) {
        return Some(tag).filter(|tag| tag.as_bytes().starts_with(b"\""));
    }
    let date = |name| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
    let age = date(DATE)?.duration_since(date(LAST_MODIFIED)?).ok()?;
    headers.get(LAST_MODIFIED).filter(|_| age >= STRONG_DATE_AGE_MIN)
}

/// What is known of the entity of a blob.
#[derive(Clone, Debug)]
enum Entity {
    /// One, as far as is known.
    One {
        validator: Validator,
        /// Whether an earlier run met it, and this one has not yet.
        is_recalled: bool,
    },
    /// The servers behind one name do not agree. A validator is no use then, and the digest tells in the end.
    Disputed,
}

/// The entities of the blobs of one repository.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    entities: Mutex<HashMap<Digest, Entity>>,
    changed: Mutex<HashSet<Digest>>,
}

impl Validators {
    fn entities(&self) -> MutexGuard<'_, HashMap<Digest, Entity>> {
        self.entities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The validator of the one entity that is known of a blob.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Validator> {
        match self.entities().get(digest) {
            Some(Entity::One { validator, .. }) => Some(validator.clone()),
            Some(Entity::Disputed) | None => None,
        }
    }

    /// Takes note of the validator of an answer that was accepted.
    pub(crate) fn note(&self, digest: &Digest, answer: &Answer) {
        let Some(found) = Validator::of(answer) else { return };
        let mut entities = self.entities();
        match entities.get_mut(digest) {
            None => {
                entities.insert(digest.clone(), Entity::One { validator: found, is_recalled: false });
            }
            Some(Entity::One { validator, is_recalled }) if *validator == found => *is_recalled = false,
            Some(Entity::One { validator, .. }) if !found.is_other(validator) => {}
            Some(entity) => *entity = Entity::Disputed,
        }
    }

    /// Takes note that an answer is not of the entity that was asked for, as far as its server can tell.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when an earlier run met the one asked for and its server has another one now: what came of the one
    /// does not fit the other.
    pub(crate) fn contradicted(&self, digest: &Digest, asked: &Validator, answer: &Answer) -> Result<()> {
        let server = answer.url.origin().ascii_serialization();
        let mut entities = self.entities();
        let is_recalled = matches!(entities.get(digest), Some(Entity::One { is_recalled: true, .. }));
        if !is_recalled || server != asked.server {
            tracing::debug!(%digest, server, "servers do not agree on the blob's entity tag");
            entities.insert(digest.clone(), Entity::Disputed);
            return Ok(());
        }
        match Validator::of(answer) {
            Some(validator) => entities.insert(digest.clone(), Entity::One { validator, is_recalled: false }),
            None => entities.remove(digest),
        };
        self.changed().insert(digest.clone());
        let message = format!("{digest}: {server} has other bytes by that name than it had when the transfer began");
        Err(Error::new(Kind::Corrupt, message))
    }

    fn changed(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a blob turned out to be another entity than the one recalled; told once.
    pub(crate) fn take_changed(&self, digest: &Digest) -> bool {
        self.changed().remove(digest)
    }

    /// As [`Validators::take_changed`], without taking it.
    pub(crate) fn has_changed(&self, digest: &Digest) -> bool {
        self.changed().contains(digest)
    }

    /// What to tell the next run, to whom `registry` is known by that name.
    pub(crate) fn origin(&self, registry: &str, digest: &Digest) -> Option<Origin> {
        let Validator { server, value } = self.get(digest)?;
        Origin::new(format!("{registry}\n{server}\n{}", value.to_str().ok()?))
    }

    /// Takes what an earlier run was told, if it was of this registry. What this run has learnt itself counts more.
    pub(crate) fn recall(&self, registry: &str, digest: &Digest, origin: &Origin) {
        let Some(validator) = parse(registry, origin) else { return };
        self.entities().entry(digest.clone()).or_insert(Entity::One { validator, is_recalled: true });
    }
}

/// Three lines: the registry's name, who answered for it, the validator.
fn parse(registry: &str, origin: &Origin) -> Option<Validator> {
    let mut lines = origin.as_str().split('\n');
    let (name, server, value) = (lines.next()?, lines.next()?, lines.next()?);
    let value = HeaderValue::try_from(value).ok().filter(|value| !value.is_empty())?;
    (name == registry && lines.next().is_none()).then(|| Validator { server: server.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_validators_are_used() {
        let (old, new) = ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:59 GMT");
        let later = "Wed, 21 Oct 2015 07:29:00 GMT";
        for (given, expected) in [
            (vec![("etag", "\"abc\"")], Some("\"abc\"")),
            (vec![("etag", "\"abc\""), ("last-modified", old), ("date", later)], Some("\"abc\"")),
            (vec![("etag", "W/\"abc\"")], None),
            // With a tag, even a weak one, dates are not to be used.
            (vec![("etag", "W/\"abc\""), ("last-modified", old), ("date", later)], None),
            (vec![("last-modified", old), ("date", later)], Some(old)),
            (vec![("last-modified", old), ("date", new)], None),
            (vec![("last-modified", later), ("date", old)], None),
            (vec![("last-modified", old)], None),
            (vec![("last-modified", "yesterday"), ("date", later)], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &given {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let found = strong(&headers).map(|value| value.to_str().unwrap_or_default());
            assert_eq!(found, expected, "{given:?}");
        }
    }

    #[test]
    fn what_another_registry_said_is_not_recalled() {
        let digest = Digest::sha256(b"");
        let validators = Validators::default();
        let origin = |text: &str| Origin::new(text.to_owned()).expect("an origin");
        for other in
            ["b.example\nhttps://s\n\"x\"", "a.example\nhttps://s", "a.example\ns\n\"x\"\nmore", "a.example\ns\n"]
        {
            validators.recall("a.example", &digest, &origin(other));
            assert_eq!(validators.get(&digest), None, "{other:?}");
        }
        let right = origin("a.example\nhttps://s\n\"x\"");
        validators.recall("a.example", &digest, &right);
        assert_eq!(validators.get(&digest).map(|found| found.value()), Some(HeaderValue::from_static("\"x\"")));
        assert_eq!(validators.origin("a.example", &digest), Some(right));
        validators.recall("a.example", &digest, &origin("a.example\nhttps://s\n\"y\""));
        assert_eq!(validators.get(&digest).map(|found| found.value()), Some(HeaderValue::from_static("\"x\"")));
    }
}
