//! `login` and `logout`: credentials, proven before they are stored.

use std::path::PathBuf;

use dhow_base::Result;
use dhow_base::secret::Secret;
use dhow_registry::Credential;

use crate::context::Context;

/// Docker's key for Docker Hub, older than the registry protocol of today.
pub const HUB: &str = "https://index.docker.io/v1/";

/// What a user typed.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: Secret,
}

/// Where the credentials are now.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The file.
    pub stored_in: PathBuf,
    /// Whether a password lies in it as it is (a token that the registry gave instead is no password).
    pub plaintext: bool,
}

/// The key under which credentials of a server are kept: its host, or [`HUB`].
pub fn server_key(server: Option<&str>) -> String {
    match server {
        None | Some("docker.io" | "index.docker.io" | "registry-1.docker.io" | HUB) => HUB.to_owned(),
        Some(server) => {
            let host = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
            host.split('/').next().unwrap_or(host).to_owned()
        }
    }
}

/// The credentials that are stored for a server.
///
/// # Errors
/// Those of reading `config.json`.
pub fn existing(context: &Context, key: &str) -> Result<Option<Credential>> {
    context.docker_config()?.get(key)
}

/// Proves credentials at the registry, then stores them.
///
/// # Errors
/// [`dhow_base::Kind::Unauthorized`] in docker's words when the registry refuses them; nothing is stored then.
pub async fn login(context: &Context, key: &str, login: &Login) -> Result<LoggedIn> {
    let mut config = context.docker_config()?;
    let credential = Credential::password(&login.username, login.password.clone());
    let outcome = context.client()?.login(key, &credential).await?;
    let plaintext = outcome.identity_token.is_none();
    let stored = match outcome.identity_token {
        Some(token) => Credential {
            username: login.username.clone(),
            password: Secret::new(""),
            identity_token: Some(token),
            registry_token: None,
        },
        None => credential,
    };
    config.store(key, &stored)?;
    Ok(LoggedIn { stored_in: config.path().to_owned(), plaintext })
}

/// Forgets the credentials of a server. It is no error when there are none.
///
/// # Errors
/// Those of writing `config.json`.
pub fn logout(context: &Context, key: &str) -> Result<()> {
    context.docker_config()?.erase(key).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hosts_but_for_the_hub() {
        for (server, key) in [
            (None, HUB),
            (Some("docker.io"), HUB),
            (Some("index.docker.io"), HUB),
            (Some("https://reg.example.com/v2/"), "reg.example.com"),
            (Some("reg.example.com:5000"), "reg.example.com:5000"),
            (Some("http://127.0.0.1:5000"), "127.0.0.1:5000"),
        ] {
            assert_eq!(server_key(server), key, "{server:?}");
        }
    }
}
