//! `serve`: a registry on a local folder or an object store.

mod local;
mod upstream;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dhow_base::{Error, Kind, Result};
use dhow_serve::ServeOptions;
pub use dhow_serve::access::{ImmutableTags, Rule};
pub use dhow_serve::configuration::{
    AccessSection, CacheSection, Configuration, Source, TlsSection, TokenSection, UpstreamSection,
};
pub use dhow_serve::{AccessLog, Collected, Quota, Scrubbed, StoreOptions};
use dhow_serve::{CollectOptions, ObjectStorage};

use crate::context::Context;
use crate::runtime;

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

/// Where the content is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder.
    Folder(PathBuf),
    /// In an object store.
    Bucket(ObjectStorage),
}

/// Where the content is.
///
/// # Errors
/// Those of opening the store, in whose directory it is unless the configuration says otherwise.
pub fn place(context: &Context, source: &Source, configuration: &Configuration) -> Result<Place> {
    if let Some(storage) = configuration.object_storage(&source.environment)? {
        return Ok(Place::Bucket(storage));
    }
    folder(context, configuration).map(Place::Folder)
}

/// `serve gc`: removes what nobody needs. Content younger than `grace` stays; a dry run changes nothing.
///
/// # Errors
/// Those of the place, and that another collection runs there.
pub fn collect(place: &Place, grace: Duration, dry_run: bool) -> Result<Collected> {
    match place {
        Place::Folder(root) => dhow_serve::collect(&CollectOptions { root: root.clone(), grace, dry_run }),
        Place::Bucket(storage) => runtime::block_on(dhow_serve::collect_bucket(storage, grace, dry_run)),
    }
}

/// `serve scrub`: compares all content with its name.
///
/// # Errors
/// Those of the place when it cannot be listed.
pub fn scrub(place: &Place) -> Result<Scrubbed> {
    match place {
        Place::Folder(root) => dhow_serve::scrub(root),
        Place::Bucket(storage) => runtime::block_on_all_cores(dhow_serve::scrub_bucket(storage)),
    }
}

fn folder(context: &Context, configuration: &Configuration) -> Result<PathBuf> {
    match &configuration.root_dir {
        Some(folder) => Ok(folder.clone()),
        // Opening the store makes it, so that its directory is one before something else lies in it.
        None => Ok(context.store()?.root().join("registry")),
    }
}

/// Reads a time such as `90m`, `24h` or `7d`.
///
/// # Errors
/// [`Kind::Invalid`] when it is none.
pub fn parse_grace(text: &str) -> Result<Duration> {
    let parsed = text.strip_suffix(['s', 'm', 'h', 'd']).and_then(|number| number.parse::<u32>().ok());
    let seconds = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        _ => 86_400,
    };
    let number = parsed.ok_or_else(|| {
        Error::new(Kind::Invalid, format!("invalid time {text:?}"))
            .with_hint("write a whole number and s, m, h or d, such as 24h")
    })?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

/// A server that takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The address that was bound.
    pub address: SocketAddr,
    /// Whether it speaks HTTPS.
    pub is_secure: bool,
    /// Whether it refuses pushes and deletes.
    pub read_only: bool,
}

impl Listening {
    /// The address as a URL.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.address)
    }
}

/// Serves until `shutdown` completes, then lets running requests end. `ready` learns the address that was bound.
///
/// `access_log` is where the access log goes if the configuration wants one. The folder is `registry/` in the store's directory when the configuration names none.
///
/// # Errors
/// Those of reading the configuration, of binding the address and of opening the folder.
pub async fn serve(
    context: &Context,
    source: Source,
    access_log: AccessLog,
    ready: impl FnOnce(Listening),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let configuration = source.load()?;
    let is_local = configuration.local.unwrap_or(false);
    if is_local {
        check_local(&configuration)?;
    }
    let (folder, storage) = match place(context, &source, &configuration)? {
        Place::Folder(folder) => (folder, None),
        Place::Bucket(storage) => (PathBuf::new(), Some(storage)),
    };
    let read_only = is_local || configuration.read_only.unwrap_or(false);
    let mut options = ServeOptions {
        storage,
        read_only,
        page: configuration.page.unwrap_or(true),
        limits: configuration.limits()?,
        access_log: configuration.access_log.unwrap_or(false).then_some(access_log),
        source,
        ..ServeOptions::new(folder)
    };
    if is_local {
        options.images = Some(Arc::new(local::Local::new(context.store()?.clone())));
    }
    if !configuration.cache.upstreams.is_empty() {
        options.upstream = Some(Arc::new(upstream::Registries::new(context)?));
        options.cache = match &configuration.cache.dir {
            Some(folder) => folder.clone(),
            None => context.store()?.root().join("registry-cache"),
        };
    }
    let server = dhow_serve::bind(configuration.listen.as_deref().unwrap_or(LISTEN), options).await?;
    ready(Listening { address: server.local_addr(), is_secure: server.is_secure(), read_only });
    server.run(shutdown).await
}

/// Refuses what has no meaning beside the images of this machine.
fn check_local(configuration: &Configuration) -> Result<()> {
    let other = match configuration {
        Configuration { root_dir: Some(_), .. } => "root-dir",
        Configuration { storage: Some(_), .. } => "storage",
        Configuration { cache: CacheSection { upstreams, .. }, .. } if !upstreams.is_empty() => "cache",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Invalid, format!("local and {other} cannot be used together"))
        .with_hint("run two servers: one for the images of this machine, one for the rest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_limits_are_read_strictly() {
        for (text, seconds) in [("0s", 0), ("90m", 5_400), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse_grace(text).ok(), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "24", "-1h", "1.5h", "1w", "99999999999d"] {
            assert!(parse_grace(text).is_err(), "{text}");
        }
        assert_eq!(parse_limit("connections=7").ok(), Some(("connections".to_owned(), 7)));
        for text in ["", "connections", "connections=", "connections=x", "connections=0", "nothing=1"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }
}
