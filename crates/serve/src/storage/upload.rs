//! Uploads in a local folder: `uploads/<id>.json` says what the upload is, `uploads/<id>` holds its bytes so far.

use std::cmp::Ordering;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, fs};
use dhow_spec::digest::{Algorithm, Digest, Hasher};

use super::folder::{Inner, blocking, found, parent, touch};
use super::journal::Step;
use super::{Committed, Key, Pin, Upload, UploadPlan};
use crate::name::UploadId;

/// A blob that is not longer than this goes through the journal: it is written twice, but flushed with what others write.
const SHORT_BYTES: u64 = 128 << 10;

/// A batch that is not longer than this is written where it is received: it goes into the page cache, and a hand-over to
/// another thread costs more than that.
const SMALL_BATCH_BYTES: usize = 64 << 10;

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
        // Not synced: an upload that is lost in a power cut was not acknowledged. Not in one step either: nobody but this
        // process looks for it as long as it runs, and what is left of half a text is no upload.
        let path = plan_path(&folder, id);
        fs::write_at(&fs::open_or_create(&path)?, &path, &text, 0)?;
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

    /// Makes the proven bytes a blob of the repository.
    async fn publish(&self, digest: &Digest) -> Result<()> {
        let (folder, content) = (&self.folder, Key::content(digest));
        let link = Step::Put(Key::blob(&self.plan.repository, digest), Bytes::new());
        if self.length <= SHORT_BYTES {
            let bytes = self.short_bytes()?;
            let _pin = folder.pin().await?;
            return folder.commit(vec![Step::Put(content, bytes), link]).await.map(drop);
        }
        let (data, length, place) = (data_path(folder, &self.id), self.length, folder.files.path(&content));
        let root = folder.files.root().to_owned();
        let _pin = blocking(move || publish_long(&root, data, length, &place)).await?;
        folder.commit(vec![link]).await.map(drop)
    }

    /// All bytes, of a short upload.
    fn short_bytes(&self) -> Result<Bytes> {
        // An empty blob has had no byte to make the file with.
        if self.length == 0 {
            return Ok(Bytes::new());
        }
        let path = data_path(&self.folder, &self.id);
        cut(&fs::open_or_create(&path)?, &path, self.length)?;
        fs::read_limited(&path, SHORT_BYTES).map(Bytes::from)
    }
}

/// Brings `length` bytes to their place. They are flushed first, and only then get a name that says they are right. The name
/// is durable when this returns, and what is returned keeps the content until it is written down that it is needed.
fn publish_long(root: &Path, data: PathBuf, length: u64, place: &Path) -> Result<Pin> {
    let file = fs::open_or_create(&data)?;
    cut(&file, &data, length)?;
    fs::flush(&[(data.clone(), file)], &[])?;
    let pin = Pin::take(root)?;
    // Its last byte may have come long ago; what was not named so long would be collected.
    touch(&data)?;
    fs::rename(&data, place)?;
    fs::sync_dir(parent(place))?;
    Ok(pin)
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
        let is_small = batch.iter().map(Bytes::len).sum::<usize>() <= SMALL_BATCH_BYTES;
        let (end, hasher) = match is_small {
            true => append(&path, offset, &batch, hasher)?,
            false => blocking(move || append(&path, offset, &batch, hasher)).await?,
        };
        self.length = end;
        self.hasher = hasher;
        Ok(())
    }

    /// Every batch is in the file.
    async fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// No other server writes to the folder.
    async fn refresh(&mut self) -> Result<bool> {
        Ok(true)
    }

    async fn commit(mut self, digest: &Digest) -> Result<Committed> {
        let hasher = self.hasher.take().filter(|_| self.algorithm == digest.algorithm());
        let actual = match hasher {
            Some(hasher) => hasher.finish(),
            None => {
                let (path, length) = (data_path(&self.folder, &self.id), self.length);
                let algorithm = digest.algorithm();
                blocking(move || hash_file(&path, length, algorithm)).await?
            }
        };
        if actual != *digest {
            Self::remove(&self.folder, &self.id)?;
            return Ok(Committed::Mismatch(actual));
        }
        let published = self.publish(digest).await;
        // Stored or not, the session is over: after a failed flush the system may take bytes for written that are
        // not, so they must not be flushed again as if nothing had happened. What stays behind here expires.
        let _ = Self::remove(&self.folder, &self.id);
        published.map(|()| Committed::Stored)
    }

    async fn discard(self) -> Result<()> {
        blocking(move || Self::remove(&self.folder, &self.id)).await
    }
}

