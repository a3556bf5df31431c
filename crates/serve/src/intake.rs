//! From the body of a request into an upload.

use bytes::Bytes;
use hyper::StatusCode;

use crate::failure::{Code, Failure, Outcome};
use crate::range::ChunkRange;
use crate::receive::{Receiver, ended_early};
use crate::sessions::Interrupt;
use crate::storage::Upload;

/// What is handed to the storage at once: enough that the hand-over costs little, little enough that many uploads
/// fit into memory.
const BATCH_BYTES: usize = 512 << 10;

/// How many bytes are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Exactly these, if the request says.
    left: Option<u64>,
    /// At most these.
    room: u64,
    blob_bytes_max: u64,
}

impl Expected {
    /// Puts together the announced length, the chunk's range and what a blob that holds `length` bytes may still grow.
    pub(crate) fn new(
        announced: Option<u64>,
        chunk: Option<ChunkRange>,
        length: u64,
        blob_bytes_max: u64,
    ) -> Outcome<Self> {
        let left = match (announced, chunk) {
            (Some(announced), Some(chunk)) if announced != chunk.length => {
                let message = format!("Content-Range holds {} bytes, the body {announced}", chunk.length);
                return Err(Failure::bad(Code::SizeInvalid, message));
            }
            (Some(announced), _) => Some(announced),
            (None, chunk) => chunk.map(|chunk| chunk.length),
        };
        let expected = Self { left, room: blob_bytes_max.saturating_sub(length), blob_bytes_max };
        if left.is_some_and(|left| left > expected.room) { Err(expected.too_large()) } else { Ok(expected) }
    }

    fn take(&mut self, batch: &[Bytes]) -> Outcome<()> {
        let length: u64 = batch.iter().map(|bytes| bytes.len() as u64).sum();
        self.room = self.room.checked_sub(length).ok_or_else(|| self.too_large())?;
        if let Some(left) = &mut self.left {
            let more = || Failure::bad(Code::SizeInvalid, "the body is longer than its Content-Range");
            *left = left.checked_sub(length).ok_or_else(more)?;
        }
        Ok(())
    }

    fn too_large(&self) -> Box<Failure> {
        let message = format!("the blob is longer than {} bytes, which is the limit", self.blob_bytes_max);
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message)
    }
}

/// Adds the whole body to an upload. While one batch is hashed and written, the next is received.
///
/// When this fails, the upload holds what came in before, so that the client can go on from there. `progress` is told
/// the upload's length after each batch.
pub(crate) async fn take_in<U: Upload>(
    upload: &mut U,
    receiver: &mut Receiver,
    mut expected: Expected,
    mut interrupt: Option<&mut Interrupt>,
    progress: impl Fn(u64),
) -> Outcome<()> {
    let mut batch = next(receiver, &mut interrupt).await?;
    while !batch.is_empty() {
        expected.take(&batch)?;
        let storing = async {
            let stored = upload.append(batch).await;
            progress(upload.length());
            stored
        };
        let (stored, received) = tokio::join!(storing, next(receiver, &mut interrupt));
        stored?;
        batch = received?;
    }
    if expected.left.is_some_and(|left| left > 0) { Err(ended_early()) } else { Ok(()) }
}

async fn next(receiver: &mut Receiver, interrupt: &mut Option<&mut Interrupt>) -> Outcome<Vec<Bytes>> {
    match interrupt {
        None => receiver.batch(BATCH_BYTES).await,
        Some(interrupt) => tokio::select! {
            batch = receiver.batch(BATCH_BYTES) => batch,
            failure = interrupt.superseded() => Err(failure),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(length: u64) -> Option<ChunkRange> {
        Some(ChunkRange { first: 0, length })
    }

    #[test]
    fn lengths_must_agree_and_fit() {
        assert!(Expected::new(Some(5), chunk(5), 0, 10).is_ok());
        for (announced, chunk, length) in
            [(Some(5), chunk(6), 0), (Some(11), None, 0), (None, chunk(6), 5), (Some(1), None, u64::MAX)]
        {
            assert!(Expected::new(announced, chunk, length, 10).is_err(), "{announced:?} {chunk:?} {length}");
        }
    }

    #[test]
    fn a_body_longer_than_its_range_is_refused() {
        let mut expected = Expected::new(None, chunk(3), 0, 10).expect("fits");
        assert!(expected.take(&[Bytes::from_static(b"ab"), Bytes::from_static(b"cd")]).is_err());
    }
}
