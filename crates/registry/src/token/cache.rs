//! Tokens that are kept, and what they are for.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use dhow_base::secret::Secret;
use reqwest::header::HeaderValue;

use super::{Realm, Token};

/// The tokens of one registry, by realm, service and scopes.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    tokens: Mutex<HashMap<(Realm, Vec<String>), Token>>,
}

impl TokenCache {
    pub(crate) fn get(&self, realm: &Realm, scopes: &[String]) -> Option<Secret> {
        let tokens = self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let token = tokens.get(&(realm.clone(), sorted(scopes)))?;
        (token.renewal > Instant::now()).then(|| token.access.clone())
    }

    pub(crate) fn put(&self, realm: &Realm, scopes: &[String], token: &Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tokens.insert((realm.clone(), sorted(scopes)), token.clone());
    }

    /// Forgets the token that was shown in this `Authorization` header.
    pub(crate) fn forget(&self, shown: &HeaderValue) {
        let mut tokens = self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let token = shown.as_bytes().strip_prefix(b"Bearer ");
        tokens.retain(|_, other| token != Some(other.access.expose().as_bytes()));
    }
}

/// Whether scopes contain another one: `repository:a:pull,push` has `repository:a:pull`.
pub(crate) fn covers(scopes: &[String], scope: &str) -> bool {
    let Some((resource, actions)) = scope.rsplit_once(':') else { return scopes.iter().any(|other| other == scope) };
    scopes.iter().filter_map(|other| other.rsplit_once(':')).any(|(name, granted)| {
        name == resource && actions.split(',').all(|action| granted.split(',').any(|granted| granted == action))
    })
}

/// The scopes in one order, each once, so that they can be compared.
pub(super) fn sorted(scopes: &[String]) -> Vec<String> {
    let mut sorted = scopes.to_vec();
    sorted.sort();
    sorted.dedup();
    sorted
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::super::authorization;
    use super::*;

    fn realm(service: Option<&str>) -> Realm {
        let url = Url::parse("https://auth.example/token").unwrap();
        Realm { url, service: service.map(str::to_owned) }
    }

    fn token(access: &str, seconds: u64) -> Token {
        let renewal = Instant::now() + Duration::from_secs(seconds);
        Token { access: Secret::new(access), refresh: None, renewal }
    }

    fn scopes(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|&scope| scope.to_owned()).collect()
    }

    #[test]
    fn tokens_are_kept_by_realm_service_and_scopes() {
        let cache = TokenCache::default();
        let both = scopes(&["repository:a:pull", "repository:b:pull"]);
        cache.put(&realm(Some("s")), &both, &token("one", 300));
        let reversed = scopes(&["repository:b:pull", "repository:a:pull", "repository:b:pull"]);
        assert_eq!(cache.get(&realm(Some("s")), &reversed), Some(Secret::new("one")));
        assert_eq!(cache.get(&realm(Some("t")), &both), None);
        assert_eq!(cache.get(&realm(None), &both), None);
        assert_eq!(cache.get(&realm(Some("s")), &both[..1]), None);
    }

    #[test]
    fn a_token_near_its_end_is_not_used() {
        let (cache, scopes) = (TokenCache::default(), scopes(&["repository:a:pull"]));
        let late = Token { renewal: Instant::now(), ..token("late", 300) };
        cache.put(&realm(None), &scopes, &late);
        assert_eq!(cache.get(&realm(None), &scopes), None);
        cache.put(&realm(None), &scopes, &token("fresh", 60));
        assert_eq!(cache.get(&realm(None), &scopes), Some(Secret::new("fresh")));
    }

    #[test]
    fn only_the_refused_token_is_forgotten() {
        let cache = TokenCache::default();
        let (a, b) = (scopes(&["repository:a:pull"]), scopes(&["repository:b:pull"]));
        cache.put(&realm(None), &a, &token("new", 300));
        cache.put(&realm(None), &b, &token("other", 300));
        let header = |token: &str| authorization("Bearer", &Secret::new(token)).unwrap();
        cache.forget(&header("old"));
        assert_eq!(cache.get(&realm(None), &a), Some(Secret::new("new")));
        cache.forget(&header("new"));
        assert_eq!(cache.get(&realm(None), &a), None);
        assert_eq!(cache.get(&realm(None), &b), Some(Secret::new("other")));
    }

    #[test]
    fn scopes_cover_their_parts() {
        let granted = scopes(&["repository:a:pull,push", "registry:catalog:*"]);
        assert!(covers(&granted, "repository:a:pull") && covers(&granted, "repository:a:push,pull"));
        assert!(!covers(&granted, "repository:a:delete") && !covers(&granted, "repository:b:pull"));
    }
}
