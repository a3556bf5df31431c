//! The proof that bytes are what a descriptor says. Nothing becomes content without it.

use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::Hasher;
use dhow_spec::{Descriptor, Digest, Document};

/// Checks a stream of bytes against a descriptor, as they pass.
#[derive(Clone, Debug)]
pub struct Verifier {
    digest: Digest,
    size: u64,
    seen: u64,
    hasher: Hasher,
}

impl Verifier {
    /// Expects the bytes of `descriptor`.
    pub fn new(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            seen: 0,
            hasher: Hasher::new(descriptor.digest.algorithm()),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] as soon as there are more bytes than announced.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen += bytes.len() as u64;
        if self.seen > self.size {
            let message = format!("{} is longer than the {} bytes announced", self.digest, self.size);
            return Err(Error::new(Kind::Corrupt, message));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Bytes taken so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Ends the stream and proves it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when size or digest differ.
    pub fn finish(self) -> Result<Verified> {
        if self.seen != self.size {
            let message = format!("{} has {} bytes, {} were announced", self.digest, self.seen, self.size);
            return Err(Error::new(Kind::Corrupt, message));
        }
        let found = self.hasher.finish();
        if found != self.digest {
            return Err(Error::new(Kind::Corrupt, format!("digest mismatch: expected {}, got {found}", self.digest)));
        }
        Ok(Verified { digest: self.digest, size: self.size })
    }
}

/// Proof that bytes with this digest and size were seen. Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    digest: Digest,
    size: u64,
}

impl Verified {
    /// The proven digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The proven length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A manifest or index whose bytes were proven against the descriptor it came by.
#[derive(Clone, Debug)]
pub struct VerifiedDocument {
    descriptor: Descriptor,
    document: Document,
}

impl VerifiedDocument {
    /// The descriptor it was proven against.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The parsed document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        self.document.bytes()
    }
}

/// Proves and parses a document.
///
/// # Errors
/// [`Kind::Corrupt`] when size or digest differ, or when the document can be read two ways; [`Kind::Unsupported`] for
/// schema 1.
pub fn verify_document(bytes: Vec<u8>, descriptor: &Descriptor) -> Result<VerifiedDocument> {
    let mut verifier = Verifier::new(descriptor);
    verifier.update(&bytes)?;
    verifier.finish()?;
    let document = Document::parse(bytes, &descriptor.media_type)
        .map_err(|error| Error::from(error).context(format_args!("manifest {}", descriptor.digest)))?;
    Ok(VerifiedDocument { descriptor: descriptor.clone(), document })
}
