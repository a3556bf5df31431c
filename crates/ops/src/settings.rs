//! What `config.json` says beside credentials.

use dhow_base::Result;
use dhow_registry::{AuthFile, Dialect};

use crate::context::Context;

/// A list whose format `config.json` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `images`: `imagesFormat`.
    Images,
    /// `ps`: `psFormat`.
    Containers,
    /// `volume ls`: `volumesFormat`.
    Volumes,
}

/// The format that a list has unless it is told another.
///
/// A configuration that cannot be read has none: a list needs no credentials, so that it does not fail for it.
pub fn list_format(context: &Context, listing: Listing) -> Option<String> {
    let member = match listing {
        Listing::Images => "imagesFormat",
        Listing::Containers => "psFormat",
        Listing::Volumes => "volumesFormat",
    };
    match AuthFile::load(&context.settings().credentials.docker_config, Dialect::Docker) {
        Ok(config) => config.text(member).map(str::to_owned),
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    }
}

/// What containers are told of proxies: `proxies`, as names of variables and their values.
///
/// A configuration that cannot be read says nothing of them, and a warning tells, as with docker's client.
pub fn container_proxies(context: &Context) -> Vec<(String, String)> {
    match AuthFile::load(&context.settings().credentials.docker_config, Dialect::Docker) {
        Ok(config) => config.container_proxies(),
        Err(error) => {
            tracing::warn!("{error}");
            Vec::new()
        }
    }
}

/// Filters that every prune has on top of its own: `pruneFilters`.
///
/// # Errors
/// Those of reading `config.json`: without them a prune would remove what the user means to keep.
pub(crate) fn prune_filters(context: &Context) -> Result<Vec<String>> {
    let config = AuthFile::load(&context.settings().credentials.docker_config, Dialect::Docker)?;
    Ok(config.prune_filters())
}
