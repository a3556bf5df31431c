//! Files on their way into an artifact and out of one.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dhow_base::fs::{AtomicFile, Durability};
use dhow_base::{Error, Kind, Result, fs};
use dhow_content::{LocalBlob, Source, Verifier};
use dhow_spec::digest::{Algorithm, Hasher};
use dhow_spec::{Descriptor, Digest, MediaType};
use futures::TryStreamExt;

use super::{ANNOTATION_TITLE, NewFile, UNKNOWN_FILE, tree};

/// Longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Files and directories as layers of a manifest, and where their bytes are.
///
/// # Errors
/// Those of reading and of temporary files; [`Kind::Invalid`] for two files of one name, and for what is neither.
pub(super) fn describe(files: &[NewFile], spool: &Path) -> Result<(Vec<Descriptor>, HashMap<Digest, LocalBlob>)> {
    let mut layers = Vec::with_capacity(files.len());
    let mut blobs = HashMap::new();
    let mut names = HashSet::new();
    for new in files {
        let path = &new.path;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::new(Kind::Invalid, format!("{path:?} is no name of a file")))?;
        if !names.insert(name.to_owned()) {
            return Err(Error::new(Kind::Invalid, format!("two of the files are called {name:?}")));
        }
        let is_directory = path.metadata().is_ok_and(|found| found.is_dir());
        let (layer, blob) = match is_directory {
            true => tree::describe(path, name, new.media_type.as_deref(), spool)?,
            false => {
                let (file, blob) = plain(new, UNKNOWN_FILE)?;
                (file.with_annotation(ANNOTATION_TITLE, name), blob)
            }
        };
        blobs.insert(layer.digest.clone(), blob);
        layers.push(layer);
    }
    Ok((layers, blobs))
}

/// A plain file as it is.
///
/// # Errors
/// Those of reading; [`Kind::Invalid`] for what is no plain file.
pub(super) fn plain(new: &NewFile, default_type: &str) -> Result<(Descriptor, LocalBlob)> {
    let path = &new.path;
    let failed = |error| Error::io(format_args!("cannot read {path:?}"), error);
    // Looked at before it is opened: opening a pipe would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::new(Kind::Invalid, format!("{path:?} is no plain file")));
    }
    let file = fs::open(path)?;
    let (digest, length) = hash(&mut fs::Cursor::new(&file, 0)).map_err(failed)?;
    let media_type = MediaType::parse(new.media_type.as_deref().unwrap_or(default_type));
    let blob = LocalBlob { file: Arc::new(file), path: path.clone(), offset: 0, length };
    Ok((Descriptor::new(media_type, digest, length), blob))
}

fn hash(reader: &mut impl Read) -> std::io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(count) => {
                hasher.update(&chunk[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A few bytes as a blob.
///
/// # Errors
/// Those of the temporary file.
pub(super) fn small(bytes: &[u8], directory: &Path) -> Result<LocalBlob> {
    let file = dhow_layout::nameless_file(directory)?;
    fs::write_at(&file, directory, bytes, 0)?;
    Ok(LocalBlob { file: Arc::new(file), path: directory.to_owned(), offset: 0, length: bytes.len() as u64 })
}

/// The name that an artifact has for a file, as a path that stays where it is put.
///
/// # Errors
/// [`Kind::Denied`] for any other.
pub(super) fn safe_name(title: &str) -> Result<PathBuf> {
    let path = Path::new(title);
    let is_plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    let is_printable = !title.chars().any(char::is_control);
    if title.is_empty() || title.len() > NAME_BYTES_MAX || !is_plain || !is_printable || title.ends_with('/') {
        let message = format!("the artifact calls a file {title:?}, which is not written: it leads elsewhere");
        return Err(Error::new(Kind::Denied, message));
    }
    Ok(path.to_owned())
}

/// Refuses a file that lies in another one: of a directory, what is on the way to it may be a link.
///
/// # Errors
/// [`Kind::Corrupt`] naming both.
pub(super) fn require_apart<'n>(names: impl Iterator<Item = &'n Path>) -> Result<()> {
    let mut names: Vec<&Path> = names.collect();
    // By components, so that what lies in a directory comes right behind it.
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => {
            let message =
                format!("the artifact calls a file {:?}, which lies in another one of it, {:?}", pair[1], pair[0]);
            Err(Error::new(Kind::Corrupt, message))
        }
        None => Ok(()),
    }
}

/// Writes a blob to a path, proven, at once or not at all.
///
/// # Errors
/// Those of the source and of the file system; [`Kind::Corrupt`] when the bytes are not those of the descriptor.
pub(super) async fn write(source: &impl Source, file: &Descriptor, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all_by_umask(parent)?;
    }
    let mut target = AtomicFile::create(path, 0o644)?;
    let mut verifier = Verifier::new(file);
    let mut stream = source.read(file, 0..file.size).await?;
    while let Some(bytes) = stream.try_next().await? {
        verifier.update(&bytes)?;
        target.write_all(&bytes)?;
    }
    verifier.finish()?;
    target.commit(Durability::Durable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_in_the_folder() {
        for name in ["a", "a/b.txt", "..a", "a..b/c", "-x"] {
            assert_eq!(safe_name(name).expect(name), Path::new(name));
        }
        for name in ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "./a", "a/", "a\nb", "a\0b", &"x".repeat(2000)]
        {
            assert_eq!(safe_name(name).expect_err(name).kind(), Kind::Denied, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in "[a./\\\\~ -]{0,12}") {
            if let Ok(path) = safe_name(&name) {
                let joined = Path::new("/folder").join(&path);
                prop_assert!(joined.components().all(|part| !matches!(part, Component::ParentDir | Component::CurDir)));
                prop_assert!(joined.starts_with("/folder") && joined != Path::new("/folder"));
            }
        }
    }
}
