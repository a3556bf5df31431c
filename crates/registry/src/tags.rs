//! Lists in pages: the tags of a repository, the repositories of a registry.

use std::collections::HashSet;

use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::{Repository, Tag};
use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;
use url::Url;

use crate::client::Client;
use crate::endpoint::{Call, Endpoint, Target};
use crate::host::shown;
use crate::remote::Remote;
use crate::transport::Answer;

/// Most entries that are read of one list.
const ENTRIES_MAX: usize = 1_000_000;

/// Entries asked for at once where a registry says how many it likes only when it is asked for too many.
const PAGE_ENTRIES: usize = 1000;

#[derive(Deserialize)]
struct TagPage {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

/// The tags of a repository, at most so many. Names that are no tags are left out.
pub(crate) async fn list(remote: &Remote, most: Option<usize>) -> Result<Vec<Tag>> {
    let page = match most {
        // Without `n` the registry sends as many as it likes, which is mostly all of them.
        None => "tags/list".to_owned(),
        Some(most) => format!("tags/list?n={}", most.clamp(1, PAGE_ENTRIES)),
    };
    let mut tags = Vec::new();
    let call = remote.call(Method::GET, &page);
    pages(&remote.client, &remote.endpoint, call, limits::API_BODY_BYTES_MAX, |_, name, body| {
        let page: TagPage = parse(&body, name, "a list of tags")?;
        tags.extend(page.tags.unwrap_or_default().iter().filter_map(|tag| Tag::parse(tag).ok()));
        check_length(tags.len(), name)?;
        Ok(most.is_none_or(|most| tags.len() < most))
    })
    .await?;
    tags.truncate(most.unwrap_or(usize::MAX));
    Ok(tags)
}

/// The repositories of a registry whose path `takes`, at most so many (`GET /v2/_catalog`, an extension of docker's
/// registry that most others leave out or keep for administrators).
pub(crate) async fn catalog(
    client: &Client,
    endpoint: &Endpoint,
    takes: &(dyn Fn(&str) -> bool + Sync),
    most: usize,
) -> Result<Vec<Repository>> {
    let target = Target::Path(format!("/v2/_catalog?n={PAGE_ENTRIES}"));
    let call = Call::new(Method::GET, target, vec!["registry:catalog:*".to_owned()]);
    let mut found = Vec::new();
    let mut seen = 0;
    pages(client, endpoint, call, limits::API_BODY_BYTES_MAX, |_, name, body| {
        let page: CatalogPage = parse(&body, name, "a list of repositories")?;
        let paths = page.repositories.unwrap_or_default();
        seen += paths.len();
        check_length(seen, name)?;
        let full = |path: &String| Repository::parse(&format!("{}/{path}", endpoint.domain())).ok();
        found.extend(paths.iter().filter(|path| takes(path)).filter_map(full));
        Ok(found.len() < most)
    })
    .await?;
    found.truncate(most);
    Ok(found)
}

fn check_length(entries: usize, name: &str) -> Result<()> {
    if entries > ENTRIES_MAX {
        return Err(Error::new(Kind::LimitExceeded, format!("{name}: more than {ENTRIES_MAX} entries")));
    }
    Ok(())
}

fn parse<'de, T: Deserialize<'de>>(body: &'de [u8], name: &str, what: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::new(Kind::Corrupt, format!("{name}: not {what}: {error}")))
}

/// Reads pages, following `Link: <…>; rel="next"` (RFC 8288), until `take` has enough. It is given each answer's body, and
/// the page's address for messages.
pub(crate) async fn pages(
    client: &Client,
    endpoint: &Endpoint,
    mut call: Call,
    page_bytes_max: u64,
    mut take: impl FnMut(&PageHead, &str, Vec<u8>) -> Result<bool>,
) -> Result<()> {
    let mut visited = HashSet::new();
    loop {
        let answer = endpoint.send(client.transport(), &call).await?;
        if !answer.status().is_success() {
            return Err(answer.wire_error().await.into_error(endpoint.domain()));
        }
        let next = next_page(&answer)?;
        let name = shown(&answer.url);
        let head = PageHead { content_type: answer.header("content-type").unwrap_or_default().to_owned() };
        if !take(&head, &name, answer.bytes(page_bytes_max).await?)? {
            return Ok(());
        }
        match next {
            Some(next) if visited.insert(next.clone()) => call.target = Target::Url(next),
            Some(_) => return Err(Error::new(Kind::Corrupt, format!("{name}: the list links back to itself"))),
            None => return Ok(()),
        }
    }
}

/// What the headers of a page say.
#[derive(Debug)]
pub(crate) struct PageHead {
    pub(crate) content_type: String,
}

/// The next page, on the same registry: a list is not continued by somebody else. Behind a proxy registries take themselves for another
/// scheme or port of the same host; the page is asked for where the one before came from.
fn next_page(answer: &Answer) -> Result<Option<Url>> {
    let mut links = answer.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.find_map(next_target) else { return Ok(None) };
    match answer.url.join(target) {
        Ok(next) if next.host() == answer.url.host() && matches!(next.scheme(), "http" | "https") => {
            let mut here = answer.url.clone();
            here.set_path(next.path());
            here.set_query(next.query());
            Ok(Some(here))
        }
        _ => {
            let message = format!("{}: the list goes on at another host: refused", shown(&answer.url));
            Err(Error::new(Kind::Denied, message))
        }
    }
}

/// The target of the first link of a header whose relation is `next` (RFC 8288, section 3). Commas stand between links, and may stand in
/// targets and quotes too.
pub(crate) fn next_target(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (mut parameters, links) = split_unquoted(after, ',');
        while !parameters.is_empty() {
            let (parameter, others) = split_unquoted(parameters, ';');
            if is_next(parameter) {
                return Some(target);
            }
            parameters = others;
        }
        rest = links;
    }
}

/// What stands before and behind the first separator that is in no quotes.
fn split_unquoted(text: &str, separator: char) -> (&str, &str) {
    let mut is_quoted = false;
    let is_separator = |letter: char| {
        is_quoted ^= letter == '"';
        letter == separator && !is_quoted
    };
    let at = text.find(is_separator).unwrap_or(text.len());
    (&text[..at], text[at..].strip_prefix(separator).unwrap_or_default())
}

/// Whether a parameter names the relation, which may be one of several.
fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_links() {
        assert_eq!(next_target(r#"</v2/a/tags/list?last=b&n=1>; rel="next""#), Some("/v2/a/tags/list?last=b&n=1"));
        assert_eq!(next_target("<x>; title=y ;Rel=NEXT"), Some("x"));
        assert_eq!(next_target(r#"<x>; rel="prev""#), None);
        assert_eq!(next_target("x; rel=next"), None);
        assert_eq!(next_target(r#"<a>; rel="prev", <b>; rel="next""#), Some("b"));
        assert_eq!(next_target(r#"</v2/a/tags/list?last=a,b>; rel="next""#), Some("/v2/a/tags/list?last=a,b"));
        assert_eq!(next_target(r#"<a>; title="x, <y>; rel=next"; rel=prev, <b>; rel="last next""#), Some("b"));
        assert_eq!(next_target(r#"<a>; title="never ends"#), None);
    }
}
