//! `images`: what is here.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference};
use dhow_store::{Image, Store};

use crate::context::Context;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only names that match: `repository[:tag]`, with the globs of Go's `path.Match`.
    pub reference: Option<String>,
    /// `name=value` pairs; different names must all hold.
    pub filters: Vec<(String, String)>,
    /// One row per tag and digest instead of one per tag.
    pub with_digests: bool,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The image's ID.
    pub id: Digest,
    /// Familiar name of the repository.
    pub repository: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// Digest of the manifest or index that the name recorded.
    pub digest: Option<Digest>,
    /// When the image was made, in nanoseconds since the Unix epoch.
    pub created: Option<i64>,
    /// Bytes of its layers, uncompressed.
    pub size: u64,
    /// Containers made from it.
    pub containers: u64,
}

/// Lists images as docker orders them: newest first; equal times by repository and tag.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for an unknown filter or a bad value, else those of the store.
pub fn list(context: &Context, request: &Request) -> Result<Vec<Row>> {
    let filter = Filter::parse(request)?;
    let store = context.store()?;
    let mut images = store.images()?;
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    let mut rows = Vec::with_capacity(images.len());
    for image in images {
        if !filter.takes(&image) {
            continue;
        }
        let size = match image.size {
            Some(size) => size,
            None => measure(store, &image.id)?,
        };
        rows_of(&image, size, &filter, request.with_digests, &mut rows);
    }
    Ok(rows)
}

/// The size of an image whose layers were not inflated yet. One image that is damaged or lies does not hide the others:
/// it is listed as empty, and whoever uses it is told what is wrong.
fn measure(store: &Store, image_id: &Digest) -> Result<u64> {
    match store.measure(image_id) {
        Err(error) if error.kind() == Kind::Corrupt => {
            tracing::warn!(%image_id, %error, "cannot tell how large an image is");
            Ok(0)
        }
        measured => measured,
    }
}

fn rows_of(image: &Image, size: u64, filter: &Filter, with_digests: bool, rows: &mut Vec<Row>) {
    let row = |repository: Option<String>, tag: Option<String>, digest: Option<Digest>| Row {
        id: image.id.clone(),
        repository,
        tag,
        digest,
        created: image.created,
        size,
        containers: image.containers,
    };
    let before = rows.len();
    for reference in image.references.iter().filter(|reference| filter.takes_name(reference)) {
        let (repository, tag) = (reference.repository(), reference.tag().map(|tag| tag.as_str().to_owned()));
        let mut digests = image.repo_digests.iter().filter(|(home, _)| home == repository).map(|(_, digest)| digest);
        if with_digests {
            let before = rows.len();
            let digests = digests.map(|digest| row(Some(repository.familiar()), tag.clone(), Some(digest.clone())));
            rows.extend(digests);
            if rows.len() == before {
                rows.push(row(Some(repository.familiar()), tag, None));
            }
        } else {
            rows.push(row(Some(repository.familiar()), tag, digests.next().cloned()));
        }
    }
    for (repository, digest) in &image.repo_digests {
        let has_tag = image.references.iter().any(|reference| reference.repository() == repository);
        let name = Reference::from_digest(repository.clone(), digest.clone());
        if !has_tag && filter.takes_name(&name) {
            rows.push(row(Some(repository.familiar()), None, Some(digest.clone())));
        }
    }
    let is_nameless = image.references.is_empty() && image.repo_digests.is_empty();
    if rows.len() == before && is_nameless && filter.references.is_empty() {
        rows.push(row(None, None, None));
    }
}

/// The filters that this command knows; «all must hold» between names, «any» among references.
#[derive(Debug, Default)]
struct Filter {
    dangling: Option<bool>,
    references: Vec<String>,
}

