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
use crate::host::{same_origin, shown};
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

/// The next page, on the same registry: a list is not continued by somebody else.
fn next_page(answer: &Answer) -> Result<Option<Url>> {
    let links = answer.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.flat_map(|value| value.split(',')).find_map(next_target) else { return Ok(None) };
    match answer.url.join(target) {
        Ok(next) if same_origin(&next, &answer.url) => Ok(Some(next)),
        _ => {
            let message = format!("{}: the list goes on at another host: refused", shown(&answer.url));
            Err(Error::new(Kind::Denied, message))
        }
    }
}

/// The target of one link when its relation is `next`.
pub(crate) fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    });
    is_next.then_some(target)
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
    }
}
