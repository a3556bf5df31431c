//! Content that is to be sent.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use http_body_util::BodyExt as _;

use crate::body::Body;
use crate::kernel::KernelQueue;
use crate::storage::bucket::objects::Objects;

/// An open object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// Length in bytes.
    pub(crate) size: u64,
    pub(crate) content: Content,
}

/// Where the bytes of an [`Object`] come from.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    File(Arc<File>),
    Bytes(Bytes),
    Remote(Remote),
}

/// An object in an object store.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) objects: Objects,
    pub(crate) key: String,
}

impl Object {
    /// The bytes in `range`, which lies in the object, as the body of an answer.
    ///
    /// # Errors
    /// The storage's, as far as they show before the first byte is sent.
    pub(crate) async fn body(self, range: Range<u64>, kernel: Option<&KernelQueue>) -> Result<Body> {
        match self.content {
            Content::File(file) => {
                Body::file(file, range, kernel).map_err(|error| Error::io("cannot read stored content", error))
            }
            Content::Bytes(bytes) => Ok(Body::full(part(&bytes, range))),
            Content::Remote(_) if range.is_empty() => Ok(Body::empty()),
            Content::Remote(Remote { objects, key }) => {
                let length = range.end - range.start;
                let stream = objects.stream(&key, range).await?;
                let gone = || Error::new(Kind::Corrupt, format!("\"{}/{key}\" is gone", objects.name()));
                Ok(Body::stream(stream.ok_or_else(gone)?, length))
            }
        }
    }

    /// All bytes, at most `bytes_max`.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when there are more, else the storage's.
    pub(crate) async fn whole(self, bytes_max: u64) -> Result<Bytes> {
        if self.size > bytes_max {
            let message = format!("stored content has {} bytes, at most {bytes_max} can be", self.size);
            return Err(Error::new(Kind::Corrupt, message));
        }
        let size = self.size;
        let read = |error| Error::io("cannot read stored content", error);
        let body = self.body(0..size, None).await?;
        Ok(body.collect().await.map_err(read)?.to_bytes())
    }
}

fn part(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(range.start)..index(range.end))
}
