//! `save`: images from the store into one archive that docker, podman, skopeo and containerd read.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dhow_base::fs::AtomicFile;
use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Copied, CopyOptions, Prefetched, TagSink, copy, verify_document};
use dhow_layout::{ArchiveWriter, OciDirectory, Output as ArchiveOutput, SavedImage, unpublished};
use dhow_spec::{Descriptor, Digest, MediaType, Reference};
use dhow_store::{Found, Session, Store};

use crate::content_error::{explain, explain_stored};
use crate::context::Context;
use crate::extent::Extent;
use crate::held::hold;
use crate::last_use;
use crate::names;
use crate::naming::Naming;
use crate::outgoing::{self, Outgoing};
use crate::packed::is_unpublished;
use crate::select::Platforms;
use crate::target_file;

/// What docker's messages about the archive's file begin with.
pub const FAILED: &str = "failed to save image";

/// Where the archive goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// A file, which appears only when it is whole.
    Path(PathBuf),
    /// Standard output.
    Stdout,
    /// A directory that becomes, or is, an OCI image layout; what is in it stays.
    Directory(PathBuf),
}

/// An image and the names that it gets in an archive.
#[derive(Clone, Debug)]
pub struct Named {
    /// Anything that stands for the image; a name is one that it gets.
    pub image: String,
    /// Names that it gets besides.
    pub further: Vec<String>,
}

/// An image that is in the archive now.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The names it has there.
    pub names: Vec<Reference>,
    /// Digest of its manifest or index there.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// What the name stands for here, when less than all of it was saved.
    pub narrowed_from: Option<Digest>,
    /// The image that `dhow images` shows for it.
    pub image_id: Digest,
    /// How much it is, and how much of it was written: what images share is written once.
    pub extent: Extent,
    /// For the user: what of the image is not in the archive, though nobody asked for less.
    pub note: Option<String>,
}

/// One image of the archive.
#[derive(Debug)]
struct Chosen {
    /// What the name stands for.
    target: Descriptor,
    outgoing: Outgoing,
    names: Vec<Reference>,
    /// The image that lists show for it.
    image_id: Digest,
}

/// Writes the named images into one archive. A name without tag means all tags of the repository; an ID is saved without
/// a name. Returns the images of the archive, in its order.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words for an unknown name or a platform that is not here, before anything is written; else
/// those of writing.
pub fn save(context: &Context, arguments: &[String], platforms: &Platforms, output: &Output) -> Result<Vec<Saved>> {
    let store = context.store()?;
    let session = store.begin("save")?.only_reads();
    let images = choose(context, &session, arguments, platforms)?;
    write_to(context, &session, &images, output)
}

/// Writes images under names of one's choice, as podman does.
///
/// # Errors
/// As [`save`].
pub fn save_named(context: &Context, images: &[Named], platforms: &Platforms, output: &Output) -> Result<Vec<Saved>> {
    let store = context.store()?;
    let session = store.begin("save")?.only_reads();
    let mut chosen: Vec<Chosen> = Vec::with_capacity(images.len());
    for named in images {
        let pin = |found: &Found| session.pin(&found.target).map_err(|error| told(&named.image, error));
        let found = hold(|| context.find(&named.image), pin)?;
        let outgoing = outgoing::choose(store, &found.target, platforms, &named.image)?;
        let mut names: Vec<Reference> = found.reference.into_iter().filter(|name| name.digest().is_none()).collect();
        for further in &named.further {
            names.push(context.naming().given(further)?);
        }
        match chosen.iter_mut().find(|image| image.outgoing.root.digest == outgoing.root.digest) {
            Some(image) => image.names.extend(names),
            None => chosen.push(Chosen { target: found.target, image_id: found.image_id, outgoing, names }),
        }
    }
    write_to(context, &session, &chosen, output)
}

fn write_to(context: &Context, session: &Session, images: &[Chosen], output: &Output) -> Result<Vec<Saved>> {
    let full_names = context.naming() == Naming::Podman;
    // Before anything is written: an image can lose its name meanwhile. What is missing is told by who comes to need it.
    let saved: Vec<Result<Saved>> = images.iter().map(|image| image.described(session.store())).collect();
    let copied = match output {
        Output::Directory(path) => write_directory(session, images, path)?,
        Output::Path(path) => {
            target_file::check(path, FAILED)?;
            let mut file = AtomicFile::create(path, 0o600).map_err(|error| error.context(FAILED))?;
            let handle =
                file.file().try_clone().map_err(|error| Error::io(format_args!("cannot write {path:?}"), error))?;
            let copied = write(session, images, ArchiveOutput::file(handle, path)?, full_names)?;
            target_file::commit(file, path)?;
            copied
        }
        Output::Stdout => {
            let handle = io::stdout().as_fd().try_clone_to_owned();
            let handle = handle.map_err(|error| Error::io("cannot write standard output", error))?;
            write(session, images, ArchiveOutput::file(File::from(handle), "standard output")?, full_names)?
        }
    };
    last_use::note(session.store(), images.iter().map(|image| &image.image_id));
    saved.into_iter().zip(&copied).map(|(saved, copied)| Ok(saved?.moved(copied))).collect()
}

impl Chosen {
    /// What messages call it.
    fn name(&self) -> String {
        self.names.first().map_or_else(|| self.image_id.to_string(), Reference::familiar)
    }

    /// Tells what is damaged or missing in the store where an error comes of that.
    fn explain(&self, store: &Store, error: Error) -> Error {
        explain_stored(store, &self.name(), &self.target, error)
    }

