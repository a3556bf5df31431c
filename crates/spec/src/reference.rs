//! Image references, read and written as docker does (`distribution/reference`).
//!
//! A user types *familiar* names (`alpine`, `acme/web:v1`); the program works on *canonical* ones
//! (`docker.io/library/alpine`). [`Reference::parse`] goes from the first to the second, [`Reference::familiar`] back.

mod grammar;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dhow_base::{Error, Kind};

use crate::digest::{Digest, DigestError};

/// Longest path of a repository, in bytes; the registry host does not count.
pub(crate) const REPOSITORY_PATH_MAX: usize = 255;

/// Why a text is not a reference. The texts are docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text does not follow the grammar.
    #[error("invalid reference format")]
    InvalidFormat,
    /// The repository's path has upper-case letters.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// The text is an image ID, which is never a name.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The repository's path is longer than 255 characters.
    #[error("repository name must not be more than {REPOSITORY_PATH_MAX} characters")]
    NameTooLong,
    /// The text alone is not a tag.
    #[error("invalid tag format")]
    InvalidTag,
    /// The part after `@` looks like a digest and is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A repository was asked for and the text also has a tag or a digest.
    #[error("invalid repository name ({0}), cannot specify a tag or digest")]
    NotARepository(String),
}

impl From<ReferenceError> for Error {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Digest(error) => error.into(),
            error => Error::new(Kind::Invalid, error.to_string()).with_source(error),
        }
    }
}

/// A registry host and the path of a repository in it, normalised: `docker.io/library/alpine`.
///
/// Lists have one for each of their rows, so it is one shared text: a clone costs nothing, and every shorter form is a part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    name: Arc<str>,
    /// Where in `name` the slash behind the host is.
    slash: usize,
}

impl Repository {
    /// Parses a familiar or canonical name that has neither tag nor digest.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let Reference { repository, tag, digest } = Reference::parse(text)?;
        if tag.is_some() || digest.is_some() {
            return Err(ReferenceError::NotARepository(text.to_owned()));
        }
        Ok(repository)
    }

    /// The repository of the same path in another registry; `None` when `domain` is no host with an optional port.
    pub fn at(&self, domain: &str) -> Option<Self> {
        grammar::is_domain(domain).then(|| Self::of(domain, self.path()))
    }

    fn of(domain: &str, path: &str) -> Self {
        Self { name: format!("{domain}/{path}").into(), slash: domain.len() }
    }

    /// The registry's host, with its port if one was given: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn domain(&self) -> &str {
        &self.name[..self.slash]
    }

    /// The path within the registry: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.name[self.slash + 1..]
    }

    /// The canonical name: `docker.io/library/alpine`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shortest name that means this repository: `alpine`, `acme/web`, `ghcr.io/acme/web`.
    ///
    /// Docker drops `docker.io/` and `library/` even where the rest would then be read as another registry's
    /// (`docker.io/foo.io/bar`) or as an image ID; here they stay in those cases, so that parsing the result gives the
    /// same repository.
    pub fn familiar(&self) -> &str {
        if self.domain() != grammar::DEFAULT_DOMAIN {
            return self.name();
        }
        let path = self.path();
        if let Some(official) = path.strip_prefix(grammar::OFFICIAL_PREFIX)
            && !official.contains('/')
            && !grammar::is_identifier(official)
        {
            return official;
        }
        match path.split_once('/') {
            Some((first, _)) if !grammar::names_a_host(first) => path,
            _ => self.name(),
        }
    }
}

impl Ord for Repository {
    /// By host, then by path: as a text, `a-b/x` would come before `a/x`.
    fn cmp(&self, other: &Self) -> Ordering {
        self.domain().cmp(other.domain()).then_with(|| self.path().cmp(other.path()))
    }
}

impl PartialOrd for Repository {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// A tag: up to 128 letters, digits, `_`, `.` and `-`, beginning with a letter, a digit or `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Parses a tag on its own.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if grammar::is_tag(text) { Ok(Self(text.into())) } else { Err(ReferenceError::InvalidTag) }
    }

    /// The tag that is meant when none is given.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// A repository with an optional tag and an optional digest.
///
/// Where both are there the digest says which content is meant and the tag is only information.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses and normalises `[host/]path[:tag][@digest]`. The tag `latest` is *not* added.
    ///
    /// One quirk of docker is not followed: a first part that only looks like a host (`a_b.c/web`) is an error here,
    /// while docker falls back to a reference that has no registry at all.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if grammar::is_identifier(text) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (domain, remainder) = grammar::split_domain(text);
        let before_colon = remainder.split(':').next().unwrap_or_default();
        if grammar::has_uppercase(before_colon) {
            return Err(ReferenceError::Uppercase(before_colon.to_owned()));
        }

        let (named, digest) = split_optional(&remainder, '@');
        let (path, tag) = split_optional(named, ':');
        let follows_grammar = grammar::is_domain(domain)
            && grammar::is_path(path)
            && tag.is_none_or(grammar::is_tag)
            && digest.is_none_or(grammar::is_digest);
        if !follows_grammar {
            return Err(ReferenceError::InvalidFormat);
        }
        if path.len() > REPOSITORY_PATH_MAX {
            return Err(ReferenceError::NameTooLong);
        }
        Ok(Self {
            repository: Repository::of(domain, path),
            tag: tag.map(|tag| Tag(tag.into())),
            digest: digest.map(Digest::parse).transpose()?,
        })
    }

    /// A reference with neither tag nor digest.
    pub fn from_repository(repository: Repository) -> Self {
        Self { repository, tag: None, digest: None }
    }

    /// A reference by tag.
    pub fn from_tag(repository: Repository, tag: Tag) -> Self {
        Self { repository, tag: Some(tag), digest: None }
    }

    /// A reference by digest.
    pub fn from_digest(repository: Repository, digest: Digest) -> Self {
        Self { repository, tag: None, digest: Some(digest) }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same reference with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(Tag::latest());
        }
        self
    }

    /// The same reference with this tag in place of its own.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The same reference with this digest in place of its own.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The shortest text that means this reference: `alpine:3.20`.
    pub fn familiar(&self) -> String {
        self.suffixed(self.repository.familiar())
    }

    fn suffixed(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag.as_str());
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

/// What stands before the first `separator`, and what stands behind it, if it occurs.
fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.suffixed(self.repository.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
