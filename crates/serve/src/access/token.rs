//! Tokens of an issuer (distribution's "Token Authentication Specification"; JSON Web Tokens, RFC 7519, signed as RFC 7515
//! says). The issuer decides, and each token says what it allows; here only the issuer's signature is checked.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dhow_base::{Error, Kind, Result, fs};
use serde::Deserialize;
use serde::de::{IgnoredAny, IntoDeserializer as _};

use super::keys::Keys;
use super::rules::Action;
use crate::configuration::TokenSection;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// By how much the clocks of issuer and registry may differ, in seconds, unless it is said.
const LEEWAY_SECONDS: u64 = 60;

/// Who issues tokens for this registry, and what they have to say.
#[derive(Debug)]
pub struct Issuer {
    /// Where clients get tokens.
    realm: String,
    /// What this registry is called there.
    service: String,
    name: String,
    keys: Keys,
    leeway_seconds: f64,
}

/// A token that was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Who it was issued to; nothing for nobody in particular.
    pub subject: Option<String>,
    /// What it allows.
    access: Vec<Grant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Grant {
    r#type: String,
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// What a reader has to understand; nothing is, here (RFC 7515, section 4.1.11).
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    sub: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    aud: Vec<String>,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    access: Option<Vec<Grant>>,
}

/// `"a"` or `["a", "b"]` (RFC 7519, section 4.1.3).
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(one) => Ok(vec![one]),
        many => Vec::deserialize(many.into_deserializer()).map_err(serde::de::Error::custom),
    }
}

impl Issuer {
    /// Puts together what a configuration says; nothing when it says nothing of tokens.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that names the key which is missing or cannot be, else those of reading the file of keys.
    pub(crate) fn load(section: &TokenSection) -> Result<Option<Self>> {
        if *section == TokenSection::default() {
            return Ok(None);
        }
        let missing = |key| {
            Error::new(Kind::Invalid, format!("access.token has no {key}"))
                .with_hint("tokens need access.token.realm, service, issuer and keys")
        };
        let text = |value: &Option<String>, key: &'static str| {
            let text = value.clone().ok_or_else(|| missing(key))?;
            let is_plain = text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\'));
            let unfit = || Error::new(Kind::Invalid, format!("access.token.{key} {text:?} cannot be sent in a header"));
            if is_plain && !text.is_empty() { Ok(text) } else { Err(unfit()) }
        };
        let path = section.keys.as_deref().ok_or_else(|| missing("keys"))?;
        Ok(Some(Self {
            realm: text(&section.realm, "realm")?,
            service: text(&section.service, "service")?,
            name: section.issuer.clone().ok_or_else(|| missing("issuer"))?,
            keys: read(path)?,
            leeway_seconds: section.leeway_seconds.unwrap_or(LEEWAY_SECONDS) as f64,
        }))
    }

    /// An issuer to try tokens with.
    pub fn new(name: &str, service: &str, keys: Keys) -> Self {
        let leeway_seconds = LEEWAY_SECONDS as f64;
        Self { realm: String::new(), service: service.to_owned(), name: name.to_owned(), keys, leeway_seconds }
    }

    /// What a token allows that is good at `now`, in seconds since 1970; nothing when it is not.
    ///
    /// Only the pinned keys count, never one that the token names or holds itself (`jwk`, `jku`, `x5c`).
    pub fn prove(&self, token: &str, now: f64) -> Option<Grants> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: Header = part(header)?;
        if header.crit.is_some() {
            return None;
        }
        if !self.keys.verify(&header.alg, header.kid.as_deref(), message.as_bytes(), &signature) {
            return None;
        }
        let claims: Claims = part(claims)?;
        let is_now =
            now < claims.exp + self.leeway_seconds && claims.nbf.is_none_or(|begin| now + self.leeway_seconds >= begin);
        let is_ours = claims.iss == self.name && claims.aud.contains(&self.service);
        let subject = claims.sub.filter(|subject| !subject.is_empty());
        (is_now && is_ours).then(|| Grants { subject, access: claims.access.unwrap_or_default() })
    }

    /// As [`Issuer::prove`], now.
    pub(super) fn prove_now(&self, token: &str) -> Option<Arc<Grants>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        self.prove(token, now).map(Arc::new)
    }

    /// The value of `WWW-Authenticate` (RFC 6750, section 3) for a request that needs `scope`.
    pub(super) fn challenge(&self, scope: Option<&str>, error: Option<&str>) -> String {
        let mut challenge = format!("Bearer realm=\"{}\",service=\"{}\"", self.realm, self.service);
        for (key, value) in [("scope", scope), ("error", error)] {
            if let Some(value) = value {
                challenge = format!("{challenge},{key}=\"{value}\"");
            }
        }
        challenge
    }
}

fn read(path: &Path) -> Result<Keys> {
    let bytes = fs::read_limited(path, FILE_BYTES_MAX)?;
    Keys::parse(&bytes).map_err(|problem| Error::new(Kind::Invalid, format!("{path:?}: {problem}")))
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

impl Grants {
    /// Whether it allows this in a repository.
    pub fn allows(&self, action: Action, repository: &str) -> bool {
        // A class may follow, as in `repository(plugin)`.
        let is_repository = |grant: &&Grant| grant.r#type.split('(').next() == Some("repository");
        self.access.iter().filter(is_repository).any(|grant| {
            grant.name == repository && grant.actions.iter().any(|given| given == "*" || *given == action.name())
        })
    }

    /// Whether it allows to list all repositories, as distribution's registry has it.
    pub(super) fn allows_catalogue(&self) -> bool {
        let is_meant = |grant: &Grant| grant.r#type == "registry" && grant.name == "catalog";
        self.access.iter().any(|grant| is_meant(grant) && grant.actions.iter().any(|action| action == "*"))
    }
}

/// The value of an `Authorization` header of the scheme `Bearer`.
pub(super) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
