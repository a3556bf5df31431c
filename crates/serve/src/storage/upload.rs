//! Uploads in a local folder: `uploads/<id>.json` says what the upload is, `uploads/<id>` holds its bytes so far.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use dhow_base::fs::{self, Durability};
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::{Algorithm, Digest, Hasher};

use super::folder::{Inner, blocking, found, touch};
use super::{Committed, Key, Upload, UploadPlan};
use crate::name::UploadId;

const PLAN_BYTES_MAX: u64 = 4096;
const REHASH_BYTES: usize = 1 << 20;

/// An upload whose bytes are in a file.
#[derive(Debug)]
pub(crate) struct FileUpload {
    folder: Arc<Inner>,
    id: UploadId,
    plan: UploadPlan,
    length: u64,
    algorithm: Algorithm,
    /// Has taken in all `length` bytes. Missing when some were written by an earlier process or for another algorithm;
    /// then the file is read once more at the end.
    hasher: Option<Hasher>,
}

impl FileUpload {
    pub(super) fn begin(folder: Arc<Inner>, id: &UploadId, plan: UploadPlan) -> Result<Self> {
        let text = serde_json::to_vec(&plan)
            .map_err(|error| Error::new(Kind::Internal, "cannot write an upload's plan").with_source(error))?;
        // Not synced: an upload that is lost in a power cut was not acknowledged.
        fs::write_atomic(&plan_path(&folder, id), &text, 0o600, Durability::Cached)?;
        Ok(Self::new(folder, id, plan, 0))
    }

    pub(super) fn resume(folder: Arc<Inner>, id: &UploadId) -> Result<Option<Self>> {
        let path = plan_path(&folder, id);
        let text = match fs::read_limited(&path, PLAN_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A power cut may leave an empty file, since the plan is not synced.
        let Ok(plan) = serde_json::from_slice(&text) else { return Ok(None) };
        let data = data_path(&folder, id);
        let length = found(&data, data.metadata())?.map_or(0, |metadata| metadata.len());
        Ok(Some(Self::new(folder, id, plan, length)))
    }

    fn new(folder: Arc<Inner>, id: &UploadId, plan: UploadPlan, length: u64) -> Self {
        let algorithm = Algorithm::Sha256;
        let hasher = (length == 0).then(|| Hasher::new(algorithm));
        Self { folder, id: id.clone(), plan, length, algorithm, hasher }
    }

    /// When the upload last got a byte, or began.
    pub(super) fn last_change(folder: &Inner, id: &UploadId) -> Option<SystemTime> {
        let changed = |path: PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
        changed(data_path(folder, id)).or_else(|| changed(plan_path(folder, id)))
    }

    pub(super) fn remove(folder: &Inner, id: &UploadId) -> Result<()> {
        // The plan goes last: it is what a later clean-up finds the upload by.
        fs::remove_file(&data_path(folder, id))?;
        fs::remove_file(&plan_path(folder, id)).map(drop)
    }

    /// Brings the bytes to their place. They are flushed first, and only then get a name that says they are right.
    fn publish(folder: &Inner, id: &UploadId, plan: &UploadPlan, digest: &Digest) -> Result<()> {
        let data = data_path(folder, id);
        // An empty blob has had no byte to make the file with.
        let file = fs::open_or_create(&data)?;
        fs::flush(&[(data.clone(), file)], &[])?;
        let marker = folder.temporary();
        fs::open_or_create(&marker)?;
        let places = [
            (data, folder.path(&Key::content(digest))),
            (marker.clone(), folder.path(&Key::blob(&plan.repository, digest))),
        ];
        // Its last byte may have come long ago; what was not named so long would be collected.
        let published = folder.pin().and_then(|_pin| {
            touch(&places[0].0)?;
            folder.publish(&places)
        });
        if published.is_err() {
            // Removed at the next start if it cannot be now.
            let _ = fs::remove_file(&marker);
        }
        published
    }
}

impl Upload for FileUpload {
    fn plan(&self) -> &UploadPlan {
        &self.plan
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn set_algorithm(&mut self, algorithm: Algorithm) {
        if algorithm != self.algorithm {
            self.algorithm = algorithm;
            self.hasher = (self.length == 0).then(|| Hasher::new(algorithm));
        }
    }

    async fn append(&mut self, batch: Vec<Bytes>) -> Result<()> {
        let (path, offset, hasher) = (data_path(&self.folder, &self.id), self.length, self.hasher.clone());
        let (end, hasher) = blocking(move || append(&path, offset, &batch, hasher)).await?;
        self.length = end;
        self.hasher = hasher;
        Ok(())
    }

    async fn commit(self, digest: &Digest) -> Result<Committed> {
        let digest = digest.clone();
        blocking(move || {
            let path = data_path(&self.folder, &self.id);
            let hasher = self.hasher.filter(|_| self.algorithm == digest.algorithm());
            let actual = match hasher {
                Some(hasher) => hasher.finish(),
                None => hash_file(&path, self.length, digest.algorithm())?,
            };
            if actual != digest {
                Self::remove(&self.folder, &self.id)?;
                return Ok(Committed::Mismatch(actual));
            }
            let published = Self::publish(&self.folder, &self.id, &self.plan, &digest);
            // Stored or not, the session is over: after a failed flush the system may take bytes for written that are
            // not, so they must not be flushed again as if nothing had happened. What stays behind here expires.
            let _ = Self::remove(&self.folder, &self.id);
            published.map(|()| Committed::Stored)
        })
        .await
    }

    async fn discard(self) -> Result<()> {
        blocking(move || Self::remove(&self.folder, &self.id)).await
    }
}

/// Writes a batch at `offset`; returns where it ends, and the hasher with the batch taken in.
fn append(path: &Path, offset: u64, batch: &[Bytes], hasher: Option<Hasher>) -> Result<(u64, Option<Hasher>)> {
    let file = fs::open_or_create(path)?;
    let (mut position, mut hasher) = (offset, hasher);
    for bytes in batch {
        fs::write_at(&file, path, bytes, position)?;
        position += bytes.len() as u64;
        if let Some(hasher) = &mut hasher {
            hasher.update(bytes);
        }
    }
    Ok((position, hasher))
}

fn hash_file(path: &Path, length: u64, algorithm: Algorithm) -> Result<Digest> {
    use std::io::Read as _;

    let failed = |error| Error::io(format_args!("cannot read {path:?}"), error);
    let mut hasher = Hasher::new(algorithm);
    let Some(file) = found(path, std::fs::File::open(path))? else { return Ok(hasher.finish()) };
    let mut file = file.take(length);
    let mut buffer = vec![0; REHASH_BYTES];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn plan_path(folder: &Inner, id: &UploadId) -> PathBuf {
    folder.uploads().join(format!("{id}.json"))
}

fn data_path(folder: &Inner, id: &UploadId) -> PathBuf {
    folder.uploads().join(id.as_str())
}
