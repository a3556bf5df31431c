//! Reads a layer file. Its bytes are not trusted: whatever they say, nothing outside of the file is touched and nothing
//! runs on.

use std::collections::BTreeSet;
use std::fmt;

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

use super::format::{
    BLOCK_BYTES, COMPACT_BYTES, DIRENT_BYTES, DataLayout, EXTENDED_BYTES, HEAD_BYTES, HOLE, Head, SLOT_BYTES, damaged,
    u16_at, u32_at, u64_at,
};
use super::inode::{Attributes, FileType, Inode, Xattr};
use super::ranges::Ranges;
use super::storage::ReadAt;
use super::xattr;

/// Longest target of a symbolic link that is read: Linux has none longer.
const LINK_BYTES_MAX: u64 = 4096;

/// Most chunks of a file: the writer makes them longer in large files.
const CHUNKS_MAX: usize = 1 << 18;

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryEntry {
    /// The name: no slash in it, not `.` or `..`.
    pub(crate) name: Vec<u8>,
    /// Number of its inode.
    pub(crate) nid: u64,
    /// What the directory says it is; nothing when that makes no sense. The inode knows better.
    pub(crate) kind: Option<FileType>,
}

/// An open layer file.
pub struct Image<R> {
    file: R,
    head: Head,
    /// Of an outline: where it has content. None when it has all.
    content: Option<Ranges>,
}

