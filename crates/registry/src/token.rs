//! Access tokens: asked of the realm that a Bearer challenge names, kept until they expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, limits};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use crate::challenge::Challenge;
use crate::credentials::Credential;
use crate::host::{Reach, may_lead, reach, same_origin, shown};
use crate::transport::{Attempt, Security, Transport};

/// Name under which this client asks for tokens. Token services keep lists of known names; docker's is on all of them.
const CLIENT_ID: &str = "docker";

/// The user name of those who have a token of Azure's instead of a name (Azure/acr docs/AAD-OAuth.md).
const NAMELESS: &str = "00000000-0000-0000-0000-000000000000";

/// How long a token lives when the service does not say (distribution docs, "Token Authentication Specification").
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);

/// Bounds of a stated lifetime. Below the least, every request would ask for a token of its own.
const LIFETIME_SECONDS: (f64, f64) = (1.0, 1e6);

/// How long before its end a token is no longer used. Docker Hub's live 300 s, so minutes would defeat the cache.
const RENEW_BEFORE_END: Duration = Duration::from_secs(15);

/// The same as a part of a short life.
const RENEW_FRACTION: u32 = 4;

/// A Bearer challenge whose realm may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Realm {
    url: Url,
    service: Option<String>,
}

impl Realm {
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Reads a Bearer challenge and checks that its realm is a place that may see a credential.
    ///
    /// A hostile registry could name a realm on another machine, without TLS, or inside the user's network (CVE-2026-48978).
    pub(crate) fn from_challenge(challenge: &Challenge, registry: &Url, tls_verify: bool) -> Result<Self> {
        let refused = |why: &str| {
            let message = format!("{}: the registry's token realm is refused: {why}", shown(registry));
            Error::new(Kind::Denied, message)
        };
        let text = challenge.parameter("realm").ok_or_else(|| refused("it is missing"))?;
        let url = Url::parse(text).map_err(|error| refused(&format!("it is not a URL: {error}")))?;
        let name = shown(&url);
        match url.scheme() {
            "https" => {}
            // Plain HTTP as far as the registry itself is spoken to without TLS, and on this machine; not from here on
            // over a network that the user did not say to trust.
            "http" if registry.scheme() == "http" && (!tls_verify || reach(&url) == Reach::Loopback) => {}
            _ => return Err(refused(&format!("{name} is not reached over HTTPS"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it contains a user name"));
        }
        if !may_lead(registry, &url) {
            return Err(refused(&format!("{name} is an address of a private network")));
        }
        Ok(Self { url, service: challenge.parameter("service").map(str::to_owned) })
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
fn sorted(scopes: &[String]) -> Vec<String> {
    let mut sorted = scopes.to_vec();
    sorted.sort();
    sorted.dedup();
    sorted
}

/// What a token service answered.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) access: Secret,
    /// A refresh token, when one was asked for.
    pub(crate) refresh: Option<Secret>,
    /// From when on another one is asked for, a little before its end.
    renewal: Instant,
}

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

/// A token service's answer. Some have `null` where they have nothing, as Go's decoder forgives.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<f64>,
}

fn not_empty(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

/// A token that is to be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The registry, for messages.
    pub(crate) domain: &'a str,
    pub(crate) realm: &'a Realm,
    pub(crate) scopes: &'a [String],
    /// Whether a refresh token is asked for besides.
    pub(crate) offline: bool,
    /// How the registry, and with it its token service, is spoken to.
    pub(crate) security: &'a Arc<Security>,
}

/// What a token is asked for with by POST (OAuth 2, RFC 6749 §4.3 and §6).
#[derive(Clone, Copy, Debug)]
enum Grant<'a> {
    RefreshToken(&'a Secret),
    Password(&'a Credential),
    /// A token of Azure's directory, which is exchanged for a refresh token.
    Directory(&'a Secret),
}

impl Wanted<'_> {
    /// Asks the realm for the token.
    ///
    /// As docker does: with an identity token by POST, else by GET, with name and password where there are any. Services
    /// know one of the two, or both; who does not know the first (404, 405) is asked by the other.
    pub(crate) async fn fetch(
        &self,
        transport: &Transport,
        credential: Option<&Credential>,
        identity: Option<&Secret>,
    ) -> Result<Token> {
        let known = credential.filter(|credential| credential.has_password());
        let Some(identity) = identity else {
            let answer = self.send(transport, self.get(known)?).await?;
            return match known {
                Some(credential) if answer.is_unknown_there() => {
                    self.send(transport, self.post(Grant::Password(credential))).await?.token()
                }
                Some(credential) if answer.status == StatusCode::UNAUTHORIZED && self.exchanges(credential) => {
                    self.exchange(transport, credential, answer).await
                }
                _ => answer.token(),
            };
        };
        let answer = self.send(transport, self.post(Grant::RefreshToken(identity))).await?;
        // Azure's and GitLab's tokens are passwords, too, of the user name that they are stored with.
        let named = credential.filter(|credential| !credential.username.is_empty());
        let as_password = named.map(|named| Credential::password(&named.username, identity.clone()));
        let other = match answer.status.as_u16() {
            404 | 405 => known.or(as_password.as_ref()),
            400 | 401 => known,
            _ => None,
        };
        match other {
            Some(credential) => self.send(transport, self.get(Some(credential))?).await?.token(),
            None => answer.token(),
        }
    }

    /// Whether a password that was refused may be a token of Azure's directory: people have those from `az account
    /// get-access-token`, and Azure's registries take them only in exchange (Azure/acr docs/AAD-OAuth.md).
    fn exchanges(&self, credential: &Credential) -> bool {
        const SUFFIXES: [&str; 3] = [".azurecr.io", ".azurecr.cn", ".azurecr.us"];
        let own = self.realm.url.host_str() == Some(self.domain);
        own && credential.username == NAMELESS && SUFFIXES.iter().any(|suffix| self.domain.ends_with(suffix))
    }

    /// Exchanges a token of the directory for a refresh token, and that for an access token. The first answer stands when the
    /// exchange does not take it either.
    async fn exchange(&self, transport: &Transport, credential: &Credential, refused: Response) -> Result<Token> {
        let mut request = self.post(Grant::Directory(&credential.password));
        request.url.set_path("/oauth2/exchange");
        let answer = self.send(transport, request).await?;
        let Some(refresh) = answer.refresh_token() else { return refused.token() };
        let mut token = self.send(transport, self.post(Grant::RefreshToken(&refresh))).await?.token()?;
        token.refresh.get_or_insert(refresh);
        Ok(token)
    }

    fn post(&self, grant: Grant<'_>) -> Attempt {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match grant {
            Grant::RefreshToken(token) => {
                form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose());
            }
            Grant::Password(credential) => {
                form.append_pair("grant_type", "password").append_pair("username", &credential.username);
                form.append_pair("password", credential.password.expose());
            }
            Grant::Directory(token) => {
                form.append_pair("grant_type", "access_token").append_pair("access_token", token.expose());
            }
        }
        form.append_pair("client_id", CLIENT_ID).append_pair("scope", &sorted(self.scopes).join(" "));
        if let Some(service) = &self.realm.service {
            form.append_pair("service", service);
        }
        if self.offline {
            form.append_pair("access_type", "offline");
        }
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let (url, body) = (self.realm.url.clone(), Bytes::from(form.finish()));
        Attempt {
            method: Method::POST,
            url,
            headers,
            body,
            patience: None,
            security: Arc::clone(self.security),
            gated: false,
            bulk: false,
        }
    }

    fn get(&self, credential: Option<&Credential>) -> Result<Attempt> {
        let mut url = self.realm.url.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.realm.service {
                query.append_pair("service", service);
            }
            for scope in sorted(self.scopes) {
                query.append_pair("scope", &scope);
            }
            if let Some(credential) = credential {
                query.append_pair("account", &credential.username);
            }
            if self.offline {
                query.append_pair("offline_token", "true").append_pair("client_id", CLIENT_ID);
            }
        }
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Some(credential) = credential {
            headers.insert(AUTHORIZATION, authorization("Basic", &credential.basic())?);
        }
        let security = Arc::clone(self.security);
        Ok(Attempt {
            method: Method::GET,
            url,
            headers,
            body: Bytes::new(),
            patience: None,
            security,
            gated: false,
            bulk: false,
        })
    }

    /// Sends a request to the realm, with retries. Redirects are followed only to the same origin: the request may carry
    /// a long-lived secret.
    async fn send(&self, transport: &Transport, mut request: Attempt) -> Result<Response> {
        let realm = shown(&self.realm.url);
        for _ in 0..4 {
            let answer = transport.send_with_retries(&request, true).await?;
            let status = answer.status();
            if status.is_redirection()
                && let Some(target) = answer.location()?
            {
                if !same_origin(&target, &request.url) {
                    let message = format!(
                        "the token service {realm} redirects to {}: refused, since the request may carry a credential",
                        shown(&target)
                    );
                    return Err(Error::new(Kind::Denied, message));
                }
                request.url = target;
                continue;
            }
            let body = match status.is_success() {
                true => answer.bytes(limits::API_BODY_BYTES_MAX).await,
                false => Err(answer.wire_error().await.into_error(self.domain)),
            };
            return Ok(Response { status, body, realm });
        }
        Err(Error::new(Kind::Unavailable, format!("the token service {realm} redirects without end")))
    }
}

/// When a token that lives so long from now on is no longer used.
fn renewal(lifetime: Duration) -> Instant {
    Instant::now() + lifetime.saturating_sub(RENEW_BEFORE_END.min(lifetime / RENEW_FRACTION))
}

/// An `Authorization` header that HTTP libraries do not log.
pub(crate) fn authorization(scheme: &str, secret: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{scheme} {}", secret.expose()))
        .map_err(|_| Error::new(Kind::Invalid, "a credential contains characters that HTTP headers cannot hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The token of an answer that a token service gave to whom it let in.
///
/// # Errors
/// [`Kind::Unavailable`] when there is none in it.
pub(crate) fn of_answer(body: Vec<u8>) -> Result<Token> {
    Response { status: StatusCode::OK, body: Ok(body), realm: String::new() }.token()
}

struct Response {
    status: StatusCode,
    body: Result<Vec<u8>, Error>,
    realm: String,
}

impl Response {
    /// Whether the service does not know this way of asking.
    fn is_unknown_there(&self) -> bool {
        matches!(self.status.as_u16(), 404 | 405)
    }

    /// The refresh token, of an answer that has one.
    fn refresh_token(self) -> Option<Secret> {
        let answer: Answer = serde_json::from_slice(&self.body.ok()?).ok()?;
        not_empty(answer.refresh_token).map(Secret::new)
    }

    fn token(self) -> Result<Token> {
        let body = self.body?;
        let unusable = |why: String| {
            Error::new(Kind::Unavailable, format!("the token service {} answered without a token: {why}", self.realm))
        };
        let answer: Answer = serde_json::from_slice(&body)
            // Neither the body nor the parser's quotation of it may be shown: it may hold a token.
            .map_err(|error| {
                unusable(format!("not the JSON expected (line {}, column {})", error.line(), error.column()))
            })?;
        let access = not_empty(answer.access_token).or_else(|| not_empty(answer.token));
        let access = access.ok_or_else(|| unusable("neither \"token\" nor \"access_token\"".to_owned()))?;
        let (least, most) = LIFETIME_SECONDS;
        let stated = answer.expires_in.filter(|seconds| *seconds > 0.0);
        let lifetime = stated.map_or(LIFETIME_DEFAULT, |seconds| Duration::from_secs_f64(seconds.clamp(least, most)));
        Ok(Token {
            access: Secret::new(access),
            refresh: not_empty(answer.refresh_token).map(Secret::new),
            renewal: renewal(lifetime),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(service: Option<&str>) -> Realm {
        let url = Url::parse("https://auth.example/token").unwrap();
        Realm { url, service: service.map(str::to_owned) }
    }

    fn token(access: &str, seconds: u64) -> Token {
        Token { access: Secret::new(access), refresh: None, renewal: renewal(Duration::from_secs(seconds)) }
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
    fn what_an_answer_has_not_may_be_null() {
        let token = |body: &str| {
            let response = Response { status: StatusCode::OK, body: Ok(body.into()), realm: String::new() };
            response.token().map(|token| (token.access, token.refresh))
        };
        let nulls = r#""refresh_token":null,"expires_in":null,"issued_at":null"#;
        for body in [r#"{"token":"t","access_token":null"#, r#"{"token":null,"access_token":"t""#, r#"{"token":"t""#] {
            assert_eq!(token(&format!("{body},{nulls}}}")).unwrap(), (Secret::new("t"), None), "{body}");
        }
        let error = token(&format!(r#"{{"token":null,{nulls}}}"#)).unwrap_err();
        assert!(error.to_string().contains("neither \"token\" nor \"access_token\""), "{error}");
    }

    #[test]
    fn lifetimes_have_a_least_and_a_most() {
        let lifetime = |body: &str| {
            let response = Response { status: StatusCode::OK, body: Ok(body.into()), realm: String::new() };
            (response.token().unwrap().renewal.duration_since(Instant::now()).as_secs_f64() * 100.0).round() / 100.0
        };
        for (expires_in, expected) in [
            ("", 45.0),
            (r#","expires_in":0"#, 45.0),
            (r#","expires_in":300"#, 285.0),
            (r#","expires_in":8"#, 6.0),
            (r#","expires_in":0.1"#, 0.75),
        ] {
            assert_eq!(lifetime(&format!(r#"{{"token":"t"{expires_in}}}"#)), expected, "{expires_in}");
        }
        assert_eq!(lifetime(r#"{"access_token":"t","expires_in":1e300}"#), 1e6 - 15.0);
        assert_eq!(lifetime(r#"{"access_token":"t","expires_in":-5}"#), 45.0);
    }

    #[test]
    fn scopes_cover_their_parts() {
        let granted = scopes(&["repository:a:pull,push", "registry:catalog:*"]);
        assert!(covers(&granted, "repository:a:pull") && covers(&granted, "repository:a:push,pull"));
        assert!(!covers(&granted, "repository:a:delete") && !covers(&granted, "repository:b:pull"));
    }
}
