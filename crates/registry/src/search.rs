//! Docker's search, version 1 of its API: `GET /v1/search?q=TERM&n=COUNT` (moby `registry/search.go`).

use dhow_base::{Error, Kind, Result, limits};
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::client::Client;
use crate::endpoint::{Call, Endpoint, Target};

/// Where Docker Hub is searched: not at the host that has its registry.
const HUB: &str = "https://index.docker.io/v1/search";

/// One repository that was found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Hit {
    /// Its name in the registry.
    #[serde(default)]
    pub name: String,
    /// What its owner says of it.
    #[serde(default)]
    pub description: String,
    /// How many users like it.
    #[serde(default)]
    pub star_count: u64,
    /// Whether Docker itself keeps it.
    #[serde(default)]
    pub is_official: bool,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    results: Option<Vec<Hit>>,
}

/// Asks a registry for repositories that fit a term.
pub(crate) async fn search(
    client: &Client,
    endpoint: &Endpoint,
    domain: &str,
    term: &str,
    most: usize,
) -> Result<Vec<Hit>> {
    let count = most.to_string();
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("q", term).append_pair("n", &count).finish();
    let target = match domain {
        "docker.io" => Target::Url(
            Url::parse(&format!("{HUB}?{query}"))
                .map_err(|error| Error::new(Kind::Internal, format!("cannot form a request: {error}")))?,
        ),
        _ => Target::Path(format!("/v1/search?{query}")),
    };
    let call = Call::new(Method::GET, target, Vec::new());
    let answer = endpoint.send(client.transport(), &call).await?;
    if !answer.status().is_success() {
        let error = answer.wire_error().await.into_error(domain);
        return Err(match error.kind() {
            Kind::NotFound | Kind::Unsupported => Error::new(Kind::Unsupported, format!("{domain} has no search")),
            _ => error,
        });
    }
    let body = answer.bytes(limits::API_BODY_BYTES_MAX).await?;
    let page: Page = serde_json::from_slice(&body)
        .map_err(|_| Error::new(Kind::Unsupported, format!("{domain} has no search: its answer is no list of hits")))?;
    let mut hits = page.results.unwrap_or_default();
    hits.truncate(most);
    Ok(hits)
}
