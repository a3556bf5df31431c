//! Access tokens: asked of the realm that a Bearer challenge names, kept until they expire.

use std::collections::HashMap;
use std::sync::Mutex;
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
use crate::transport::{Attempt, Transport};

/// Name under which this client asks for tokens. Token services keep lists of known names; docker's is on all of them.
const CLIENT_ID: &str = "docker";

/// How long a token lives when the service does not say (distribution docs, "Token Authentication Specification"), and
/// the least that is assumed.
const LIFETIME_MIN: Duration = Duration::from_secs(60);

/// How long before its end a token is no longer used. Docker Hub's live 300 s, so minutes would defeat the cache.
const RENEW_BEFORE_END: Duration = Duration::from_secs(15);

/// A Bearer challenge whose realm may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Realm {
    url: Url,
    service: Option<String>,
}

impl Realm {
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
    end: Instant,
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
        (token.end > Instant::now() + RENEW_BEFORE_END).then(|| token.access.clone())
    }

    pub(crate) fn put(&self, realm: &Realm, scopes: &[String], token: &Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tokens.insert((realm.clone(), sorted(scopes)), token.clone());
    }

    /// Forgets all: the registry did not accept one of them.
    pub(crate) fn clear(&self) {
        self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

/// Asks the realm for a token with the given scopes.
///
/// With an identity token this is OAuth 2's refresh grant (POST); servers that do not know it, and all other cases, are
/// asked by GET, with name and password where there are any. `offline` asks for a refresh token besides.
pub(crate) async fn fetch(
    transport: &Transport,
    domain: &str,
    realm: &Realm,
    scopes: &[String],
    credential: Option<&Credential>,
    offline: bool,
) -> Result<Token> {
    let scopes = sorted(scopes);
    if let Some(identity) = credential.and_then(|credential| credential.identity_token.as_ref()) {
        let request = refresh_request(realm, &scopes, identity);
        let answer = send(transport, domain, realm, request).await?;
        let unknown_there = matches!(answer.status.as_u16(), 400 | 401 | 404 | 405);
        if !(unknown_there && credential.is_some_and(Credential::has_password)) {
            return answer.token();
        }
    }
    let request = get_request(realm, &scopes, credential.filter(|credential| credential.has_password()), offline)?;
    send(transport, domain, realm, request).await?.token()
}

fn refresh_request(realm: &Realm, scopes: &[String], identity: &Secret) -> Attempt {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT_ID);
    form.append_pair("refresh_token", identity.expose()).append_pair("scope", &scopes.join(" "));
    if let Some(service) = &realm.service {
        form.append_pair("service", service);
    }
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
        (ACCEPT, HeaderValue::from_static("application/json")),
    ]);
    Attempt { method: Method::POST, url: realm.url.clone(), headers, body: Bytes::from(form.finish()), patience: None }
}

fn get_request(realm: &Realm, scopes: &[String], credential: Option<&Credential>, offline: bool) -> Result<Attempt> {
    let mut url = realm.url.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &realm.service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        if let Some(credential) = credential {
            query.append_pair("account", &credential.username);
        }
        if offline {
            query.append_pair("offline_token", "true").append_pair("client_id", CLIENT_ID);
        }
    }
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    if let Some(credential) = credential {
        headers.insert(AUTHORIZATION, authorization("Basic", &credential.basic())?);
    }
    Ok(Attempt { method: Method::GET, url, headers, body: Bytes::new(), patience: None })
}

/// An `Authorization` header that HTTP libraries do not log.
pub(crate) fn authorization(scheme: &str, secret: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{scheme} {}", secret.expose()))
        .map_err(|_| Error::new(Kind::Invalid, "a credential contains characters that HTTP headers cannot hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

struct Response {
    status: StatusCode,
    body: Result<Vec<u8>, Error>,
    realm: String,
}

impl Response {
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
        let access = if answer.access_token.is_empty() { answer.token } else { answer.access_token };
        if access.is_empty() {
            return Err(unusable("neither \"token\" nor \"access_token\"".to_owned()));
        }
        let seconds = answer.expires_in.unwrap_or(0.0).clamp(0.0, 1e6);
        Ok(Token {
            access: Secret::new(access),
            refresh: Some(answer.refresh_token).filter(|token| !token.is_empty()).map(Secret::new),
            end: Instant::now() + Duration::from_secs_f64(seconds).max(LIFETIME_MIN),
        })
    }
}

/// Sends a request to the realm, with retries. Redirects are followed only to the same origin: the request may carry a
/// long-lived secret.
async fn send(transport: &Transport, domain: &str, realm: &Realm, mut request: Attempt) -> Result<Response> {
    for _ in 0..4 {
        let answer = transport.send_with_retries(&request, true).await?;
        let status = answer.status();
        if status.is_redirection()
            && let Some(target) = answer.location()?
        {
            if !same_origin(&target, &request.url) {
                let message = format!(
                    "the token service {} redirects to {}: refused, since the request may carry a credential",
                    shown(&realm.url),
                    shown(&target)
                );
                return Err(Error::new(Kind::Denied, message));
            }
            request.url = target;
            continue;
        }
        let body = match status.is_success() {
            true => answer.bytes(limits::API_BODY_BYTES_MAX).await,
            false => Err(answer.wire_error().await.into_error(domain)),
        };
        return Ok(Response { status, body, realm: shown(&realm.url) });
    }
    Err(Error::new(Kind::Unavailable, format!("the token service {} redirects without end", shown(&realm.url))))
}
