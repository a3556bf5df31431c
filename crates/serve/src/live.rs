//! What may change while the server runs: rules, accounts, certificates; and the numbers about it all. Files are looked at every second, and read when they changed.

use std::convert::Infallible;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dhow_base::Result;
use rustls::ServerConfig;
use tokio::sync::oneshot;
use tokio::time::interval;

use crate::access::Access;
use crate::configuration::{Configuration, Source};
use crate::metrics::Metrics;
use crate::tls;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// By what a changed file is known: device, inode, length, time of change in nanoseconds.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The files that count, as they were.
type Stamps = Vec<(PathBuf, Stamp)>;

/// The current rules, and where they come from.
#[derive(Debug)]
pub(crate) struct Live {
    source: Source,
    /// What the server was started with.
    first: Configuration,
    current: RwLock<Current>,
    seen: Mutex<Stamps>,
    pub(crate) metrics: Metrics,
}

#[derive(Clone, Debug)]
struct Current {
    access: Arc<Access>,
    /// Nothing where plain HTTP is spoken.
    tls: Option<Arc<ServerConfig>>,
}

impl Current {
    fn load(configuration: &Configuration) -> Result<Self> {
        Ok(Self { access: Arc::new(Access::load(configuration)?), tls: tls::load(configuration)? })
    }
}

impl Live {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// Whatever is wrong with a file.
    pub(crate) fn open(source: Source) -> Result<Self> {
        let (first, seen, current) = read(&source)?;
        Ok(Self { source, first, current: RwLock::new(current), seen: Mutex::new(seen), metrics: Metrics::default() })
    }

    /// What the server was started with.
    pub(crate) fn first(&self) -> &Configuration {
        &self.first
    }

    /// The rules that count now.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).access)
    }

    /// What the next connection is secured with. Whether connections are secured does not change.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).tls.clone()
    }

    /// Looks at the files from time to time, until the other end of `stopped` is dropped.
    pub(crate) async fn watch(self: Arc<Self>, mut stopped: oneshot::Receiver<Infallible>) {
        let mut ticks = interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut stopped => return,
            }
            let live = Arc::clone(&self);
            // Files are read on a blocking thread; it does not panic, and if it did, the old rules would stay.
            let _ = tokio::task::spawn_blocking(move || live.look()).await;
        }
    }

    /// Reads the files anew if one changed. What cannot be read leaves everything as it was.
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().all(|(path, before)| stamp(path) == *before) {
            return;
        }
        seen.iter_mut().for_each(|(path, before)| *before = stamp(path));
        match self.reload() {
            Ok((configuration, stamps)) => {
                *seen = stamps;
                tracing::info!("the configuration was read anew");
                if self.first.needs_restart_for(&configuration) {
                    tracing::warn!(
                        "listen, root-dir, storage, object-store, single-replica, read-only, page, access-log, local, limits, cache and whether there is TLS count only after a restart of the registry"
                    );
                }
            }
            Err(error) => {
                self.metrics.reloads_failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("the configuration cannot be read anew, the old one stays: {error}");
            }
        }
    }

    fn reload(&self) -> Result<(Configuration, Stamps)> {
        let (configuration, stamps, mut new) = read(&self.source)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if new.tls.is_some() != current.tls.is_some() {
            new.tls.clone_from(&current.tls);
        }
        *current = new;
        drop(current);
        Ok((configuration, stamps))
    }
}

/// Reads everything. Each file's stamp is taken before the file is read, so that a change in between is seen later on.
fn read(source: &Source) -> Result<(Configuration, Stamps, Current)> {
    let stamped = |path: &PathBuf| (path.clone(), stamp(path));
    let mut stamps: Vec<_> = source.file.iter().map(stamped).collect();
    let configuration = source.load()?;
    let access = &configuration.access;
    stamps.extend(access.htpasswd.iter().chain(&access.token.keys).chain(tls::files(&configuration)).map(stamped));
    let current = Current::load(&configuration)?;
    Ok((configuration, stamps, current))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
