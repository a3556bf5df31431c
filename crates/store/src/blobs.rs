//! The rows that vouch for the files below `blobs/`.
//!
//! A file there is trusted only through its row. A row says whether the file was flushed; if it was not, it is only
//! trusted within the run of the machine that wrote it, because a power cut may have kept the name and lost the bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result, priority};
use dhow_content::{Verified, VerifiedDocument, Verifier};
use dhow_spec::{Descriptor, Digest};
use rusqlite::{Connection, OptionalExtension};

use crate::db::Step;
use crate::store::{Store, from_row, to_row};

/// Files are hashed in pieces of this many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// What shows that bytes are those of a digest.
pub(crate) trait Proof {
    /// The digest and the length in bytes.
    fn proven(&self) -> (&Digest, u64);
}

impl Proof for Verified {
    fn proven(&self) -> (&Digest, u64) {
        (self.digest(), self.size())
    }
}

impl Proof for VerifiedDocument {
    fn proven(&self) -> (&Digest, u64) {
        (&self.descriptor().digest, self.descriptor().size)
    }
}

/// The size of a blob whose row is trusted; the file is not looked at.
pub(crate) fn trusted_size(connection: &Connection, digest: &Digest, boot: &str) -> Step<Option<u64>> {
    let sql = "SELECT size FROM blob WHERE digest = ?1 AND (flushed = 1 OR boot = ?2)";
    let size = connection.prepare_cached(sql)?.query_row((digest.as_str(), boot), |row| row.get(0)).optional()?;
    Ok(size.map(from_row))
}

impl Store {
    /// Whether a blob or document is here and can be trusted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        Ok(self.blob_size(digest)?.is_some())
    }

    /// The length in bytes of a blob that is here and can be trusted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let Some(size) = self.read_rows(|connection| trusted_size(connection, digest, self.boot()))? else {
            return Ok(None);
        };
        let on_disk = self.paths().blob(digest).metadata();
        Ok(on_disk.is_ok_and(|metadata| metadata.len() == size).then_some(size))
    }

    /// Whether what a descriptor names is here.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when content with its digest has another size.
    pub(crate) fn holds_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        match self.blob_size(&descriptor.digest)? {
            None => Ok(false),
            Some(size) if size == descriptor.size => Ok(true),
            Some(size) => {
                let message = format!("{} has {size} bytes, {} were announced", descriptor.digest, descriptor.size);
                Err(Error::new(Kind::Corrupt, message))
            }
        }
    }

    /// Vouches for content that was just renamed into `blobs/`. Takes the proof that it is what its name says.
    pub(crate) fn vouch(&self, proof: &impl Proof) -> Result<()> {
        self.write_row(proof, "TRUE")
    }

    /// Vouches for content that was found in `blobs/`, unless somebody has meanwhile: that may be flushed, and named.
    fn vouch_found(&self, proof: &impl Proof) -> Result<()> {
        self.write_row(proof, "blob.flushed = 0 AND blob.boot <> excluded.boot")
    }

    /// Writes a row of content that is not flushed yet, over one that is there under a condition in SQL.
    fn write_row(&self, proof: &impl Proof, replaces: &str) -> Result<()> {
        let sql = format!(
            "INSERT INTO blob (digest, size, flushed, boot) VALUES (?1, ?2, 0, ?3) \
             ON CONFLICT DO UPDATE SET size = excluded.size, flushed = 0, boot = excluded.boot WHERE {replaces}"
        );
        self.write_rows(|transaction| {
            let (digest, size) = proof.proven();
            transaction.prepare_cached(&sql)?.execute((digest.as_str(), to_row(size), self.boot()))?;
            Ok(())
        })
    }

    /// Looks at a file in `blobs/` that nothing vouches for: what a crash left between rename and row, or a power cut
    /// between row and flush. Right bytes are kept, others deleted. Returns whether the blob is here now.
    ///
    /// The caller holds the lock of the blob's ingest.
    pub(crate) fn adopt(&self, descriptor: &Descriptor) -> Result<bool> {
        let path = self.paths().blob(&descriptor.digest);
        let Ok(metadata) = path.metadata() else { return Ok(false) };
        if metadata.len() == descriptor.size
            && let Some(proof) = prove_file(&path, descriptor)?
        {
            self.vouch_found(&proof)?;
            return Ok(true);
        }
        tracing::warn!(digest = %descriptor.digest, "deleting a blob whose bytes are wrong");
        durable::remove_file(&path)?;
        Ok(false)
    }
}

/// Hashes a file. `None` when it is not what the descriptor says.
pub(crate) fn prove_file(path: &Path, descriptor: &Descriptor) -> Result<Option<Verified>> {
    let mut verifier = Verifier::new(descriptor);
    match hash_into(path, &mut verifier).and_then(|()| verifier.finish()) {
        Ok(proof) => Ok(Some(proof)),
        Err(error) if error.kind() == Kind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

fn hash_into(path: &Path, verifier: &mut Verifier) -> Result<()> {
    let mut file: File = durable::open(path)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer).map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))? {
            0 => return Ok(()),
            read => {
                verifier.update(&buffer[..read])?;
                priority::give_way();
            }
        }
    }
}
