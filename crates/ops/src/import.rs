//! `import`: a tar archive of files as an image of one layer.

pub(crate) mod changes;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_base::fs::{unnamed_file, write_at};
use dhow_base::progress::{Event, Observer};
use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{LocalBlob, Sink, verify_document};
use dhow_layer::erofs::{FileStorage, LayerWriter, Storage};
use dhow_layer::tar::{Entry, EntryKind, TarLimits, TarReader, WhiteoutForm};
use dhow_layer::{Limits, inflate_ahead};
pub use dhow_registry::shown_url;
use dhow_spec::config::{History, ImageConfig, RootFs, RunConfig};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest, MediaType, Platform, Reference};
use dhow_store::{NewTarget, Store};
use futures::TryStreamExt;
use serde_json::json;

use crate::context::Context;
use crate::put::{Content, put};
use crate::{last_use, runtime};

/// Bytes that are kept at once.
const COPY_BYTES: usize = 256 << 10;

/// Where the archive comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// An `http` or `https` URL.
    Url(String),
}

/// What to import.
#[derive(Clone, Debug)]
pub struct Request {
    /// The archive, of any compression.
    pub input: Input,
    /// Dockerfile instructions that change how the image is run.
    pub changes: Vec<String>,
    /// What the history says of it.
    pub message: String,
    /// What the files run on; nothing for this machine's platform.
    pub platform: Option<Platform>,
    /// The name it gets.
    pub reference: Option<Reference>,
}

/// The image that was made.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its ID.
    pub image_id: Digest,
    /// The image that had the name until now.
    pub replaced: Option<Digest>,
}

/// Takes an archive as it is for the only layer of a new image, so that its diff ID is the digest of the uncompressed
/// archive, as with docker.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for an instruction that changes nothing; [`Kind::Corrupt`] for what is no archive; those
/// of fetching it.
pub fn import(context: &Context, request: &Request, observer: &dyn Observer) -> Result<Imported> {
    let config = changes::apply(context.naming(), &request.changes)?;
    let store = context.store()?;
    store.require_writable()?;
    let session = store.begin("import")?;
    let (file, diff_id, size) = spool(context, store, &request.input, observer)?;
    let layer = Descriptor::new(MediaType::OciLayer, diff_id.clone(), size);
    let path = PathBuf::from("the imported archive");
    let blob = LocalBlob { file: Arc::new(file), path, offset: 0, length: size };
    futures::executor::block_on(put(&session, &layer, Content::Local(&blob)))?;

    let config = document(request, config, diff_id)?;
    let config_descriptor = Descriptor::new(MediaType::OciConfig, Digest::sha256(&config), config.len() as u64);
    futures::executor::block_on(put(&session, &config_descriptor, Content::Bytes(config.into())))?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.as_str(),
        "config": {
            "mediaType": MediaType::OciConfig.as_str(),
            "digest": config_descriptor.digest.as_str(),
            "size": config_descriptor.size,
        },
        "layers": [{
            "mediaType": MediaType::OciLayer.as_str(),
            "digest": layer.digest.as_str(),
            "size": layer.size,
        }],
    });
    let manifest = to_bytes(&manifest)?;
    let descriptor = Descriptor::new(MediaType::OciManifest, Digest::sha256(&manifest), manifest.len() as u64);
    let manifest = verify_document(manifest, &descriptor)?;
    futures::executor::block_on(session.put_document(&manifest))?;

    let references = request.reference.iter().cloned().collect();
    let target = NewTarget { references, ..NewTarget::default_for(descriptor.clone()) };
    let committed = session.commit(&[target])?;
    let image_id = committed
        .image_of(&descriptor.digest)
        .ok_or_else(|| Error::new(Kind::Internal, format!("{} was committed without an image", descriptor.digest)))?;
    store.note_made_here(&descriptor.digest);
    last_use::note(store, [&image_id]);
    Ok(Imported { image_id, replaced: committed.replaced.into_iter().next().map(|(_, id)| id) })
}

