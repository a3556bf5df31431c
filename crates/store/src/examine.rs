//! A second look at content that came out wrong when it was read.
//!
//! Reading proves digests, so that whoever reads finds damage that no size shows. What is found is moved aside there and then:
//! as long as a row vouches for it, a pull or load takes it for present and mends nothing.

use std::collections::HashSet;
use std::fmt;

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Digest};

use crate::blobs::trusted_size;
use crate::check::{Aside, Fault, fault, fault_of_file, set_aside_damaged};
use crate::read::MEND;
use crate::store::Store;

/// A blob or document that was stored and is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its digest.
    pub digest: Digest,
    /// What it is to the image: a layer, a config, a manifest.
    pub role: &'static str,
    /// Whether its file is gone; what is wrong with it otherwise.
    what: What,
    /// Whether it was moved to `damaged/`.
    pub is_aside: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Missing,
    Damaged(String),
}

impl fmt::Display for Damaged {
    /// What it is and what is wrong with it: `layer sha256:… is damaged in the store: its bytes are not those of its digest`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, role, what, is_aside } = self;
        match what {
            What::Missing => write!(formatter, "{role} {digest} is missing in the store"),
            What::Damaged(cause) => {
                let aside = if *is_aside { " (moved aside to damaged/)" } else { "" };
                write!(formatter, "{role} {digest} is damaged in the store: {cause}{aside}")
            }
        }
    }
}

impl Store {
    /// Looks at everything that is here of a manifest or index, to tell why reading it failed. What is damaged is moved aside
    /// where the store can be written, so that the next pull or load of it brings it again; it is kept until then.
    ///
    /// Only the suspects are hashed, which takes its time, and what is small: manifests and configs. Of the other blobs it is
    /// seen that they are there with their length.
    ///
    /// # Errors
    /// Those of the database.
    pub fn examine(&self, digest: &Digest, suspects: Suspects<'_>) -> Result<Vec<Damaged>> {
        let mut examination = Examination::new(self, suspects);
        examination.document(digest, "manifest")?;
        Ok(examination.damaged)
    }

    /// Tells an error of reading a layer as what it comes from when the layer was damaged here; other errors stay.
    pub(crate) fn told_of(&self, layer: &Digest, error: Error) -> Error {
        if !is_of_content(error.kind()) {
            return error;
        }
        let mut examination = Examination::new(self, Suspects::One(layer));
        match examination.blob(layer, "layer") {
            Ok(_) => examination.damaged.pop().map_or(error, Damaged::into_error),
            Err(second) => {
                tracing::debug!(%layer, error = %second, "cannot look at it again");
                error
            }
        }
    }
}

/// Whether an error of reading may come of damaged or missing content, so that it is worth a second look.
pub fn is_of_content(kind: Kind) -> bool {
    matches!(kind, Kind::Corrupt | Kind::NotFound | Kind::Invalid)
}

/// Which layers and other blobs a failure to read an image may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspects<'a> {
    /// Any of them.
    All,
    /// The one that the failure is about.
    One(&'a Digest),
    /// None: what failed is no question of bytes.
    None,
}

impl Damaged {
    /// The error for who wanted to read it, with the way out.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::new(Kind::Corrupt, self.to_string()).with_hint(MEND)
    }
}

struct Examination<'a> {
    store: &'a Store,
    suspects: Suspects<'a>,
    seen: HashSet<Digest>,
    damaged: Vec<Damaged>,
}

impl<'a> Examination<'a> {
    fn new(store: &'a Store, suspects: Suspects<'a>) -> Self {
        Self { store, suspects, seen: HashSet::new(), damaged: Vec::new() }
    }

    fn document(&mut self, digest: &Digest, role: &'static str) -> Result<()> {
        if !self.blob(digest, role)? {
            return Ok(());
        }
        // What is no document in spite of its digest is nothing that a repair could mend.
        let Ok(document) = self.store.document(digest) else { return Ok(()) };
        if let Some(manifest) = document.document().as_manifest() {
            self.blob(&manifest.config.digest, "config")?;
            for layer in &manifest.layers {
                self.blob(&layer.digest, if layer.media_type.is_layer() { "layer" } else { "blob" })?;
            }
        }
        let members = document.document().as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
        for Descriptor { digest, media_type, .. } in members {
            if media_type.is_document() {
                self.document(digest, "manifest")?;
            } else {
                self.blob(digest, "blob")?;
            }
        }
        Ok(())
    }

    /// Looks at one. Returns whether it is here as it should be, and was not looked at before.
    fn blob(&mut self, digest: &Digest, role: &'static str) -> Result<bool> {
        if !self.seen.insert(digest.clone()) {
            return Ok(false);
        }
        let store = self.store;
        let Some(size) = store.read_rows(|connection| trusted_size(connection, digest, store.boot()))? else {
            return Ok(false);
        };
        let is_read = matches!(self.suspects, Suspects::All)
            || self.suspects == Suspects::One(digest)
            || matches!(role, "manifest" | "config");
        let found = if is_read { fault(store, digest, size) } else { fault_of_file(store, digest, size) };
        let Some(found) = found else { return Ok(true) };
        let (what, is_aside) = match found {
            Fault::Missing => (What::Missing, false),
            Fault::Unreadable(cause) => (What::Damaged(cause), false),
            Fault::Size(length) => {
                let cause = format!("it has {length} bytes, {size} were stored");
                (What::Damaged(cause), self.move_aside(digest, size)?)
            }
            Fault::Bytes => {
                let cause = "its bytes are not those of its digest".to_owned();
                (What::Damaged(cause), self.move_aside(digest, size)?)
            }
        };
        self.damaged.push(Damaged { digest: digest.clone(), role, what, is_aside });
        Ok(false)
    }

    /// Whether it was moved: not where nothing can be written, nor while somebody brings it anew.
    fn move_aside(&self, digest: &Digest, size: u64) -> Result<bool> {
        if !self.store.is_writable() {
            return Ok(false);
        }
        match set_aside_damaged(self.store, digest, size) {
            Err(error) if error.kind() == Kind::NoSpace => Ok(false),
            aside => Ok(matches!(aside?, Aside::Done { had_file: true })),
        }
    }
}
