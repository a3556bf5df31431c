//! Plain trees: the files of an image as files, for who must use them without a mount. Made on demand, beside the layer files,
//! and a cache as they are.

mod growing;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dhow_base::beneath::Dir;
use dhow_base::fs::{self as durable, Durability, FileLock, LockMode};
use dhow_base::{Error, Kind, Result, threads};
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{IdMap, Note, Owners, Unpacker};
use dhow_layer::{Proof, Uncompressed, inflate_in_order};
use dhow_spec::Digest;
use serde::{Deserialize, Serialize};

use crate::paths::parse_flat;
use crate::read::{Layer, MEND};
use crate::store::Store;
use crate::usage::below;
use crate::wait;

pub(crate) use growing::Growing;

/// How long to wait for another process that makes the same tree.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Longest `tree.json` that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// Ending of a tree that is being made.
const PART_SUFFIX: &str = ".part";

/// Ending of the lock that its maker holds.
const LOCK_SUFFIX: &str = ".lock";

/// What is in the names of trees in whose namespace the caller is not root, before its numbers there.
const KEPT_IDS: &str = ".keptids";

/// Beginning of the names that trees have in the trash.
const TRASHED: &str = "tree-";

/// A tree: all layers of an image above each other.
#[derive(Clone, Debug)]
pub struct PlainTree {
    /// The root directory of the files.
    pub path: PathBuf,
    /// Whose files they are.
    pub ownership: Ownership,
    /// What could not be made as the layers say; only known to who made it.
    pub notes: Vec<Note>,
}

/// To whom the files of a tree belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// To those that the image names; needs root's rights, or those of root in a user namespace, whose users they are then.
    Kept,
    /// As kept, in a user namespace in which the caller is not root but a user with these numbers.
    KeptIds {
        /// The caller's number as a user.
        uid: u32,
        /// The number of its group.
        gid: u32,
    },
    /// All to one user, who made it; `user.containers.override_stat` says what the image says (fuse-overlayfs's way).
    Single,
    /// All to one user, who made it, and nothing says otherwise; devices are left out. For a container whose only user that is.
    Caller,
}

impl Ownership {
    fn owners(self) -> Owners {
        match self {
            Self::Kept | Self::KeptIds { .. } => Owners::Keep(IdMap::default()),
            Self::Single => Owners::Record,
            Self::Caller => Owners::Caller,
        }
    }

    fn suffix(self) -> String {
        match self {
            Self::Kept => String::new(),
            Self::KeptIds { uid, gid } => format!("{KEPT_IDS}-{uid}-{gid}"),
            Self::Single => ".single".to_owned(),
            Self::Caller => ".caller".to_owned(),
        }
    }
}

/// What a tree says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    ownership: Ownership,
    /// Bytes on disk.
    bytes: u64,
}

/// A tree as the account of the cache sees it.
#[derive(Debug)]
pub(crate) struct KnownTree {
    pub(crate) path: PathBuf,
    pub(crate) chain_id: Digest,
    pub(crate) bytes: u64,
}

impl Store {
    /// The files of an image as a tree, made if it is not there. Images with the same layers share it, and whoever uses it as
    /// the lower directory of an overlay finds nothing in it that overlayfs would act on.
    ///
    /// # Errors
    /// Those of [`Store::unpack`]; [`Kind::Invalid`] for an image without layers.
    pub fn unpack_tree(&self, image_id: &Digest, ownership: Ownership) -> Result<PlainTree> {
        let layers = self.layers(image_id)?;
        let Some(top) = layers.last() else {
            return Err(Error::new(Kind::Invalid, format!("image {image_id} has no files: it has no layers")));
        };
        let home = self.paths().tree(&top.chain_id, &ownership.suffix());
        if let Some(found) = known(&home, ownership) {
            return Ok(found);
        }
        self.require_writable().map_err(|error| error.context("cannot unpack an image"))?;
        durable::create_dir_all(&self.paths().trees())?;
        let lock_path = beside(&home, LOCK_SUFFIX);
        let _lock = lock(&lock_path)?;
        let made = match known(&home, ownership) {
            // Another process was faster.
            Some(found) => Ok(found),
            None => self.make_tree(&layers, &home, ownership, self),
        };
        durable::remove_file(&lock_path)?;
        made
    }

