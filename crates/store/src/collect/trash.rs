//! The trash: where content waits until the collection that chose it has committed. One that never does is taken back.

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, thread};

use dhow_base::fs as durable;
use dhow_base::{Kind, Result, threads};
use dhow_spec::Digest;
use dhow_spec::digest::Algorithm;

use super::{Collected, Garbage};
use crate::db::Step;
use crate::recover;
use crate::store::Store;

/// Files for which no thread is begun.
pub(super) const FEW: usize = 256;

impl Store {
    /// Moves blobs into the trash; a row may have lost its file. Returns of which algorithms the whole directory was moved.
    pub(super) fn trash(&self, garbage: &Garbage) -> Step<Vec<Algorithm>> {
        let mut moved_whole = Vec::new();
        for algorithm in Algorithm::ALL {
            if garbage.is_all && self.trash_directory(algorithm, garbage)? {
                moved_whole.push(algorithm);
            }
        }
        for (digest, _) in garbage.blobs.iter().filter(|(digest, _)| !moved_whole.contains(&digest.algorithm())) {
            match durable::rename(&self.paths().blob(digest), &self.paths().trashed(digest)) {
                Err(error) if error.kind() != Kind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(moved_whole)
    }

    /// Moves the directory of one algorithm into the trash in one step, and an empty one into its place. Returns whether it
    /// did: not when something else is in it, and not where the file system cannot exchange two directories.
    ///
    /// Nobody puts anything into it meanwhile: who wants to needs a lease, and to write that down needs the lock on the
    /// database that the collection has.
    fn trash_directory(&self, algorithm: Algorithm, garbage: &Garbage) -> Result<bool> {
        let (blobs, trashed) = (self.paths().blobs_of(algorithm), self.paths().trashed_directory(algorithm));
        let ours = garbage.blobs.iter().filter(|(digest, _)| digest.algorithm() == algorithm);
        let ours: HashSet<&str> = ours.map(|(digest, _)| digest.hex()).collect();
        let Ok(mut entries) = fs::read_dir(&blobs) else { return Ok(false) };
        let is_ours = |entry: fs::DirEntry| entry.file_name().to_str().is_some_and(|name| ours.contains(name));
        if ours.is_empty() || !entries.all(|entry| entry.is_ok_and(is_ours)) {
            return Ok(false);
        }
        durable::create_dir_all(&trashed)?;
        if fs::read_dir(&trashed).is_ok_and(|mut entries| entries.next().is_some()) {
            return Ok(false);
        }
        if let Err(error) = durable::exchange(&trashed, &blobs) {
            tracing::debug!(%error, "blobs go into the trash one by one");
            durable::remove_empty_dir(&trashed)?;
            return Ok(false);
        }
        durable::sync_dir(&self.paths().trash())?;
        durable::sync_dir(&self.paths().blobs())?;
        Ok(true)
    }

    /// Moves back what is in the trash and still has a row.
    pub(super) fn put_back(&self) {
        if let Err(error) = recover::restore_locked(self) {
            tracing::warn!(%error, "what a collection took is put back when the store is opened again");
        }
    }

    /// Deletes what came into the trash of these blobs, and what was worked out about them.
    pub(super) fn empty_trash(&self, garbage: &Garbage, moved_whole: &[Algorithm]) -> Collected {
        let known = (garbage.blobs.len() > FEW).then(|| self.known_facts());
        let (blobs, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        in_halves(&garbage.blobs, |(digest, size)| {
            let trashed = match moved_whole.contains(&digest.algorithm()) {
                true => self.paths().trashed_within(digest),
                false => self.paths().trashed(digest),
            };
            match durable::remove_file(&trashed) {
                Ok(true) => {
                    blobs.fetch_add(1, Ordering::Relaxed);
                    bytes.fetch_add(*size, Ordering::Relaxed);
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%digest, %error, "a file stays in the trash for now"),
            }
            // Only a cache: what is left behind harms nobody.
            if known.as_ref().is_none_or(|known| known.contains(digest)) {
                let _ = durable::remove_file(&self.paths().facts(digest));
            }
        });
        for algorithm in moved_whole {
            if let Err(error) = durable::remove_empty_dir(&self.paths().trashed_directory(*algorithm)) {
                tracing::warn!(%error, "a directory stays in the trash for now");
            }
        }
        Collected { blobs: blobs.into_inner(), bytes: bytes.into_inner() }
    }

    /// The blobs about which something was worked out.
    fn known_facts(&self) -> HashSet<Digest> {
        let digests = |algorithm: Algorithm| {
            let entries = fs::read_dir(self.paths().facts_of(algorithm)).into_iter().flatten().flatten();
            let digest = move |name: OsString| Digest::parse(&format!("{algorithm}:{}", name.to_str()?)).ok();
            entries.filter_map(move |entry| digest(entry.file_name()))
        };
        Algorithm::ALL.into_iter().flat_map(digests).collect()
    }
}

/// Does the same with each, on two threads where it is worth one: half of what a deletion takes happens outside of the lock of
/// the directory.
pub(crate) fn in_halves<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let (first, second) = items.split_at(if items.len() > FEW { items.len() / 2 } else { 0 });
    thread::scope(|scope| {
        let work_first = || first.iter().for_each(&work);
        // Alone where there may be no more threads.
        if !first.is_empty() && threads::start_in(scope, "trash", work_first).is_err() {
            work_first();
        }
        second.iter().for_each(&work);
    });
}
