//! Images of podman's storage, in and out as archives, by podman itself.
//!
//! The storage keeps layers unpacked beside what it takes to pack them again (tar-split), in formats that are
//! containers/storage's own. The installed podman reads and writes them with the locks that they need.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::process::{Command, Stdio};

use dhow_base::{Error, Kind, Result};

use crate::context::Context;

/// Most of what podman says that goes into a message, in bytes.
const SAID_BYTES_MAX: u64 = 8 << 10;

/// An image of podman's, and the options by which podman finds the storage that it is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) options: Vec<String>,
    pub(crate) name: &'a str,
}

/// Reads what stands behind `containers-storage:`: a name, before which a storage of one's own can be named as
/// `[DRIVER@ROOT+RUNROOT:OPTION,…]`, all of it but the root optional (containers-transports(5)).
///
/// # Errors
/// [`Kind::Invalid`] when the bracket is not closed, or names no folder.
pub(crate) fn place(text: &str) -> Result<Place<'_>> {
    let Some(rest) = text.strip_prefix('[') else { return Ok(Place { options: Vec::new(), name: text }) };
    let invalid = |what: &str| Error::new(Kind::Invalid, format!("containers-storage:{text}: {what}"));
    let (storage, name) = rest.split_once(']').ok_or_else(|| invalid("the bracket is not closed"))?;
    let (driver, storage) = storage.split_once('@').map_or((None, storage), |(driver, rest)| (Some(driver), rest));
    let (folders, driver_options) = storage.split_once(':').unwrap_or((storage, ""));
    let (root, run_root) = folders.split_once('+').map_or((folders, None), |(root, rest)| (root, Some(rest)));
    if !root.starts_with('/') || run_root.is_some_and(|folder| !folder.starts_with('/')) {
        return Err(invalid("the storage is named by absolute paths: [DRIVER@ROOT+RUNROOT]"));
    }
    let named = [("--root", Some(root)), ("--runroot", run_root), ("--storage-driver", driver)];
    let named =
        named.into_iter().filter_map(|(option, value)| Some((option, value.filter(|value| !value.is_empty())?)));
    let more = driver_options.split(',').filter(|option| !option.is_empty()).map(|option| ("--storage-opt", option));
    let options = named.chain(more).map(|(option, value)| format!("{option}={value}")).collect();
    Ok(Place { options, name })
}

/// An image of podman's as an archive, from its beginning.
///
/// # Errors
/// [`Kind::NotFound`] when there is no podman or no such image; what podman says.
pub(crate) fn save(context: &Context, name: &str) -> Result<File> {
    let mut file = dhow_layout::nameless_file(&context.store()?.spool_dir()?)?;
    let output = file.try_clone().map_err(|error| Error::io("cannot write a temporary file", error))?;
    let Place { options, name } = place(name)?;
    let mut command = Command::new("podman");
    command.args(options).args(["save", "--quiet", "--format", "docker-archive", "--", name]);
    run(command.stdin(Stdio::null()).stdout(output))?;
    // The position is shared with podman.
    file.seek(SeekFrom::Start(0)).map_err(|error| Error::io("cannot read a temporary file", error))?;
    Ok(file)
}

/// Has podman load an archive, from its position on. `options` are those of [`place`].
///
/// # Errors
/// [`Kind::NotFound`] when there is no podman; what podman says.
pub(crate) fn load(archive: File, options: &[String]) -> Result<()> {
    run(Command::new("podman").args(options).args(["load", "--quiet"]).stdin(archive).stdout(Stdio::null()))
}

fn run(command: &mut Command) -> Result<()> {
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let message = "containers-storage: is read and written by podman, which is not installed here";
            Error::new(Kind::NotFound, message)
        }
        _ => Error::io("cannot start podman", error),
    })?;
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        // What is beyond the limit is read and dropped, so that podman does not wait for a reader.
        let read = stderr.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut said);
        read.and_then(|_| io::copy(&mut stderr, &mut io::sink()))
            .map_err(|error| Error::io("cannot read what podman says", error))?;
    }
    let status = child.wait().map_err(|error| Error::io("cannot wait for podman", error))?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed").trim();
    let last = last.strip_prefix("Error: ").unwrap_or(last);
    let kind = if last.contains("not known") { Kind::NotFound } else { Kind::Invalid };
    Err(Error::new(kind, format!("podman: {last}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_of_one_s_own_is_named_before_the_image() {
        let read = |text: &str| -> Result<(String, String), String> {
            let place = place(text).map_err(|error| error.to_string())?;
            Ok((place.options.join(" "), place.name.to_owned()))
        };
        let own = |options: &str| Ok((options.to_owned(), "acme/web:1".to_owned()));
        assert_eq!(read("acme/web:1"), own(""));
        assert_eq!(read("[/r]acme/web:1"), own("--root=/r"));
        assert_eq!(read("[vfs@/r+/run/x]acme/web:1"), own("--root=/r --runroot=/run/x --storage-driver=vfs"));
        let options = "--root=/r --storage-driver=overlay --storage-opt=a=1 --storage-opt=b";
        assert_eq!(read("[overlay@/r:a=1,b]acme/web:1"), own(options));
        let refused =
            |text: &str, what: &str| assert_eq!(read(text), Err(format!("containers-storage:{text}: {what}")));
        refused("[vfs@/r", "the bracket is not closed");
        refused("[vfs]x", "the storage is named by absolute paths: [DRIVER@ROOT+RUNROOT]");
    }
}