    /// Whether the tree of an image is there already.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the image is not here.
    pub fn has_tree(&self, image_id: &Digest, ownership: Ownership) -> Result<bool> {
        let layers = self.layers(image_id)?;
        let home = layers.last().map(|top| self.paths().tree(&top.chain_id, &ownership.suffix()));
        Ok(home.is_some_and(|home| known(&home, ownership).is_some()))
    }

    /// Makes a tree under another name; the caller holds the lock.
    fn make_tree(
        &self,
        layers: &[Layer],
        home: &Path,
        ownership: Ownership,
        source: &dyn LayerSource,
    ) -> Result<PlainTree> {
        let part = beside(home, PART_SUFFIX);
        self.trash_tree(&part)?;
        self.trash_tree(home)?;
        let made = self.fill_tree(layers, &part, ownership, source);
        let notes = match made {
            Ok(notes) => notes,
            Err(error) => {
                let _ = self.trash_tree(&part);
                self.empty_trees_trash();
                return Err(error);
            }
        };
        durable::rename(&part, home)?;
        Ok(PlainTree { path: home.join("root"), ownership, notes })
    }

    fn fill_tree(
        &self,
        layers: &[Layer],
        part: &Path,
        ownership: Ownership,
        source: &dyn LayerSource,
    ) -> Result<Vec<Note>> {
        let root = part.join("root");
        durable::create_dir_all(&root)?;
        let dir = Dir::open(&root).map_err(|error| Error::io(format_args!("cannot open {root:?}"), error))?;
        let mut unpacker = Unpacker::new(dir, ownership.owners())?.writing_back();
        thread::scope(|scope| -> Result<()> {
            let stored = layers.iter().map(|layer| stored(layer, source));
            for (layer, inflating) in layers.iter().zip(inflate_in_order(scope, stored)) {
                let name = name_of(layer);
                let unpack = |stream| unpacker.layer(stream, &name, TarLimits::LAYER);
                let ((), uncompressed) = inflating
                    .and_then(|inflating| inflating.consume(unpack))
                    .map_err(|error| self.told_of(&layer.blob.digest, error))?;
                source.inflated(layer, uncompressed);
            }
            Ok(())
        })?;
        let unpacked = unpacker.finish()?;
        let (bytes, synced) = thread::scope(|scope| {
            // The disk has the files to write meanwhile.
            let count = || below(part).1;
            let counting = threads::start_in(scope, "count", count);
            let synced = unpacked.root.sync_file_system();
            (counting.map_or_else(|_| count(), |counting| counting.join().unwrap_or_default()), synced)
        });
        synced.map_err(|error| Error::io("cannot write the files to the disk", error))?;
        let text = serde_json::to_vec(&Record { ownership, bytes });
        let text = text.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        // A name stands for a whole tree, the record too.
        durable::write_atomic(&part.join("tree.json"), &text, 0o600, Durability::Durable)?;
        Ok(unpacked.notes)
    }

