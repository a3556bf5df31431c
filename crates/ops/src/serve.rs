//! `serve`: a registry on a local folder.

use std::future::Future;

use dhow_base::{Error, Kind, Result};
pub use dhow_serve::AccessLog;
use dhow_serve::ServeOptions;
pub use dhow_serve::access::{ImmutableTags, Rule};
pub use dhow_serve::configuration::{AccessSection, Configuration, Source, TlsSection};

use crate::context::Context;

/// Where to listen when nothing says so.
const LISTEN: &str = "127.0.0.1:5000";

/// Reads one `<name>=<value>` for [`Configuration::limits`].
///
/// # Errors
/// [`Kind::Invalid`] when it has not that form, or no limit has the name.
pub fn parse_limit(text: &str) -> Result<(String, u64)> {
    let parsed = text.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
    let (name, value) = parsed.ok_or_else(|| {
        Error::new(Kind::Invalid, format!("invalid limit {text:?}"))
            .with_hint("write <name>=<number>, such as connections=2048")
    })?;
    dhow_serve::Limits::default().set(name, value)?;
    Ok((name.to_owned(), value))
}

/// Serves until `shutdown` completes, then lets running requests end. `ready` learns the address that was bound, as a URL.
///
/// `access_log` is where the access log goes if the configuration wants one. The folder is `registry/` in the store's directory when the configuration names none.
///
/// # Errors
/// Those of reading the configuration, of binding the address and of opening the folder.
pub async fn serve(
    context: &Context,
    source: Source,
    access_log: AccessLog,
    ready: impl FnOnce(String),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let configuration = source.load()?;
    let folder = match configuration.root_dir.clone() {
        Some(folder) => folder,
        // Opening the store makes it, so that its directory is one before something else lies in it.
        None => context.store()?.root().join("registry"),
    };
    let options = ServeOptions {
        read_only: configuration.read_only.unwrap_or(false),
        limits: configuration.limits()?,
        access_log: configuration.access_log.unwrap_or(false).then_some(access_log),
        source,
        ..ServeOptions::new(folder)
    };
    let server = dhow_serve::bind(configuration.listen.as_deref().unwrap_or(LISTEN), options).await?;
    ready(format!("{}://{}", if server.is_secure() { "https" } else { "http" }, server.local_addr()));
    server.run(shutdown).await
}
