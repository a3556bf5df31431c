//! What an object store does, in this registry's words: whole objects under keys, changed on conditions.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};

/// How a store knows the state of an object (an entity tag, with Google a generation).
pub(crate) type Version = UpdateVersion;

/// A place in an object store. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    /// Stands before every key.
    prefix: Path,
    /// What users call it: `s3://bucket/prefix`.
    name: Arc<str>,
    /// Whether the store heeds conditions. If not, only one server may write.
    conditional: bool,
    /// Whether this is the only server that writes.
    alone: bool,
}

/// An object that was read.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    pub(crate) version: Version,
    pub(crate) changed: SystemTime,
}

/// What became of a look whether an object has changed.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    Missing,
    Unchanged,
    Changed(Read),
}

/// An object in a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Its key, without the prefix.
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) changed: SystemTime,
}

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Objects({})", self.name)
    }
}

impl Objects {
    pub(crate) fn new<S: ObjectStore + MultipartStore>(store: S, prefix: Path, name: &str) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), parts: store, prefix, name: name.into(), conditional: true, alone: false }
    }

    /// What users call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives up conditions: the store does not heed them.
    pub(crate) fn without_conditions(mut self) -> Self {
        self.conditional = false;
        self
    }

    /// Relies on it that no other server writes.
    pub(crate) fn with_one_server(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Whether no other server writes.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    fn path(&self, key: &str) -> Path {
        key.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Lets other tasks go first, sometimes: a store in memory never waits, and tests would see only few orders of events.
    #[cfg(test)]
    async fn step(&self) {
        if crate::random::random::<1>().is_ok_and(|[byte]| byte & 1 == 0) {
            tokio::task::yield_now().await;
        }
    }

    #[cfg(not(test))]
    async fn step(&self) {}

    fn failed<'a>(&'a self, verb: &'a str, key: &'a str) -> impl FnOnce(object_store::Error) -> Error + 'a {
        move |error| {
            let kind = match &error {
                object_store::Error::NotFound { .. } => Kind::NotFound,
                object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Kind::Conflict,
                object_store::Error::PermissionDenied { .. } => Kind::Denied,
                object_store::Error::Unauthenticated { .. } => Kind::Unauthorized,
                object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
                    Kind::Unsupported
                }
                _ => Kind::Unavailable,
            };
            Error::new(kind, format!("cannot {verb} \"{}/{key}\": {error}", self.name)).with_source(error)
        }
    }

    /// A whole object of at most `bytes_max` bytes.
    pub(crate) async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Read>> {
        match self.look(key, None, bytes_max).await? {
            Look::Changed(read) => Ok(Some(read)),
            Look::Missing | Look::Unchanged => Ok(None),
        }
    }

    /// A whole object, unless it is still what it was at `known`.
    pub(crate) async fn look(&self, key: &str, known: Option<&Version>, bytes_max: u64) -> Result<Look> {
        self.step().await;
        let if_none_match = known.and_then(|version| version.e_tag.clone());
        let options = GetOptions { if_none_match, ..GetOptions::default() };
        let got = match self.store.get_opts(&self.path(key), options).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(Look::Missing),
            Err(object_store::Error::NotModified { .. }) => return Ok(Look::Unchanged),
            Err(error) => return Err(self.failed("read", key)(error)),
        };
        if got.meta.size > bytes_max {
            let message = format!("\"{}/{key}\" has {} bytes, at most {bytes_max} can be", self.name, got.meta.size);
            return Err(Error::new(Kind::Corrupt, message));
        }
        let version = Version { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        let changed = got.meta.last_modified.into();
        let bytes = got.bytes().await.map_err(self.failed("read", key))?;
        Ok(Look::Changed(Read { bytes, version, changed }))
    }

    /// Part of an object as a stream; nothing when it is not there.
    pub(crate) async fn stream(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<Option<BoxStream<'static, std::io::Result<Bytes>>>> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        match self.store.get_opts(&self.path(key), options).await {
            Ok(got) => Ok(Some(got.into_stream().map_err(std::io::Error::other).boxed())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    /// The length of an object in bytes.
    pub(crate) async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self.store.head(&self.path(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look for", key)(error)),
        }
    }

    /// Writes an object, whether there is one or not.
    pub(crate) async fn put(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<Version> {
        self.write(key, bytes.into(), PutMode::Overwrite).await
    }

    /// Writes an object where there is none.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when there is one.
    pub(crate) async fn create(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<Version> {
        self.write(key, bytes.into(), PutMode::Create).await
    }

    /// Writes an object in place of what it was at `version`.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it was changed since.
    pub(crate) async fn replace(&self, key: &str, bytes: impl Into<PutPayload>, version: &Version) -> Result<Version> {
        self.write(key, bytes.into(), PutMode::Update(version.clone())).await
    }

    async fn write(&self, key: &str, payload: PutPayload, mode: PutMode) -> Result<Version> {
        self.step().await;
        let mode = if self.conditional { mode } else { PutMode::Overwrite };
        let is_replacing = matches!(mode, PutMode::Update(_));
        let put = match self.store.put_opts(&self.path(key), payload, mode.into()).await {
            // What is gone has not the state that was asked for.
            Err(object_store::Error::NotFound { .. }) if is_replacing => {
                return Err(Error::new(Kind::Conflict, format!("\"{}/{key}\" is gone", self.name)));
            }
            put => put.map_err(self.failed("write", key))?,
        };
        Ok(Version { e_tag: put.e_tag, version: put.version })
    }

    /// Deletes an object, which need not be there.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        self.step().await;
        match self.store.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", key)(error)),
        }
    }

    /// Deletes many objects, with few requests where the store can do that.
    pub(crate) async fn delete_all(&self, keys: Vec<String>) -> Result<()> {
        self.step().await;
        let paths: Vec<_> = keys.iter().map(|key| Ok(self.path(key))).collect();
        let mut deleting = self.store.delete_stream(futures::stream::iter(paths).boxed());
        while let Some(deleted) = deleting.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("delete", "…")(error)),
            }
        }
        Ok(())
    }

    /// Everything below a folder, in byte order, from behind `after` on.
    pub(crate) fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Listed>> {
        let path = self.path(folder);
        let listed = match after {
            Some(after) => self.store.list_with_offset(Some(&path), &self.path(after)),
            None => self.store.list(Some(&path)),
        };
        let (this, folder) = (self.clone(), folder.to_owned());
        listed
            .map(move |meta| {
                let meta = meta.map_err(this.failed("list", &folder))?;
                let key = this.key_of(&meta.location);
                Ok(Listed { key, size: meta.size, changed: meta.last_modified.into() })
            })
            .boxed()
    }

    /// The folders and objects directly below a folder: names only.
    pub(crate) async fn children(&self, folder: &str) -> Result<(Vec<String>, Vec<Listed>)> {
        let listed = self.store.list_with_delimiter(Some(&self.path(folder))).await;
        let listed = listed.map_err(self.failed("list", folder))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let folders = listed.common_prefixes.iter().filter_map(name).collect();
        let object = |meta: object_store::ObjectMeta| Listed {
            key: self.key_of(&meta.location),
            size: meta.size,
            changed: meta.last_modified.into(),
        };
        Ok((folders, listed.objects.into_iter().map(object).collect()))
    }

    fn key_of(&self, path: &Path) -> String {
        let text = path.as_ref();
        let below = text.strip_prefix(self.prefix.as_ref()).unwrap_or(text);
        below.trim_start_matches('/').to_owned()
    }

    /// Begins an object that comes in parts; returns its handle.
    pub(crate) async fn begin_parts(&self, key: &str) -> Result<String> {
        self.parts.create_multipart(&self.path(key)).await.map_err(self.failed("begin", key))
    }

    /// Writes a part; returns what it is known by.
    pub(crate) async fn put_part(&self, key: &str, handle: &str, index: usize, bytes: PutPayload) -> Result<String> {
        let part = self.parts.put_part(&self.path(key), &handle.to_owned(), index, bytes).await;
        Ok(part.map_err(self.failed("write", key))?.content_id)
    }

    /// Makes the parts an object.
    pub(crate) async fn finish_parts(&self, key: &str, handle: &str, parts: &[String]) -> Result<()> {
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        let finished = self.parts.complete_multipart(&self.path(key), &handle.to_owned(), parts).await;
        finished.map(drop).map_err(self.failed("finish", key))
    }

    /// Drops the parts.
    pub(crate) async fn abort_parts(&self, key: &str, handle: &str) -> Result<()> {
        match self.parts.abort_multipart(&self.path(key), &handle.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("drop", key)(error)),
        }
    }
}
