//! The layers of a docker archive: what they are compressed with, and the digests they go by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read;
use std::num::NonZero;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use dhow_base::{Error, Kind, Result, fs, threads};
use dhow_content::LocalBlob;
use dhow_layer::{Compression, Limits, uncompressed_digest};
use dhow_spec::digest::Hasher;
use dhow_spec::layout::BLOBS_DIRECTORY;
use dhow_spec::{Algorithm, Digest, MediaType};

use crate::members::Members;
use crate::spool::{compression_of, spool};

/// A layer as an image of the archive uses it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Digest of the bytes as they lie in the archive.
    pub(super) digest: Digest,
    /// Digest that the config gives for the uncompressed bytes.
    pub(super) diff_id: Digest,
    pub(super) compression: Compression,
    pub(super) blob: LocalBlob,
}

impl Layer {
    /// Its media type among docker's or OCI's; nothing when that family has none.
    pub(super) fn media_type(&self, docker: bool) -> Option<MediaType> {
        match (self.compression, docker) {
            (Compression::None, true) => Some(MediaType::DockerLayer),
            (Compression::Gzip, true) => Some(MediaType::DockerLayerGzip),
            (Compression::None, false) => Some(MediaType::OciLayer),
            (Compression::Gzip, false) => Some(MediaType::OciLayerGzip),
            (Compression::Zstd, false) => Some(MediaType::OciLayerZstd),
            _ => None,
        }
    }

    pub(super) fn unsupported(&self) -> Error {
        let message = format!("layer {} is compressed with {}", self.diff_id, self.compression);
        Error::new(Kind::Unsupported, message)
    }
}

/// The files that layers are, each looked at once however many images share it.
pub(super) struct LayerTable<'a> {
    members: &'a Members,
    spool_dir: &'a Path,
    /// By offset in the archive, which identifies a member whatever links lead to it.
    files: HashMap<u64, LayerFile>,
}

struct LayerFile {
    compression: Compression,
    blob: LocalBlob,
    /// Digest of the bytes, where the diff ID is not the same and a name tells it, or once it is worked out.
    digest: Option<Digest>,
    /// Digest of the uncompressed bytes, once it is worked out.
    diff_id: Option<Digest>,
    /// Whether no config tells the diff ID.
    diff_id_wanted: bool,
}

impl<'a> LayerTable<'a> {
    pub(super) fn new(members: &'a Members, spool_dir: &'a Path) -> Self {
        Self { members, spool_dir, files: HashMap::new() }
    }

    /// Takes up layer `number` (from 0) of an image whose config tells its diff ID.
    pub(super) fn add(&mut self, number: usize, path: &str, diff_id: &Digest) -> Result<()> {
        let file = self.file(path).map_err(|error| error.context(format_args!("layer {number}")))?;
        match digest_in_name(path) {
            Some(named) if file.compression == Compression::None && named != *diff_id => {
                Err(wrong_diff_id(number, diff_id, &named))
            }
            _ => Ok(()),
        }
    }

    /// Takes up a layer whose diff ID nothing tells.
    pub(super) fn add_unknown(&mut self, path: &str) -> Result<()> {
        self.file(path)?.diff_id_wanted = true;
        Ok(())
    }

    /// The file of a layer. One in a format that no media type exists for is taken uncompressed, which is what its diff
    /// ID is over.
    fn file(&mut self, path: &str) -> Result<&mut LayerFile> {
        let mut blob = self.members.find(path)?;
        match self.files.entry(blob.offset) {
            Entry::Occupied(file) => Ok(file.into_mut()),
            Entry::Vacant(vacant) => {
                let mut compression = compression_of(&blob)?;
                if matches!(compression, Compression::Bzip2 | Compression::Xz) {
                    blob = spool(reader(&blob), &blob.path, self.spool_dir)?;
                    compression = Compression::None;
                }
                let digest = digest_in_name(path).filter(|_| compression != Compression::None);
                Ok(vacant.insert(LayerFile { compression, blob, digest, diff_id: None, diff_id_wanted: false }))
            }
        }
    }

    /// Works out the digests that nothing tells, on all cores.
    pub(super) fn work_out_digests(&mut self) -> Result<()> {
        let unknown: Vec<&mut LayerFile> = self.files.values_mut().filter(|file| file.is_unknown()).collect();
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(unknown.len());
        let queue = Mutex::new(unknown.into_iter());
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(file) = next else { return Ok(()) };
                file.work_out()?;
            }
        };
        thread::scope(|scope| {
            // This thread is one of them, and alone where there may be no more.
            let others: Vec<_> = (1..workers).map_while(|_| threads::start_in(scope, "hash", work).ok()).collect();
            work().and(others.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a hashing thread panicked")))
            }))
        })
    }

    /// The layer at `path` of an image whose config gives it `diff_id`.
    pub(super) fn layer(&mut self, path: &str, diff_id: &Digest) -> Result<Layer> {
        let file = self.file(path)?;
        let digest = file.digest.clone().unwrap_or_else(|| diff_id.clone());
        Ok(Layer { digest, diff_id: diff_id.clone(), compression: file.compression, blob: file.blob.clone() })
    }

    /// The diff ID that was worked out for the layer at `path`.
    pub(super) fn diff_id(&mut self, path: &str) -> Result<Digest> {
        let unknown = || Error::new(Kind::Internal, format!("the diff ID of {path:?} was not worked out"));
        self.file(path)?.diff_id.clone().ok_or_else(unknown)
    }
}

impl LayerFile {
    fn is_unknown(&self) -> bool {
        self.diff_id_wanted || (self.compression != Compression::None && self.digest.is_none())
    }

    fn work_out(&mut self) -> Result<()> {
        if self.compression != Compression::None && self.digest.is_none() {
            self.digest = Some(sha256_of(&self.blob)?);
        }
        if self.diff_id_wanted {
            self.diff_id = Some(uncompressed_digest(reader(&self.blob), Limits::LAYER)?.diff_id);
        }
        Ok(())
    }
}

/// Finds the first layer that does not inflate to its diff ID.
pub(super) fn first_mismatch(layers: &[Layer]) -> Option<Error> {
    layers.iter().enumerate().find_map(|(number, layer)| {
        match uncompressed_digest(reader(&layer.blob), Limits::LAYER) {
            Ok(found) if found.diff_id == layer.diff_id => None,
            Ok(found) => Some(wrong_diff_id(number, &layer.diff_id, &found.diff_id)),
            Err(error) => Some(error.context(format_args!("layer {number}"))),
        }
    })
}

fn wrong_diff_id(number: usize, expected: &Digest, found: &Digest) -> Error {
    let message = format!("invalid diffID for layer {number}: expected \"{expected}\", got \"{found}\"");
    Error::new(Kind::Corrupt, message)
}

/// The digest of a member that is named as in an OCI layout.
fn digest_in_name(path: &str) -> Option<Digest> {
    let hex = path.strip_prefix(BLOBS_DIRECTORY)?.strip_prefix("/sha256/")?;
    Digest::parse(&format!("sha256:{hex}")).ok()
}

fn reader(blob: &LocalBlob) -> impl Read + '_ {
    fs::Cursor::new(&blob.file, blob.offset).take(blob.length)
}

fn sha256_of(blob: &LocalBlob) -> Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut chunk = vec![0; 256 << 10];
    let mut reader = reader(blob);
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&chunk[..count]),
            Err(error) => return Err(Error::io(format_args!("cannot read {:?}", blob.path), error)),
        }
    }
}
