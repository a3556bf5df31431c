//! Lists that registries give: the tags of a repository, and what refers to a manifest.
//!
//! A list that was given is kept on the shelf like a manifest that a tag stands for, so that what holds for tags holds for it:
//! it is asked for anew after a while, all who ask at once get one answer, it is served when its registry cannot be reached,
//! it outlives a restart, and goes when it was not used for longest. It lies beside the repository, where no request for
//! content finds it.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fill::blocking;
use super::shelf::now_seconds;
use super::{Cache, Copied, Reply, keep_bytes};

/// No manifest has it.
const MEDIA_TYPE: &str = "application/vnd.dhow.list.v1+json";

/// A list as a registry gave it.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) list: Vec<T>,
    /// Whether it may be an old one.
    pub(super) is_stale: bool,
}

/// A list on the shelf. No two of them are the same, since each says what it is of.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    of: String,
    what: String,
    list: Vec<T>,
}

impl Cache {
    /// The tags of a repository; nothing when it does not exist.
    pub(super) async fn tags(&self, copied: &Copied) -> Result<Option<Listed<String>>> {
        self.listed(copied, "tags".to_owned(), self.upstream.tags(&copied.original)).await
    }

    /// What refers to a manifest.
    pub(super) async fn referrers(
        &self,
        copied: &Copied,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Listed<Descriptor>> {
        let what = format!("referrers/{subject}/{}", artifact_type.unwrap_or_default());
        let asking = self.upstream.referrers(&copied.original, subject, artifact_type);
        let found = self.listed(copied, what, Box::pin(async { asking.await.map(Some) })).await?;
        Ok(found.unwrap_or(Listed { list: Vec::new(), is_stale: false }))
    }

    async fn listed<T>(
        &self,
        copied: &Copied,
        what: String,
        asking: Reply<'_, Option<Vec<T>>>,
    ) -> Result<Option<Listed<T>>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        // No repository can be called so.
        let (asked, home) = (now_seconds(), format!("{}/_lists", copied.name));
        let gate = self.gate(format!("{home}:{what}"));
        let _alone = gate.lock().await;
        let known = self.shelf.tag(&home, &what);
        let copy = match &known {
            Some((digest, _)) => self.kept(&home, digest).await?,
            None => None,
        };
        let is_fresh = |checked: u64| checked + self.fresh_seconds > asked || checked >= asked;
        let copy = match (copy, &known) {
            (Some(list), Some((_, checked))) if is_fresh(*checked) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(Some(Listed { list, is_stale: false }));
            }
            (copy, _) => copy,
        };
        match (self.ask(copied, asking, copy.is_some()).await, copy) {
            (Ok(Some(list)), _) => {
                let kept = Kept { of: home.clone(), what, list };
                self.keep_list(&home, &kept, known.map(|(digest, _)| digest)).await?;
                Ok(Some(Listed { list: kept.list, is_stale: false }))
            }
            (Ok(None), _) => {
                self.shelf.set_tag(&home, &what, None)?;
                known.map_or(Ok(()), |(digest, _)| self.shelf.discard_untagged(&digest))?;
                Ok(None)
            }
            (Err(error), Some(list)) if error.kind().is_transient() => {
                tracing::warn!(repository = %copied.name, what, %error, "an old list is served in place of what may be newer");
                self.stale.fetch_add(1, Ordering::Relaxed);
                Ok(Some(Listed { list, is_stale: true }))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The list that lies under a digest, if it still does.
    async fn kept<T: DeserializeOwned + Send + 'static>(&self, home: &str, digest: &Digest) -> Result<Option<Vec<T>>> {
        let Some(held) = self.shelf.find(home, digest)? else { return Ok(None) };
        let size = usize::try_from(held.size).unwrap_or(usize::MAX);
        let bytes = blocking(move || {
            let mut bytes = vec![0; size];
            Ok(held.file.read_exact_at(&mut bytes, 0).is_ok().then_some(bytes))
        })
        .await?;
        // One that was spoilt is asked for anew.
        Ok(bytes.and_then(|bytes| serde_json::from_slice::<Kept<T>>(&bytes).ok()).map(|kept| kept.list))
    }

    async fn keep_list<T: Serialize>(&self, home: &str, kept: &Kept<T>, before: Option<Digest>) -> Result<()> {
        let failed = |error| Error::new(Kind::Internal, "cannot write a list").with_source(error);
        let bytes = Bytes::from(serde_json::to_vec(kept).map_err(failed)?);
        let digest = Digest::sha256(&bytes);
        if before.as_ref() != Some(&digest) {
            let (shelf, home, digest) = (Arc::clone(&self.shelf), home.to_owned(), digest.clone());
            blocking(move || keep_bytes(&shelf, &home, &digest, &bytes, MEDIA_TYPE).map(drop)).await?;
        }
        self.shelf.set_tag(home, &kept.what, Some(&digest))?;
        match before.filter(|before| *before != digest) {
            Some(before) => self.shelf.discard_untagged(&before),
            None => Ok(()),
        }
    }
}
