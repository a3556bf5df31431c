//! A body held to the length it must have.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;
use futures::Stream;

/// Passes on exactly `length` bytes. More are [`Kind::Corrupt`]; fewer are [`Kind::Unavailable`], since asking for the
/// rest may bring it.
#[derive(Debug)]
pub(crate) struct Exact<S> {
    stream: Pin<Box<S>>,
    digest: Digest,
    length: u64,
    left: u64,
    /// Bytes that come before the wanted ones.
    skip: u64,
    /// Whether bytes may follow the wanted ones; they are not read.
    cut: bool,
    finished: bool,
}

impl<S> Exact<S> {
    pub(crate) fn new(stream: S, digest: Digest, length: u64) -> Self {
        Self { stream: Box::pin(stream), digest, length, left: length, skip: 0, cut: false, finished: false }
    }

    /// The stream has `skip` bytes before those wanted, and with `cut` any number behind.
    pub(crate) fn skipping(self, skip: u64, cut: bool) -> Self {
        Self { skip, cut, ..self }
    }

    fn accept(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>> {
        let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        bytes.advance(skipped);
        self.skip -= skipped as u64;
        if bytes.len() as u64 > self.left {
            if !self.cut {
                let message = format!("{}: more bytes came than the {} asked for", self.digest, self.length);
                return Err(Error::new(Kind::Corrupt, message));
            }
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left -= bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn end(&self) -> Option<Error> {
        let message = format!("{}: the answer ended {} bytes early", self.digest, self.left);
        (self.left > 0).then(|| Error::new(Kind::Unavailable, message))
    }
}

impl<S: Stream<Item = Result<Bytes>>> Stream for Exact<S> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.finished || (self.cut && self.left == 0) {
                return Poll::Ready(None);
            }
            let outcome = match ready!(self.stream.as_mut().poll_next(context)) {
                Some(Ok(bytes)) => self.accept(bytes),
                Some(Err(error)) => Err(error.context(&self.digest)),
                None => {
                    self.finished = true;
                    return Poll::Ready(self.end().map(Err));
                }
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Err(error) => {
                    self.finished = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::{StreamExt, stream};

    use super::*;

    fn run(chunks: &[&'static str], length: u64, skip: u64, cut: bool) -> (String, Option<Kind>) {
        let stream =
            stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect::<Vec<_>>());
        let mut exact = Exact::new(stream, Digest::sha256(b""), length).skipping(skip, cut);
        let mut text = String::new();
        while let Some(item) = block_on(exact.next()) {
            match item {
                Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(error) => return (text, Some(error.kind())),
            }
        }
        (text, None)
    }

    #[test]
    fn lengths_are_held() {
        assert_eq!(run(&["ab", "", "c"], 3, 0, false), ("abc".into(), None));
        assert_eq!(run(&["ab", "cd"], 3, 0, false), ("ab".into(), Some(Kind::Corrupt)));
        assert_eq!(run(&["ab"], 3, 0, false), ("ab".into(), Some(Kind::Unavailable)));
        assert_eq!(run(&["abc", "def"], 2, 2, true), ("cd".into(), None));
        assert_eq!(run(&["a", "b", "c", "d"], 1, 2, true), ("c".into(), None));
        assert_eq!(run(&[], 0, 0, false), (String::new(), None));
    }
}
