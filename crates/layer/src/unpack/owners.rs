//! Whom the files belong to.

use dhow_base::{Error, Kind, Result};

use crate::tar::{Entry, EntryKind};

/// Where the owners that layers state go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// To the files, through a map of IDs; needs root's rights.
    Keep(IdMap),
    /// Nowhere: all files belong to who unpacks, and devices are left out.
    Caller,
    /// Into the attribute `user.containers.override_stat` of each file and directory, where fuse-overlayfs and
    /// containers/storage look for them; all files belong to who unpacks. Devices become empty files with that attribute.
    Record,
}

impl Owners {
    /// Whom directories belong to that no entry speaks of: the image's root, if it has a place on this machine. Nothing for who unpacks.
    pub(super) fn of_implied(&self) -> Option<(u32, u32)> {
        match self {
            Self::Keep(map) => map.map(0, 0).ok(),
            Self::Caller | Self::Record => None,
        }
    }
}

/// Maps IDs of an image to those of this machine; without ranges each to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Ranges of user IDs.
    pub uids: Vec<IdRange>,
    /// Ranges of group IDs.
    pub gids: Vec<IdRange>,
}

/// A range of IDs, as a line of `/proc/<pid>/uid_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First ID in the image.
    pub inside: u32,
    /// First ID on this machine.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The attribute of [`Owners::Record`].
pub(crate) const OVERRIDE_XATTR: &[u8] = b"user.containers.override_stat";

impl IdRange {
    /// A range of `count` IDs, from `inside` and `outside` on; nothing where there is none, or where it takes 2³² − 1, which stands for
    /// "unchanged" (chown(2)).
    pub fn new(inside: u32, outside: u32, count: u32) -> Option<Self> {
        let is_valid = |first: u32| first.checked_add(count).is_some();
        (count > 0 && is_valid(inside) && is_valid(outside)).then_some(Self { inside, outside, count })
    }
}

impl IdMap {
    /// User and group on this machine.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an ID in none of the ranges.
    pub(super) fn map(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        Ok((map(&self.uids, uid, "user")?, map(&self.gids, gid, "group")?))
    }
}

fn map(ranges: &[IdRange], id: u32, what: &str) -> Result<u32> {
    if ranges.is_empty() {
        return Ok(id);
    }
    let mapped = ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.inside).filter(|offset| *offset < range.count)?;
        range.outside.checked_add(offset)
    });
    mapped.ok_or_else(|| Error::new(Kind::Invalid, format!("{what} ID {id} is in no range of the map")))
}

/// What [`OVERRIDE_XATTR`] says: owner, group, mode and type, as containers/storage writes it.
pub(super) fn override_stat(entry: &Entry) -> String {
    let Entry { uid, gid, mode, .. } = entry;
    let kind = match entry.kind {
        EntryKind::Directory { .. } => "dir".to_owned(),
        EntryKind::CharDevice { major, minor } => format!("char-{major}-{minor}"),
        EntryKind::BlockDevice { major, minor } => format!("block-{major}-{minor}"),
        EntryKind::Fifo => "pipe".to_owned(),
        _ => "file".to_owned(),
    };
    format!("{uid}:{gid}:{mode:04o}:{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_ids_that_can_be() {
        for (inside, outside, count, expected) in [
            (0, 1000, 1, true),
            (0, u32::MAX - 1, 1, true),
            (0, u32::MAX, 1, false),
            (u32::MAX, 0, 1, false),
            (0, u32::MAX - 5, 6, false),
            (0, 0, u32::MAX, true),
            (0, 0, 0, false),
        ] {
            assert_eq!(IdRange::new(inside, outside, count).is_some(), expected, "{inside}:{outside}:{count}");
        }
    }

    #[test]
    fn ids_go_through_their_range() {
        let range = |inside, outside, count| IdRange { inside, outside, count };
        let map = IdMap { uids: vec![range(0, 1000, 1), range(1, 100_000, 65536)], gids: Vec::new() };
        assert_eq!(map.map(0, 7).ok(), Some((1000, 7)));
        assert_eq!(map.map(65536, 0).ok(), Some((165_535, 0)));
        assert_eq!(map.map(65537, 0).map_err(|error| error.kind()), Err(Kind::Invalid));
    }
}
