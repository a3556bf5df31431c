//! Layers that are made: of a tar that a user has, of all layers of an image.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use dhow_base::{Error, Kind, Result, fs, limits, threads};
use dhow_content::LocalBlob;
use dhow_layer::erofs::FileStorage;
use dhow_layer::{Compression, Decoder, Layers, Limits, check_tar, decode_error, encode};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest, MediaType};

use crate::made::{Hashing, HashingReader, Proving};

/// A tar that is to become a layer, compressed or not.
#[derive(Debug)]
pub struct LayerFile {
    /// Where it is, as the user says it.
    pub path: PathBuf,
    /// The open file, or a pipe.
    pub file: File,
}

impl LayerFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none; those of opening it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(format_args!("cannot open layer {path:?}"), error))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

/// A layer that lies in a file.
#[derive(Clone, Debug)]
pub(crate) struct NewLayer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) blob: LocalBlob,
}

impl NewLayer {
    /// The same with the media type of OCI's family or docker's. For zstd it is always OCI's, as crane has it: docker's word is
    /// one that few know.
    pub(super) fn in_family(mut self, is_oci: bool) -> Self {
        if !is_oci && self.descriptor.media_type == MediaType::OciLayerGzip {
            self.descriptor.media_type = MediaType::DockerLayerGzip;
        }
        self
    }
}

/// Makes a layer of a tar. The tar stays byte for byte, and so does its compression if it has one; else it gets gzip.
///
/// # Errors
/// [`Kind::Invalid`] for what is no tar, [`Kind::Unsupported`] for compressions that layers do not have; those of files.
pub(super) fn new_layer(file: &LayerFile, directory: &Path) -> Result<NewLayer> {
    let named = |error: Error| error.context(format_args!("layer {:?}", file.path));
    let blob = input(file, directory).map_err(named)?;
    let (compression, diff_id) = proven(&blob).map_err(named)?;
    let media_type = if compression == Compression::Zstd { MediaType::OciLayerZstd } else { MediaType::OciLayerGzip };
    let (digest, blob) = match compression {
        Compression::Gzip | Compression::Zstd => (digest_of(&blob).map_err(named)?, blob),
        Compression::None => compressed(&blob, directory).map_err(named)?,
        other => {
            let message = format!("layer {:?} is compressed with {other}, which no layer is", file.path);
            return Err(Error::new(Kind::Unsupported, message).with_hint("inflate it, or use gzip or zstd"));
        }
    };
    Ok(NewLayer { descriptor: Descriptor::new(media_type, digest, blob.length), diff_id, blob })
}

/// The file itself, or what comes out of a pipe.
fn input(file: &LayerFile, directory: &Path) -> Result<LocalBlob> {
    let metadata = file.file.metadata().map_err(|error| Error::io("cannot read it", error))?;
    let handle = crate::made::handle(&file.file)?;
    if metadata.is_file() {
        let length = metadata.len();
        return Ok(LocalBlob { file: Arc::new(handle), path: file.path.clone(), offset: 0, length });
    }
    if metadata.is_dir() {
        let message = "it is a directory";
        return Err(Error::new(Kind::Invalid, message).with_hint("a layer is a tar: tar -cf layer.tar -C DIRECTORY ."));
    }
    let target = dhow_layout::nameless_file(directory)?;
    let mut hashing = Hashing::new(crate::made::handle(&target)?);
    let count = io::copy(&mut handle.take(limits::BLOB_BYTES_MAX + 1), &mut hashing)
        .map_err(|error| Error::io("cannot read it", error))?;
    if count > limits::BLOB_BYTES_MAX {
        return Err(Error::new(Kind::LimitExceeded, "it is too long"));
    }
    let (_, length) = hashing.finish()?;
    Ok(LocalBlob { file: Arc::new(target), path: file.path.clone(), offset: 0, length })
}

fn reader(blob: &LocalBlob) -> impl Read + '_ {
    fs::Cursor::new(&blob.file, blob.offset).take(blob.length)
}

/// Reads a tar through: how it is compressed, and its diff ID.
fn proven(blob: &LocalBlob) -> Result<(Compression, Digest)> {
    let failed = |error| decode_error("cannot read it", error);
    let decoder = Decoder::new(reader(blob), Limits::LAYER).map_err(failed)?;
    let mut hashing = HashingReader::new(decoder, Algorithm::Sha256);
    check_tar(&mut hashing).map_err(|error| match error.kind() {
        Kind::Corrupt => Error::new(Kind::Invalid, error.to_string()),
        _ => error,
    })?;
    let (decoder, diff_id) = hashing.finish();
    if decoder.bytes_out() == 0 {
        return Err(Error::new(Kind::Invalid, "it is empty").with_hint("a tar of nothing has 1024 zero bytes"));
    }
    Ok((decoder.compression(), diff_id))
}

