//! The tags of a repository: a list in pages.

use std::collections::HashSet;

use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::Tag;
use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;
use url::Url;

use crate::endpoint::Target;
use crate::host::{same_origin, shown};
use crate::remote::Remote;
use crate::transport::Answer;

/// Most tags that are read of one repository.
const TAGS_MAX: usize = 1_000_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Reads all pages, following `Link: <…>; rel="next"` (RFC 8288).
pub(crate) async fn list(remote: &Remote) -> Result<Vec<Tag>> {
    let mut call = remote.call(Method::GET, "tags/list");
    let mut tags = Vec::new();
    let mut visited = HashSet::new();
    loop {
        let answer = remote.send(&call).await?;
        if !answer.status().is_success() {
            return Err(answer.wire_error().await.into_error(remote.endpoint.domain()));
        }
        let next = next_page(&answer)?;
        let name = shown(&answer.url);
        let body = answer.bytes(limits::API_BODY_BYTES_MAX).await?;
        let page: Page = serde_json::from_slice(&body)
            .map_err(|error| Error::new(Kind::Corrupt, format!("{name}: not a list of tags: {error}")))?;
        tags.extend(page.tags.unwrap_or_default().iter().filter_map(|tag| Tag::parse(tag).ok()));
        if tags.len() > TAGS_MAX {
            let message = format!("{name}: more than {TAGS_MAX} tags");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        match next {
            Some(next) if visited.insert(next.clone()) => call.target = Target::Url(next),
            Some(_) => return Err(Error::new(Kind::Corrupt, format!("{name}: the list of tags links back to itself"))),
            None => return Ok(tags),
        }
    }
}

/// The next page, on the same registry: a list is not continued by somebody else.
fn next_page(answer: &Answer) -> Result<Option<Url>> {
    let links = answer.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.flat_map(|value| value.split(',')).find_map(next_target) else { return Ok(None) };
    match answer.url.join(target) {
        Ok(next) if same_origin(&next, &answer.url) => Ok(Some(next)),
        _ => {
            let message = format!("{}: the list of tags goes on at another host: refused", shown(&answer.url));
            Err(Error::new(Kind::Denied, message))
        }
    }
}

/// The target of one link when its relation is `next`.
fn next_target(link: &str) -> Option<&str> {
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
