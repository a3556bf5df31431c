//! Who this client says it is to a registry.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dhow_base::Result;
use dhow_base::secret::Secret;

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

    /// Whether name and password can be used for HTTP Basic.
    pub(crate) fn has_password(&self) -> bool {
        !self.username.is_empty() && !self.password.is_empty()
    }

    /// `user:password` in base64, as HTTP Basic and `config.json` have it.
    pub(crate) fn basic(&self) -> Secret {
        Secret::new(STANDARD.encode(format!("{}:{}", self.username, self.password.expose())))
    }
}

/// Where credentials come from. Asked only when a registry wants to see one, and at most once per registry.
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// The credential for a registry, named as references name it (`docker.io`, `localhost:5000`); `None` to be anonymous.
    ///
    /// # Errors
    /// Those of the source. A source that knows of a credential but cannot give it must fail: going on as nobody would
    /// be a silent change of identity.
    fn get(&self, host: &str) -> Result<Option<Credential>>;
}

/// No credentials: every request is anonymous.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn get(&self, _: &str) -> Result<Option<Credential>> {
        Ok(None)
    }
}
