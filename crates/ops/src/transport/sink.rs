//! Opening the place that is written to, and what makes it complete.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;

use bytes::Bytes;
use dhow_base::fs::{AtomicFile, Durability};
use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Begin, Ingest, LocalBlob, Origin, Sink, VerifiedDocument};
use dhow_layout::{ArchiveIngest, ArchiveWriter, DirectoryIngest, OciDirectory, Output, SavedImage, SkopeoDirectory};
use dhow_registry::{Remote, Upload};
use dhow_spec::{Descriptor, Digest, Reference, Repository};

use super::{Location, is_standard_output};
use crate::context::Context;
use crate::naming::Naming;
use crate::{daemon, podman, target_file};

/// A place that is written to. The local store is none of these: it takes an index in part, under its own name.
#[derive(Debug)]
pub(crate) enum AnySink {
    Registry(Remote),
    Archive(ArchiveWriter),
    Oci(OciDirectory),
    Skopeo(SkopeoDirectory),
}

/// A blob on its way into one of them.
#[derive(Debug)]
pub(crate) enum AnyIngest {
    Registry(Upload),
    Archive(ArchiveIngest),
    Directory(DirectoryIngest),
}

/// A place that is written to, and what the image is called there.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) sink: AnySink,
    end: End,
}

/// What is to be done when everything is there.
#[derive(Debug)]
enum End {
    Tag(Reference),
    Label(Option<String>),
    Root,
    /// Gives the archive its name, unless it is a stream.
    Archive {
        file: Option<AtomicFile>,
        names: Vec<Reference>,
        labels: Vec<String>,
    },
    /// Hands the archive to somebody else.
    HandOver {
        file: File,
        to: Receiver,
        name: Reference,
    },
}

#[derive(Debug)]
enum Receiver {
    DockerDaemon(Option<String>),
    /// Podman, with the options that name its storage.
    Podman {
        options: Vec<String>,
    },
}

impl Destination {
    /// Opens a place. Nothing is visible there before [`Destination::finish`].
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that cannot be given there; those of the place.
    pub(crate) fn open(context: &Context, location: &Location) -> Result<Self> {
        Self::open_place(context, location).map_err(|error| match context.naming() {
            Naming::Podman => in_podman_s_words(location, error),
            Naming::Docker => error,
        })
    }

    fn open_place(context: &Context, location: &Location) -> Result<Self> {
        match location {
            Location::Registry(reference) => {
                let reference = reference.clone().with_default_tag();
                let remote = context.push_to(reference.repository())?;
                Ok(Self { sink: AnySink::Registry(remote), end: End::Tag(reference) })
            }
            Location::OciDirectory { path, name, shared } => {
                let directory = OciDirectory::create(path)?;
                let sink = AnySink::Oci(match shared {
                    Some(folder) => directory.sharing(folder),
                    None => directory,
                });
                Ok(Self { sink, end: End::Label(name.clone()) })
            }
            Location::Directory(path) => {
                Ok(Self { sink: AnySink::Skopeo(SkopeoDirectory::create(path)?), end: End::Root })
            }
            Location::OciArchive { path, name } => Self::archive(path, Vec::new(), name.iter().cloned().collect()),
            Location::DockerArchive { path, name } => {
                if path.metadata().is_ok_and(|metadata| metadata.len() > 0) && !is_standard_output(path) {
                    // Skopeo's words: there may be other images in it.
                    let message =
                        format!("{}: docker-archive doesn't support modifying existing images", path.display());
                    return Err(Error::new(Kind::AlreadyExists, message).with_hint("choose another file"));
                }
                let name = name.as_deref().map(|name| tagged(name, location)).transpose()?;
                Self::archive(path, name.into_iter().collect(), Vec::new())
            }
            Location::DockerDaemon { name, host } => {
                Self::hand_over(context, Receiver::DockerDaemon(host.clone()), tagged(name, location)?)
            }
            Location::ContainersStorage(name) => {
                let place = podman::place(name)?;
                let name = tagged(place.name, location)?;
                Self::hand_over(context, Receiver::Podman { options: place.options }, name)
            }
            Location::Store(_) => Err(Error::new(Kind::Internal, "the local store is not written to this way")),
        }
    }

    fn archive(path: &Path, names: Vec<Reference>, labels: Vec<String>) -> Result<Self> {
        let failed = |error| Error::io(format_args!("cannot write {path:?}"), error);
        let (handle, file) = match stream(path)? {
            Some(stream) => (stream, None),
            None => {
                target_file::check(path, &format!("cannot write {path:?}"))?;
                let mut file = AtomicFile::create(path, 0o644)?;
                (file.file().try_clone().map_err(failed)?, Some(file))
            }
        };
        let sink = AnySink::Archive(ArchiveWriter::new(Output::file(handle, path)?));
        Ok(Self { sink, end: End::Archive { file, names, labels } })
    }