/// Inflates the archive into a file without a name, proves that it is one and can be unpacked, and works out its digest.
fn spool(context: &Context, store: &Store, input: &Input, observer: &dyn Observer) -> Result<(File, Digest, u64)> {
    let directory = store.spool_dir()?;
    let (reader, name) = match input {
        Input::Url(url) => (fetch(context, url, &directory, observer)?, format!("from {:?}", shown_url(url))),
        Input::Path(path) => (open(path)?, format!("{path:?}")),
        Input::Stdin => (Box::new(io::stdin()) as Box<dyn Read + Send>, "on standard input".to_owned()),
    };
    let failed = |error| Error::io(format_args!("cannot write to {directory:?}"), error);
    let mut file = unnamed_file(&directory)?;
    let name = format!("archive {name}");
    let consume = |ahead| {
        let copying = Copying { reader: ahead, file: &mut file, directory: &directory };
        let mut reader = TarReader::new(BufReader::with_capacity(COPY_BYTES, copying), &name, TarLimits::LAYER);
        let scratch: &dyn Fn() -> Result<FileStorage> = &|| Ok(FileStorage::new(unnamed_file(&directory)?, &directory));
        // What cannot be unpacked is no image: docker, which unpacks here, says so here.
        let mut layer = LayerWriter::new(&(), scratch);
        while let Some(entry) = reader.next_entry()? {
            refuse_absurd(&entry, &layer).and_then(|()| layer.entry(entry)).map_err(|error| error.context(&name))?;
        }
        reader.finish()?;
        Ok(())
    };
    let ((), found) = inflate_ahead(Algorithm::Sha256, reader, Limits::LAYER, consume)?;
    if found.size == 0 {
        return Err(Error::new(Kind::Invalid, format!("{name} is empty")));
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok((file, found.diff_id, found.size))
}

/// Refuses what a layer may say, since it stands above others, and docker cannot unpack by itself.
fn refuse_absurd<S: Storage>(entry: &Entry, layer: &LayerWriter<'_, S>) -> Result<()> {
    let why = match &entry.kind {
        EntryKind::HardLink { target } if *target == entry.path => "it is a hard link to itself",
        EntryKind::Whiteout(WhiteoutForm::Oci) if layer.has(entry.path.as_bytes())? => {
            "the archive has what it removes"
        }
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Corrupt, format!("{:?}: {why}", entry.path)))
}

/// Fetches an archive, as it is there, into a file without a name.
fn fetch(context: &Context, url: &str, directory: &Path, observer: &dyn Observer) -> Result<Box<dyn Read + Send>> {
    let mut file = unnamed_file(directory)?;
    let name = url_path_end(url);
    runtime::block_on(async {
        let download = context.client()?.download(url).await?;
        // A server need not say how long it is.
        let length = download.length();
        let mut stream = std::pin::pin!(download.stream());
        let mut done = 0;
        while let Some(bytes) = stream.try_next().await? {
            write_at(&file, directory, &bytes, done)?;
            done += bytes.len() as u64;
            if done > limits::BLOB_BYTES_MAX {
                let message = format!("{:?} is longer than {} bytes", shown_url(url), limits::BLOB_BYTES_MAX);
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            observer.event(Event::Moved { digest: &name, done, total: length.unwrap_or(done) });
        }
        Ok(())
    })?;
    file.seek(SeekFrom::Start(0)).map_err(|error| Error::io(format_args!("cannot read {directory:?}"), error))?;
    Ok(Box::new(file))
}

/// What the file behind a URL is called.
fn url_path_end(url: &str) -> String {
    let shown = shown_url(url);
    shown.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::new(Kind::NotFound, format!("open {}: no such file or directory", path.display())))
        }
        Err(error) => Err(Error::io(format_args!("open {}", path.display()), error)),
    }
}

/// Keeps what is read.
struct Copying<'a, R> {
    reader: R,
    file: &'a mut File,
    directory: &'a Path,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        // It is not the archive that is too large, as the reader would have it.
        let failed = |error| io::Error::other(Error::io(format_args!("cannot write to {:?}", self.directory), error));
        self.file.write_all(&buffer[..count]).map_err(failed)?;
        Ok(count)
    }
}

/// The config of the image.
fn document(request: &Request, config: RunConfig, diff_id: Digest) -> Result<Vec<u8>> {
    let platform = request.platform.clone().unwrap_or_else(Platform::host);
    let created = Some(jiff::Timestamp::now().to_string());
    let comment = Some(request.message.clone()).filter(|message| !message.is_empty());
    let history = vec![History { created: created.clone(), comment: comment.clone(), ..History::default() }];
    let config = ImageConfig {
        created,
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os: platform.os.clone(),
        config: Some(config),
        rootfs: RootFs::new(vec![diff_id]),
        history,
        comment,
        ..ImageConfig::default()
    };
    to_bytes(&config)
}

pub(crate) fn to_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}
