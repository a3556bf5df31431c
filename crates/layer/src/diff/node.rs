//! What a layer says of one file.

use std::ffi::OsStr;
use std::io::{self, Read};

use dhow_base::beneath::{self, Dir, FileKind, Stat};
use dhow_base::{Error, Kind, Result};

use super::DiffOptions;
use crate::tar::RelativePath;

/// Attributes that belong to the machine rather than to the file.
const MACHINE_XATTRS: &[&[u8]] = &[b"security.selinux", b"security.ima", b"security.evm"];

/// Bytes compared at once.
const CHUNK_BYTES: usize = 128 << 10;

/// A file with its metadata.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: RelativePath,
    pub(super) stat: Stat,
    /// Of a symbolic link.
    pub(super) target: Vec<u8>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether overlayfs hides what is below it.
    pub(super) is_opaque: bool,
    /// Whether overlayfs notes of it only where it was, or only what is new about it: what is in it is elsewhere.
    pub(super) is_incomplete: bool,
    pub(super) is_written: bool,
}

impl Node {
    /// Reads what has a name; nothing when nothing has.
    pub(super) fn read(dir: &Dir, name: &OsStr, path: &RelativePath, options: DiffOptions) -> Result<Option<Self>> {
        let failed = |error: io::Error| Error::io(format_args!("cannot read {path:?}"), error);
        let Some(mut stat) = dir.stat_of(name).map_err(failed)? else { return Ok(None) };
        let target = match stat.kind {
            FileKind::Symlink => dir.read_link(name).map_err(failed)?,
            _ => Vec::new(),
        };
        let (mut is_opaque, mut is_incomplete, mut recorded) = (false, false, None);
        let mut xattrs = match stat.kind {
            FileKind::Socket => Vec::new(),
            FileKind::Directory => beneath::xattrs(dir.child(name).map_err(failed)?).map_err(failed)?,
            _ => dir.xattrs_of(name).map_err(failed)?,
        };
        xattrs.retain(|(xattr, value)| {
            is_incomplete |= is_reference(stat.kind, xattr);
            let overlay = [&b"trusted.overlay."[..], b"user.overlay."];
            if let Some(key) = overlay.iter().find_map(|prefix| xattr.strip_prefix(*prefix)) {
                is_opaque |= key == b"opaque" && value == b"y";
                return false;
            }
            if options.recorded_owners && xattr == crate::unpack::OVERRIDE_XATTR {
                recorded = Some(value.clone());
                return false;
            }
            !MACHINE_XATTRS.contains(&xattr.as_slice())
        });
        if options.recorded_owners && stat.kind == FileKind::Symlink {
            // The kernel keeps user attributes off symbolic links: root's is the best guess.
            (stat.uid, stat.gid) = (0, 0);
        }
        if let Some(recorded) = recorded {
            take_recorded(&mut stat, &recorded).ok_or_else(|| {
                let value = String::from_utf8_lossy(&recorded);
                Error::new(Kind::Invalid, format!("{path:?} has a recorded owner that cannot be read: {value:?}"))
            })?;
        }
        if let Some(owner) = options.owner {
            (stat.uid, stat.gid) = owner;
        }
        Ok(Some(Self { path: path.clone(), stat, target, xattrs, is_opaque, is_incomplete, is_written: false }))
    }

    pub(super) fn kind(&self) -> FileKind {
        self.stat.kind
    }

    pub(super) fn identity(&self) -> (u64, u64) {
        self.stat.identity
    }

    pub(super) fn is_overlay_whiteout(&self) -> bool {
        self.stat.kind == FileKind::CharDevice && self.stat.device == (0, 0)
    }

    /// Whether a layer would say the same of both, content aside.
    pub(super) fn same_metadata(&self, other: &Self) -> bool {
        let (a, b) = (&self.stat, &other.stat);
        let is_device = matches!(a.kind, FileKind::CharDevice | FileKind::BlockDevice);
        let has_mode = a.kind != FileKind::Symlink;
        a.kind == b.kind
            && (!has_mode || a.mode == b.mode)
            && (a.uid, a.gid, a.modified) == (b.uid, b.gid, b.modified)
            && (a.kind != FileKind::File || a.size == b.size)
            && (!is_device || a.device == b.device)
            && self.target == other.target
            && self.xattrs == other.xattrs
    }
}

/// Whether overlayfs says by an attribute that what is in a file or directory is elsewhere (overlayfs.rst, "redirect_dir", "Metadata only copy
/// up"). With `user.overlay.` it never does; a file that was copied later keeps where it was.
pub fn is_reference(kind: FileKind, xattr: &[u8]) -> bool {
    match kind {
        FileKind::Directory => xattr == b"trusted.overlay.redirect",
        _ => xattr == b"trusted.overlay.metacopy",
    }
}

/// Takes owner, mode and type over from `uid:gid:mode[:type]`, as containers/storage writes it.
fn take_recorded(stat: &mut Stat, recorded: &[u8]) -> Option<()> {
    let mut fields = std::str::from_utf8(recorded).ok()?.split(':');
    stat.uid = fields.next()?.parse().ok()?;
    stat.gid = fields.next()?.parse().ok()?;
    stat.mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
    let Some(kind) = fields.next() else { return Some(()) };
    let mut parts = kind.split('-');
    match parts.next()? {
        "pipe" => stat.kind = FileKind::Fifo,
        kind @ ("char" | "block") => {
            stat.kind = if kind == "char" { FileKind::CharDevice } else { FileKind::BlockDevice };
            stat.device = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        }
        _ => {}
    }
    Some(())
}

/// Whether two files of one name have the same bytes.
pub(super) fn same_content(lower: &Dir, upper: &Dir, name: &OsStr, path: &RelativePath) -> Result<bool> {
    let failed = |error: io::Error| Error::io(format_args!("cannot read {path:?}"), error);
    let open = |dir: &Dir| dir.open_file(name.as_ref());
    let (mut lower, mut upper) = (open(lower).map_err(failed)?, open(upper).map_err(failed)?);
    let (mut a, mut b) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    loop {
        let count = upper.read(&mut a).map_err(failed)?;
        if count == 0 {
            return Ok(lower.read(&mut b).map_err(failed)? == 0);
        }
        match lower.read_exact(&mut b[..count]) {
            Ok(()) if a[..count] == b[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
    }
}
