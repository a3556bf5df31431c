//! From a layer's tar stream to its file before anybody knows what the layer is, and what lies below it: while it arrives.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;
use dhow_spec::digest::Algorithm;

use super::below::Below;
use super::convert::Tee;
use super::inode::Attributes;
use super::ranges::Ranges;
use super::storage::{ReadAt, Storage};
use super::union::UnionNode;
use super::writer::LayerWriter;
use crate::decode_error;
use crate::diff_id::hashed_beside;
use crate::tar::{TarLimits, TarReader};

/// Most entries of a layer whose outline is made as it passes: what is known of them stays in memory until it has passed.
const OUTLINED_ENTRIES_MAX: usize = 1 << 15;

/// What is made of a layer as it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Its file, with all of its tar.
    File,
    /// Its [outline](super::outline()), without content.
    Outline,
}

/// A layer that passed.
#[derive(Debug)]
pub struct Passed {
    /// The digest of all its bytes.
    pub diff_id: Digest,
    /// How many there were.
    pub tar_bytes: u64,
    /// Whether the target is its file, or its outline, now. If not, that may be because something is needed from the layers below, which may
    /// not be there yet; because the stream is no layer; or because the target could not be written.
    pub made: Result<()>,
    /// Whether only the layers below are missing: the target of a file holds the whole tar, and
    /// [`convert_kept`](super::convert_kept) makes its file of that.
    pub needs_below: bool,
}

/// Works out the digest of an uncompressed stream and, if it is a layer that says everything itself, writes what is to be made of it.
///
/// The digest is worked out to the end whatever becomes of the file: the stream passes only once.
///
/// # Errors
/// Those of reading the stream, [`decode_error`]'s; [`Kind::Internal`].
pub fn convert_passing<S: Storage>(
    stream: impl Read,
    algorithm: Algorithm,
    form: Form,
    target: &mut S,
    scratch: &dyn Fn() -> Result<S>,
) -> Result<Passed> {
    let mut stream = Noting { stream, failed: None };
    let mut lenient = Lenient { target, failed: None };
    let below = Unknown::default();
    let mut writer = LayerWriter::new(&below, scratch);
    let ((tar_bytes, noted), diff_id) = hashed_beside(algorithm, |sender| {
        let target = (form == Form::File).then_some(&mut lenient);
        let mut tee = Tee::new(&mut stream, target, sender);
        let noted = note_all(&mut tee, &mut writer, form);
        let drained = tee.drain();
        Ok((tee.passed(), noted.and(drained)))
    })?;
    if let Some(error) = stream.failed {
        return Err(decode_error("cannot inflate layer", error));
    }
    writer.content = (form == Form::Outline).then(Ranges::default);
    let finished = noted.and_then(|()| writer.finish(&mut lenient, tar_bytes, &diff_id));
    let needs_below = lenient.failed.is_none() && below.is_asked();
    let made = match (lenient.failed, finished) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(_)) => Ok(()),
    };
    Ok(Passed { diff_id, tar_bytes, made, needs_below })
}

fn note_all<S: Storage>(stream: impl BufRead, writer: &mut LayerWriter<'_, S>, form: Form) -> Result<()> {
    let mut reader = TarReader::new(stream, "layer", TarLimits::LAYER);
    let mut entries: usize = 0;
    while let Some(entry) = reader.next_entry()? {
        writer.entry(entry)?;
        entries += 1;
        if form == Form::Outline && entries > OUTLINED_ENTRIES_MAX {
            return Err(Error::new(Kind::LimitExceeded, "the layer has too many entries to be outlined as it passes"));
        }
    }
    reader.finish()?;
    Ok(())
}

/// Keeps why a stream failed: an error goes through the tar reader as text.
struct Noting<R> {
    stream: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.failed.get_or_insert(error);
                Err(io::Error::other("the stream failed"))
            }
            other => other,
        }
    }
}

/// Keeps why the target could not be written, and lets the stream pass all the same.
struct Lenient<'a, S> {
    target: &'a mut S,
    failed: Option<Error>,
}

impl<S: ReadAt> ReadAt for Lenient<'_, S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.target.read_at(buffer, offset)
    }
}

impl<S: Storage> Lenient<'_, S> {
    fn attempt(&mut self, write: impl FnOnce(&mut S) -> Result<()>) -> Result<()> {
        if self.failed.is_none() {
            self.failed = write(self.target).err();
        }
        Ok(())
    }
}

impl<S: Storage> Storage for Lenient<'_, S> {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.attempt(|target| target.write_at(bytes, offset))
    }

    fn set_length(&mut self, length: u64) -> Result<()> {
        self.attempt(|target| target.set_length(length))
    }
}

/// The layers below when nobody knows them.
#[derive(Default)]
pub(super) struct Unknown {
    is_asked: Cell<bool>,
}

impl Unknown {
    /// Whether something was needed from them.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    fn refuse<T>(&self) -> Result<T> {
        self.is_asked.set(true);
        Err(Error::new(Kind::Unavailable, "the layer takes something from the layers below, which are not known yet"))
    }
}

impl Below for Unknown {
    fn directory(&self, _: &[u8]) -> Result<Option<Attributes>> {
        self.refuse()
    }

    fn root(&self) -> Result<Option<UnionNode>> {
        self.refuse()
    }

    fn child(&self, _: &UnionNode, _: &[u8]) -> Result<Option<UnionNode>> {
        self.refuse()
    }

    fn read(&self, _: &UnionNode, _: &mut [u8], _: u64) -> Result<usize> {
        self.refuse()
    }

    fn attributes(&self, _: &UnionNode) -> Result<Attributes> {
        self.refuse()
    }

    fn target(&self, _: &UnionNode) -> Result<Vec<u8>> {
        self.refuse()
    }
}
