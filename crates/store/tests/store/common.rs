//! Stores and images for the tests.

use std::path::{Path, PathBuf};

use dhow_base::Result;
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, copy};
use dhow_spec::{Descriptor, Digest, MediaType, Platform, Reference};
use dhow_store::{Committed, NewTarget, OpenOptions, Session, Store};
use dhow_testkit::images::{self, Compression, Format, Layout};
use futures::executor::block_on;
use tempfile::TempDir;

/// The variable that names the folder for all that a process of a test makes aside.
pub(crate) const SCRATCH: &str = "DHOW_STORE_TEST_SCRATCH";

/// A directory in memory where there is one: most tests sync a lot and test no disk.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    match std::env::var_os(SCRATCH) {
        Some(folder) => TempDir::new_in(folder).unwrap(),
        None if memory.is_dir() => TempDir::new_in(memory).unwrap(),
        None => TempDir::new().unwrap(),
    }
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions { platform: Platform::new("linux", "amd64"), ..OpenOptions::default() }
}

pub(crate) fn open_at(root: &Path) -> Result<Store> {
    Store::open(root, &options())
}

pub(crate) fn open(directory: &TempDir) -> Store {
    open_at(&root_of(directory)).unwrap()
}

pub(crate) fn root_of(directory: &TempDir) -> PathBuf {
    directory.path().join("store")
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap().with_default_tag()
}

/// An image that is somewhere else.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) place: MemoryPlace,
    pub(crate) root: Descriptor,
}

impl Remote {
    /// Takes a document of a layout on disk, with everything in it.
    pub(crate) fn from_layout(layout: &Layout, document: &images::Blob) -> Self {
        let place = MemoryPlace::new();
        for entry in std::fs::read_dir(layout.root().join("blobs/sha256")).unwrap() {
            place.insert(std::fs::read(entry.unwrap().path()).unwrap());
        }
        Self { place, root: descriptor(document) }
    }

    /// Two gzip layers, the second of 300 KiB.
    pub(crate) fn small(salt: &str) -> Self {
        let directory = scratch();
        let (layout, manifest) = images::small(directory.path(), salt, Format::Oci, Compression::Gzip).unwrap();
        Self::from_layout(&layout, &manifest)
    }

    pub(crate) fn pull(&self, store: &Store, names: &[&str]) -> Result<Committed> {
        let session = store.begin("pull")?;
        self.fetch(&session)?;
        session.commit(&[self.target(names)])
    }

    pub(crate) fn fetch(&self, session: &Session) -> Result<()> {
        block_on(copy(&self.place, session, &self.root, &CopyOptions::new(&Silent))).map(|_| ())
    }

    pub(crate) fn target(&self, names: &[&str]) -> NewTarget {
        let names: Vec<Reference> = names.iter().map(|name| reference(name)).collect();
        NewTarget {
            digest_repositories: names.iter().map(|name| name.repository().clone()).collect(),
            references: names,
            ..NewTarget::default_for(self.root.clone())
        }
    }
}

pub(crate) fn descriptor(blob: &images::Blob) -> Descriptor {
    Descriptor::new(MediaType::parse(&blob.media_type), Digest::parse(&blob.digest).unwrap(), blob.size)
}

/// A blob that is no layer.
pub(crate) fn plain(bytes: &[u8]) -> Descriptor {
    Descriptor::new(MediaType::Other("application/octet-stream".to_owned()), Digest::sha256(bytes), bytes.len() as u64)
}

/// Fails with what is wrong.
pub(crate) fn assert_sound(store: &Store, what: &str) {
    let report = store.check(false).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.is_sound(), "{what}: {:#?}", report.problems);
}

/// Removes an image by one of its names, as `rmi -f` of its ID would.
pub(crate) fn remove(store: &Store, name: &str) -> Result<()> {
    store.update(|update| {
        let id = update.find(name)?.image_id;
        for name in update.references_of(&id)? {
            update.untag(&name)?;
        }
        for (repository, digest) in update.repo_digests_of(&id)? {
            update.remove_repo_digest(&repository, &digest)?;
        }
        update.delete_image(&id).map(|_| ())
    })
}
