//! Files that a user names to be written.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use dhow_base::error::words;
use dhow_base::fs::{AtomicFile, Durability};
use dhow_base::{Error, Kind, Result};

/// Whether a file can take this name. It does so by a rename, which must not put an end to a device, a pipe or a link.
///
/// # Errors
/// `failed`, and docker's words for what stands in the way.
pub fn check(path: &Path, failed: &str) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(what) = path.symlink_metadata().ok().and_then(|metadata| irreplaceable(metadata.file_type())) {
        let error = Error::new(Kind::Invalid, format!("{failed}: cannot write to a {what}"));
        return Err(error.with_hint("redirect the output instead"));
    }
    match parent.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(no_place(parent, failed, io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(no_place(parent, failed, error)),
    }
}

/// Gives a file its name. One that takes the place of another is on the disk first: a power cut leaves the old bytes or the new ones.
/// Where nothing is replaced, nothing is waited for.
///
/// # Errors
/// Those of the file system; what has the name keeps it then.
pub(crate) fn commit(file: AtomicFile, path: &Path) -> Result<()> {
    let replaces = path.metadata().is_ok_and(|found| found.len() > 0);
    file.commit(if replaces { Durability::Durable } else { Durability::Cached })
}

fn no_place(parent: &Path, failed: &str, error: io::Error) -> Error {
    let message = format!("{failed}: invalid output path: stat {}: {}", parent.display(), words(&error));
    let kind = if error.kind() == io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Invalid };
    Error::new(kind, message)
}

/// What a name stands for that is no file, in docker's words.
fn irreplaceable(kind: FileType) -> Option<&'static str> {
    let kinds = [
        (kind.is_dir(), "directory"),
        (kind.is_symlink(), "symbolic link directly"),
        (kind.is_fifo(), "named pipe (FIFO)"),
        (kind.is_char_device(), "character device file"),
        (!kind.is_file(), "device file or socket"),
    ];
    kinds.into_iter().find_map(|(is, what)| is.then_some(what))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use dhow_base::fault;

    use super::*;

    #[test]
    fn a_file_that_is_replaced_waits_for_the_disk() {
        let scratch = dhow_testkit::peers::scratch().expect("a folder");
        let path = scratch.path().join("archive.tar");
        let write = |bytes: &[u8]| {
            let mut file = AtomicFile::create(&path, 0o600).expect("a file");
            file.write_all(bytes).expect("written");
            commit(file, &path)
        };
        fault::arm_at("fs.atomic.sync", &path, 0, fault::Action::Error);
        write(b"old").expect("nothing is synced where nothing is lost");
        assert_eq!(write(b"new").map_err(|error| error.kind()), Err(Kind::Io));
        assert_eq!(fs::read(&path).expect("the file"), b"old");
        write(b"new").expect("a sync");
        assert_eq!(fs::read(&path).expect("the file"), b"new");
    }

    #[test]
    fn what_a_rename_would_put_an_end_to() {
        let scratch = dhow_testkit::peers::scratch().expect("a folder");
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir(path("folder")).expect("a folder");
        fs::write(path("file"), "").expect("a file");
        symlink("file", path("link")).expect("a link");
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        assert!(Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo").success());
        let said = |path: &Path| check(path, "failed").map_err(|error| error.to_string());
        assert_eq!(said(&path("file")), Ok(()));
        assert_eq!(said(&path("new")), Ok(()));
        assert_eq!(said(Path::new("new")), Ok(()));
        for (what, words) in [
            (path("folder"), "failed: cannot write to a directory"),
            (path("link"), "failed: cannot write to a symbolic link directly"),
            (path("pipe"), "failed: cannot write to a named pipe (FIFO)"),
            (path("socket"), "failed: cannot write to a device file or socket"),
            ("/dev/null".into(), "failed: cannot write to a character device file"),
            ("/dev/null/x".into(), "failed: invalid output path: stat /dev/null: not a directory"),
            ("/no/x".into(), "failed: invalid output path: stat /no: no such file or directory"),
            ("/dev/null/x/y".into(), "failed: invalid output path: stat /dev/null/x: not a directory"),
        ] {
            assert_eq!(said(&what), Err(words.to_owned()));
        }
    }
}
