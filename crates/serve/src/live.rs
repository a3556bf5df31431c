//! What may change while the server runs: rules and accounts. Files are looked at every second, and read when they changed.

use std::convert::Infallible;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dhow_base::Result;
use tokio::sync::oneshot;
use tokio::time::interval;

use crate::access::Access;
use crate::configuration::{Configuration, Source};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// By what a changed file is known: device, inode, length, time of change in nanoseconds.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The current rules, and where they come from.
#[derive(Debug)]
pub(crate) struct Live {
    source: Source,
    /// What the server was started with.
    first: Configuration,
    access: RwLock<Arc<Access>>,
    seen: Mutex<Vec<(PathBuf, Stamp)>>,
}

impl Live {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// Whatever is wrong with a file.
    pub(crate) fn open(source: Source) -> Result<Self> {
        let first = source.load()?;
        // Before the files are read: a change in between is seen later on.
        let seen = stamps(&source, &first);
        let access = Access::load(&first)?;
        Ok(Self { source, first, access: RwLock::new(Arc::new(access)), seen: Mutex::new(seen) })
    }

    /// The rules that count now.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
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
            Ok(configuration) => {
                *seen = stamps(&self.source, &configuration);
                tracing::info!("the configuration was read anew");
                if self.first.needs_restart_for(&configuration) {
                    tracing::warn!("listen, root-dir, read-only and limits count only after a restart of the registry");
                }
            }
            Err(error) => tracing::warn!("the configuration cannot be read anew, the old one stays: {error}"),
        }
    }

    fn reload(&self) -> Result<Configuration> {
        let configuration = self.source.load()?;
        let access = Access::load(&configuration)?;
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
        Ok(configuration)
    }
}

/// All files that count, as they are.
fn stamps(source: &Source, configuration: &Configuration) -> Vec<(PathBuf, Stamp)> {
    let files = source.file.iter().chain(&configuration.access.htpasswd);
    files.map(|path| (path.clone(), stamp(path))).collect()
}

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