    /// All trees that are whole.
    pub(crate) fn known_trees(&self) -> Vec<KnownTree> {
        let entries = fs::read_dir(self.paths().trees()).into_iter().flatten().flatten();
        let tree = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            let whole = [Ownership::Single, Ownership::Caller]
                .iter()
                .find_map(|one| name.strip_suffix(&one.suffix()))
                .or_else(|| name.split_once(KEPT_IDS).map(|(whole, _)| whole));
            let chain_id = parse_flat(whole.unwrap_or(name))?;
            let bytes = record(&entry.path()).map_or(0, |record| record.bytes);
            Some(KnownTree { path: entry.path(), chain_id, bytes })
        };
        entries.filter_map(tree).collect()
    }

    /// Moves a tree out of sight, so that it can be removed while others go on.
    pub(crate) fn trash_tree(&self, tree: &Path) -> Result<()> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        if !tree.is_dir() {
            return Ok(());
        }
        for _ in 0..1000 {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let target = self.paths().trash().join(format!("{TRASHED}{}-{serial}", std::process::id()));
            match durable::rename(tree, &target) {
                // An empty directory would be replaced, a full one is in the way: it is left by a process of this number.
                Err(error) if error.kind() == Kind::AlreadyExists || target.exists() => drop(error),
                other => return other,
            }
        }
        Err(Error::new(Kind::Internal, format!("no name is free in the trash for {tree:?}")))
    }

    /// Moves trees that were being made when their process died out of sight.
    pub(crate) fn sweep_trees(&self) {
        let entries = fs::read_dir(self.paths().trees()).into_iter().flatten().flatten();
        let home = |path: PathBuf| {
            let text = path.to_str()?;
            text.strip_suffix(PART_SUFFIX).or_else(|| text.strip_suffix(LOCK_SUFFIX)).map(PathBuf::from)
        };
        let homes: BTreeSet<PathBuf> = entries.filter_map(|entry| home(entry.path())).collect();
        for home in homes {
            let lock_path = beside(&home, LOCK_SUFFIX);
            if let Ok(Some(_lock)) = wait::try_lock(&lock_path) {
                let _ = self.trash_tree(&beside(&home, PART_SUFFIX));
                let _ = durable::remove_file(&lock_path);
            }
        }
    }

    /// Whether the trash has trees in it.
    pub fn has_trashed_trees(&self) -> bool {
        self.trashed_trees().next().is_some()
    }

    /// Removes the trees in the trash; another process may do so as well.
    pub fn empty_trees_trash(&self) {
        let Ok(trash) = Dir::open(&self.paths().trash()) else { return };
        for name in self.trashed_trees() {
            if let Err(error) = trash.remove_tree(OsStr::new(&name)) {
                tracing::debug!(name, %error, "a tree stays in the trash for now");
            }
        }
    }

    fn trashed_trees(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(self.paths().trash()).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(TRASHED))
    }
}

/// Where the layers of a tree come from.
trait LayerSource: Sync {
    /// Opens a layer as it is stored, whether it is proven or not.
    fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send + '_>>;

    /// What has to show that it inflates to what it should.
    fn proof(&self, layer: &Layer) -> Proof;

    /// Is told what it inflated to, which was the diff ID that it should have.
    fn inflated(&self, layer: &Layer, uncompressed: Uncompressed);
}

impl LayerSource for Store {
    fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send + '_>> {
        match durable::open(&self.paths().blob(&layer.blob.digest)) {
            Err(error) if error.kind() == Kind::NotFound => {
                Err(Error::new(Kind::NotFound, "it is not in the store").with_hint(MEND))
            }
            other => Ok(Box::new(other?)),
        }
    }

    fn proof(&self, layer: &Layer) -> Proof {
        Self::proof(self, &layer.blob.digest, &layer.diff_id)
    }

    fn inflated(&self, _: &Layer, _: Uncompressed) {}
}

/// A layer as what inflates it wants it.
fn stored<'a>(layer: &'a Layer, source: &'a dyn LayerSource) -> dhow_layer::Layer<'a> {
    let open = || source.open(layer).map_err(|error| error.context(name_of(layer)));
    let proof = source.proof(layer);
    dhow_layer::Layer { name: name_of(layer), diff_id: &layer.diff_id, proof, open: Box::new(open) }
}

/// What errors call a layer.
fn name_of(layer: &Layer) -> String {
    format!("layer {}", layer.blob.digest)
}

/// A whole tree of that kind.
fn known(home: &Path, ownership: Ownership) -> Option<PlainTree> {
    let is_known = record(home).is_some_and(|record| record.ownership == ownership);
    let path = home.join("root");
    (is_known && path.is_dir()).then(|| PlainTree { path, ownership, notes: Vec::new() })
}

fn record(home: &Path) -> Option<Record> {
    let text = durable::read_limited(&home.join("tree.json"), RECORD_BYTES_MAX).ok()?;
    serde_json::from_slice(&text).ok()
}

fn beside(home: &Path, suffix: &str) -> PathBuf {
    let mut name = home.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Takes the lock that has the name when it is had: whoever had it before removes it at the end.
fn lock(path: &Path) -> Result<FileLock> {
    loop {
        let lock = FileLock::acquire(path, LockMode::Exclusive, PATIENCE)?;
        if wait::is_at(lock.file(), path) {
            return Ok(lock);
        }
    }
}
