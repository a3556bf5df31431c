//! Finding members by name, links included, without ever leaving the archive.

use dhow_base::{Error, Kind, Result};
use dhow_content::LocalBlob;

use crate::members::{Member, Members, PATH_BYTES_MAX};

/// Most links followed for one name, as in Linux.
const LINKS_MAX: usize = 40;

impl Members {
    /// Whether a file has this name, directly or through links.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// The content of the file with this name, directly or through links.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none; [`Kind::Corrupt`] when links run in circles or out of the archive, or
    /// when the member is no plain file.
    pub(crate) fn find(&self, name: &str) -> Result<LocalBlob> {
        let resolved = self.resolve(name)?;
        match self.table.get(&resolved) {
            Some(Member::File { offset, length }) => Ok(self.range(*offset, *length)),
            Some(_) => Err(Error::new(Kind::Corrupt, format!("{name:?} in the archive is no plain file"))),
            None => Err(Error::new(Kind::NotFound, format!("{name:?}: no such file in the archive"))),
        }
    }

    /// Follows links, also those in the middle of a path, as the kernel would in an unpacked archive.
    fn resolve(&self, name: &str) -> Result<String> {
        let escapes = || Error::new(Kind::Corrupt, format!("{name:?} leads out of the archive"));
        let mut links = 0;
        let mut pending: Vec<String> = Vec::new();
        push_components(&mut pending, name).ok_or_else(escapes)?;
        let mut done: Vec<String> = Vec::new();
        while let Some(component) = pending.pop() {
            if component == ".." {
                done.pop().ok_or_else(escapes)?;
                continue;
            }
            done.push(component);
            let target = match self.table.get(&done.join("/")) {
                Some(Member::Symlink(target)) => {
                    done.pop();
                    target
                }
                Some(Member::HardLink(target)) => {
                    done.clear();
                    target
                }
                _ => continue,
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(Error::new(Kind::Corrupt, format!("{name:?}: too many levels of links in the archive")));
            }
            push_components(&mut pending, target).ok_or_else(escapes)?;
        }
        Ok(done.join("/"))
    }
}

/// Puts the components of a path on the stack, the first on top; nothing when the path is absolute or endless.
fn push_components(pending: &mut Vec<String>, path: &str) -> Option<()> {
    if path.starts_with('/') || path.len() > PATH_BYTES_MAX as usize {
        return None;
    }
    let components = path.split('/').filter(|component| !matches!(*component, "" | "."));
    pending.extend(components.rev().map(str::to_owned));
    Some(())
}
