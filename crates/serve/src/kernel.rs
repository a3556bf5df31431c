//! Sending files without copying them through this process.
//!
//! HTTP libraries write bytes; they know no files. So a body that is part of a file hands out *stand-ins*: slices of
//! one static array that nobody ever reads, of the right length. The connection under the HTTP library knows a
//! stand-in by its address, and lets the kernel send the next bytes of the queued file in its place (`sendfile`).
//! Only plain HTTP/1.1 is served so: there the library writes every byte as it is and in order.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::Advice;

/// Length of one stand-in, in bytes: how much of a body is under way at once.
const STAND_IN_BYTES: usize = 4 << 20;

/// Stands for bytes of files. It is never read, so it takes address space only: neither memory nor, as a constant
/// would, room in the program's file.
static STAND_IN: LazyLock<&'static [u8]> = LazyLock::new(|| Box::leak(vec![0; STAND_IN_BYTES].into_boxed_slice()));

/// The parts of files that one connection has stand-ins for, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct KernelQueue(Arc<Mutex<VecDeque<Segment>>>);

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    range: Range<u64>,
}

impl KernelQueue {
    /// Whether `bytes` stand for part of a file.
    pub(crate) fn is_stand_in(bytes: &[u8]) -> bool {
        STAND_IN.as_ptr_range().contains(&bytes.as_ptr()) && !bytes.is_empty()
    }

    /// Sends up to `length` bytes of the next file; returns how many were taken.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::UnexpectedEof`] when the file is shorter than it was.
    pub(crate) fn send(&self, socket: impl AsFd, length: usize) -> io::Result<usize> {
        let mut segments = self.lock();
        let Some(segment) = segments.front_mut() else {
            return Err(io::Error::other("a stand-in was written that no file is queued for"));
        };
        let left = segment.range.end - segment.range.start;
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let sent = rustix::fs::sendfile(socket, &*segment.file, Some(&mut segment.range.start), length)?;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was being sent"));
        }
        if segment.range.is_empty() {
            segments.pop_front();
        }
        Ok(sent)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is part of a file.
#[derive(Debug)]
pub(crate) struct KernelBody {
    queue: KernelQueue,
    file: Arc<File>,
    /// What was not handed out yet.
    range: Range<u64>,
}

impl KernelBody {
    pub(crate) fn new(queue: &KernelQueue, file: Arc<File>, range: Range<u64>) -> Self {
        let body = Self { queue: queue.clone(), file, range };
        body.read_ahead();
        body
    }

    /// Has the system read what is sent after the current piece, so that sending seldom waits for the disk: it would
    /// keep a thread of the runtime waiting. Only advice, so nothing is lost where it is not taken.
    fn read_ahead(&self) {
        if let Some(length) = NonZeroU64::new(self.left().min(STAND_IN_BYTES as u64)) {
            let _ = rustix::fs::fadvise(&*self.file, self.range.start, Some(length), Advice::WillNeed);
        }
    }

    pub(crate) fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Queues the next bytes of the file and returns what stands for them; nothing at the end.
    pub(crate) fn next_frame(&mut self) -> Option<Bytes> {
        let length = self.left().min(STAND_IN_BYTES as u64);
        if length == 0 {
            return None;
        }
        let range = self.range.start..self.range.start + length;
        self.range.start = range.end;
        self.read_ahead();
        self.queue.lock().push_back(Segment { file: Arc::clone(&self.file), range });
        Some(Bytes::from_static(&STAND_IN[..usize::try_from(length).unwrap_or(STAND_IN_BYTES)]))
    }
}
