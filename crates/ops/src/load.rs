//! `load`: images from an archive into the store.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Copied, CopyOptions, Select, copy};
use dhow_layout::{Archive, ArchiveImage, ArchiveInput};
use dhow_spec::{Descriptor, Digest, Document, MediaType, Platform, Reference, Repository};
use dhow_store::{Committed, NewTarget, Session, Store};

use crate::context::Context;
use crate::extent::Extent;
use crate::last_use;
use crate::naming::Naming;
use crate::select::{Fit, Platforms, Selection};
use crate::unpacking::{self, Form};

/// Where the archive comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file, or a directory that holds an OCI image layout.
    Path(PathBuf),
    /// Standard input: a redirected file is read in place, a pipe as it comes.
    Stdin,
}

/// An image that was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The names it has now.
    pub names: Vec<Reference>,
    /// Those of the names that stood for another image until now, with that image's ID.
    pub replaced: Vec<(Reference, Digest)>,
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// The image that `dhow images` shows for it.
    pub image_id: Digest,
    /// How much was loaded, and how much of it was not here.
    pub extent: Extent,
}

/// What was loaded, and what was missed.
#[derive(Debug)]
pub struct Report {
    /// The images that are here now.
    pub loaded: Vec<Loaded>,
    /// Whether anything changed here.
    pub newer: bool,
    /// In docker's words, that an image came without a platform that was asked for.
    pub missing: Option<Error>,
}

/// What to load.
#[derive(Clone, Debug)]
pub struct Request {
    /// The archive.
    pub input: Input,
    /// Which platforms of each index.
    pub platforms: Platforms,
    /// Makes the files of the images ready as well.
    pub unpack: Option<Form>,
}

/// Takes all images of an archive: of each index the platforms asked for, else all that the archive has.
///
/// # Errors
/// [`Kind::Corrupt`] and [`Kind::Invalid`] in docker's words for a bad archive, [`Kind::NotFound`] when nothing of an image
/// is for the platforms asked for; nothing of the archive gets a name then.
pub fn load(context: &Context, request: &Request, observer: &dyn Observer) -> Result<Report> {
    let store = context.store()?;
    let archive = Archive::open(archive_input(&request.input)?, &store.spool_dir()?)?;
    let session = Form::prepare(request.unpack.as_ref(), store.begin("load")?);
    let wanted: &[Platform] = match &request.platforms {
        Platforms::These(wanted) => wanted,
        Platforms::Default | Platforms::All => &[],
    };
    let mut targets = Vec::with_capacity(archive.images().len());
    let mut copies = Vec::with_capacity(archive.images().len());
    for image in archive.images() {
        let copied = take(&archive, &session, image, wanted, observer);
        copies.push(copied.map_err(|error| archive.explain(image, error))?);
        targets.push(NewTarget {
            document: image.root.clone(),
            references: names(context.naming(), image)?,
            digest_repositories: digest_repositories(image),
        });
    }
    // A compressed layer shows only when it is committed that its diff ID is not the config's.
    let explain = |error| archive.images().iter().fold(error, |error, image| archive.explain(image, error));
    let committed = session.commit(&targets).map_err(explain)?;
    for image in archive.images() {
        if archive.made_manifest(image, store.document(&image.root.digest)?.document()) {
            store.note_made_here(&image.root.digest);
        }
    }
    for target in &targets {
        unpacking::unpack(&session, request.unpack.as_ref(), &target.document.digest)?;
    }
    last_use::note(store, committed.targets.iter().map(|target| &target.shown));
    let loaded = targets.iter().zip(&copies).map(|(target, copied)| loaded(store, target, &committed, copied));
    let loaded = loaded.collect::<Result<_>>()?;
    Ok(Report { loaded, newer: committed.changed, missing: missing(store, &targets, wanted)? })
}

/// The names that an image gets. A name without a registry is Docker Hub's to docker, and of this machine to podman.
fn names(naming: Naming, image: &ArchiveImage) -> Result<Vec<Reference>> {
    let name = |name: &Reference| match naming {
        Naming::Podman if image.bare_names.contains(name) => naming.given(&name.familiar()),
        Naming::Docker | Naming::Podman => Ok(name.clone()),
    };
    image.names.iter().filter(|name| name.digest().is_none()).map(name).collect()
}

