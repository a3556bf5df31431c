//! Reading archives: finding the images in them and serving their content in place.

mod docker;
mod layers;
mod legacy;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, fs};
use dhow_content::{ByteStream, LocalBlob, Resolve, Source};
use dhow_layer::Compression;
use dhow_spec::layout::{INDEX_FILE, OCI_LAYOUT_FILE, blob_path};
use dhow_spec::media_type::Compression as Stated;
use dhow_spec::{Descriptor, Digest, Document, ImageManifest, Reference};

use crate::directory::OciDirectory;
use crate::image::ArchiveImage;
use crate::local::{Located, check_length};
use crate::members::Members;
use crate::names::is_unpublished;
use crate::oci_index;
use crate::spool::{compression_of, spool};

/// Name of the file that lists the images of a docker archive.
const DOCKER_MANIFEST_FILE: &str = "manifest.json";

/// Where an archive comes from.
pub enum ArchiveInput {
    /// An open file, read from its current position, and its name for messages. One that is no regular file, such as a
    /// pipe, is read as a stream.
    File(File, PathBuf),
    /// Bytes that come only once, such as standard input.
    Stream(Box<dyn Read + Send>),
    /// An OCI image layout on disk.
    Directory(PathBuf),
}

impl fmt::Debug for ArchiveInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_, path) => formatter.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => formatter.write_str("Stream"),
            Self::Directory(path) => formatter.debug_tuple("Directory").field(path).finish(),
        }
    }
}

/// An archive that was opened, and the images found in it.
///
/// It takes OCI archives, docker archives of all ages, archives that are both (then the OCI side counts, because it keeps
/// every digest), each compressed in any way, and OCI directories. Content is served as it lies in the file and proven by
/// whoever receives it.
#[derive(Debug)]
pub struct Archive {
    content: Content,
    images: Vec<ArchiveImage>,
    made: Made,
}

/// Where the bytes are.
#[derive(Debug)]
enum Content {
    Tar(Members),
    Directory(OciDirectory),
}

/// What a docker archive lacks and is worked out when it is opened.
#[derive(Debug, Default)]
struct Made {
    /// Manifests made for its images.
    documents: HashMap<Digest, Bytes>,
    /// Configs and layers, which lie under names that are not their digests.
    blobs: HashMap<Digest, LocalBlob>,
    /// Of each manifest, what `manifest.json` says its layers shall be, for messages in docker's words.
    layers: HashMap<Digest, Vec<layers::Layer>>,
}

impl Archive {
    /// Opens an archive. Streams and compressed archives are inflated into a nameless file in `spool_dir` first; of a
    /// plain tar in a file only the headers are read.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is no image archive (docker's `unrecognized image format`), [`Kind::Corrupt`] when it is
    /// damaged or contradicts itself, [`Kind::LimitExceeded`], and those of reading and spooling.
    pub fn open(input: ArchiveInput, spool_dir: &Path) -> Result<Self> {
        match input {
            ArchiveInput::Directory(path) => Self::open_directory(&path),
            ArchiveInput::Stream(reader) => Self::open_tar(spool(reader, Path::new("-"), spool_dir)?, spool_dir),
            ArchiveInput::File(mut file, path) => {
                let failed = |error| Error::io(format_args!("cannot read archive {path:?}"), error);
                let metadata = file.metadata().map_err(failed)?;
                if metadata.is_dir() {
                    return Self::open_directory(&path);
                }
                if !metadata.is_file() {
                    return Self::open_tar(spool(file, &path, spool_dir)?, spool_dir);
                }
                let offset = file.stream_position().map_err(failed)?;
                let length = metadata.len().saturating_sub(offset);
                let whole = LocalBlob { file: Arc::new(file), path: path.clone(), offset, length };
                if compression_of(&whole)? == Compression::None {
                    return Self::open_tar(whole, spool_dir);
                }
                let reader = fs::Cursor::new(&whole.file, offset);
                Self::open_tar(spool(reader, &path, spool_dir)?, spool_dir)
            }
        }
    }

    fn open_directory(path: &Path) -> Result<Self> {
        let directory = OciDirectory::open(path)?;
        let images = directory.images()?;
        Ok(Self { content: Content::Directory(directory), images, made: Made::default() })
    }

    fn open_tar(archive: LocalBlob, spool_dir: &Path) -> Result<Self> {
        if archive.length == 0 {
            return Err(unrecognized().with_hint("the archive is empty"));
        }
        let members = Members::index(archive)?;
        let (images, made) = if members.contains(INDEX_FILE) && members.contains(OCI_LAYOUT_FILE) {
            (oci_index::images(&members)?, Made::default())
        } else if members.contains(DOCKER_MANIFEST_FILE) {
            docker::images(&members, spool_dir)?
        } else if legacy::is_legacy(&members) {
            legacy::images(&members, spool_dir)?
        } else {
            return Err(unrecognized().with_hint("load takes what save writes; a root file system is for import"));
        };
        let archive = Self { content: Content::Tar(members), images, made };
        archive.check_roots()?;
        Ok(archive)
    }

