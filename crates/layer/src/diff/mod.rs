//! Trees into layers: what differs between two directories, or all of one, as a tar stream.
//!
//! The stream is a function of the trees alone: names in the order of their bytes, directories before what is in them, no
//! user names, no holes (which depend on the file system). Directories above a change come along, because docker and podman
//! give those that a layer leaves out metadata of their own. Sockets are left out, as by every archiver.

mod links;
mod node;
mod union;
mod writer;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Kind, Result};

use crate::tar::RelativePath;
use links::Links;
use node::{Node, same_content};
use writer::TarWriter;

pub use node::is_reference;
pub use union::{stat, write_union, write_union_at};

/// How files are described.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// Whether owners, modes and devices are taken from `user.containers.override_stat`, where
    /// [`Owners::Record`](crate::unpack::Owners::Record) left them.
    pub recorded_owners: bool,
    /// User and group that all files are said to belong to.
    pub owner: Option<(u32, u32)>,
    /// Directories at the top of which what is in them is not written ([`write_named`]).
    pub hollow: &'static [&'static str],
}

/// Writes all of a tree, without an entry for the root; returns the bytes written. Names that begin with `.wh.` are as any other, which they
/// are not in a layer.
///
/// # Errors
/// Those of reading the tree and of writing; [`Kind::Invalid`] for a path that is too long.
pub fn write_tree(tree: &Dir, output: impl Write, options: DiffOptions) -> Result<u64> {
    let links = Links::read(tree)?;
    Walk { options, upper_links: links, ..Walk::new(output) }.run(None, tree)
}

/// Writes what has to be applied to `lower` to get `upper`; returns the bytes written.
///
/// # Errors
/// As [`write_tree`]; [`Kind::Invalid`] for a name that means a removal in a layer.
pub fn diff(lower: Option<&Dir>, upper: &Dir, output: impl Write, options: DiffOptions) -> Result<u64> {
    let walk = Walk {
        options,
        lower_links: lower.map(Links::read).transpose()?.unwrap_or_default(),
        upper_links: Links::read(upper)?,
        is_layer: true,
        ..Walk::new(output)
    };
    walk.run(lower, upper)
}

/// Writes the upper directory of an overlay mount as a layer: its devices 0:0 become whiteouts, its opaque directories get
/// a marker; returns the bytes written.
///
/// # Errors
/// As [`diff`]; [`Kind::Unsupported`] where overlayfs kept a reference in place of a directory or file.
pub fn write_upper_directory(upper: &Dir, output: impl Write) -> Result<u64> {
    let walk = Walk { upper_links: Links::read(upper)?, is_layer: true, is_upper_directory: true, ..Walk::new(output) };
    walk.run(None, upper)
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the archive.
    pub bytes: u64,
    /// Those of them without which all times would be whole seconds, as docker writes them.
    pub fraction_bytes: u64,
    /// Files of any kind.
    pub files: u64,
}

/// Writes what has one name in a directory, with all that is below it, as if it were called `shown`, which may be `.` and `/`, too; without
/// `shown`, what is in the directory of that name alone. It may be changed by others meanwhile: no link is followed.
///
/// # Errors
/// As [`write_tree`]; [`Kind::NotFound`] when nothing has the name, [`Kind::Unsupported`] for a socket.
pub fn write_named(
    directory: &Dir,
    name: &OsStr,
    shown: Option<&[u8]>,
    output: impl Write,
    options: DiffOptions,
) -> Result<Written> {
    let top = match shown {
        Some(b"." | b"/") | None => RelativePath::root(),
        Some(shown) => {
            RelativePath::root().join(shown).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?
        }
    };
    let mut walk = Walk { options, ..Walk::new(output) };
    walk.writer.call_top(shown.unwrap_or_default());
    let node = Node::read(directory, name, &top, options)?
        .ok_or_else(|| Error::new(Kind::NotFound, format!("{name:?}: no such file or directory")))?;
    match node.kind() {
        FileKind::Socket => {
            return Err(Error::new(Kind::Unsupported, format!("{name:?} is a socket, which no archive holds")));
        }
        FileKind::Directory => {
            let inside =
                directory.child(name).map_err(|error| Error::io(format_args!("cannot open {name:?}"), error))?;
            walk.upper_links = Links::read_as(&inside, top.clone(), options.hollow)?;
            walk.top = top.clone();
            if shown.is_some() {
                walk.writer.node(&node, None)?;
            }
            walk.levels(Level::new(top, None, inside, false)?)?;
        }
        _ => walk.writer.node(&node, Some((directory, name)))?,
    }
    walk.writer.written()
}

