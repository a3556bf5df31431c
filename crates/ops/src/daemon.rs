//! Images of a Docker engine, in and out as archives.

use std::fs::File;

use dhow_base::{Error, Result, fs};
use dhow_registry::daemon::{DEFAULT_HOST, Daemon};
use futures::TryStreamExt;

use crate::context::Context;

/// An image of the engine as an archive, from its beginning.
///
/// # Errors
/// Those of the engine and of the temporary file.
pub(crate) async fn save(context: &Context, host: Option<&str>, name: &str) -> Result<File> {
    let directory = context.store()?.spool_dir()?;
    let file = dhow_layout::nameless_file(&directory)?;
    let mut stream = Daemon::new(host.unwrap_or(DEFAULT_HOST))?.save(name).await?;
    let mut position = 0;
    while let Some(bytes) = stream.try_next().await? {
        fs::write_at(&file, &directory, &bytes, position)?;
        position += bytes.len() as u64;
    }
    Ok(file)
}

/// Has the engine load an archive.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn load(host: Option<&str>, archive: File) -> Result<()> {
    let length = archive.metadata().map_err(|error| Error::io("cannot read a temporary file", error))?.len();
    Daemon::new(host.unwrap_or(DEFAULT_HOST))?.load(archive, length).await
}
