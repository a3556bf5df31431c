//! The bytes below HTTP: a TCP connection that can send files, and gives up on peers that take nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::kernel::KernelQueue;

/// A connection to a client.
pub(crate) struct Connection {
    stream: TokioIo<TcpStream>,
    kernel: KernelQueue,
    send_idle: Duration,
    /// When to give up; runs only while the peer takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, kernel: KernelQueue, send_idle: Duration) -> Self {
        Self { stream: TokioIo::new(stream), kernel, send_idle, patience: None }
    }

    /// Passes on the result of a write, or the end of patience.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let send_idle = self.send_idle;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(send_idle)));
        ready!(patience.as_mut().poll(context));
        patience.as_mut().reset(Instant::now() + send_idle);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no more bytes")))
    }

    fn poll_send_file(&self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let stream = self.stream.inner();
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_io(Interest::WRITABLE, || self.kernel.send(stream, length)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl Read for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl Write for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // What stands before a stand-in is written by itself; the stand-in is first in the next call then.
        let plain = slices.iter().take_while(|slice| !KernelQueue::is_stand_in(slice)).count();
        let written = match slices.first() {
            Some(first) if plain == 0 => this.poll_send_file(context, first.len()),
            _ => Pin::new(&mut this.stream).poll_write_vectored(context, &slices[..plain]),
        };
        this.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