struct Walk<W> {
    options: DiffOptions,
    lower_links: Links,
    upper_links: Links,
    /// Whether names that begin with `.wh.` stand for removals.
    is_layer: bool,
    is_upper_directory: bool,
    writer: TarWriter<W>,
    /// Where the walk begins.
    top: RelativePath,
    /// Directories on the way to where the walk is that were not written: unchanged so far.
    pending: Vec<Node>,
}

/// A directory that is being walked.
struct Level {
    path: RelativePath,
    lower: Option<Dir>,
    upper: Dir,
    /// Names still to come, the last one first.
    names: Vec<Vec<u8>>,
    /// Whether its entry waits in `pending`, or did.
    is_pending: bool,
}

impl<W: Write> Walk<W> {
    /// One that writes an archive of files that have one name each.
    fn new(output: W) -> Self {
        Self {
            options: DiffOptions::default(),
            lower_links: Links::default(),
            upper_links: Links::default(),
            is_layer: false,
            is_upper_directory: false,
            writer: TarWriter::new(output),
            top: RelativePath::root(),
            pending: Vec::new(),
        }
    }

    fn run(mut self, lower: Option<&Dir>, upper: &Dir) -> Result<u64> {
        let reopen = |dir: &Dir| dir.child(OsStr::new(".")).map_err(|error| Error::io("cannot read the tree", error));
        let lower = lower.map(reopen).transpose()?;
        self.levels(Level::new(RelativePath::root(), lower, reopen(upper)?, false)?)?;
        self.writer.finish()
    }