impl Filter {
    fn parse(request: &Request) -> Result<Self> {
        let mut filter = Self { references: request.reference.iter().cloned().collect(), ..Self::default() };
        for (name, value) in &request.filters {
            match name.as_str() {
                "dangling" => filter.dangling = Some(parse_bool(name, value)?),
                "reference" => filter.references.push(value.clone()),
                "before" | "id" | "label" | "label!" | "since" | "until" => {
                    let message = format!("the filter '{name}' is not supported yet");
                    return Err(Error::new(Kind::Unsupported, message).with_hint("use dangling or reference"));
                }
                _ => return Err(Error::new(Kind::Invalid, format!("invalid filter '{name}'"))),
            }
        }
        Ok(filter)
    }

    fn takes(&self, image: &Image) -> bool {
        let is_dangling = image.references.is_empty() && image.repo_digests.is_empty();
        self.dangling.is_none_or(|wanted| wanted == is_dangling)
    }

    fn takes_name(&self, reference: &Reference) -> bool {
        self.references.is_empty() || self.references.iter().any(|pattern| matches_reference(pattern, reference))
    }
}

/// Go's `strconv.ParseBool`, as the engine reads filter values.
fn parse_bool(name: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Error::new(Kind::Invalid, format!("invalid filter '{name}=[{value}]'"))),
    }
}

/// Matches the familiar name with tag, then without it (distribution/reference `FamiliarMatch`).
fn matches_reference(pattern: &str, reference: &Reference) -> bool {
    glob(pattern, &reference.familiar()) || glob(pattern, &reference.repository().familiar())
}

/// Go's `path.Match`: `*` and `?` do not cross `/`; `[a-z]` and `[^a-z]` are classes; `\` escapes. A malformed pattern
/// matches nothing.
fn glob(pattern: &str, text: &str) -> bool {
    glob_chars(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

fn glob_chars(pattern: &[char], text: &[char]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some('*') => {
            let reach = text.iter().position(|c| *c == '/').unwrap_or(text.len());
            (0..=reach).any(|skipped| glob_chars(&pattern[1..], &text[skipped..]))
        }
        Some('?') => text.first().is_some_and(|c| *c != '/') && glob_chars(&pattern[1..], &text[1..]),
        Some('[') => match (text.first(), class(&pattern[1..], text.first().copied().unwrap_or('/'))) {
            (Some(c), Some((true, rest))) if *c != '/' => glob_chars(rest, &text[1..]),
            _ => false,
        },
        Some('\\') if pattern.len() > 1 => text.first() == pattern.get(1) && glob_chars(&pattern[2..], &text[1..]),
        Some(literal) => text.first() == Some(literal) && glob_chars(&pattern[1..], &text[1..]),
    }
}

/// Reads a character class after its `[`: whether it takes `c`, and what follows its `]`. `None` when malformed.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let negated = pattern.first() == Some(&'^');
    let mut rest = if negated { &pattern[1..] } else { pattern };
    let (mut found, mut first) = (false, true);
    loop {
        match rest {
            [']', tail @ ..] if !first => return Some((found != negated, tail)),
            [low, '-', high, tail @ ..] if *high != ']' => {
                found |= (*low..=*high).contains(&c);
                rest = tail;
            }
            [']', ..] | [] => return None,
            [single, tail @ ..] => {
                found |= *single == c;
                rest = tail;
            }
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_those_of_path_match() {
        for (pattern, text, expected) in [
            ("alpine*", "alpine:3.20", true),
            ("*", "acme/web:v1", false),
            ("*/*:v?", "acme/web:v1", true),
            ("al[a-z]ine", "alpine", true),
            ("al[^a-z]ine", "alpine", false),
            ("al[pq", "alp", false),
            ("\\*", "*", true),
            ("", "", true),
            ("**", "abc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_filter_names_its_value_when_it_is_wrong() {
        let request = Request { filters: vec![("dangling".into(), "x".into())], ..Request::default() };
        assert_eq!(Filter::parse(&request).map_err(|e| e.to_string()).unwrap_err(), "invalid filter 'dangling=[x]'");
        let request = Request { filters: vec![("foo".into(), "x".into())], ..Request::default() };
        assert_eq!(Filter::parse(&request).map_err(|e| e.to_string()).unwrap_err(), "invalid filter 'foo'");
    }
}
