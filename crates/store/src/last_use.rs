//! When an image was last used: the time of an empty file of its own, so that noting it costs a few system calls and waits for
//! no disk and for nobody.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

use crate::collect::in_halves;
use crate::find::digest_at;
use crate::paths::parse_flat;
use crate::store::Store;

/// A use this soon after the one noted is not noted: ages are asked for in hours and days.
const EXACTNESS: Duration = Duration::from_secs(60);

impl Store {
    /// Notes that images were used now, to the minute. A read-only store notes nothing. The last notes may be lost in a power
    /// cut.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn touch<'a>(&self, image_ids: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        if !self.is_writable() {
            return Ok(());
        }
        for image_id in image_ids {
            let path = self.paths().use_of(image_id);
            let noted = fs::metadata(&path).and_then(|metadata| metadata.modified());
            // A note of the future, made before the clock was set back, says nothing.
            if noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age < EXACTNESS)) {
                continue;
            }
            let file = match durable::open_or_create(&path) {
                Err(error) if error.kind() == Kind::NotFound => {
                    durable::create_dir_all(&self.paths().uses())?;
                    durable::open_or_create(&path)?
                }
                opened => opened?,
            };
            durable::touch(&file);
        }
        Ok(())
    }

    /// When an image was last used, in nanoseconds since 1970; `None` if that was never noted.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn last_use(&self, image_id: &Digest) -> Result<Option<i64>> {
        let path = self.paths().use_of(image_id);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(time_of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format_args!("cannot look at {path:?}"), error)),
        }
    }

    /// When images were last used, in nanoseconds since 1970, as far as that was noted.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn last_uses(&self) -> Result<HashMap<Digest, i64>> {
        let directory = self.paths().uses();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            Err(error) => return Err(Error::io(format_args!("cannot read {directory:?}"), error)),
        };
        let mut uses = HashMap::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::io(format_args!("cannot read {directory:?}"), error))?;
            let Some(image_id) = entry.file_name().to_str().and_then(parse_flat) else { continue };
            // Another process may take it away meanwhile.
            if let Ok(metadata) = entry.metadata() {
                uses.insert(image_id, time_of(&metadata));
            }
        }
        Ok(uses)
    }

    /// Forgets the uses of images that are not here any more.
    pub(crate) fn forget_uses(&self) -> Result<()> {
        let noted = self.last_uses()?;
        if noted.is_empty() {
            return Ok(());
        }
        let present: HashSet<Digest> = self.read_rows(|connection| {
            let mut select = connection.prepare("SELECT id FROM image")?;
            let mut rows = select.query([])?;
            let mut present = HashSet::new();
            while let Some(row) = rows.next()? {
                present.insert(digest_at(row, 0)?);
            }
            Ok(present)
        })?;
        let gone: Vec<&Digest> = noted.keys().filter(|image_id| !present.contains(image_id)).collect();
        let failed = OnceLock::new();
        in_halves(&gone, |image_id| {
            if let Err(error) = durable::remove_file(&self.paths().use_of(image_id)) {
                failed.get_or_init(|| error);
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }
}

fn time_of(metadata: &Metadata) -> i64 {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let age = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)
}