    fn levels(&mut self, top: Level) -> Result<()> {
        let mut levels = vec![top];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                if level.is_pending {
                    self.pending.pop();
                }
                levels.pop();
                continue;
            };
            if let Some(below) = self.visit(level, &name)? {
                levels.push(below);
            }
        }
        Ok(())
    }

    /// Writes what differs at one name; returns the directory there, if it is one.
    fn visit(&mut self, level: &Level, name: &[u8]) -> Result<Option<Level>> {
        let path = below(&level.path, name)?;
        let node_name = OsStr::from_bytes(name);
        let lower = match &level.lower {
            Some(dir) => Node::read(dir, node_name, &path, self.options)?,
            None => None,
        };
        let Some(upper) = Node::read(&level.upper, node_name, &path, self.options)? else {
            if lower.is_some() {
                self.flush()?;
                self.writer.whiteout(&level.path, name)?;
            }
            return Ok(None);
        };
        if self.is_upper_directory && upper.is_incomplete {
            let message = format!("{path:?} is not all here: overlayfs kept a reference in its place");
            return Err(Error::new(Kind::Unsupported, message));
        }
        if self.is_upper_directory && upper.is_overlay_whiteout() {
            self.flush()?;
            self.writer.whiteout(&level.path, name)?;
            return Ok(None);
        }
        if self.is_layer && name.starts_with(b".wh.") {
            let message = format!("{path:?} cannot be in a layer: names that begin with .wh. stand for removals");
            return Err(Error::new(Kind::Invalid, message));
        }
        match upper.kind() {
            FileKind::Socket => Ok(None),
            FileKind::Directory => {
                let mut below = self.directory(level, lower, upper, node_name)?;
                if level.path == self.top && self.options.hollow.iter().any(|hollow| node_name == *hollow) {
                    below.names.clear();
                }
                Ok(Some(below))
            }
            _ => {
                if self.is_changed(level, lower.as_ref(), &upper, node_name)? {
                    self.flush()?;
                    self.write(level, &upper, node_name)?;
                }
                Ok(None)
            }
        }
    }

    fn directory(&mut self, level: &Level, lower: Option<Node>, upper: Node, name: &OsStr) -> Result<Level> {
        let failed = |error| Error::io(format_args!("cannot open directory {:?}", upper.path), error);
        let path = upper.path.clone();
        let upper_dir = level.upper.child(name).map_err(failed)?;
        let was_directory = lower.as_ref().is_some_and(|lower| lower.kind() == FileKind::Directory);
        let lower_dir = match &level.lower {
            Some(dir) if was_directory => Some(dir.child(name).map_err(failed)?),
            _ => None,
        };
        let is_same = lower.is_some_and(|lower| lower.same_metadata(&upper));
        if is_same {
            self.pending.push(upper);
        } else {
            self.flush()?;
            self.writer.node(&upper, None)?;
            if self.is_upper_directory && upper.is_opaque {
                self.writer.opaque(&upper.path)?;
            }
        }
        Level::new(path, lower_dir, upper_dir, is_same)
    }

    /// Writes the directories above a change.
    fn flush(&mut self) -> Result<()> {
        for node in &mut self.pending {
            if !node.is_written {
                node.is_written = true;
                self.writer.node(node, None)?;
            }
        }
        Ok(())
    }

    fn is_changed(&self, level: &Level, lower: Option<&Node>, upper: &Node, name: &OsStr) -> Result<bool> {
        let Some(lower) = lower else { return Ok(true) };
        if self.upper_links.group(upper) != self.lower_links.group(lower) {
            return Ok(true);
        }
        if !lower.same_metadata(upper) {
            return Ok(true);
        }
        // All names of a file are written when one is: the first as the file, the others as links to it.
        if let Some(first) = self.upper_links.first(upper).filter(|first| **first != upper.path) {
            return Ok(self.writer.has_written(first));
        }
        match &level.lower {
            Some(dir) if upper.kind() == FileKind::File && lower.identity() != upper.identity() => {
                Ok(!same_content(dir, &level.upper, name, &upper.path)?)
            }
            _ => Ok(false),
        }
    }

    fn write(&mut self, level: &Level, node: &Node, name: &OsStr) -> Result<()> {
        match self.upper_links.first(node) {
            Some(first) if *first != node.path && self.writer.has_written(first) => {
                self.writer.link(node, &first.clone())
            }
            Some(first) if *first == node.path => {
                self.writer.remember(first.clone());
                self.writer.node(node, Some((&level.upper, name)))
            }
            _ => self.writer.node(node, Some((&level.upper, name))),
        }
    }
}

/// The path of a name in a directory. Those that are too long for an archive are told by their ends.
fn below(directory: &RelativePath, name: &[u8]) -> Result<RelativePath> {
    directory.join(name).map_err(|error| {
        let top = String::from_utf8_lossy(directory.components().next().unwrap_or_default());
        let (name, levels) = (String::from_utf8_lossy(name), directory.components().count());
        Error::new(Kind::Invalid, format!("cannot archive {name:?}, {levels} levels below {top:?}: {error}"))
    })
}

impl Level {
    fn new(path: RelativePath, lower: Option<Dir>, upper: Dir, is_pending: bool) -> Result<Self> {
        let failed = |error| Error::io(format_args!("cannot read directory {path:?}"), error);
        let mut names = upper.names().map_err(failed)?;
        if let Some(lower) = &lower {
            names.extend(lower.names().map_err(failed)?);
        }
        names.sort_by(|a, b| b.cmp(a));
        names.dedup();
        Ok(Self { path, lower, upper, names, is_pending })
    }
}
