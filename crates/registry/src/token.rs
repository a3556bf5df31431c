//! Access tokens: asked of the realm that a Bearer challenge names, kept until they expire.

mod answer;
mod cache;
mod realm;

use std::sync::Arc;

use bytes::Bytes;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, limits};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use url::form_urlencoded;

use answer::Response;
pub(crate) use answer::{Token, of_answer};
pub(crate) use cache::{TokenCache, covers};
pub(crate) use realm::Realm;

use crate::credentials::Credential;
use crate::host::{same_origin, shown};
use crate::transport::{Attempt, Security, Transport};

/// Name under which this client asks for tokens. Token services keep lists of known names; docker's is on all of them.
const CLIENT_ID: &str = "docker";

/// The user name of those who have a token of Azure's instead of a name (Azure/acr docs/AAD-OAuth.md).
const NAMELESS: &str = "00000000-0000-0000-0000-000000000000";

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
        form.append_pair("client_id", CLIENT_ID).append_pair("scope", &cache::sorted(self.scopes).join(" "));
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
            for scope in cache::sorted(self.scopes) {
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

/// An `Authorization` header that HTTP libraries do not log.
pub(crate) fn authorization(scheme: &str, secret: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{scheme} {}", secret.expose()))
        .map_err(|_| Error::new(Kind::Invalid, "a credential contains characters that HTTP headers cannot hold"))?;
    value.set_sensitive(true);
    Ok(value)
}
