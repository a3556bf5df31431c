//! Files of containers: what they changed (`diff`), how much that is, and all of them (`export`).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use dhow_base::beneath::{self, Dir, FileKind, Stat};
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::{DiffOptions, is_reference, stat, write_tree};
use dhow_layer::erofs::UnionNode;
use dhow_sandbox::container::{Look, files_of_running, look};

use super::run::files;
use super::turn::Seen;
use super::{Machine, Record, Turn, directory};
use crate::context::Context;
use crate::diff::Change;
use crate::export::{Output, write_by};
use crate::rootfs::RootFs;

/// The attribute with the rights that a file gives (capabilities(7)).
const CAPABILITY: &[u8] = b"security.capability";

/// The way out where what a container changed is not all in its upper directory: it ran with a program that left that to the machine's settings.
pub(super) const WHOLE_ELSEWHERE: &str = "`export` writes all of its files, which `import` makes an image of";

/// What a container changed: names in the order of their bytes, with the first slash.
///
/// # Errors
/// Those of reading its files and those of its image.
pub fn changes(context: &Context, record: &Record) -> Result<Vec<(Change, Vec<u8>)>> {
    let store = context.store()?;
    let directory = directory(store, &record.container.id)?;
    let open = |name: &str| {
        let path = directory.join(name);
        Dir::open(&path).map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))
    };
    let (upper, stubs) = (open("upper")?, open("stubs")?);
    let image = RootFs::of_container(context, record)?;
    let mut changes = Vec::new();
    walk(&image, Some(&stubs), &upper, b"", &mut changes)?;
    changes.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(changes)
}

fn walk(
    image: &RootFs,
    stubs: Option<&Dir>,
    upper: &Dir,
    path: &[u8],
    changes: &mut Vec<(Change, Vec<u8>)>,
) -> Result<()> {
    let cannot = |error| cannot_read(path, error);
    for name in upper.names().map_err(cannot)? {
        let below = [path, b"/", &name].concat();
        let name = OsStr::from_bytes(&name);
        let Some(stat) = upper.stat_of(name).map_err(cannot)? else { continue };
        if stat.kind == FileKind::CharDevice && stat.device == (0, 0) {
            changes.push((Change::Deleted, below));
            continue;
        }
        let in_stubs = match stubs {
            Some(stubs) => stubs.stat_of(name).map_err(cannot)?,
            None => None,
        };
        let lower = match &in_stubs {
            Some(stat) => Some(Lower { stat: *stat, capability: None }),
            None => Lower::in_image(image, &below)?,
        };
        let before = changes.len();
        if stat.kind == FileKind::Directory {
            let stubs = match (stubs, in_stubs) {
                (Some(stubs), Some(stat)) if stat.kind == FileKind::Directory => {
                    Some(stubs.child(name).map_err(cannot)?)
                }
                _ => None,
            };
            walk_below(image, stubs.as_ref(), &upper.child(name).map_err(cannot)?, &below, changes)?;
        }
        match lower {
            None => changes.push((Change::Added, below)),
            // Copied up, and the same as before: by a new name of it, or by who opened it and wrote nothing.
            Some(lower) if changes.len() == before && lower.is_same(upper, name, &stat).map_err(cannot)? => {}
            Some(_) => changes.push((Change::Changed, below)),
        }
    }
    Ok(())
}

/// As [`walk`], in a directory that may hide what was in it before.
fn walk_below(
    image: &RootFs,
    stubs: Option<&Dir>,
    upper: &Dir,
    path: &[u8],
    changes: &mut Vec<(Change, Vec<u8>)>,
) -> Result<()> {
    let cannot = |error| cannot_read(path, error);
    let notes = beneath::xattrs(upper).map_err(cannot)?;
    if notes.iter().any(|(name, _)| is_reference(FileKind::Directory, name)) {
        let shown = String::from_utf8_lossy(path);
        let message = format!("{shown:?} is not all here: overlayfs kept a reference in its place");
        return Err(Error::new(Kind::Unsupported, message).with_hint(WHOLE_ELSEWHERE));
    }
    walk(image, stubs, upper, path, changes)?;
    if is_opaque(&notes) {
        for name in names_before(image, stubs, path)? {
            if upper.stat_of(OsStr::from_bytes(&name)).map_err(cannot)?.is_none() {
                changes.push((Change::Deleted, [path, b"/", &name].concat()));
            }
        }
    }
    Ok(())
}

fn cannot_read(path: &[u8], error: io::Error) -> Error {
    let shown = String::from_utf8_lossy(if path.is_empty() { b"/" } else { path });
    Error::io(format_args!("cannot read what is in {shown:?}"), error)
}

