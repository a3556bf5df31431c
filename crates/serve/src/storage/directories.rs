//! Directories whose names survive a power cut.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dhow_base::{Result, fs};

/// Makes directories durably.
#[derive(Debug, Default)]
pub(super) struct Directories {
    making: Mutex<()>,
}

impl Directories {
    /// Makes `path` and its parents; each is durable when this returns.
    ///
    /// The lock is held while the parents are synced. Without it, another thread could see a directory that is there
    /// but not yet durable, and answer for a file in it.
    pub(super) fn ensure(&self, path: &Path) -> Result<()> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<PathBuf> =
            path.ancestors().take_while(|ancestor| !ancestor.is_dir()).map(Path::to_owned).collect();
        if missing.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(path)?;
        missing.iter().rev().filter_map(|made| made.parent()).try_for_each(fs::sync_dir)
    }
}
