//! What a registry demands to see, and what is shown to it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, threads};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::{OnceCell, oneshot};
use url::Url;

use crate::challenge::challenges;
use crate::credentials::Credential;
use crate::failure::request_words;
use crate::host::shown;
use crate::token::{Realm, TokenCache, Wanted, authorization, covers};
use crate::transport::{Answer, Attempt, Security, Transport};
use crate::trusted::may_see;

/// Most scopes that are taken from one challenge.
const SCOPES_MAX: usize = 16;

/// What a registry wants to see with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Demand {
    Basic,
    Bearer(Realm),
}

/// What was shown to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    /// A token from the cache, which may have been revoked.
    CachedToken,
    /// All that could be shown; another refusal is final.
    Everything,
}

/// The identity of this client towards one registry.
#[derive(Debug)]
pub(crate) struct Authenticator {
    domain: String,
    /// What credentials are looked up by: the domain, or a namespace of it.
    account: String,
    security: Arc<Security>,
    demand: Mutex<Option<Demand>>,
    tokens: TokenCache,
    token_request: tokio::sync::Mutex<()>,
    credential: OnceCell<Option<Credential>>,
    /// Whether a refresh token is asked for, at login.
    offline: bool,
    /// The newest refresh token that the token service gave, which takes the place of the stored one.
    refresh: Mutex<Option<Secret>>,
}

impl Authenticator {
    pub(crate) fn new(domain: &str, account: &str, security: Arc<Security>) -> Self {
        Self {
            domain: domain.to_owned(),
            account: account.to_owned(),
            security,
            demand: Mutex::default(),
            tokens: TokenCache::default(),
            token_request: tokio::sync::Mutex::default(),
            credential: OnceCell::new(),
            offline: false,
            refresh: Mutex::default(),
        }
    }

    /// For a login: with this credential, and asking for a refresh token.
    pub(crate) fn for_login(domain: &str, credential: Credential, security: Arc<Security>) -> Self {
        let credential = OnceCell::new_with(Some(Some(credential)));
        Self { offline: true, credential, ..Self::new(domain, domain, security) }
    }

    /// The refresh token that the token service gave at login.
    pub(crate) fn refresh_token(&self) -> Option<Secret> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the token of a request that the registry refused. Others stay: requests that run at the same time may have
    /// got new ones already.
    pub(crate) fn forget_token(&self, shown: Option<&HeaderValue>) {
        if let Some(shown) = shown {
            self.tokens.forget(shown);
        }
    }

    /// The `Authorization` header for a request, as far as the registry's demand is known.
    pub(crate) async fn authorize(
        &self,
        transport: &Transport,
        method: &Method,
        url: &Url,
        scopes: &[String],
    ) -> Result<(Shown, Option<HeaderValue>)> {
        let demand = self.demand.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let named = |error: Error| error.context(request_words(method, url));
        // Docker's daemon names the request only when it pulls.
        let is_push = scopes.iter().any(|scope| scope.ends_with("push"));
        let Some(demand) = demand else { return Ok((Shown::Nothing, None)) };
        let credential = self.credential(transport).await?;
        if let Some(token) = credential.and_then(|credential| credential.registry_token.as_ref()) {
            return Ok((Shown::Everything, Some(authorization("Bearer", token)?)));
        }
        match demand {
            Demand::Basic => {
                let credential = credential.filter(|credential| credential.has_password()).ok_or_else(|| {
                    let hint = format!("log in first: dhow login {}", self.domain);
                    let error = Error::new(Kind::Unauthorized, "no basic auth credentials").with_hint(hint);
                    if is_push { error } else { named(error) }
                })?;
                Ok((Shown::Everything, Some(authorization("Basic", &credential.basic())?)))
            }
            Demand::Bearer(realm) => {
                let (shown, token) = self.token(transport, &realm, scopes, credential).await.map_err(named)?;
                Ok((shown, Some(authorization("Bearer", &token)?)))
            }
        }
    }

