//! Layers onto a directory, one above the other.
//!
//! [`Unpacker`] makes what the entries of tar streams say, beneath one root and nowhere else: a directory is opened by the
//! kernel beneath the root, and inside of it every name is used without following links. Symbolic links count only where an
//! entry's parent goes through one of its own layer, and lead where they would if the root were `/`.
//!
//! One thread reads and gives files their names, others write small files and their metadata, so that both cores of a small
//! machine have work. Directories get their rights and times when nothing is made in them any more.

mod aside;
mod directories;
mod entry;
mod failure;
mod files;
mod owners;
mod report;
mod seen;
mod way;

use std::io::BufRead;
use std::sync::Arc;

use dhow_base::beneath::{self, Dir};
use dhow_base::{Error, Result};

use crate::tar::{Entry, RelativePath, TarLimits, TarReader};

pub use owners::{IdMap, IdRange, Owners};
pub use report::{Note, Notes};

pub(crate) use owners::OVERRIDE_XATTR;

use aside::Aside;
use directories::Directories;
use files::Writers;
use seen::Seen;

/// Makes the files of layers in a directory.
#[derive(Debug)]
pub struct Unpacker {
    directories: Directories,
    writers: Writers,
    owners: Owners,
    notes: Notes,
    umask: Option<u32>,
    writes_back: bool,
    /// Whether names that begin with `.wh.` stand for removals.
    has_whiteouts: bool,
    /// Paths of the layer under way; nothing in the first one, which hides nothing.
    seen: Option<Seen>,
    /// Directories that it made where there were none.
    made: Seen,
    aside: Aside,
    /// Devices that could not be made.
    left_out: Seen,
    layers: u64,
    layer_name: Arc<str>,
    entries: u64,
}

impl Unpacker {
    /// Works in `root`, an empty directory that is nobody else's.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(root: Dir, owners: Owners) -> Result<Self> {
        let directories = Directories::new(root, owners.of_implied());
        let directories = directories.map_err(|error| Error::io("cannot use the directory", error))?;
        let notes = Notes::default();
        let writers = Writers::start(&owners, &notes)?;
        Ok(Self {
            directories,
            writers,
            owners,
            notes,
            umask: beneath::umask(),
            writes_back: false,
            has_whiteouts: true,
            seen: None,
            made: Seen::default(),
            aside: Aside::default(),
            left_out: Seen::default(),
            layers: 0,
            layer_name: Arc::from(""),
            entries: 0,
        })
    }

    /// Has the disk begin with files as they are made, for callers who flush at the end: there is then less left to wait for.
    #[must_use]
    pub fn writing_back(mut self) -> Self {
        self.writes_back = true;
        self
    }

    /// Takes names as they are: for archives that are no layers.
    #[must_use]
    pub fn without_whiteouts(mut self) -> Self {
        self.has_whiteouts = false;
        self
    }

    /// Makes all that an uncompressed layer says, above the layers before; errors call it `name`. The stream is read to its
    /// end.
    ///
    /// # Errors
    /// Those of the archive and of the operating system, with layer and entry; the directory is then good for nothing.
    pub fn layer(&mut self, stream: impl BufRead, name: &str, limits: TarLimits) -> Result<()> {
        // What is known of paths is the view of one layer: see `way`.
        self.directories.settle()?;
        self.seen = (self.layers > 0).then(Seen::default);
        self.made = Seen::default();
        self.layers += 1;
        self.layer_name = Arc::from(name);
        let reader = TarReader::new(stream, name, limits);
        let mut reader = if self.has_whiteouts { reader } else { reader.without_whiteouts() };
        while let Some(entry) = reader.next_entry()? {
            self.writers.check()?;
            self.entries += 1;
            self.apply(&entry, &mut reader, name)?;
        }
        reader.finish()?;
        self.drop_aside().map_err(|failure| failure.of_layer(name))
    }

    /// Waits for everything and gives directories their rights and times. Nothing is written to the disk on purpose: see
    /// [`Dir::sync_file_system`].
    ///
    /// # Errors
    /// The operating system's, with the entry.
    pub fn finish(mut self) -> Result<Unpacked> {
        self.writers.finish()?;
        let root = self.directories.close()?;
        Ok(Unpacked { root, notes: self.notes.take(), entries: self.entries })
    }

    /// Notes a directory that the layer under way made where there was none.
    fn has_made(&mut self, path: &RelativePath) {
        if self.seen.is_some() {
            self.made.add_alone(path);
        }
    }

    fn apply<R: BufRead>(&mut self, entry: &Entry, reader: &mut TarReader<R>, layer: &str) -> Result<()> {
        self.make(entry, reader).map_err(|failure| failure.named(layer, entry))
    }
}

/// What was made.
#[derive(Debug)]
pub struct Unpacked {
    /// The directory.
    pub root: Dir,
    /// What could not be made as the layers say.
    pub notes: Vec<Note>,
    /// Entries of all layers.
    pub entries: u64,
}
