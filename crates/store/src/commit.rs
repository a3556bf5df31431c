//! Giving names to content: the one durable step of an operation.

mod describe;
mod rows;

use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Digest, Reference, Repository};

use crate::plan::{Member, Plan};
use crate::session::Session;
use crate::store::Store;
use crate::unpacked::Unnamed;

pub(crate) use describe::NewImage;
pub(crate) use rows::point;

/// Files are opened for flushing in groups of this many.
const FLUSH_FILES: usize = 256;

/// A manifest or index to keep, with the names it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTarget {
    /// The manifest or index, as the registry or archive named it.
    pub document: Descriptor,
    /// Names with tags that stand for it from now on.
    pub references: Vec<Reference>,
    /// Repositories in which it is known by its digest.
    pub digest_repositories: Vec<Repository>,
}

impl NewTarget {
    /// A target without names.
    pub fn default_for(document: Descriptor) -> Self {
        Self { document, references: Vec::new(), digest_repositories: Vec::new() }
    }
}

/// What a commit did.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Whether anything is different from before.
    pub changed: bool,
    /// Names that stood for another image until now, with that image's ID.
    pub replaced: Vec<(Reference, Digest)>,
    /// The targets, in the order given.
    pub targets: Vec<CommittedTarget>,
}

/// One target that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedTarget {
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// ID of the image that is shown for it.
    pub shown: Digest,
    /// IDs of all its images that are here, in the order they came.
    pub images: Vec<Digest>,
}

impl Committed {
    /// The image that is shown for a target.
    pub fn image_of(&self, target: &Digest) -> Option<Digest> {
        self.targets.iter().find(|committed| committed.digest == *target).map(|committed| committed.shown.clone())
    }
}

impl Session {
    /// Keeps targets and gives them their names, all or none: flushes their content once, then writes one durable
    /// transaction. A commit that changes nothing waits for no disk.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when content is missing, [`Kind::Corrupt`] when a layer's diff ID is not the config's,
    /// [`Kind::Invalid`] for a name without tag or with a digest; those of flushing and of the database.
    pub fn commit(&self, targets: &[NewTarget]) -> Result<Committed> {
        let store = self.store();
        self.lease.finish_trees();
        let mut plans = Vec::with_capacity(targets.len());
        for target in targets {
            check_names(target)?;
            let plan = Plan::read(store, Some(&self.lease), &target.document)?;
            plan.require_usable(store)?;
            plans.push(plan);
        }
        let content: Vec<&Digest> = plans.iter().flat_map(|plan| &plan.content).collect();
        let unnamed = self.lease.take_unnamed(true);
        let flushed = flush(store, &content, &unnamed)?;
        store.name_passed(unnamed);
        let members: Vec<&Member> = plans.iter().flat_map(|plan| &plan.members).collect();
        let mut images: Vec<NewImage> = Vec::new();
        loop {
            // Another process may remove an image that was known a moment ago: the transaction looks again.
            let unproven = store.read_rows(|connection| rows::unproven_members(connection, &members, &images))?;
            for member in unproven {
                images.push(describe::describe(&self.lease, member)?);
            }
            let (committed, changed) = store.write_names(|transaction| {
                if !rows::unproven_members(transaction, &members, &images)?.is_empty() {
                    return Ok(None);
                }
                rows::mark_flushed(transaction, &flushed)?;
                rows::insert_images(transaction, &images)?;
                let mut committed = Committed::default();
                for (plan, target) in plans.iter().zip(targets) {
                    rows::insert_target(transaction, plan)?;
                    let kept = rows::name(transaction, store, target, &mut committed.replaced)?;
                    committed.targets.push(kept);
                }
                Ok(Some(committed))
            })?;
            if let Some(committed) = committed {
                return Ok(Committed { changed, ..committed });
            }
        }
    }
}

impl Session {
    /// Makes content durable that kept images had lost and that came back through this session, then removes the damaged
    /// copies that a repair moved aside.
    ///
    /// # Errors
    /// Those of flushing and of the database; the damaged copies stay then.
    pub fn settle(&self, content: &[Digest]) -> Result<()> {
        let store = self.store();
        make_durable(store, content)?;
        for digest in content {
            durable::remove_file(&store.paths().damaged(digest))?;
        }
        Ok(())
    }
}

/// Brings content to the disk that kept images need.
pub(crate) fn make_durable(store: &Store, content: &[Digest]) -> Result<()> {
    let flushed = flush(store, &content.iter().collect::<Vec<_>>(), &[])?;
    store.write_names(|transaction| rows::mark_flushed(transaction, &flushed)).map(|_| ())
}

fn check_names(target: &NewTarget) -> Result<()> {
    match target.references.iter().find(|name| name.tag().is_none() || name.digest().is_some()) {
        Some(name) if name.digest().is_some() => {
            Err(Error::new(Kind::Invalid, "refusing to create a tag with a digest reference"))
        }
        Some(name) => Err(Error::new(Kind::Invalid, format!("{} has no tag", name.familiar()))),
        None => Ok(()),
    }
}

/// Brings what is not yet on stable storage there: contents first, then the directories with their names. Returns what
/// was flushed. The files of layers that were unpacked on the way go along.
fn flush(store: &Store, content: &[&Digest], unnamed: &[Unnamed]) -> Result<Vec<Digest>> {
    let mut unflushed: Vec<Digest> = rows::unflushed(store, content)?;
    unflushed.sort();
    unflushed.dedup();
    let blobs = unflushed.iter().map(|digest| store.paths().blob(digest));
    let paths: Vec<PathBuf> = blobs.chain(unnamed.iter().map(|layer| layer.part().to_owned())).collect();
    for (number, group) in paths.chunks(FLUSH_FILES).enumerate() {
        let mut files: Vec<(PathBuf, File)> = Vec::with_capacity(group.len());
        for path in group {
            files.push((path.clone(), durable::open(path)?));
        }
        durable::flush_files(&files).map_err(|unsynced| {
            // Blobs come first, in their order.
            let failed = unsynced.files.iter().filter_map(|index| unflushed.get(number * FLUSH_FILES + index));
            withdraw(store, failed);
            unsynced.error
        })?;
    }
    let mut directories: Vec<PathBuf> =
        unflushed.iter().map(|digest| store.paths().blobs_of(digest.algorithm())).collect();
    directories.sort();
    directories.dedup();
    let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
    durable::flush(&[], &directories).inspect_err(|_| withdraw(store, unflushed.iter()))?;
    Ok(unflushed)
}

/// Takes back content of which a sync failed. The kernel takes it for written now: the next sync would succeed and prove
/// nothing, so that it has to be brought and written anew. Other operations that found it here find it missing.
fn withdraw<'d>(store: &Store, digests: impl Iterator<Item = &'d Digest>) {
    let withdrawn = store.write_rows(|transaction| {
        let mut select = transaction.prepare("SELECT 1 FROM blob WHERE digest = ?1 AND flushed = 0")?;
        let mut delete = transaction.prepare("DELETE FROM blob WHERE digest = ?1")?;
        for digest in digests {
            if select.exists([digest.as_str()])? {
                // The file first: one without a row would be taken back, one that is missing is not.
                durable::remove_file(&store.paths().blob(digest))?;
                delete.execute([digest.as_str()])?;
            }
        }
        Ok(())
    });
    if let Err(error) = withdrawn {
        tracing::warn!(%error, "content that cannot be synced stays");
    }
}
