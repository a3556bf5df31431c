//! `login` and `logout`: credentials, proven before they are stored.

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use dhow_registry::{Credential, CredentialSource};
pub use dhow_registry::{Erased, Kept};

use crate::context::Context;

/// The registry that is meant when none is named.
const DEFAULT: &str = "docker.io";

/// Credentials for a server: those a user typed, or those that are stored.
#[derive(Clone, Debug)]
pub struct Login(Credential);

impl Login {
    /// Name and password or token, as a user typed them.
    pub fn new(username: &str, password: Secret) -> Self {
        Self(Credential::password(username, password))
    }

    /// User name; empty when only a token is known.
    pub fn username(&self) -> &str {
        &self.0.username
    }

    /// Whether a password is in it, rather than a token that the registry gave instead.
    pub fn has_password(&self) -> bool {
        !self.0.password.is_empty()
    }
}

/// The key under which credentials of a server are kept: for docker's file a host, for podman's also a namespace.
///
/// # Errors
/// Those of reading the files of credentials.
pub fn key(context: &Context, server: Option<&str>) -> Result<String> {
    let server = server.filter(|server| !server.is_empty());
    Ok(context.keychain()?.key(server.unwrap_or(DEFAULT)))
}

/// What docker calls the server whose credentials go: Docker Hub by the name that the user gave it, all others by their
/// key.
pub fn name<'a>(key: &'a str, server: Option<&'a str>) -> &'a str {
    match server.filter(|server| !server.is_empty()).map(dhow_registry::hostname) {
        Some(host) if dhow_registry::domain(host) == DEFAULT => host,
        _ => key,
    }
}

/// The registry that podman means when none is named: the first that short names are looked for in.
///
/// # Errors
/// [`Kind::Invalid`] in podman's words when nothing is configured, and those of reading the configuration.
pub fn default_registry(context: &Context) -> Result<String> {
    let first = context.registries().first_searched()?;
    first
        .ok_or_else(|| Error::new(Kind::Invalid, "no registries found in registries.conf, a registry must be provided"))
}

/// The credentials that are stored for a key.
///
/// # Errors
/// Those of reading the files, and the credential helper's.
pub fn existing(context: &Context, key: &str) -> Result<Option<Login>> {
    let keychain = context.keychain()?;
    Ok(keychain.get(&dhow_registry::Dialect::Containers.key(key))?.map(Login))
}

/// Proves credentials at the registry, and returns what is to be stored: the registry's token where it gives one.
///
/// # Errors
/// [`dhow_base::Kind::Unauthorized`] in docker's words when the registry refuses them.
pub async fn prove(context: &Context, key: &str, login: &Login) -> Result<Login> {
    let outcome = context.client()?.login(key, &login.0).await?;
    Ok(match outcome.identity_token {
        Some(token) => Login(Credential::identity_token(login.username(), token)),
        None => login.clone(),
    })
}

/// Stores credentials where the configuration says: with a credential helper, or in a file.
///
/// # Errors
/// The helper's, and those of writing the file.
pub fn store(context: &Context, key: &str, login: &Login) -> Result<Kept> {
    context.keychain()?.clone().store(key, &login.0)
}

/// Forgets the credentials of a server. It is no error when there are none.
///
/// # Errors
/// Those of reading and writing the file.
pub fn logout(context: &Context, key: &str) -> Result<Erased> {
    context.keychain()?.clone().erase(key)
}

/// Forgets all credentials of the file, and of the helpers that it names.
///
/// # Errors
/// As [`logout`].
pub fn logout_all(context: &Context) -> Result<Erased> {
    context.keychain()?.clone().erase_all()
}
