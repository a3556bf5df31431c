//! Content that is to be sent.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::{Error, Result};

use crate::body::Body;
use crate::kernel::KernelQueue;

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
}

impl Object {
    /// The bytes in `range`, which lies in the object, as the body of an answer.
    ///
    /// # Errors
    /// The storage's, as far as they show before the first byte is sent.
    pub(crate) fn body(self, range: Range<u64>, kernel: Option<&KernelQueue>) -> Result<Body> {
        match self.content {
            Content::File(file) => {
                Body::file(file, range, kernel).map_err(|error| Error::io("cannot read stored content", error))
            }
            Content::Bytes(bytes) => Ok(Body::full(part(&bytes, range))),
        }
    }
}

fn part(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(range.start)..index(range.end))
}