fn digest_of(blob: &LocalBlob) -> Result<Digest> {
    let mut hashing = Hashing::new(io::sink());
    io::copy(&mut reader(blob), &mut hashing).map_err(|error| Error::io("cannot read it", error))?;
    Ok(hashing.finish()?.0)
}

fn compressed(blob: &LocalBlob, directory: &Path) -> Result<(Digest, LocalBlob)> {
    let target = dhow_layout::nameless_file(directory)?;
    let mut hashing = Hashing::new(crate::made::handle(&target)?);
    encode(reader(blob), &mut hashing, Compression::Gzip).map_err(|error| Error::io("cannot compress it", error))?;
    let (digest, length) = hashing.finish()?;
    Ok((digest, LocalBlob { file: Arc::new(target), path: "a new layer".into(), offset: 0, length }))
}

/// Layers of an image, each proven as it is read.
#[derive(Debug)]
struct Stack {
    layers: Vec<(Descriptor, LocalBlob)>,
}

impl Layers for Stack {
    fn count(&self) -> usize {
        self.layers.len()
    }

    fn open(&self, layer: usize) -> Result<Box<dyn Read + '_>> {
        let (descriptor, blob) = &self.layers[layer];
        let decoder = Proving::inflated(blob, descriptor)
            .map_err(|error| decode_error(format_args!("cannot read layer {}", descriptor.digest), error))?;
        Ok(Box::new(BufReader::with_capacity(256 << 10, decoder)))
    }
}

/// Makes one layer of many, the lowest first.
///
/// # Errors
/// Those of reading layers, and [`Kind::Corrupt`] for layers that are no tars.
pub(crate) fn flat_layer(layers: Vec<(Descriptor, LocalBlob)>, is_oci: bool, directory: &Path) -> Result<NewLayer> {
    let stack = Stack { layers };
    let by_names = |writer: &mut dyn Write| dhow_layer::flatten(&stack, writer);
    let by_files = |writer: &mut dyn Write| {
        let scratch = || Ok(FileStorage::new(fs::unnamed_file(directory)?, directory));
        dhow_layer::flatten_files(&stack, &scratch, writer).map(|()| true)
    };
    let made = match written(directory, &by_names)? {
        Some(made) => made,
        None => {
            written(directory, &by_files)?.ok_or_else(|| Error::new(Kind::Internal, "nothing came of flattening"))?
        }
    };
    Ok(made.in_family(is_oci))
}

/// Keeps what is written as a layer, unless who writes it says that it is of no use.
///
/// # Errors
/// Those of writing, and of temporary files.
pub(crate) fn written(
    directory: &Path,
    write: &(dyn Fn(&mut dyn Write) -> Result<bool> + Sync),
) -> Result<Option<NewLayer>> {
    let target = dhow_layout::nameless_file(directory)?;
    let mut packed = Hashing::new(crate::made::handle(&target)?);
    let (reader, writer) = io::pipe().map_err(|error| Error::io("cannot make a pipe", error))?;
    let flattened = thread::scope(|scope| {
        let flattening = threads::start_in(scope, "flatten", || {
            let mut hashing = Hashing::new(writer);
            Ok::<_, Error>(if write(&mut hashing)? { Some(hashing.finish()?.0) } else { None })
        })?;
        // When flattening fails, its end of the pipe is closed, and what was compressed so far is thrown away.
        let encoded = encode(reader, &mut packed, Compression::Gzip);
        let flattened = flattening.join().map_err(|_| Error::new(Kind::Internal, "the flattening thread panicked"));
        encoded.map_err(|error| Error::io("cannot compress the layer", error))?;
        flattened?
    });
    let Some(diff_id) = flattened? else { return Ok(None) };
    let (digest, length) = packed.finish()?;
    let blob = LocalBlob { file: Arc::new(target), path: "a new layer".into(), offset: 0, length };
    Ok(Some(NewLayer { descriptor: Descriptor::new(MediaType::OciLayerGzip, digest, length), diff_id, blob }))
}
