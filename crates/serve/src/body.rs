//! Bodies of answers.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::kernel::{KernelBody, KernelQueue};

/// Bytes read from a file at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// Ranges up to this length are read in one piece and sent together with the head of the answer.
const INLINE_BYTES: u64 = 64 << 10;

/// What follows the head of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// Bytes in memory; nothing once they are taken.
    Full(Option<Bytes>),
    /// Part of a file, read ahead by one chunk on the blocking threads.
    File(FileBody),
    /// Part of a file that the kernel sends.
    Kernel(KernelBody),
    /// Bytes that another task sends as they come.
    Arriving(ArrivingBody),
    /// Bytes that come from elsewhere.
    Stream(StreamBody),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Body::Full(None)
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Body::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// Bytes as they come; `length` is what the client was promised.
    pub(crate) fn arriving(pieces: mpsc::Receiver<io::Result<Bytes>>, length: Option<u64>) -> Self {
        Body::Arriving(ArrivingBody { pieces, left: length })
    }

    /// `length` bytes that come from elsewhere.
    pub(crate) fn stream(stream: BoxStream<'static, io::Result<Bytes>>, length: u64) -> Self {
        Body::Stream(StreamBody { stream: Mutex::new(stream), left: length })
    }

    /// Part of a file, sent by the kernel where the connection can do that.
    pub(crate) fn file(file: Arc<File>, range: Range<u64>, kernel: Option<&KernelQueue>) -> io::Result<Self> {
        let length = range.end - range.start;
        if length <= INLINE_BYTES {
            return read(&file, range.start, length).map(Self::full);
        }
        Ok(match kernel {
            Some(queue) => Body::Kernel(KernelBody::new(queue, file, range)),
            None => Body::File(FileBody { file, range, ahead: None }),
        })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Body::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::File(file) => file.poll_chunk(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
            Body::Stream(stream) => stream.poll_bytes(context).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data))),
            Body::Kernel(kernel) => Poll::Ready(kernel.next_frame().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Arriving(arriving) => {
                arriving.poll_piece(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        if let Body::Arriving(ArrivingBody { left: None, .. }) = self {
            return SizeHint::default();
        }
        SizeHint::with_exact(match self {
            Body::Arriving(arriving) => arriving.left.unwrap_or(0),
            Body::Full(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Body::File(file) => file.left(),
            Body::Kernel(kernel) => kernel.left(),
            Body::Stream(stream) => stream.left,
        })
    }
}

/// Passes bytes on as they come.
#[derive(Debug)]
pub(crate) struct ArrivingBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// What is still to come, where it is known.
    left: Option<u64>,
}

impl ArrivingBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(context));
        if let (Some(Ok(bytes)), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(piece)
    }
}

/// Passes on bytes from elsewhere, as many as were announced.
pub(crate) struct StreamBody {
    /// Never locked: it makes the stream one that may be referred to from several threads.
    stream: Mutex<BoxStream<'static, io::Result<Bytes>>>,
    /// What was not handed out yet.
    left: u64,
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "StreamBody({} bytes left)", self.left)
    }
}

impl StreamBody {
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes = match ready!(stream.poll_next_unpin(context)).transpose()? {
            Some(bytes) => bytes,
            None if self.left == 0 => return Poll::Ready(None),
            None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(io::Error::other("an object is longer than it was")))),
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// Streams part of a file.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    /// What was not handed out yet.
    range: Range<u64>,
    /// The next chunk, being read.
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let start = self.range.start;
        let ahead = self.ahead.get_or_insert_with(|| read_ahead(&self.file, start, self.range.end));
        let chunk = ready!(Pin::new(ahead).poll(context)).map_err(io::Error::other).flatten();
        self.ahead = None;
        if let Ok(chunk) = &chunk {
            self.range.start += chunk.len() as u64;
            if self.left() > 0 {
                self.ahead = Some(read_ahead(&self.file, self.range.start, self.range.end));
            }
        }
        Poll::Ready(Some(chunk))
    }
}

fn read_ahead(file: &Arc<File>, start: u64, end: u64) -> JoinHandle<io::Result<Bytes>> {
    let (file, length) = (Arc::clone(file), CHUNK_BYTES.min(end - start));
    tokio::task::spawn_blocking(move || read(&file, start, length))
}

/// Reads exactly `length` bytes, at most [`CHUNK_BYTES`].
fn read(file: &File, start: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes.into())
}
