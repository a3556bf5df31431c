//! `proxies` of `config.json`: what a container is told of proxies.

use dhow_ops::settings;

use crate::errors::Outcome;
use crate::personality::Personality;
use crate::session::Session;

/// The variables that `proxies` sets, but for those that are given with `--env`, with a value or without. Docker's client adds
/// them; podman does not know the setting.
///
/// # Errors
/// When nothing tells where the store is.
pub(super) fn of_config(session: &Session<'_>, given: &[String]) -> Outcome<Vec<String>> {
    if session.personality == Personality::Podman {
        return Ok(Vec::new());
    }
    let is_given = |name: &str| given.iter().any(|variable| variable.split('=').next() == Some(name));
    let proxies = settings::container_proxies(&session.local_context()?).into_iter();
    Ok(proxies.filter(|(name, _)| !is_given(name)).map(|(name, value)| format!("{name}={value}")).collect())
}
