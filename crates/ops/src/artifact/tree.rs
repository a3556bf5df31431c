//! Directories in artifacts, as oras keeps them: each is a tar with gzip, in which all names begin with that of the directory.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Kind, Result, fs};
use dhow_content::{LocalBlob, Source};
use dhow_layer::diff::{DiffOptions, write_named};
use dhow_layer::unpack::Owners;
use dhow_layer::{Decoder, Limits, decode_error, uncompressed_digest};
use dhow_spec::{Descriptor, Digest, MediaType};

use super::ANNOTATION_TITLE;
use crate::cp::{Clash, unpack};
use crate::made::at_hand;
use crate::remake::written_layer;

/// Annotation: whether a file is the tar of a directory.
const ANNOTATION_UNPACK: &str = "io.deis.oras.content.unpack";

/// Annotation: digest of that tar without its compression.
const ANNOTATION_CONTENT_DIGEST: &str = "io.deis.oras.content.digest";

/// Whether a file of an artifact stands for a directory.
pub(super) fn is_tree(file: &Descriptor) -> bool {
    file.annotations.get(ANNOTATION_UNPACK).is_some_and(|said| said == "true")
}

/// A directory as a layer of a manifest, and where its bytes are. Owners are left out; times of files stay, as with oras.
///
/// # Errors
/// Those of reading it and of temporary files.
pub(super) fn describe(
    path: &Path,
    name: &str,
    media_type: Option<&str>,
    spool: &Path,
) -> Result<(Descriptor, LocalBlob)> {
    let directory = Dir::open(path).map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?;
    let options = DiffOptions { owner: Some((0, 0)), ..DiffOptions::default() };
    let shown = Some(name.as_bytes());
    let made =
        written_layer(spool, &|writer| write_named(&directory, OsStr::new("."), shown, writer, options).map(|_| true));
    let made = made.map_err(|error| error.context(format_args!("cannot pack {path:?}")))?;
    let made = made.ok_or_else(|| Error::new(Kind::Internal, format!("nothing came of {path:?}")))?;
    let media_type = media_type.map_or(MediaType::OciLayerGzip, MediaType::parse);
    let layer = Descriptor::new(media_type, made.descriptor.digest, made.descriptor.size)
        .with_annotation(ANNOTATION_TITLE, name)
        .with_annotation(ANNOTATION_CONTENT_DIGEST, made.diff_id.as_str())
        .with_annotation(ANNOTATION_UNPACK, "true");
    Ok((layer, made.blob))
}

/// Writes a directory below a folder: what is there already stays, files of the same names are replaced.
///
/// # Errors
/// [`Kind::Corrupt`] for what is no such tar, [`Kind::Denied`] for links that lead out of the directory; those of the source and of
/// the file system. Nothing of it is written then.
pub(super) async fn write(
    source: &impl Source,
    file: &Descriptor,
    name: &Path,
    folder: &Path,
    spool: &Path,
) -> Result<()> {
    let blob = at_hand(source, file, spool).await?;
    let about = |error: Error| error.context(format_args!("directory {name:?} of the artifact"));
    prove(file, &blob).map_err(about)?;
    fs::create_dir_all_by_umask(folder)?;
    let into = Dir::open(folder).map_err(|error| Error::io(format_args!("cannot write into {folder:?}"), error))?;
    let decoder = Decoder::new(reader(&blob), Limits::LAYER);
    let decoder = decoder.map_err(|error| about(decode_error("cannot read it", error)))?;
    unpack(&into, Owners::Caller, Clash::Refused, decoder, |root| check(root, name)).map(drop).map_err(about)
}

/// Compares the tar with what is said of it.
fn prove(file: &Descriptor, blob: &LocalBlob) -> Result<()> {
    let Some(said) = file.annotations.get(ANNOTATION_CONTENT_DIGEST) else { return Ok(()) };
    let expected = Digest::parse(said).map_err(|error| Error::new(Kind::Corrupt, format!("{said:?}: {error}")))?;
    let found = uncompressed_digest(reader(blob), Limits::LAYER)?.diff_id;
    if found != expected {
        let message = format!("it inflates to {found}, not to {expected} as the artifact says");
        return Err(Error::new(Kind::Corrupt, message));
    }
    Ok(())
}

fn reader(blob: &LocalBlob) -> impl Read + '_ {
    fs::Cursor::new(&blob.file, blob.offset).take(blob.length)
}

/// Sees to it that there is nothing but the directory of that name, and in it nothing that leads elsewhere.
fn check(root: &Dir, name: &Path) -> Result<()> {
    let failed = |error| Error::io(format_args!("cannot read {name:?}"), error);
    let mut above = PathBuf::new();
    for component in name {
        let there = root.enter_plain(&Path::new(".").join(&above)).and_then(|dir| dir.names()).map_err(failed)?;
        if there != [component.as_bytes()] {
            return Err(Error::new(Kind::Corrupt, format!("its tar has other names than those below {name:?}")));
        }
        above.push(component);
    }
    let mut pending = vec![(above, 0)];
    while let Some((path, depth)) = pending.pop() {
        let dir = root.enter_plain(&path).map_err(failed)?;
        for name in dir.names().map_err(failed)? {
            let name = OsStr::from_bytes(&name);
            let inner = path.join(name);
            match dir.stat_of(name).map_err(failed)?.map(|stat| stat.kind) {
                Some(FileKind::Directory) => pending.push((inner, depth + 1)),
                Some(FileKind::Symlink) => {
                    let target = dir.read_link(name).map_err(failed)?;
                    let target = Path::new(OsStr::from_bytes(&target));
                    if leads_out(target, depth) {
                        let message = format!("its link {inner:?} to {target:?} is not written: it leads elsewhere");
                        return Err(Error::new(Kind::Denied, message));
                    }
                }
                Some(FileKind::File) | None => {}
                Some(_) => {
                    let message = format!("its {inner:?} is not written: it is neither a file nor a directory");
                    return Err(Error::new(Kind::Denied, message));
                }
            }
        }
    }
    Ok(())
}

/// Whether the target of a link that lies so many directories deep may be outside. Steps up count at its beginning only: behind another
/// link they would lead from where that one does.
fn leads_out(target: &Path, depth: usize) -> bool {
    let mut steps = target.components().skip_while(|step| *step == Component::CurDir).peekable();
    let mut up = 0;
    while steps.next_if_eq(&Component::ParentDir).is_some() {
        up += 1;
    }
    up > depth || !steps.all(|step| matches!(step, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_directory() {
        for (target, depth) in [("a", 0), ("./a/b", 0), ("a/./b", 0), ("..", 1), ("../../a", 2), ("", 0)] {
            assert!(!leads_out(Path::new(target), depth), "{target:?}");
        }
        for (target, depth) in [("/", 3), ("/a", 3), ("..", 0), ("../../a", 1), ("a/..", 2), ("../a/../b", 2)] {
            assert!(leads_out(Path::new(target), depth), "{target:?}");
        }
    }
}