/// The repositories of names by digest, as containerd's exports have them.
fn digest_repositories(image: &ArchiveImage) -> Vec<Repository> {
    let by_digest = image.names.iter().filter(|name| name.digest() == Some(&image.root.digest));
    by_digest.map(|name| name.repository().clone()).collect()
}

fn archive_input(input: &Input) -> Result<ArchiveInput> {
    match input {
        Input::Path(path) if path.is_dir() => Ok(ArchiveInput::Directory(path.clone())),
        Input::Path(path) => {
            let file = File::open(path).map_err(|error| open_error(path, error))?;
            Ok(ArchiveInput::File(file, path.clone()))
        }
        Input::Stdin => {
            let handle = io::stdin().as_fd().try_clone_to_owned();
            let handle = handle.map_err(|error| Error::io("cannot read standard input", error))?;
            Ok(ArchiveInput::File(File::from(handle), PathBuf::from("standard input")))
        }
    }
}

fn open_error(path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::new(Kind::NotFound, format!("open {}: no such file or directory", path.display()));
    }
    Error::io(format_args!("open {}", path.display()), error)
}

/// Copies one image: what is wanted, else all that the archive has of it. Archives of one platform often keep the whole
/// index.
fn take(
    archive: &Archive,
    session: &Session,
    image: &ArchiveImage,
    wanted: &[Platform],
    observer: &dyn Observer,
) -> Result<Copied> {
    let selection = Selection::new(wanted, Fit::Exact, &image.root.digest).lenient();
    let pick = |index: &Document| {
        if wanted.is_empty() { archive.complete_members(index) } else { present(archive, selection.pick(index)?) }
    };
    let options = CopyOptions { select: Select::Only(&pick), ..CopyOptions::new(observer) };
    let copied = futures::executor::block_on(copy(archive, session, &image.root, &options))?;
    if image.root.media_type.is_index() && !wanted.is_empty() {
        selection.finish()?;
    }
    Ok(copied)
}

/// Refuses platforms that an index promises and the archive does not have; attestations may stay behind.
fn present(archive: &Archive, picked: Vec<Descriptor>) -> Result<Vec<Descriptor>> {
    let mut present = Vec::with_capacity(picked.len());
    for member in picked {
        if member.media_type.is_index() || archive.is_complete(&member)? {
            present.push(member);
        } else if !member.is_attestation() {
            let platform = member.platform.map(|platform| platform.to_string()).unwrap_or_default();
            let message = format!("requested platform ({platform}) not found: content digest {}", member.digest);
            return Err(Error::new(Kind::NotFound, format!("{message}: not found")));
        }
    }
    Ok(present)
}

/// Docker's sentence for images that came without something asked for.
fn missing(store: &Store, targets: &[NewTarget], wanted: &[Platform]) -> Result<Option<Error>> {
    let mut names: Vec<String> = Vec::new();
    let mut platforms: Vec<String> = Vec::new();
    for target in targets {
        let digest = &target.document.digest;
        let mut is_short = false;
        for platform in wanted {
            if store.manifest_for(digest, Some(platform))?.is_none() {
                is_short = true;
                platforms.extend(Some(platform.to_string()).filter(|shown| !platforms.contains(shown)));
            }
        }
        if is_short && target.references.is_empty() {
            names.push(digest.to_string());
        } else if is_short {
            names.extend(target.references.iter().map(Reference::familiar));
        }
    }
    let platforms = platforms.join(" ");
    let message = match names.as_slice() {
        [] => return Ok(None),
        [name] => format!("image {name} was loaded, but doesn't provide the requested platform ([{platforms}])"),
        names => {
            let names = names.join(", ");
            format!("images [{names}] were loaded, but don't provide the requested platform ([{platforms}])")
        }
    };
    Ok(Some(Error::new(Kind::NotFound, message)))
}

fn loaded(store: &Store, target: &NewTarget, committed: &Committed, copied: &Copied) -> Result<Loaded> {
    let Descriptor { digest, media_type, .. } = target.document.clone();
    let image_id = committed
        .image_of(&digest)
        .ok_or_else(|| Error::new(Kind::Internal, format!("{digest} was committed without an image")))?;
    let replaced = committed.replaced.iter().filter(|(name, _)| target.references.contains(name)).cloned().collect();
    let extent = Extent::of(store, &digest, &copied.documents)?.moved(copied);
    Ok(Loaded { names: target.references.clone(), replaced, digest, media_type, image_id, extent })
}
