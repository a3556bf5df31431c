//! Many layers made one, streaming: from the top layer down, each member is either hidden by what was above it or passed on
//! with the exact bytes of its header (OCI image-spec, layer.md, «Whiteouts»).
//!
//! Nothing but names is held in memory. A hard link whose file is in a lower layer follows behind its file; if the file is
//! hidden under its own name by then, the first link takes its place, for which a layer is read a second time where needed.

mod files;
mod link;
mod paths;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};

use dhow_base::{Error, Kind, Result};

use crate::members::{Member, MemberKind, Members, normalized};
use crate::tar::split;
pub use files::flatten_files;
use link::{WaitingLinks, renamed};
use paths::{Paths, ancestors};

/// What a whiteout's last component begins with.
const WHITEOUT: &[u8] = b".wh.";

/// The whole last component that makes a directory opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Most bytes that hard links which wait for their file may take.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// Uncompressed layers, which may be read more than once.
pub trait Layers {
    /// How many there are.
    fn count(&self) -> usize;

    /// Opens one, the lowest has number 0.
    ///
    /// # Errors
    /// Those of reading it.
    fn open(&self, layer: usize) -> Result<Box<dyn Read + '_>>;
}

/// Writes the tar of what all layers together show. The same layers give the same bytes.
///
/// Members come in the order of the layers from the top down, and within a layer in its own.
///
/// Returns false, and what was written is of no use, where the names of members do not tell which file a hard link means: it leads through a
/// symbolic link, or to nothing. [`flatten_files`] finds out.
///
/// # Errors
/// [`Kind::Corrupt`] for layers that are no tars, or whose members lie outside; [`Kind::LimitExceeded`] for too many names; those of reading
/// and writing.
pub fn flatten(layers: &dyn Layers, writer: &mut dyn Write) -> Result<bool> {
    let mut flattening = Flattening {
        writer,
        paths: Paths::default(),
        waiting: BTreeMap::new(),
        waiting_bytes: 0,
        leads_through_links: false,
    };
    for layer in (0..layers.count()).rev() {
        let again = flattening.layer(layers.open(layer)?, layer)?;
        if flattening.leads_through_links {
            return Ok(false);
        }
        if !again.is_empty() {
            flattening.hidden_files(layers.open(layer)?, again)?;
        }
    }
    if !flattening.waiting.is_empty() {
        return Ok(false);
    }
    flattening.write(&[0; 1024])?;
    Ok(true)
}

struct Flattening<'a> {
    writer: &'a mut dyn Write,
    paths: Paths,
    waiting: WaitingLinks,
    waiting_bytes: usize,
    /// Whether a hard link was found that leads through a symbolic link of its layer.
    leads_through_links: bool,
}

