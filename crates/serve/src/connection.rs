//! The bytes below HTTP: a connection that can send files where it is plain TCP, and gives up on peers that take nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::kernel::KernelQueue;

/// A connection to a client.
pub(crate) struct Connection {
    stream: Stream,
    kernel: KernelQueue,
    send_idle: Duration,
    /// When to give up; runs only while the peer takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
}

/// What a connection is made of.
enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Stream {
    fn poll_write_vectored(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }
}

impl Connection {
    pub(crate) fn plain(stream: TcpStream, kernel: KernelQueue, send_idle: Duration) -> Self {
        Self { stream: Stream::Plain(TokioIo::new(stream)), kernel, send_idle, patience: None }
    }

    /// Takes no stand-ins: the kernel cannot encrypt what it sends.
    pub(crate) fn tls(stream: TlsStream<TcpStream>, send_idle: Duration) -> Self {
        let stream = Stream::Tls(Box::new(TokioIo::new(stream)));
        Self { stream, kernel: KernelQueue::default(), send_idle, patience: None }
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
        let Stream::Plain(stream) = &self.stream else {
            return Poll::Ready(Err(io::Error::other("a stand-in was written to a connection with TLS")));
        };
        let stream = stream.inner();
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
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
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
            _ => this.stream.poll_write_vectored(context, &slices[..plain]),
        };
        this.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
