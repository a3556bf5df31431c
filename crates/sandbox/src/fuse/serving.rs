//! Answers what the kernel asks of the file system (`linux/fuse.h`).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dhow_base::Error;
use dhow_layer::erofs::{FileType, Mtime, UnionNode, Xattr};
use fuser::{
    AccessFlags, Errno, FileAttr, FileHandle, Filesystem, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyXattr, Request,
};

use super::tree::Tree;

/// How long the kernel may keep what it was told: nothing here changes.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A block as stat(2) counts them.
const BLOCK_BYTES: u64 = 512;

/// The beginnings of extended attributes' names that Linux shows of a file system.
const SHOWN_XATTRS: [&[u8]; 3] = [b"user.", b"security.", b"trusted."];
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// The file system of an image.
pub(crate) struct Serving {
    pub(super) tree: Tree,
    /// Bytes of the layers' files.
    pub(super) bytes: u64,
    /// Whether the kernel asks for rights itself, and lists show what only root may read. Else all of it is open to the one
    /// user who can get in, whose files the layers are.
    pub(super) by_root: bool,
}

impl Serving {
    fn node(&self, number: INodeNo) -> Result<std::sync::Arc<UnionNode>, Errno> {
        self.tree.node(number.0).map_err(failed)?.ok_or(Errno::ENOENT)
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<Option<(u64, UnionNode)>, Errno> {
        let directory = self.node(parent)?;
        self.tree.child(&directory, name.as_bytes()).map_err(failed)
    }

    fn data(&self, number: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let node = self.node(number)?;
        let rest = node.inode().size.saturating_sub(offset);
        let mut data = vec![0; usize::try_from(rest.min(u64::from(size))).unwrap_or(0)];
        let mut filled = 0;
        while filled < data.len() {
            match self.tree.union.read(&node, &mut data[filled..], offset + filled as u64).map_err(failed)? {
                0 => break,
                read => filled += read,
            }
        }
        data.truncate(filled);
        Ok(data)
    }

    fn xattrs(&self, number: INodeNo) -> Result<Vec<Xattr>, Errno> {
        let attributes = self.tree.union.attributes(&*self.node(number)?).map_err(failed)?;
        let is_shown = |name: &[u8]| {
            let is_known = SHOWN_XATTRS.iter().any(|prefix| name.starts_with(prefix)) || ACLS.contains(&name);
            is_known && (self.by_root || !name.starts_with(b"trusted."))
        };
        Ok(attributes.xattrs.into_iter().filter(|xattr| is_shown(&xattr.name)).collect())
    }

    /// Calls `add` with the files of a directory from `offset` on until it says that it is full: number, the offset behind it,
    /// name, the file. The first two are the directory itself and the one it is in.
    fn list(
        &self,
        number: INodeNo,
        offset: u64,
        mut add: impl FnMut(u64, u64, &[u8], &UnionNode) -> bool,
    ) -> Result<(), Errno> {
        let directory = self.node(number)?;
        let names = self.tree.names(number.0, &directory).map_err(failed)?;
        let parent = self.tree.parent(number.0);
        for (position, (itself, name)) in [(number.0, &b"."[..]), (parent, b"..")].into_iter().enumerate() {
            if offset <= position as u64 && add(itself, position as u64 + 1, name, &directory) {
                return Ok(());
            }
        }
        let skipped = usize::try_from(offset.saturating_sub(2)).unwrap_or(usize::MAX);
        for (position, name) in names.iter().enumerate().skip(skipped) {
            let Some((child, node)) = self.tree.child(&directory, name).map_err(failed)? else { continue };
            if add(child, position as u64 + 3, name, &node) {
                return Ok(());
            }
        }
        self.tree.listed(number.0);
        Ok(())
    }
}

#[allow(clippy::too_many_arguments, reason = "the trait's")]
impl Filesystem for Serving {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_CACHE_SYMLINKS,
        ];
        if self.by_root {
            // Access control lists count then; without it they are attributes like others.
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for flag in wanted {
            // What the kernel does not have, it does without.
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(parent, name) {
            Ok(Some((number, node))) => {
                let attributes = attributes(number, &node);
                self.tree.remember(number, node, parent.0);
                reply.entry(&FOR_EVER, &attributes, Generation(0));
            }
            // Number 0: the kernel remembers that there is nothing.
            Ok(None) => reply.entry(&FOR_EVER, &nothing(), Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, count: u64) {
        self.tree.forget(number.0, count);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(number) {
            Ok(node) => reply.attr(&FOR_EVER, &attributes(number.0, &node)),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        let target = self.node(number).and_then(|node| self.tree.union.read_link(&node).map_err(failed));
        match target {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        }
    }

    /// Files need no opening: the kernel does not ask again, and keeps their pages.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.data(number, offset, size) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    /// As [`Serving::open`].
    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.list(number, offset, |child, next, name, node| {
            reply.add(INodeNo(child), next, kind(node.inode().kind), OsStr::from_bytes(name))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let listed = self.list(number, offset, |child, next, name, node| {
            let name = OsStr::from_bytes(name);
            let is_full = reply.add(INodeNo(child), next, name, &FOR_EVER, &attributes(child, node), Generation(0));
            // The kernel does not take itself as told of these two.
            if !is_full && next > 2 {
                self.tree.remember(child, node.clone(), number.0);
            }
            is_full
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let block = BLOCK_BYTES as u32;
        reply.statfs(self.bytes.div_ceil(BLOCK_BYTES), 0, 0, self.tree.union.inodes(), 0, block, 255, block);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match self.xattrs(number) {
            Ok(xattrs) => match xattrs.iter().find(|xattr| xattr.name == name.as_bytes()) {
                Some(xattr) => sized(&xattr.value, size, reply),
                None => reply.error(Errno::NO_XATTR),
            },
            Err(error) => reply.error(error),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        match self.xattrs(number) {
            Ok(xattrs) => {
                let list: Vec<u8> = xattrs.iter().flat_map(|xattr| xattr.name.iter().copied().chain([0])).collect();
                sized(&list, size, reply);
            }
            Err(error) => reply.error(error),
        }
    }

    /// Only asked where the kernel does not compare rights itself.
    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}

/// A caller with no room at all asks how much it needs.
fn sized(value: &[u8], size: u32, reply: ReplyXattr) {
    match u32::try_from(value.len()) {
        Ok(length) if size == 0 => reply.size(length),
        Ok(length) if length <= size => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}

fn failed(error: Error) -> Errno {
    tracing::warn!(%error, "a mounted image cannot be read");
    Errno::EIO
}

fn attributes(number: u64, node: &UnionNode) -> FileAttr {
    let inode = node.inode();
    let modified = time(inode.mtime);
    let (major, minor) = inode.device;
    FileAttr {
        ino: INodeNo(number),
        size: inode.size,
        blocks: inode.size.div_ceil(BLOCK_BYTES),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: kind(inode.kind),
        perm: (inode.mode & 0o7777) as u16,
        nlink: inode.links,
        uid: inode.uid,
        gid: inode.gid,
        // As Linux has it in 32 bits (`new_encode_dev`).
        rdev: minor & 0xff | major << 8 | (minor & !0xff) << 12,
        blksize: 4096,
        flags: 0,
    }
}

/// What tells the kernel that a name does not exist.
fn nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: fuser::FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

fn time(time: Mtime) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let seconds = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let exact = seconds.and_then(|seconds| seconds.checked_add(Duration::from_nanos(u64::from(time.nanoseconds))));
    exact.unwrap_or(UNIX_EPOCH)
}

fn kind(kind: FileType) -> fuser::FileType {
    match kind {
        FileType::File => fuser::FileType::RegularFile,
        FileType::Directory => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::CharDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Socket => fuser::FileType::Socket,
    }
}
