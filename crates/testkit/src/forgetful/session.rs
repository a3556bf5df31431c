//! The FUSE side: the kernel's requests, answered from a [`Volume`].

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::names::Ino;
use super::pages::{Content, PAGE_BYTES};
use super::volume::{Body, Metadata, Names, Volume};

/// How long the kernel may remember an answer. Nothing changes behind its back before the unmount.
const REMEMBER: Duration = Duration::from_secs(3600);

/// Free space that is reported, in pages (64 GiB).
const FREE_PAGES: u64 = 16 << 20;

/// `mode` bits of the file type (`S_IFMT`) and their value for a regular file (`S_IFREG`); inode(7).
const TYPE_MASK: u32 = 0o170_000;
const TYPE_REGULAR: u32 = 0o100_000;

/// `fallocate(2)`: keep the file's length.
const KEEP_SIZE: i32 = 1;

/// A volume that the session's thread and the test share.
pub(super) type Shared = Arc<Mutex<Volume>>;

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Volume> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

type Listing = Arc<Vec<(Ino, FileType, OsString)>>;

/// Answers requests one after the other.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) volume: Shared,
    /// Directories being read: a listing must not shift while names in it are removed.
    pub(super) listings: Mutex<(u64, HashMap<u64, Listing>)>,
}

impl Server {
    fn volume(&self) -> MutexGuard<'_, Volume> {
        lock(&self.volume)
    }

    fn listings(&self) -> MutexGuard<'_, (u64, HashMap<u64, Listing>)> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, request: &Request, parent: INodeNo, name: &OsStr, body: Body, mode: u32) -> Result<FileAttr, Errno> {
        let mut volume = self.volume();
        let ino = volume.make(parent.0, name, body, Metadata::new(mode, request.uid(), request.gid()))?;
        attributes(&volume, ino)
    }

    fn open_listing(&self, directory: Ino) -> Result<FileHandle, Errno> {
        let listing = Arc::new(self.volume().list(directory)?);
        let mut listings = self.listings();
        listings.0 += 1;
        let handle = listings.0;
        listings.1.insert(handle, listing);
        Ok(FileHandle(handle))
    }

    fn allocate(&self, ino: Ino, end: u64, mode: i32) -> Result<(), Errno> {
        let mut volume = self.volume();
        match mode {
            0 if volume.length(ino)? < end => volume.set_length(ino, end),
            0 | KEEP_SIZE => volume.node(ino).map(|_| ()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }
}

fn attributes(volume: &Volume, ino: Ino) -> Result<FileAttr, Errno> {
    let node = volume.node(ino)?;
    let size = match &node.body {
        Body::File(content) => content.len(),
        Body::Directory(_) => PAGE_BYTES,
        Body::Symlink(target) => target.as_os_str().len() as u64,
    };
    let modified = node.metadata.modified;
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: node.body.kind(),
        perm: node.metadata.permissions,
        nlink: node.links,
        uid: node.metadata.user,
        gid: node.metadata.group,
        rdev: 0,
        blksize: PAGE_BYTES as u32,
        flags: 0,
    })
}

fn reply_entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&REMEMBER, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn reply_attributes(reply: ReplyAttr, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.attr(&REMEMBER, &attributes),
        Err(error) => reply.error(error),
    }
}

fn reply_empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Server {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let volume = self.volume();
        reply_entry(reply, volume.lookup(parent.0, name).and_then(|ino| attributes(&volume, ino)));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply_attributes(reply, attributes(&self.volume(), ino.0));
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut volume = self.volume();
        let resized = size.map_or(Ok(()), |length| volume.set_length(ino.0, length));
        let changed = resized.and_then(|()| {
            volume.set_metadata(ino.0, |metadata| {
                metadata.permissions = mode.map_or(metadata.permissions, |mode| (mode & 0o7777) as u16);
                metadata.user = uid.unwrap_or(metadata.user);
                metadata.group = gid.unwrap_or(metadata.group);
                metadata.modified = match mtime {
                    Some(TimeOrNow::SpecificTime(time)) => time,
                    Some(TimeOrNow::Now) => SystemTime::now(),
                    None => metadata.modified,
                };
            })
        });
        reply_attributes(reply, changed.and_then(|()| attributes(&volume, ino.0)));
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.volume().read_link(ino.0) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        if mode & TYPE_MASK != TYPE_REGULAR {
            return reply.error(Errno::EPERM);
        }
        reply_entry(reply, self.make(request, parent, name, Body::File(Content::default()), mode));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        reply_entry(reply, self.make(request, parent, name, Body::Directory(Names::default()), mode));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        reply_entry(reply, self.make(request, parent, name, Body::Symlink(target.to_owned()), 0o777));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(request, parent, name, Body::File(Content::default()), mode) {
            Ok(made) => reply.created(&REMEMBER, &made, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.volume().unlink(parent.0, name));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.volume().remove_directory(parent.0, name));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        reply_empty(reply, self.volume().rename((parent.0, name), (newparent.0, newname), replace));
    }

    fn link(&self, _request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let mut volume = self.volume();
        let linked = volume.link(ino.0, newparent.0, newname);
        reply_entry(reply, linked.and_then(|()| attributes(&volume, ino.0)));
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.volume().node(ino.0) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.volume().read(ino.0, offset, u64::from(size));
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.volume().write(ino.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _request: &Request, _ino: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        // Closing a file promises nothing about its bytes.
        reply.ok();
    }

    fn fsync(&self, _request: &Request, ino: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply_empty(reply, self.volume().sync(ino.0));
    }

    fn fsyncdir(&self, _request: &Request, ino: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply_empty(reply, self.volume().sync(ino.0));
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.open_listing(ino.0) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _request: &Request, _ino: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(listing) = self.listings().1.get(&handle.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (ino, kind, name)) in listing.iter().enumerate().skip(begin) {
            if reply.add(INodeNo(*ino), index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _request: &Request, _ino: INodeNo, handle: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        self.listings().1.remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let page = PAGE_BYTES as u32;
        reply.statfs(FREE_PAGES, FREE_PAGES, FREE_PAGES, FREE_PAGES, FREE_PAGES, page, 255, page);
    }

    fn fallocate(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.allocate(ino.0, offset + length, mode));
    }
}