/// Takes off a file what stands behind its first `length` bytes: a write that failed may have left some of its own there.
fn cut(file: &File, path: &Path, length: u64) -> Result<()> {
    let actual = file.metadata().map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?.len();
    match actual.cmp(&length) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => fs::set_length(file, path, length),
        Ordering::Less => {
            let message = format!("{path:?} has {actual} bytes, and {length} were written to it");
            Err(Error::new(Kind::Corrupt, message).with_hint("push the blob again"))
        }
    }
}

/// Writes a batch at `offset`; returns where it ends, and the hasher with the batch taken in. When this fails, the file is
/// as long as it was, so that whoever takes the upload up after a restart finds what the client was told.
fn append(path: &Path, offset: u64, batch: &[Bytes], hasher: Option<Hasher>) -> Result<(u64, Option<Hasher>)> {
    let file = fs::open_or_create(path)?;
    let (mut position, mut hasher) = (offset, hasher);
    for bytes in batch {
        fs::write_at(&file, path, bytes, position).inspect_err(|_| {
            // Cut where it is published, too.
            let _ = fs::set_length(&file, path, offset);
        })?;
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
    let Some(file) = found(path, File::open(path))? else { return Ok(hasher.finish()) };
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
    folder.files.uploads().join(format!("{id}.json"))
}

fn data_path(folder: &Inner, id: &UploadId) -> PathBuf {
    folder.files.uploads().join(id.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed operation fails the test")]

    use dhow_base::fault::{Action, arm_at};

    use super::super::{Folder, Storage as _};
    use super::*;
    use crate::name::RepositoryName;
    use crate::random::random;

    fn plan(name: &str) -> UploadPlan {
        UploadPlan { repository: RepositoryName::parse(name).unwrap() }
    }

    async fn begin(folder: &Folder, name: &str) -> FileUpload {
        folder.begin_upload(&UploadId::from_random(random().unwrap()), plan(name)).await.unwrap()
    }

    /// The second write of a batch fails; then the client says that what it sent before was all.
    async fn check(length: usize, is_cut: bool) {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path(), false).unwrap();
        let bytes = Bytes::from(vec![7; length]);
        let digest = Digest::sha256(&bytes);
        let mut first = begin(&folder, "theirs").await;
        first.append(vec![bytes.clone()]).await.unwrap();
        assert_eq!(first.commit(&digest).await.unwrap(), Committed::Stored);

        let mut upload = begin(&folder, "ours").await;
        upload.append(vec![bytes.clone()]).await.unwrap();
        let data = data_path(&upload.folder, &upload.id);
        arm_at("fs.write_at", &data, 1, Action::NoSpace);
        let failed = upload.append(vec![Bytes::from_static(b"more"), Bytes::from_static(b"yet more")]).await;
        assert_eq!(failed.unwrap_err().kind(), Kind::NoSpace);
        assert_eq!(upload.length(), length as u64);
        let resumed = folder.resume_upload(&upload.id).await.unwrap().unwrap();
        assert_eq!(resumed.length(), length as u64, "what the client was told counts after a restart, too");
        if !is_cut {
            fs::write_at(&fs::open_or_create(&data).unwrap(), &data, b"left", length as u64).unwrap();
        }
        assert_eq!(upload.commit(&digest).await.unwrap(), Committed::Stored);
        for name in ["theirs", "ours"] {
            let found = folder.blob(&plan(name).repository, &digest).await.unwrap().unwrap();
            assert_eq!(found.whole(1 << 20).await.unwrap(), bytes, "{name}: {length} bytes, {is_cut}");
        }
    }

    #[tokio::test]
    async fn what_a_failed_write_left_is_no_part_of_a_blob() {
        for length in [0, 1000, 200_000] {
            for is_cut in [true, false] {
                check(length, is_cut).await;
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_lost_bytes_is_no_blob() {
        for length in [1000, 200_000] {
            let directory = tempfile::tempdir().unwrap();
            let folder = Folder::open(directory.path(), false).unwrap();
            let bytes = Bytes::from(vec![7; length]);
            let mut upload = begin(&folder, "ours").await;
            upload.append(vec![bytes.clone()]).await.unwrap();
            let data = data_path(&upload.folder, &upload.id);
            fs::set_length(&fs::open_or_create(&data).unwrap(), &data, 10).unwrap();
            assert_eq!(upload.commit(&Digest::sha256(&bytes)).await.unwrap_err().kind(), Kind::Corrupt);
            assert!(folder.any_blob(&Digest::sha256(&bytes)).await.unwrap().is_none());
        }
    }
}