    /// As it is listed in the archive: one that no registry knows says so.
    fn listed(&self, store: &Store, root: &Descriptor) -> Descriptor {
        let is_unpublished = is_unpublished(store, root).unwrap_or_else(|error| {
            tracing::debug!(image = self.name(), %error, "cannot look up where it is known");
            false
        });
        if is_unpublished { unpublished(root) } else { root.clone() }
    }

    fn described(&self, store: &Store) -> Result<Saved> {
        let documents = outgoing::documents(store, &self.outgoing)?;
        let Descriptor { digest, media_type, .. } = self.outgoing.root.clone();
        Ok(Saved {
            names: self.names.clone(),
            narrowed_from: Some(self.target.digest.clone()).filter(|target| *target != digest),
            digest,
            media_type,
            image_id: self.image_id.clone(),
            extent: Extent::of(store, &self.target.digest, &documents)?,
            note: self.outgoing.narrowed.as_ref().map(|less| less.note("saved")),
        })
    }
}

impl Saved {
    fn moved(self, copied: &Copied) -> Self {
        Self { extent: self.extent.moved(copied), ..self }
    }
}

/// Copies images into a directory, in which each has its names, or is listed without one.
fn write_directory(session: &Session, images: &[Chosen], path: &Path) -> Result<Vec<Copied>> {
    let directory = OciDirectory::create(path)?;
    let options = CopyOptions::new(&Silent);
    let mut copied = Vec::with_capacity(images.len());
    for image in images {
        let source = Prefetched::new(session, &image.outgoing.made);
        let root = &image.outgoing.root;
        let result = futures::executor::block_on(copy(&source, &directory, root, &options));
        copied.push(result.map_err(|error| image.explain(session.store(), error))?);
        let made = image.outgoing.made.iter().find(|made| made.descriptor().digest == root.digest);
        let document = match made {
            Some(made) => made.clone(),
            None => session.store().document(&root.digest)?,
        };
        let document =
            verify_document(document.bytes().to_vec(), &image.listed(session.store(), document.descriptor()))?;
        for name in &image.names {
            futures::executor::block_on(directory.tag(name, &document))?;
        }
        if image.names.is_empty() {
            directory.list(&document)?;
        }
    }
    Ok(copied)
}

fn write(session: &Session, images: &[Chosen], output: ArchiveOutput, full_names: bool) -> Result<Vec<Copied>> {
    let writer = ArchiveWriter::new(output).with_full_names(full_names);
    let options = CopyOptions::new(&Silent);
    let mut copied = Vec::with_capacity(images.len());
    for image in images {
        let source = Prefetched::new(session, &image.outgoing.made);
        let result = futures::executor::block_on(copy(&source, &writer, &image.outgoing.root, &options));
        copied.push(result.map_err(|error| image.explain(session.store(), error))?);
    }
    let saved: Vec<SavedImage> = images
        .iter()
        .map(|image| SavedImage {
            root: image.listed(session.store(), &image.outgoing.root),
            manifest: Some(image.outgoing.manifest.clone()),
            names: image.names.clone(),
            labels: Vec::new(),
        })
        .collect();
    writer.finish(&saved)?;
    Ok(copied)
}

/// A platform that is not here is no damage, and docker has words for it.
fn told(argument: &str, error: Error) -> Error {
    if error.kind() == Kind::Corrupt { explain(argument, error) } else { error }
}

/// Finds the images; those given under several names come once, with all of them.
fn choose(context: &Context, session: &Session, arguments: &[String], platforms: &Platforms) -> Result<Vec<Chosen>> {
    let store = session.store();
    let mut images: Vec<Chosen> = Vec::new();
    for argument in arguments {
        let pin = |targets: &Vec<(Descriptor, _)>| targets.iter().try_for_each(|(target, _)| session.pin(target));
        let pin = |targets: &_| pin(targets).map_err(|error| told(argument, error));
        for (target, name) in hold(|| targets(context, argument), pin)? {
            let image_id = store.find_target(&target.digest)?.image_id;
            let outgoing =
                outgoing::choose(store, &target, platforms, argument).map_err(|error| told(argument, error))?;
            let known = images.iter().position(|image| image.outgoing.root.digest == outgoing.root.digest);
            let index = known.unwrap_or_else(|| {
                images.push(Chosen { target, outgoing, names: Vec::new(), image_id });
                images.len() - 1
            });
            let names = &mut images[index].names;
            names.extend(name.filter(|name| !names.contains(name)));
        }
    }
    Ok(images)
}

/// What one argument stands for, each with the name it is saved under.
fn targets(context: &Context, argument: &str) -> Result<Vec<(Descriptor, Option<Reference>)>> {
    let store = context.store()?;
    for name in context.configured(argument)? {
        match targets_of(store, &name.familiar()) {
            Err(error) if error.kind() == Kind::NotFound => {}
            outcome => return outcome,
        }
    }
    targets_of(store, argument)
}

fn targets_of(store: &Store, argument: &str) -> Result<Vec<(Descriptor, Option<Reference>)>> {
    if let Some(repository) = names::as_repository(argument) {
        let references = store.references_in(&repository)?;
        if !references.is_empty() {
            return references
                .into_iter()
                .map(|reference| {
                    let target = store.resolve(&reference)?.ok_or_else(|| names::no_such_image(argument))?;
                    // A digest is no name of its image elsewhere: archives have tags.
                    Ok((target, Some(reference).filter(|reference| reference.digest().is_none())))
                })
                .collect();
        }
    }
    let found = store.find(argument)?;
    Ok(vec![(found.target, found.reference.filter(|reference| reference.digest().is_none()))])
}