impl Flattening<'_> {
    /// Passes one layer on; returns the links to files of this layer that are hidden themselves.
    fn layer(&mut self, reader: Box<dyn Read + '_>, layer: usize) -> Result<WaitingLinks> {
        let mut members = Members::new(reader);
        let mut here = Here::default();
        while let Some(member) = members.next()? {
            let (directory, name) = split(&member.path);
            if name == OPAQUE {
                self.paths.make_opaque(directory, layer)?;
                continue;
            }
            if let Some(removed) = name.strip_prefix(WHITEOUT) {
                // AUFS keeps its own books under names that begin so twice.
                if !removed.is_empty() && !removed.starts_with(WHITEOUT) {
                    self.paths.cut(&joined(directory, removed), layer)?;
                }
                continue;
            }
            let is_directory = member.kind == MemberKind::Directory;
            let is_hidden = self.paths.hides(&member.path, layer, is_directory);
            self.paths.note(&member.path, layer, is_directory)?;
            if member.kind == MemberKind::Other && member.target.as_ref().is_some_and(|target| !target.is_empty()) {
                here.links.insert(member.path.clone());
            }
            if member.kind == MemberKind::HardLink {
                self.link(member, is_hidden, &mut here)?;
            } else {
                self.member(&mut members, member, is_hidden, &mut here)?;
            }
        }
        Ok(here.again)
    }

    /// Something with content of its own: passed on, unless it is hidden; then its links.
    fn member(
        &mut self,
        members: &mut Members<Box<dyn Read + '_>>,
        member: Member,
        is_hidden: bool,
        here: &mut Here,
    ) -> Result<()> {
        let waiting = match member.kind {
            MemberKind::Directory => None,
            _ => self.waiting.remove(&member.path),
        };
        if is_hidden {
            if let Some(waiting) = waiting {
                let first = waiting.first().map(|link| link.path.clone()).unwrap_or_default();
                self.as_first_link(members, &member, waiting)?;
                here.elsewhere.insert(member.path, first);
                return Ok(());
            }
            if member.kind == MemberKind::Other {
                here.hidden.insert(member.path);
            }
            return Ok(());
        }
        self.write(&member.header)?;
        members.copy_data(&mut self.writer)?;
        for link in waiting.unwrap_or_default() {
            self.write_link(&link, &member.path)?;
        }
        if member.kind == MemberKind::Other {
            here.written.insert(member.path);
        }
        Ok(())
    }

    /// A hard link: passed on when its file was, else it waits for that.
    fn link(&mut self, link: Member, is_hidden: bool, here: &mut Here) -> Result<()> {
        let target = here.origin(&normalized(link.target.as_deref().unwrap_or_default())?);
        let is_written = here.written.contains(&target);
        self.leads_through_links |= ancestors(&target).any(|above| here.links.contains(above));
        if is_hidden || !is_written {
            // Whoever links to this name means the file, which is written first.
            here.aliases.insert(link.path.clone(), target.clone());
        } else {
            here.written.insert(link.path.clone());
        }
        let mut links = self.waiting.remove(&link.path).unwrap_or_default();
        if !is_hidden {
            links.insert(0, link);
        }
        if links.is_empty() {
            return Ok(());
        }
        if let Some(name) = here.elsewhere.get(&target) {
            return links.iter().try_for_each(|link| self.write_link(link, name));
        }
        if is_written {
            return links.iter().try_for_each(|link| self.write_link(link, &target));
        }
        self.waiting_bytes += links.iter().map(|link| link.header.len() + link.path.len()).sum::<usize>();
        if self.waiting_bytes > WAITING_BYTES_MAX {
            let message = "the layers have too many hard links to files of other layers to be flattened";
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        let waiting = if here.hidden.contains(&target) { &mut here.again } else { &mut self.waiting };
        waiting.entry(target).or_default().extend(links);
        Ok(())
    }

    /// Reads a layer once more for the content of files that are hidden, but not under the names of their links.
    fn hidden_files(&mut self, reader: Box<dyn Read + '_>, mut wanted: WaitingLinks) -> Result<()> {
        let mut members = Members::new(reader);
        while let Some(member) = members.next()? {
            if member.kind == MemberKind::Other
                && let Some(waiting) = wanted.remove(&member.path)
            {
                self.as_first_link(&mut members, &member, waiting)?;
            }
        }
        Ok(())
    }

    /// Writes a file under the name of its first link, and the others as links to that.
    fn as_first_link(
        &mut self,
        members: &mut Members<Box<dyn Read + '_>>,
        file: &Member,
        links: Vec<Member>,
    ) -> Result<()> {
        let mut links = links.into_iter();
        let Some(first) = links.next() else { return Ok(()) };
        self.write(&renamed(file, &first.path, None)?)?;
        members.copy_data(&mut self.writer)?;
        links.try_for_each(|link| self.write_link(&link, &first.path))
    }

    fn write_link(&mut self, link: &Member, target: &[u8]) -> Result<()> {
        let is_as_written =
            link.target.as_deref().is_some_and(|written| normalized(written).is_ok_and(|to| to == target));
        if is_as_written { self.write(&link.header) } else { self.write(&renamed(link, &link.path, Some(target))?) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| Error::io("cannot write a layer", error))
    }
}

/// What is known of the layer that is being read.
#[derive(Debug, Default)]
struct Here {
    /// Files and links that were passed on.
    written: HashSet<Vec<u8>>,
    /// Files that were not.
    hidden: HashSet<Vec<u8>>,
    /// Links that were not, or not yet, and the name of the file that they are.
    aliases: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Files that were passed on under the name of a link, and that name.
    elsewhere: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Links to hidden files.
    again: WaitingLinks,
    /// Symbolic links.
    links: HashSet<Vec<u8>>,
}

impl Here {
    /// The file that a name of this layer stands for.
    fn origin(&self, path: &[u8]) -> Vec<u8> {
        self.aliases.get(path).map_or_else(|| path.to_vec(), Clone::clone)
    }
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}
