//! Who this client says it is to a registry, and where it knows that from.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dhow_base::Result;
use dhow_base::secret::Secret;
use dhow_spec::Repository;

pub mod file;
pub mod helper;
pub mod keychain;
pub mod keys;
mod process;

/// What proves an identity to one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Account name. Empty when only a token is known.
    pub username: String,
    /// Password or personal access token. Empty when only a token is known.
    pub password: Secret,
    /// Refresh token of the registry's token service (OAuth 2); used instead of the password.
    pub identity_token: Option<Secret>,
    /// Access token that is sent to the registry as it is.
    pub registry_token: Option<Secret>,
}

impl Credential {
    /// Name and password.
    pub fn password(username: impl Into<String>, password: Secret) -> Self {
        Self { username: username.into(), password, identity_token: None, registry_token: None }
    }

    /// A refresh token, of the account of that name as far as it is known.
    pub fn identity_token(username: impl Into<String>, token: Secret) -> Self {
        Self { identity_token: Some(token), ..Self::password(username, Secret::new("")) }
    }

    /// An access token, which the registry gets as it is.
    pub fn registry_token(token: Secret) -> Self {
        Self { registry_token: Some(token), ..Self::password("", Secret::new("")) }
    }

    /// Whether there is nothing in it that could prove anything.
    pub fn is_empty(&self) -> bool {
        self.password.is_empty() && self.identity_token.is_none() && self.registry_token.is_none()
    }

    /// Whether name and password can be used for HTTP Basic.
    pub(crate) fn has_password(&self) -> bool {
        !self.username.is_empty() && !self.password.is_empty()
    }

    /// `user:password` in base64, as HTTP Basic and `config.json` have it.
    pub(crate) fn basic(&self) -> Secret {
        Secret::new(STANDARD.encode(format!("{}:{}", self.username, self.password.expose())))
    }
}

/// Where credentials come from. Asked only when a registry wants to see one, and at most once per account.
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// The account that requests to a repository are made for: its registry (`docker.io`, `localhost:5000`), or the
    /// narrowest namespace that has a credential of its own (`quay.io/acme`). Answered without waiting for anything.
    fn account(&self, repository: &Repository) -> String {
        repository.domain().to_owned()
    }

    /// As [`CredentialSource::account`], for a repository that the configuration has moved: `name` is what the user calls
    /// it, `place` where it is.
    fn account_at(&self, name: &Repository, place: &Repository) -> String {
        let _ = name;
        self.account(place)
    }

    /// The credential for an account, as [`CredentialSource::account`] names it; `None` to be anonymous.
    ///
    /// May wait for another program, and is called on a thread that may.
    ///
    /// # Errors
    /// Those of the source. A source that knows of a credential but cannot give it must fail: going on as nobody would
    /// be a silent change of identity.
    fn get(&self, account: &str) -> Result<Option<Credential>>;
}

/// No credentials: every request is anonymous.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn get(&self, _: &str) -> Result<Option<Credential>> {
        Ok(None)
    }
}