    fn hand_over(context: &Context, to: Receiver, name: Reference) -> Result<Self> {
        let file = dhow_layout::nameless_file(&context.store()?.spool_dir()?)?;
        let handle = file.try_clone().map_err(|error| Error::io("cannot write a temporary file", error))?;
        let sink = AnySink::Archive(ArchiveWriter::new(Output::file(handle, "the archive")?));
        Ok(Self { sink, end: End::HandOver { file, to, name } })
    }

    /// Adds names that the image gets in an archive besides its own.
    #[must_use]
    pub(crate) fn with_names(mut self, further: Vec<Reference>) -> Self {
        if let End::Archive { names, .. } = &mut self.end {
            for name in further {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        self
    }

    /// Adds, for each blob, the other repositories of the registry that are known to have it.
    #[must_use]
    pub(crate) fn with_mount_hints(self, hints: HashMap<Digest, Vec<Repository>>) -> Self {
        let sink = match self.sink {
            AnySink::Registry(remote) => AnySink::Registry(remote.with_mount_hints(hints)),
            other => other,
        };
        Self { sink, ..self }
    }

    /// Refuses, before anything moves, a digest that the image will not have.
    ///
    /// # Errors
    /// [`Kind::Invalid`] naming both digests.
    pub(crate) fn check(&self, root: &Descriptor) -> Result<()> {
        let End::Tag(reference) = &self.end else { return Ok(()) };
        match reference.digest() {
            Some(digest) if *digest != root.digest => {
                let message = format!("the destination says digest {digest}, but the image has {}", root.digest);
                Err(Error::new(Kind::Invalid, message))
            }
            _ => Ok(()),
        }
    }

    /// Gives the image its name. `manifest` is what readers without indexes shall take.
    ///
    /// # Errors
    /// Those of the place.
    pub(crate) async fn finish(
        self,
        root: &VerifiedDocument,
        documents: &[VerifiedDocument],
        manifest: Option<Descriptor>,
    ) -> Result<()> {
        let saved = |names, labels| SavedImage { root: root.descriptor().clone(), manifest, names, labels };
        match (self.sink, self.end) {
            (AnySink::Registry(remote), End::Tag(reference)) => remote.attach_as(&reference, root).await,
            (AnySink::Oci(directory), End::Label(Some(label))) => {
                directory.put_document(root).await?;
                directory.label(&label, root)
            }
            (AnySink::Oci(directory), End::Label(None)) => {
                directory.put_document(root).await?;
                directory.list(root)
            }
            (AnySink::Skopeo(directory), End::Root) => directory.finish(root, documents),
            (AnySink::Archive(writer), End::Archive { file, names, labels }) => {
                writer.put_document(root).await?;
                writer.finish(&[saved(names, labels)])?;
                file.map_or(Ok(()), |file| file.commit(Durability::Durable))
            }
            (AnySink::Archive(writer), End::HandOver { mut file, to, name }) => {
                writer.put_document(root).await?;
                writer.finish(&[saved(vec![name], Vec::new())])?;
                file.seek(SeekFrom::Start(0)).map_err(|error| Error::io("cannot read a temporary file", error))?;
                match to {
                    Receiver::DockerDaemon(host) => daemon::load(host.as_deref(), file).await,
                    Receiver::Podman { options } => podman::load(file, &options),
                }
            }
            (sink, end) => Err(Error::new(Kind::Internal, format!("{sink:?} does not end with {end:?}"))),
        }
    }

    /// Has a registry forget uploads that will not be gone on with.
    pub(crate) async fn abandon(&self) {
        if let AnySink::Registry(remote) = &self.sink {
            remote.cancel_uploads().await;
        }
    }
}

/// What an archive goes to that has no place to be put into: standard output, a pipe, a device. Skopeo's users write
/// `docker-archive:/dev/stdout` where another program reads on.
fn stream(path: &Path) -> Result<Option<File>> {
    let failed = |error| Error::io(format_args!("cannot write {path:?}"), error);
    let file = if is_standard_output(path) {
        // Not by its name: that would begin at the beginning of a file that is written on.
        File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?)
    } else if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        File::options().write(true).open(path).map_err(failed)?
    } else {
        return Ok(None);
    };
    if file.is_terminal() {
        let error = Error::new(Kind::Invalid, format!("cannot write {path:?}: it is a terminal"));
        return Err(error.with_hint("redirect the output, or name a file"));
    }
    Ok(Some(file))
}

/// Why a place cannot be opened, as podman says it (containers/image `copy.Image`, `docker/archive`, `directory`).
fn in_podman_s_words(location: &Location, error: Error) -> Error {
    let (place, why) = match location {
        Location::DockerArchive { path, name } => {
            let name = name.as_deref().and_then(|name| Reference::parse(name).ok());
            let name = name.map(|name| format!(":{}", name.with_default_tag())).unwrap_or_default();
            let shown = path.display();
            let why = match error.kind() {
                Kind::AlreadyExists => Some("docker-archive doesn't support modifying existing images".to_owned()),
                Kind::NotFound => Some(format!("opening file {path:?}: open {shown}: no such file or directory")),
                _ => None,
            };
            (format!("docker-archive:{shown}{name}"), why)
        }
        Location::Directory(_) => {
            let foreign = "not a containers image directory, don't want to overwrite important data";
            (location.to_string(), Some(foreign.to_owned()).filter(|_| error.kind() == Kind::Invalid))
        }
        _ => return error,
    };
    match why {
        Some(why) => Error::new(error.kind(), format!("initializing destination {place}: {why}")).with_source(error),
        None => error,
    }
}