    async fn token(
        &self,
        transport: &Transport,
        realm: &Realm,
        scopes: &[String],
        credential: Option<&Credential>,
    ) -> Result<(Shown, Secret)> {
        if let Some(token) = self.tokens.get(realm, scopes) {
            return Ok((Shown::CachedToken, token));
        }
        // One at a time: the requests that start together all want the same token.
        let _one = self.token_request.lock().await;
        if let Some(token) = self.tokens.get(realm, scopes) {
            return Ok((Shown::CachedToken, token));
        }
        let newest = self.refresh_token();
        let identity = newest.as_ref().or(credential.and_then(|credential| credential.identity_token.as_ref()));
        if credential.is_some() || identity.is_some() {
            self.check_service(transport, realm)?;
        }
        let wanted = Wanted { domain: &self.domain, realm, scopes, offline: self.offline, security: &self.security };
        let token = wanted.fetch(transport, credential, identity).await?;
        self.tokens.put(realm, scopes, &token);
        if token.refresh.is_some() {
            self.refresh.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&token.refresh);
        }
        Ok((Shown::Everything, token.access))
    }

    /// Refuses to send what somebody has of this registry to a token service that is not the registry's.
    fn check_service(&self, transport: &Transport, realm: &Realm) -> Result<()> {
        let allowed = transport.options.registries.token_hosts();
        let registry = self.security.host().unwrap_or(&self.domain);
        if may_see(registry, realm.url(), allowed) {
            return Ok(());
        }
        let host = realm.url().host_str().unwrap_or_default();
        let message =
            format!("the credentials for {} are not sent to the token service {}", self.domain, shown(realm.url()));
        let error = Error::new(Kind::Denied, format!("{message}: it is outside of the registry's domain"));
        Err(error.with_hint(format!("if it is the registry's own, say so: DHOW_TOKEN_HOSTS={host}")))
    }

    /// The credential, asked for once. The source may wait for a person, so it has a thread of its own: transfers from
    /// other registries go on meanwhile.
    async fn credential(&self, transport: &Transport) -> Result<Option<&Credential>> {
        let found = self.credential.get_or_try_init(|| async {
            let (source, account) = (Arc::clone(&transport.options.credentials), self.account.clone());
            let (answer, answered) = oneshot::channel();
            // Nobody listens any more when the request was given up.
            threads::start("account", move || drop(answer.send(source.get(&account))))?;
            answered.await.map_err(|_| Error::new(Kind::Internal, "the source of credentials gave no answer"))?
        });
        Ok(found.await?.as_ref())
    }

    /// Learns from a 401 what the registry demands, and adds to `scopes` what it misses; `false` when there is nothing
    /// new to show it.
    pub(crate) async fn learn(
        &self,
        transport: &Transport,
        base: &Url,
        answer: &Answer,
        (shown, header): (Shown, Option<&HeaderValue>),
        scopes: &mut Vec<String>,
    ) -> Result<bool> {
        let mut demand = read_demand(answer.headers(), base, &self.security)?;
        if demand.is_none() && shown == Shown::Nothing {
            demand = ping(transport, base, &self.security).await?;
        }
        let Some(demand) = demand else { return Ok(false) };
        // The registry may know what a request needs better than its path says (a mount, a virtual repository).
        let missed: Vec<String> =
            read_scopes(answer.headers()).into_iter().filter(|scope| !covers(scopes, scope)).collect();
        let wants_more = shown != Shown::Nothing && !missed.is_empty();
        if wants_more || scopes.is_empty() {
            scopes.extend(missed);
        }
        let mut known = self.demand.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.as_ref() != Some(&demand);
        if !is_new && shown == Shown::Everything && !wants_more {
            return Ok(false);
        }
        self.forget_token(header);
        *known = Some(demand);
        Ok(true)
    }
}

/// Old gcr.io sends a 401 without a challenge, except on the API's own page.
async fn ping(transport: &Transport, base: &Url, security: &Arc<Security>) -> Result<Option<Demand>> {
    let url = base.join("/v2/").map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    let attempt = Attempt {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        patience: None,
        security: Arc::clone(security),
        gated: false,
        bulk: false,
    };
    let answer = transport.send_with_retries(&attempt, true).await?;
    read_demand(answer.headers(), base, security)
}

/// The strongest demand among the challenges: a token service rather than the password with every request.
fn read_demand(headers: &HeaderMap, base: &Url, security: &Security) -> Result<Option<Demand>> {
    let challenges = challenges(headers);
    if let Some(bearer) = challenges.iter().find(|challenge| challenge.scheme == "bearer") {
        return Ok(Some(Demand::Bearer(Realm::from_challenge(bearer, base, !security.trusts_plain)?)));
    }
    Ok(challenges.iter().any(|challenge| challenge.scheme == "basic").then_some(Demand::Basic))
}

/// The scopes that a Bearer challenge names.
fn read_scopes(headers: &HeaderMap) -> Vec<String> {
    let challenges = challenges(headers);
    let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
    let scopes = bearer.and_then(|challenge| challenge.parameter("scope")).unwrap_or_default();
    scopes.split_whitespace().take(SCOPES_MAX).map(str::to_owned).collect()
}