    /// The images, in the order the archive lists them.
    pub fn images(&self) -> &[ArchiveImage] {
        &self.images
    }

    /// Whether the archive has no manifest of the image, so that its root was made when the archive was opened.
    pub fn lacks_manifest(&self, image: &ArchiveImage) -> bool {
        self.made.documents.contains_key(&image.root.digest)
    }

    /// Whether the image's manifest, `root`, is one that no registry knows: the archive [says so](crate::unpublished), or it came into
    /// being with the archive. That has none then, or the one that Docker's own store (25 to 28) makes when it writes one, whose layers
    /// are all uncompressed.
    pub fn made_manifest(&self, image: &ArchiveImage, root: &Document) -> bool {
        let is_plain = |layer: &Descriptor| layer.media_type.compression() == Some(Stated::None);
        let is_all_plain = |manifest: &ImageManifest| manifest.is_image() && manifest.layers.iter().all(is_plain);
        is_unpublished(&image.root)
            || self.lacks_manifest(image)
            || (root.as_manifest().is_some_and(is_all_plain)
                && matches!(&self.content, Content::Tar(members) if docker::is_of_own_store(members)))
    }

    /// Whether a manifest or index and everything below it are in the archive, by name and length.
    ///
    /// An index may be archived in part: the images of some platforms only. Use this to choose what to copy.
    ///
    /// # Errors
    /// Those of reading; a document that cannot be parsed counts as not complete.
    pub fn is_complete(&self, document: &Descriptor) -> Result<bool> {
        oci_index::is_complete(document, &|descriptor| self.locate(descriptor))
    }

    /// The members of an index that are complete in this archive: what [`dhow_content::Select::Only`] asks for.
    ///
    /// # Errors
    /// As [`Archive::is_complete`].
    pub fn complete_members(&self, index: &Document) -> Result<Vec<Descriptor>> {
        let mut complete = Vec::new();
        for member in index.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default() {
            if self.is_complete(member)? {
                complete.push(member.clone());
            }
        }
        Ok(complete)
    }

    /// Says what is wrong when copying `image` failed because bytes are not what the archive claims: in docker's words, or with the
    /// archive's name. Other errors come back as they are.
    ///
    /// Uncompressed layers of a docker archive are taken for what the config says and proven when they are copied, not
    /// before; so the plain error names a digest mismatch, and this one the layer.
    pub fn explain(&self, image: &ArchiveImage, error: Error) -> Error {
        if error.kind() != Kind::Corrupt {
            return error;
        }
        let layers = self.made.layers.get(&image.root.digest);
        if let Some(mismatch) = layers.and_then(|layers| layers::first_mismatch(layers)) {
            return mismatch;
        }
        let error = match &self.content {
            Content::Tar(members) => error.context(format_args!("archive {:?}", members.path())),
            Content::Directory(directory) => error.context(format_args!("directory {:?}", directory.root())),
        };
        error.with_hint("what it holds is damaged: make or fetch it once more")
    }

    fn check_roots(&self) -> Result<()> {
        for image in &self.images {
            if self.locate(&image.root)?.is_none() {
                let message = format!("content digest {}: not found in the archive", image.root.digest);
                return Err(Error::new(Kind::Corrupt, message).with_hint("the archive is incomplete"));
            }
        }
        Ok(())
    }

    fn locate(&self, descriptor: &Descriptor) -> Result<Option<Located>> {
        let digest = &descriptor.digest;
        if let Some(bytes) = self.made.documents.get(digest) {
            return Ok(Some(Located::Memory(bytes.clone())));
        }
        if let Some(blob) = self.made.blobs.get(digest) {
            return Ok(Some(Located::File(blob.clone())));
        }
        match &self.content {
            Content::Directory(directory) => Ok(directory.find(digest)?.map(Located::File)),
            Content::Tar(members) => match members.find(&blob_path(digest)) {
                Ok(blob) => Ok(Some(Located::File(blob))),
                Err(error) if error.kind() == Kind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

impl Source for Archive {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        match self.locate(descriptor)? {
            Some(located) => located.stream(descriptor, range),
            None => {
                let message = format!("content digest {}: not found in the archive", descriptor.digest);
                Err(Error::new(Kind::NotFound, message))
            }
        }
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        match self.locate(descriptor) {
            Ok(Some(Located::File(blob))) if check_length(&blob, descriptor).is_ok() => Some(blob),
            _ => None,
        }
    }
}

impl Resolve for Archive {
    async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        let wanted = reference.clone().with_default_tag();
        let found = self.images.iter().find(|image| image.names.contains(&wanted));
        found
            .map(|image| image.root.clone())
            .ok_or_else(|| Error::new(Kind::NotFound, format!("No such image: {}", wanted.familiar())))
    }
}

fn unrecognized() -> Error {
    Error::new(Kind::Invalid, "unrecognized image format")
}
