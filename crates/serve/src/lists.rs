//! Lists that come in pages: tags and repositories (distribution spec, "Listing Tags").

use dhow_spec::Tag;
use hyper::{Response, StatusCode, header};
use serde_json::json;

use crate::access::Action;
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;
use crate::query::encode;
use crate::registry::{Call, Registry};
use crate::response::Answer;
use crate::storage::{Page, Prefix, Storage};

impl<S: Storage> Registry<S> {
    pub(crate) async fn list_tags(&self, call: &Call, repository: &RepositoryName) -> Outcome<Response<Body>> {
        let limit = page_size(call, self.limits.page_entries)?;
        let page = self.storage.list(&Prefix::tags(repository), call.query.one("last")?, limit).await?;
        let page = match page {
            Some(page) => page,
            None if self.storage.list(&Prefix::repository(repository), None, 1).await?.is_some() => Page::default(),
            None => {
                let detail = json!({ "name": repository.as_str() });
                return Err(
                    Failure::missing(Code::NameUnknown, "repository name not known to registry").with_detail(detail)
                );
            }
        };
        let tags: Vec<&String> = page.names.iter().filter(|name| Tag::parse(name).is_ok()).collect();
        let answer = next_page(&format!("/v2/{repository}/tags/list"), &page, limit);
        Ok(answer.json("application/json", &json!({ "name": repository.as_str(), "tags": tags })))
    }

    pub(crate) async fn list_repositories(&self, call: &Call) -> Outcome<Response<Body>> {
        let limit = page_size(call, self.limits.page_entries)?;
        let page = match limit {
            0 => Page::default(),
            _ if call.permit.sees_everything() => self.storage.repositories(call.query.one("last")?, limit).await?,
            _ => self.visible_repositories(call, limit).await?,
        };
        let answer = next_page("/v2/_catalog", &page, limit);
        Ok(answer.json("application/json", &json!({ "repositories": page.names })))
    }

    /// The page of a list that was asked for, and an answer with the address of the next.
    pub(crate) fn page(&self, call: &Call, path: &str, mut names: Vec<String>) -> Outcome<(Answer, Vec<String>)> {
        let limit = page_size(call, self.limits.page_entries)?;
        names.sort_unstable();
        names.dedup();
        if let Some(last) = call.query.one("last")? {
            names.retain(|name| name.as_str() > last);
        }
        let mut answer = Answer::new(StatusCode::OK);
        if names.len() > limit {
            names.truncate(limit);
            if let Some(last) = names.last() {
                let namespace = call.query.one("ns")?.map(str::to_owned);
                let parameters = [("n", Some(limit.to_string())), ("last", Some(last.clone())), ("ns", namespace)];
                answer = answer.header(header::LINK, link(path, &parameters));
            }
        }
        Ok((answer, names))
    }

    /// A page of the repositories that the caller may pull from.
    async fn visible_repositories(&self, call: &Call, limit: usize) -> Outcome<Page> {
        let mut visible = Page::default();
        let mut after = call.query.one("last")?.map(str::to_owned);
        loop {
            let page = self.storage.repositories(after.as_deref(), limit.max(REPOSITORIES_AT_ONCE)).await?;
            after = page.names.last().cloned();
            let may_see =
                |name: &String| RepositoryName::parse(name).is_some_and(|name| call.permit.allows(Action::Pull, &name));
            visible.names.extend(page.names.into_iter().filter(may_see));
            visible.more = page.more;
            if visible.names.len() > limit {
                visible.names.truncate(limit);
                visible.more = true;
            }
            if !page.more || visible.names.len() == limit {
                return Ok(visible);
            }
        }
    }
}

/// How many repositories are looked at together for those that a caller may see.
const REPOSITORIES_AT_ONCE: usize = 1000;

/// How many entries the client wants, at most the server's limit.
pub(crate) fn page_size(call: &Call, entries_max: usize) -> Outcome<usize> {
    Ok(call.number("n")?.unwrap_or(entries_max).min(entries_max))
}

/// An answer with the address of the page behind `page`, if there is one.
fn next_page(path: &str, page: &Page, limit: usize) -> Answer {
    let answer = Answer::new(StatusCode::OK);
    match page.names.last() {
        Some(last) if page.more => {
            let parameters = [("n", Some(limit.to_string())), ("last", Some(last.clone()))];
            answer.header(header::LINK, link(path, &parameters))
        }
        _ => answer,
    }
}

/// The value of a `Link` header to the next page (RFC 8288).
pub(crate) fn link(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let set = parameters.iter().filter_map(|(key, value)| Some(format!("{key}={}", encode(value.as_ref()?))));
    format!("<{path}?{}>; rel=\"next\"", set.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_encoded() {
        let parameters = [("n", Some("2".to_owned())), ("last", Some("a/b+c".to_owned())), ("x", None)];
        assert_eq!(link("/v2/_catalog", &parameters), "</v2/_catalog?n=2&last=a%2Fb%2Bc>; rel=\"next\"");
    }
}