/// Whether a directory hides what was in it before: it was made anew (Linux, overlayfs.rst, "whiteouts and opaque directories").
fn is_opaque(notes: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let marks = [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"];
    notes.iter().any(|(name, value)| marks.contains(&name.as_slice()) && value == b"y")
}

/// The names that a directory had before the container changed it.
fn names_before(image: &RootFs, stubs: Option<&Dir>, path: &[u8]) -> Result<BTreeSet<Vec<u8>>> {
    let mut names = BTreeSet::new();
    if let Some(node) = image.union.find_exactly(path)?.filter(UnionNode::is_directory) {
        names.extend(image.union.names(&node)?);
    }
    if let Some(stubs) = stubs {
        let cannot = |error| Error::io("cannot read what every container has", error);
        names.extend(stubs.names().map_err(cannot)?);
    }
    Ok(names)
}

/// What was there before a container changed it.
struct Lower {
    stat: Stat,
    capability: Option<Vec<u8>>,
}

impl Lower {
    fn in_image(image: &RootFs, path: &[u8]) -> Result<Option<Self>> {
        let Some(node) = image.union.find_exactly(path)? else { return Ok(None) };
        let (stat, xattrs) = stat(&image.union, &node)?;
        let capability = xattrs.into_iter().find(|xattr| xattr.name == CAPABILITY).map(|xattr| xattr.value);
        Ok(Some(Self { stat, capability }))
    }

    /// Whether it is still so (moby `archive.statDifferent`): times and sizes of directories tell nothing.
    fn is_same(&self, directory: &Dir, name: &OsStr, now: &Stat) -> io::Result<bool> {
        let old = &self.stat;
        let is_device = matches!(now.kind, FileKind::CharDevice | FileKind::BlockDevice);
        let same_owner = (old.kind, old.mode, old.uid, old.gid) == (now.kind, now.mode, now.uid, now.gid);
        if !same_owner || is_device && old.device != now.device {
            return Ok(false);
        }
        if now.kind == FileKind::Directory {
            return Ok(true);
        }
        if !is_same_time(old.modified, now.modified) || (now.kind == FileKind::File && old.size != now.size) {
            return Ok(false);
        }
        if now.kind != FileKind::File {
            return Ok(true);
        }
        let capability = directory.xattrs_of(name)?.into_iter().find(|(xattr, _)| xattr == CAPABILITY);
        Ok(capability.map(|(_, value)| value) == self.capability)
    }
}

/// Archives often have whole seconds (moby `archive.sameFsTime`).
fn is_same_time(a: (i64, u32), b: (i64, u32)) -> bool {
    a == b || (a.0 == b.0 && (a.1 == 0 || b.1 == 0))
}

/// Writes all files of a container, without those of volumes, as docker does. One that runs is not paused. The process leaves the machine's
/// mounts for that.
///
/// # Errors
/// Those of looking at its files and of writing; [`Kind::Conflict`] when a file became shorter while it was read, [`Kind::NotFound`] when the
/// container was removed meanwhile.
pub fn export(context: &Context, record: &Record, machine: Machine, output: &Output) -> Result<()> {
    let store = context.store()?;
    let id = &record.container.id;
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    let directory = directory(store, id)?;
    let (root, seen) = Turn::open(store, record, name, |turn| match turn {
        Turn::Running(process) => Ok((files_of_running(&process)?, Some(Seen { store, record, named: name }))),
        Turn::Still(lock) => {
            // The mount ends with this process, and whoever starts the container meanwhile would mount its files once more.
            lock.keep();
            let files = files(store, record, &directory, machine)?;
            let root = look(&Look {
                files: &files,
                mount_point: &directory.join("merged"),
                mounts: &[],
                read_only: true,
                in_user_namespace: machine.in_user_namespace,
            })?;
            Ok((root, None))
        }
    })?;
    write_by(output, |target| {
        let written = write_tree(&Dir::from(root), target, DiffOptions::default()).map(drop);
        if let Some(seen) = &seen { seen.judge(written) } else { written }
    })
}

/// Lengths of the files that a container made or changed, in bytes, each once, as docker and podman count them.
pub fn changed_file_bytes(context: &Context, id: &str) -> u64 {
    let upper = context.store().and_then(|store| Ok(directory(store, id)?.join("upper")));
    upper.map_or(0, |upper| file_bytes(&upper))
}

/// Lengths of all files in a directory, as docker counts them: those with several names once. What cannot be read counts nothing.
pub(crate) fn file_bytes(top: &Path) -> u64 {
    let (mut bytes, mut seen, mut left) = (0, BTreeSet::new(), vec![top.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                Ok(metadata) if seen.insert(metadata.ino()) => bytes += metadata.len(),
                _ => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
    fn lengths_of_files_are_counted_once() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        fs::write(folder.path().join("a/b/file"), [0; 1000]).expect("a file");
        fs::hard_link(folder.path().join("a/b/file"), folder.path().join("again")).expect("a link");
        std::os::unix::fs::symlink("four", folder.path().join("a/link")).expect("a link");
        assert_eq!(file_bytes(folder.path()), 1004);
        assert_eq!(file_bytes(&folder.path().join("not/there")), 0);
    }
}