/// A name with a tag, which those need who know images by nothing else.
fn tagged(name: &str, location: &Location) -> Result<Reference> {
    let reference = Reference::parse(name).map_err(|error| Error::from(error).context(location))?;
    if reference.digest().is_some() {
        let message = format!("{location}: an image cannot be given a digest as its name there");
        return Err(Error::new(Kind::Invalid, message));
    }
    Ok(reference.with_default_tag())
}

impl Sink for AnySink {
    type Ingest = AnyIngest;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        match self {
            AnySink::Registry(remote) => remote.holds(document).await,
            AnySink::Archive(writer) => writer.holds(document).await,
            AnySink::Oci(directory) => directory.holds(document).await,
            AnySink::Skopeo(directory) => directory.holds(document).await,
        }
    }

    async fn ingest(&self, blob: &Descriptor, observer: &dyn Observer) -> Result<Begin<AnyIngest>> {
        fn of<I>(begin: Begin<I>, make: impl FnOnce(I) -> AnyIngest) -> Begin<AnyIngest> {
            match begin {
                Begin::Present => Begin::Present,
                Begin::Mounted { from } => Begin::Mounted { from },
                Begin::Write(ingest) => Begin::Write(make(ingest)),
            }
        }
        Ok(match self {
            AnySink::Registry(remote) => of(remote.ingest(blob, observer).await?, AnyIngest::Registry),
            AnySink::Archive(writer) => of(writer.ingest(blob, observer).await?, AnyIngest::Archive),
            AnySink::Oci(directory) => of(directory.ingest(blob, observer).await?, AnyIngest::Directory),
            AnySink::Skopeo(directory) => of(directory.ingest(blob, observer).await?, AnyIngest::Directory),
        })
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        match self {
            AnySink::Registry(remote) => remote.put_document(document).await,
            AnySink::Archive(writer) => writer.put_document(document).await,
            AnySink::Oci(directory) => directory.put_document(document).await,
            AnySink::Skopeo(directory) => directory.put_document(document).await,
        }
    }

    fn blobs_at_once(&self) -> usize {
        match self {
            AnySink::Registry(remote) => remote.blobs_at_once(),
            AnySink::Archive(writer) => writer.blobs_at_once(),
            AnySink::Oci(directory) => directory.blobs_at_once(),
            AnySink::Skopeo(directory) => directory.blobs_at_once(),
        }
    }

    fn small_at_once(&self) -> usize {
        match self {
            AnySink::Registry(remote) => Sink::small_at_once(remote),
            AnySink::Archive(writer) => writer.small_at_once(),
            AnySink::Oci(directory) => Sink::small_at_once(directory),
            AnySink::Skopeo(directory) => Sink::small_at_once(directory),
        }
    }
}

impl Ingest for AnyIngest {
    fn missing(&self) -> Vec<Range<u64>> {
        match self {
            AnyIngest::Registry(upload) => upload.missing(),
            AnyIngest::Archive(ingest) => ingest.missing(),
            AnyIngest::Directory(ingest) => ingest.missing(),
        }
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
        match self {
            AnyIngest::Registry(upload) => upload.write(offset, bytes).await,
            AnyIngest::Archive(ingest) => ingest.write(offset, bytes).await,
            AnyIngest::Directory(ingest) => ingest.write(offset, bytes).await,
        }
    }

    async fn write_local(&self, blob: &LocalBlob) -> Result<bool> {
        match self {
            AnyIngest::Registry(upload) => upload.write_local(blob).await,
            AnyIngest::Archive(ingest) => ingest.write_local(blob).await,
            AnyIngest::Directory(ingest) => ingest.write_local(blob).await,
        }
    }

    fn origin(&self) -> Option<Origin> {
        match self {
            AnyIngest::Registry(upload) => upload.origin(),
            AnyIngest::Archive(ingest) => ingest.origin(),
            AnyIngest::Directory(ingest) => ingest.origin(),
        }
    }

    fn note_origin(&self, origin: Option<&Origin>) -> Result<()> {
        match self {
            AnyIngest::Registry(upload) => upload.note_origin(origin),
            AnyIngest::Archive(ingest) => ingest.note_origin(origin),
            AnyIngest::Directory(ingest) => ingest.note_origin(origin),
        }
    }

    fn discard(self) -> Result<()> {
        match self {
            AnyIngest::Registry(upload) => upload.discard(),
            AnyIngest::Archive(ingest) => ingest.discard(),
            AnyIngest::Directory(ingest) => ingest.discard(),
        }
    }

    async fn commit(self) -> Result<()> {
        match self {
            AnyIngest::Registry(upload) => upload.commit().await,
            AnyIngest::Archive(ingest) => ingest.commit().await,
            AnyIngest::Directory(ingest) => ingest.commit().await,
        }
    }
}
