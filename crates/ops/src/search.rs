//! `search`: repositories in registries, by a word.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Repository;

use crate::context::Context;

pub use dhow_registry::Hit;

/// Most hits that Docker Hub gives.
pub const HITS_MAX: usize = 100;

/// What a search was for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The words, with a registry before a slash if it is not Docker Hub: `quay.io/etcd`.
    pub term: String,
    /// Most hits to return.
    pub most: usize,
    /// Only those with so many stars.
    pub stars_min: u64,
    /// Only official ones, or only others.
    pub official: Option<bool>,
}

/// Searches. Registries without a search, which are most of them, are asked for their list of repositories.
///
/// # Errors
/// [`Kind::Unsupported`] when the registry has neither; those of reaching it.
pub async fn search(context: &Context, request: &Request) -> Result<Vec<Hit>> {
    let (domain, term) = split(&request.term);
    let client = context.client()?;
    let mut hits = match client.search(&domain, &term, request.most).await {
        Ok(hits) => hits,
        Err(error) if error.kind() == Kind::Unsupported && domain != "docker.io" => {
            let takes = |path: &str| path.contains(&term);
            let found = client.catalog(&domain, &takes, request.most).await.map_err(|error| match error.kind() {
                Kind::NotFound | Kind::Unsupported | Kind::Corrupt => {
                    let message = format!("{domain} has no search and tells nobody what repositories it has");
                    Error::new(Kind::Unsupported, message)
                }
                _ => error,
            })?;
            found.iter().map(|repository| Hit { name: repository.familiar().to_owned(), ..Hit::default() }).collect()
        }
        Err(error) => return Err(error),
    };
    hits.retain(|hit| {
        let fits = request.official.is_none_or(|official| official == hit.is_official);
        fits && hit.star_count >= request.stars_min
    });
    Ok(hits)
}

/// The registry that a term asks, as references name it.
pub fn domain(term: &str) -> String {
    split(term).0
}

/// The registry and the words to search it for.
fn split(term: &str) -> (String, String) {
    let Some((first, rest)) = term.split_once('/') else { return ("docker.io".to_owned(), term.to_owned()) };
    // Only what looks like a host is one: docker's rule for names.
    match Repository::parse(&format!("{first}/x")) {
        Ok(repository) if repository.domain() == first && first != "docker.io" => (first.to_owned(), rest.to_owned()),
        _ if matches!(first, "docker.io" | "index.docker.io") => ("docker.io".to_owned(), rest.to_owned()),
        _ => ("docker.io".to_owned(), term.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_what_looks_like_a_host() {
        for (term, domain, rest) in [
            ("alpine", "docker.io", "alpine"),
            ("bitnami/redis", "docker.io", "bitnami/redis"),
            ("docker.io/redis", "docker.io", "redis"),
            ("localhost:5000/app", "localhost:5000", "app"),
            ("quay.io/coreos/etcd", "quay.io", "coreos/etcd"),
        ] {
            assert_eq!(split(term), (domain.to_owned(), rest.to_owned()), "{term}");
        }
    }
}
