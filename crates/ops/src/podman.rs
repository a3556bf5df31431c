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

/// An image of podman's as an archive, from its beginning.
///
/// # Errors
/// [`Kind::NotFound`] when there is no podman or no such image; what podman says.
pub(crate) fn save(context: &Context, name: &str) -> Result<File> {
    let mut file = dhow_layout::nameless_file(&context.store()?.spool_dir()?)?;
    let output = file.try_clone().map_err(|error| Error::io("cannot write a temporary file", error))?;
    let mut command = Command::new("podman");
    command.args(["save", "--quiet", "--format", "docker-archive", "--", name]);
    run(command.stdin(Stdio::null()).stdout(output))?;
    // The position is shared with podman.
    file.seek(SeekFrom::Start(0)).map_err(|error| Error::io("cannot read a temporary file", error))?;
    Ok(file)
}

/// Has podman load an archive, from its position on.
///
/// # Errors
/// [`Kind::NotFound`] when there is no podman; what podman says.
pub(crate) fn load(archive: File) -> Result<()> {
    run(Command::new("podman").args(["load", "--quiet"]).stdin(archive).stdout(Stdio::null()))
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
