//! The way to an entry: links of its own layer lead on, whatever lower layers have in the place of a directory goes.
//!
//! Engines on overlayfs (docker, containerd, podman) unpack every layer apart and see no other one then, so that an entry
//! below a name hides a link or file that a lower layer has under it. The one file that dhow makes of a layer says the same
//! (`erofs::LayerWriter`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use dhow_base::beneath::FileKind;

use super::Unpacker;
use super::directories::OpenDirectory;
use super::failure::Failure;
use crate::tar::RelativePath;

/// Most symbolic links on the way, as Linux has it, and most names that are left to go then.
const LINKS_MAX: u32 = 40;
const NAMES_AHEAD_MAX: usize = 4096;

impl Unpacker {
    /// Opens the directory in which an entry is made, and makes what is missing of its path.
    pub(super) fn open_above(&mut self, path: &RelativePath) -> Result<Rc<OpenDirectory>, Failure> {
        if self.seen.is_none() || self.directories.is_known(path) {
            match self.directories.open(path, true) {
                // What the link leads to is made.
                Err(failure) if failure.leads_nowhere() => {}
                opened => return opened,
            }
        } else if let Some(opened) = self.directories.open_plain(path)? {
            // Most are there, and one call tells that no link leads there.
            return Ok(opened);
        }
        let way = self.clear_way(path)?;
        self.directories.open(&way, true)
    }

    /// The deepest directory above a path that is there and reached without a link.
    fn plain_above(&mut self, path: &RelativePath) -> Result<RelativePath, Failure> {
        let mut above = path.parent().unwrap_or_default();
        while !self.directories.is_known(&above) && self.directories.open_plain(&above)?.is_none() {
            above = above.parent().unwrap_or_default();
        }
        Ok(above)
    }

    /// The path without links. Every directory on it is there afterwards.
    fn clear_way(&mut self, path: &RelativePath) -> Result<RelativePath, Failure> {
        let mut way = self.plain_above(path)?;
        let done = way.components().count();
        let mut ahead: Vec<Vec<u8>> = path.components().skip(done).map(<[u8]>::to_vec).collect();
        ahead.reverse();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                way = way.parent().unwrap_or_default();
                continue;
            }
            let next = way.join(&name).map_err(|error| Failure::say(error.to_string()))?;
            if self.directories.is_known(&next) {
                way = next;
                continue;
            }
            let above = self.directories.open(&way, true)?;
            self.directories.spare(&way, &above)?;
            let (name, failed) = (OsStr::from_bytes(&name), |error| Failure::io("cannot stat", error));
            let found = above.dir.stat_of(name).map_err(failed)?.map(|found| found.kind);
            let is_own = self.seen.as_ref().is_none_or(|seen| seen.has(&next));
            match found {
                Some(FileKind::Symlink) if is_own => {
                    links += 1;
                    let target = above.dir.read_link(name).map_err(|error| Failure::io("cannot read a link", error))?;
                    ahead.extend(names(&target).rev());
                    if links > LINKS_MAX || ahead.len() > NAMES_AHEAD_MAX {
                        return Err(Failure::say(format!("{next:?} is one symbolic link too many on its way")));
                    }
                    if target.starts_with(b"/") {
                        way = RelativePath::root();
                    }
                    continue;
                }
                Some(FileKind::Directory) => {}
                None => self.has_made(&next),
                Some(_) if is_own => return Err(Failure::say(format!("{next:?} is no directory"))),
                Some(_) => {
                    self.remove(&above, name)?;
                    self.has_made(&next);
                }
            }
            self.directories.open_below(&above, &next, name, true)?;
            way = next;
        }
        Ok(way)
    }
}

/// The names of a link's target, without those that mean nothing.
fn names(target: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    target.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}
