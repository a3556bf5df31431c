//! `diff` and `export` of containers: what they changed, and all of their files.

use std::os::unix::ffi::OsStrExt;

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Result};
use dhow_layer::diff::DiffOptions;
use dhow_sandbox::container::{Look, files_of_running, look};

use super::run::files;
use super::{Machine, Record, directory, hold, running};
use crate::context::Context;
use crate::diff::Change;
use crate::export::{Output, write_to};
use crate::rootfs::RootFs;

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
    let image = RootFs::open(context, record.image_id.as_str())?;
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
    let cannot = |error| Error::io(format_args!("cannot read what is in {:?}", String::from_utf8_lossy(path)), error);
    for name in upper.names().map_err(cannot)? {
        let below = [path, b"/", &name].concat();
        let name = std::ffi::OsStr::from_bytes(&name);
        let Some(stat) = upper.stat_of(name).map_err(cannot)? else { continue };
        if stat.kind == FileKind::CharDevice && stat.device == (0, 0) {
            changes.push((Change::Deleted, below));
            continue;
        }
        let in_stubs = match stubs {
            Some(stubs) => stubs.stat_of(name).map_err(cannot)?,
            None => None,
        };
        let was_there = in_stubs.is_some() || image.union.resolve(&below, false)?.is_some();
        changes.push((if was_there { Change::Changed } else { Change::Added }, below.clone()));
        if stat.kind == FileKind::Directory {
            let stubs = match (stubs, in_stubs) {
                (Some(stubs), Some(stat)) if stat.kind == FileKind::Directory => {
                    Some(stubs.child(name).map_err(cannot)?)
                }
                _ => None,
            };
            walk(image, stubs.as_ref(), &upper.child(name).map_err(cannot)?, &below, changes)?;
        }
    }
    Ok(())
}

/// Writes all files of a container, without those of volumes, as docker does. One that runs is not paused. The process leaves the machine's
/// mounts for that.
///
/// # Errors
/// Those of looking at its files and of writing; [`dhow_base::Kind::Conflict`] when a file became shorter while it was read.
pub fn export(context: &Context, record: &Record, machine: Machine, output: &Output) -> Result<()> {
    let store = context.store()?;
    let id = &record.container.id;
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    let directory = directory(store, id)?;
    if record.container.is_running() {
        let process = running(&directory, name)?;
        let files = files_of_running(process.id, || process.is_there())?;
        return write_to(output, &Dir::from(files), DiffOptions::default());
    }
    let _lock = hold(&directory, name)?;
    let files = files(store, record, &directory, machine)?;
    let look_at = Look {
        files: &files,
        mount_point: &directory.join("merged"),
        mounts: &[],
        read_only: true,
        in_user_namespace: machine.in_user_namespace,
    };
    write_to(output, &Dir::from(look(&look_at)?), DiffOptions::default())
}
