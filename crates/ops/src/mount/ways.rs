//! The ways to show the files of an image in a directory, tried one after the other.

use std::path::{Path, PathBuf};

use dhow_base::beneath::Dir;
use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::{Attributes, FileStorage, LayerWriter};
use dhow_sandbox::{Backing, Server, mount_layers, mount_over_fuse, mount_stack, opens_erofs};
use dhow_spec::Digest;
use dhow_store::{Found, MountedBy, Store, UnpackedLayer};

use crate::unpack::{Flush, IdMap, Owners, unpack_into};

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The kernel: EROFS from the files themselves, of the stack of all layers or of each one with overlayfs over them, or over
    /// loop devices.
    Kernel,
    /// The same, over loop devices.
    Loop,
    /// A process of our own, over FUSE.
    Fuse,
    /// No mount: the files are unpacked.
    Tree,
}

impl Way {
    /// What is tried when nothing is said, in this order. Files without their owners are not what the image says, so that
    /// only root falls back to unpacking them.
    pub fn usual(is_root: bool) -> &'static [Self] {
        if is_root { &[Self::Kernel, Self::Fuse, Self::Tree] } else { &[Self::Kernel, Self::Fuse] }
    }

    /// Reads a way's name, for tests and for who looks for the cause of something.
    pub fn parse(name: &str) -> Option<Self> {
        [("kernel", Self::Kernel), ("loop", Self::Loop), ("fuse", Self::Fuse), ("tree", Self::Tree)]
            .into_iter()
            .find_map(|(known, way)| (known == name).then_some(way))
    }
}

/// An image that is to be shown.
pub(super) struct Shown<'a> {
    pub(super) store: &'a Store,
    pub(super) found: &'a Found,
    pub(super) layers: &'a [UnpackedLayer],
    /// The mount's directory, with `merged` and `work` in it.
    pub(super) directory: &'a Path,
    pub(super) server: &'a Server,
}

impl Shown<'_> {
    /// Tries the ways until one works, and says what shows the files then.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] saying why each did not; whatever else keeps the files from being read.
    pub(super) fn show(&self, ways: &[Way]) -> Result<MountedBy> {
        let mut reasons: Vec<String> = Vec::new();
        for way in ways {
            match self.by(*way) {
                Ok(by) => return Ok(by),
                Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::LimitExceeded) => {
                    tracing::debug!(?way, %error, "cannot mount");
                    reasons.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        let message = format!(
            "nothing can be mounted here ({}); `dhow ls`, `cat`, `cp`, `export` and `unpack` work without a mount",
            reasons.join("; ")
        );
        let hint = "without root's rights it takes /dev/fuse and fusermount3 (Debian: apt install fuse3)";
        Err(Error::new(Kind::Unsupported, message).with_hint(hint))
    }

    fn by(&self, way: Way) -> Result<MountedBy> {
        let merged = self.directory.join("merged");
        let by_kernel = |backing| {
            let files = stack(self.layers, self.directory)?;
            mount_layers(&files, &self.directory.join("work"), &merged, backing)?;
            Ok(MountedBy::Kernel)
        };
        match way {
            Way::Kernel if self.by_stack(&merged) => Ok(MountedBy::Kernel),
            Way::Kernel => by_kernel(Backing::Any),
            Way::Loop => by_kernel(Backing::Loop),
            Way::Fuse => {
                let files: Vec<_> = self.layers.iter().map(|layer| layer.image.file()).collect();
                let lock = self.store.mount_server(&self.found.image_id)?;
                mount_over_fuse(self.server, &files, &merged, &lock)
                    .map_err(|error| error.context("cannot mount over FUSE"))?;
                Ok(MountedBy::Fuse)
            }
            Way::Tree => {
                let session = self.store.begin("mount")?;
                session.pin(&self.found.manifest)?;
                let failed = |error| Error::io(format_args!("cannot open {merged:?}"), error);
                let root = Dir::open(&merged).map_err(failed)?;
                let owners = Owners::Keep(IdMap::default());
                let (unpacked, _) = unpack_into(&session, self.found, root, owners, Flush::Never, &Silent)?;
                for note in &unpacked.notes {
                    tracing::warn!("left out {} ({}), first {:?}", note.what, note.why, note.first);
                }
                Ok(MountedBy::Tree)
            }
        }
    }
}

impl Shown<'_> {
    /// Whether the kernel mounts all layers as one file system.
    fn by_stack(&self, merged: &Path) -> bool {
        if !opens_erofs() {
            return false;
        }
        let Some(stack) = self.store.stack(&self.found.image_id, self.layers) else { return false };
        let files: Vec<PathBuf> = self.layers.iter().map(|layer| layer.path.clone()).collect();
        let mounted = mount_stack(&stack, &files, merged);
        mounted.inspect_err(|error| tracing::debug!(%error, "mounting the layers one by one")).is_ok()
    }
}

/// Whether the kernel mounts all layers as one file system by what is known of them, so that none of their files is read.
pub(super) fn by_known_stack(store: &Store, found: &Found, directory: &Path) -> bool {
    let Some(stacked) = store.known_stack(&found.image_id) else { return false };
    let mounted = mount_stack(&stacked.file, &stacked.layers, &directory.join("merged"));
    mounted.inspect_err(|error| tracing::debug!(%error, "reading the layers first")).is_ok()
}

/// The files to lay over each other, lowest first.
fn stack(layers: &[UnpackedLayer], directory: &Path) -> Result<Vec<PathBuf>> {
    // Overlayfs does not ask whether the root of a layer hides those below.
    let mut first = 0;
    for (number, layer) in layers.iter().enumerate() {
        if layer.image.is_opaque(&layer.image.root()?)? {
            first = number;
        }
    }
    let mut files: Vec<PathBuf> = layers[first..].iter().map(|layer| layer.path.clone()).collect();
    if !layers.last().is_some_and(|layer| layer.image.names_root()) {
        // It takes the root's attributes from the highest layer, whether that one has any or not.
        let union = dhow_store::union(&layers[first..]);
        let path = directory.join("root.erofs");
        let attributes = union.attributes(&union.root()?)?;
        write_root(&attributes, &path)?;
        files.push(path);
    }
    Ok(files)
}

/// Writes a layer of nothing but the root.
fn write_root(attributes: &Attributes, path: &Path) -> Result<()> {
    let scratch = || -> Result<FileStorage> { Err(Error::new(Kind::Internal, "one directory takes no scratch file")) };
    let mut writer = LayerWriter::new(&(), &scratch);
    writer.directory(b"", attributes, false)?;
    let mut target = FileStorage::new(dhow_base::fs::open_or_create(path)?, path);
    writer.finish(&mut target, 0, &Digest::sha256(b"")).map(drop)
}