impl<R> fmt::Debug for Image<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Image").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<R: ReadAt> Image<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it is no layer file of this version; an [outline](super::outline()) is none.
    pub fn open(file: R) -> Result<Self> {
        let head = read_head(&file)?;
        match head.content {
            None => Ok(Self { head, file, content: None }),
            Some(_) => Err(damaged("it is an outline")),
        }
    }

    /// Reads the head of an [outline](super::outline()).
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it is none of this version.
    pub fn open_outline(file: R) -> Result<Self> {
        let head = read_head(&file)?;
        let (start, count) = head.content.ok_or_else(|| damaged("it is no outline"))?;
        let content = Ranges::decode(count, |table| file.read_exact_at(table, start))?;
        Ok(Self { head, file, content: Some(content) })
    }

    /// Whether it is an outline: names and attributes of all files, content of few.
    pub fn is_outline(&self) -> bool {
        self.content.is_some()
    }

    /// Whether the content of all files is here.
    pub fn has_all_content(&self) -> bool {
        let end = HEAD_BYTES.saturating_add(self.head.tar_bytes);
        self.content.as_ref().is_none_or(|content| content.hold(HEAD_BYTES, end))
    }

    /// Whether the content of those files is here whose data begins at these bytes.
    pub fn has_data_at(&self, starts: &BTreeSet<u64>) -> bool {
        let content = self.content.as_ref();
        content.is_none_or(|content| starts.iter().all(|start| content.hold(*start, start.saturating_add(1))))
    }

    /// Whether no content of any file is here.
    pub fn has_no_content(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.len() == 0)
    }

    /// Where the data of a file begins; nothing of one that has none, or has it in several places.
    pub fn data_start(&self, inode: &Inode) -> Option<u64> {
        let is_one_piece = inode.kind == FileType::File && inode.size > 0 && inode.layout == DataLayout::Plain;
        is_one_piece.then(|| u64::from(inode.union) * BLOCK_BYTES)
    }

    /// Whether the content of a file is here.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn has_content(&self, inode: &Inode) -> Result<bool> {
        let Some(content) = &self.content else { return Ok(true) };
        if inode.kind != FileType::File || inode.size == 0 {
            return Ok(true);
        }
        let start = |block: u32| u64::from(block) * BLOCK_BYTES;
        match inode.layout {
            DataLayout::Plain => Ok(content.hold(start(inode.union), start(inode.union).saturating_add(inode.size))),
            DataLayout::Inline => Ok(false),
            DataLayout::Chunks => {
                let chunk_bytes = BLOCK_BYTES << inode.union;
                let table = self.chunk_table(inode)?;
                let mut chunks = (0_u64..).zip(table).filter(|(_, block)| *block != HOLE);
                Ok(chunks.all(|(number, block)| {
                    let rest = inode.size.saturating_sub(number.saturating_mul(chunk_bytes));
                    content.hold(start(block), start(block) + rest.min(chunk_bytes))
                }))
            }
        }
    }

    /// Whether this is a directory that the layer only implies, of which the file does not say what it is like.
    pub(super) fn is_implied(&self, directory: &Inode) -> Result<bool> {
        if self.content.is_none() || directory.xattr_count == 0 {
            return Ok(false);
        }
        Ok(self.xattrs(directory)?.iter().any(|xattr| xattr.name == xattr::IMPLIED))
    }

    /// The diff ID that the file was made of.
    pub fn diff_id(&self) -> &Digest {
        &self.head.diff_id
    }

    /// Length of the layer's tar in bytes; it begins behind [`HEAD_BYTES`] bytes.
    pub fn tar_bytes(&self) -> u64 {
        self.head.tar_bytes
    }

    /// Number of inodes, as the file says.
    pub fn inodes(&self) -> u64 {
        self.head.inodes
    }

    /// Whether the layer names its root directory; if not, the root's attributes say nothing.
    pub fn names_root(&self) -> bool {
        self.head.names_root
    }

    /// Whether anything in the file was taken from the layers below.
    pub fn needs_below(&self) -> bool {
        self.head.needs_below
    }

    /// The open file.
    pub fn file(&self) -> &R {
        &self.file
    }

    /// Length that the whole file must have, in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.head.blocks) * BLOCK_BYTES
    }

    /// Blocks of the whole file.
    pub(super) fn blocks(&self) -> u32 {
        self.head.blocks
    }

    /// The root directory.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn root(&self) -> Result<Inode> {
        let root = self.inode(u64::from(self.head.root_slot))?;
        if root.kind == FileType::Directory { Ok(root) } else { Err(damaged("its root is no directory")) }
    }

    /// An inode by its number.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn inode(&self, nid: u64) -> Result<Inode> {
        let position = self.position(nid)?;
        let mut bytes = [0; EXTENDED_BYTES];
        self.file.read_exact_at(&mut bytes[..COMPACT_BYTES], position)?;
        if bytes[0] & 1 == 0 {
            return Inode::decode(&bytes[..COMPACT_BYTES], nid, self.head.time);
        }
        self.file.read_exact_at(&mut bytes[COMPACT_BYTES..], position + COMPACT_BYTES as u64)?;
        Inode::decode(&bytes, nid, self.head.time)
    }

    fn position(&self, nid: u64) -> Result<u64> {
        let meta = u64::from(self.head.meta_block) * BLOCK_BYTES;
        let position = nid.checked_mul(SLOT_BYTES).and_then(|offset| offset.checked_add(meta));
        // No file is longer than 32 bits of blocks; sums below cannot overflow then.
        position.filter(|position| *position < 1 << 42).ok_or_else(|| damaged("an inode lies outside of it"))
    }

    /// Extended attributes as they stand, overlayfs's mark of an opaque directory among them.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>> {
        let mut area = vec![0; xattr::area_bytes(inode.xattr_count)];
        self.file.read_exact_at(&mut area, self.position(inode.nid)? + inode.own_bytes as u64)?;
        xattr::decode(&area)
    }

    /// Whether a directory hides what lower layers have in it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn is_opaque(&self, directory: &Inode) -> Result<bool> {
        if directory.xattr_count == 0 {
            return Ok(false);
        }
        Ok(self.xattrs(directory)?.iter().any(|xattr| xattr.name == xattr::OPAQUE && xattr.value == b"y"))
    }

    /// An inode's attributes, without overlayfs's.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn attributes(&self, inode: &Inode) -> Result<Attributes> {
        let mut xattrs = self.xattrs(inode)?;
        xattrs.retain(|xattr| !xattr::is_live(&xattr.name));
        Ok(Attributes { mode: inode.mode, uid: inode.uid, gid: inode.gid, mtime: inode.mtime, xattrs })
    }

    /// Reads data of a file, link or directory from `offset` on. Returns how much; 0 at the end.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the data lies outside of the file.
    pub fn read(&self, inode: &Inode, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let rest = inode.size.saturating_sub(offset);
        let want = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..want];
        match inode.layout {
            DataLayout::Plain => self.read_blocks(inode.kind, inode.union, buffer, offset),
            DataLayout::Inline => self.read_inline(inode, buffer, offset),
            DataLayout::Chunks => self.read_chunk(inode, buffer, offset),
        }
    }

    fn read_blocks(&self, kind: FileType, block: u32, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let position = (u64::from(block) * BLOCK_BYTES).saturating_add(offset);
        if let (FileType::File, Some(content)) = (kind, &self.content)
            && !content.hold(position, position.saturating_add(buffer.len() as u64))
        {
            return Err(Error::new(Kind::Unavailable, "the content of the file is not in the outline of its layer"));
        }
        self.file.read_exact_at(buffer, position)?;
        Ok(buffer.len())
    }

    fn read_inline(&self, inode: &Inode, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let tail_start = inode.size - inode.size % BLOCK_BYTES;
        if offset < tail_start {
            let whole = usize::try_from(tail_start - offset).unwrap_or(usize::MAX).min(buffer.len());
            return self.read_blocks(inode.kind, inode.union, &mut buffer[..whole], offset);
        }
        let behind = inode.own_bytes + xattr::area_bytes(inode.xattr_count);
        self.file.read_exact_at(buffer, self.position(inode.nid)? + behind as u64 + (offset - tail_start))?;
        Ok(buffer.len())
    }

    /// The first block of each chunk of a file.
    pub(super) fn chunk_table(&self, inode: &Inode) -> Result<Vec<u32>> {
        if inode.union & !0x1f != 0 {
            return Err(damaged("an inode has chunks of an unknown kind"));
        }
        let count = inode.size.div_ceil(BLOCK_BYTES << inode.union);
        let count = usize::try_from(count).ok().filter(|count| *count <= CHUNKS_MAX);
        let mut table = vec![0; 4 * count.ok_or_else(|| damaged("a file has too many chunks"))?];
        let behind = (inode.own_bytes + xattr::area_bytes(inode.xattr_count)) as u64;
        self.file.read_exact_at(&mut table, self.position(inode.nid)? + behind)?;
        Ok(table.chunks_exact(4).map(|block| u32_at(block, 0)).collect())
    }

    fn read_chunk(&self, inode: &Inode, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if inode.union & !0x1f != 0 {
            return Err(damaged("an inode has chunks of an unknown kind"));
        }
        let chunk_bytes = BLOCK_BYTES << inode.union;
        let within = offset % chunk_bytes;
        let count = usize::try_from(chunk_bytes - within).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..count];
        let behind = (inode.own_bytes + xattr::area_bytes(inode.xattr_count)) as u64;
        let entry = self.position(inode.nid)? + behind + (offset / chunk_bytes).saturating_mul(4);
        let mut block = [0; 4];
        self.file.read_exact_at(&mut block, entry)?;
        match u32_at(&block, 0) {
            HOLE => {
                buffer.fill(0);
                Ok(count)
            }
            block => self.read_blocks(inode.kind, block, buffer, within),
        }
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]; [`Kind::Invalid`] when it is none.
    pub fn read_link(&self, inode: &Inode) -> Result<Vec<u8>> {
        if inode.kind != FileType::Symlink {
            return Err(Error::new(Kind::Invalid, "not a symbolic link"));
        }
        if inode.size > LINK_BYTES_MAX {
            return Err(damaged("a symbolic link is too long"));
        }
        let mut target = vec![0; inode.size as usize];
        let mut read = 0;
        while read < target.len() {
            read += self.read(inode, &mut target[read..], read as u64)?;
        }
        Ok(target)
    }

    /// The names of a directory in the order of their bytes.
    ///
    /// # Errors
    /// [`Kind::Corrupt`], and those of `each`, which ends it.
    pub(crate) fn read_directory(
        &self,
        directory: &Inode,
        mut each: impl FnMut(DirectoryEntry) -> Result<()>,
    ) -> Result<()> {
        for block in 0..directory.size.div_ceil(BLOCK_BYTES) {
            for (name, nid, kind) in Block::read(self, directory, block)?.entries() {
                if name != b"." && name != b".." {
                    each(DirectoryEntry { name: name.to_vec(), nid, kind: FileType::from_directory(kind) })?;
                }
            }
        }
        Ok(())
    }

    /// The inode with a name in a directory.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn lookup(&self, directory: &Inode, name: &[u8]) -> Result<Option<Inode>> {
        if directory.kind != FileType::Directory || matches!(name, b"." | b"..") {
            return Ok(None);
        }
        // The last block whose first name is not behind the wanted one.
        let (mut low, mut high) = (0, directory.size.div_ceil(BLOCK_BYTES));
        while low < high {
            let middle = low + (high - low) / 2;
            let block = Block::read(self, directory, middle)?;
            let first = block.entries().next().map(|(first, ..)| first.cmp(name));
            if first.is_none_or(std::cmp::Ordering::is_gt) {
                high = middle;
                continue;
            }
            if let Some((_, nid, _)) = block.entries().find(|(entry, ..)| *entry == name) {
                return self.inode(nid).map(Some);
            }
            low = middle + 1;
        }
        Ok(None)
    }
}

fn read_head(file: &impl ReadAt) -> Result<Head> {
    let mut head = vec![0; HEAD_BYTES as usize];
    file.read_exact_at(&mut head, 0)?;
    Head::decode(&head)
}

/// A block of a directory that keeps the rules.
struct Block {
    bytes: Vec<u8>,
    count: usize,
}

impl Block {
    fn read<R: ReadAt>(image: &Image<R>, directory: &Inode, number: u64) -> Result<Self> {
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        let read = image.read(directory, &mut bytes, number * BLOCK_BYTES)?;
        bytes.truncate(read);
        if read < DIRENT_BYTES {
            return Err(damaged("a directory is cut off"));
        }
        let first = usize::from(u16_at(&bytes, 8));
        let block = Self { count: first / DIRENT_BYTES, bytes };
        if first % DIRENT_BYTES != 0 || first == 0 || first > read {
            return Err(damaged("a directory has no valid names"));
        }
        for entry in 0..block.count {
            let (start, end) = block.name_range(entry);
            let name = block.bytes.get(start..end).unwrap_or_default();
            if start < first || name.is_empty() || name.len() > 255 || name.contains(&b'/') {
                return Err(damaged("a directory has no valid names"));
            }
        }
        Ok(block)
    }

    /// Where the name of an entry stands. The last one ends at a zero or with the block.
    fn name_range(&self, entry: usize) -> (usize, usize) {
        let offset = |entry: usize| usize::from(u16_at(&self.bytes, entry * DIRENT_BYTES + 8));
        let start = offset(entry);
        if entry + 1 < self.count {
            return (start, offset(entry + 1));
        }
        let rest = self.bytes.get(start..).unwrap_or_default();
        (start, start + rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len()))
    }

    /// Names, numbers of inodes, and types.
    fn entries(&self) -> impl Iterator<Item = (&[u8], u64, u8)> {
        (0..self.count).map(|entry| {
            let (start, end) = self.name_range(entry);
            let at = entry * DIRENT_BYTES;
            (&self.bytes[start..end], u64_at(&self.bytes, at), self.bytes[at + 10])
        })
    }
}
