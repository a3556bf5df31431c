//! Chance that nobody can guess.

use std::fs::File;
use std::io::Read as _;

use dhow_base::{Error, Result};

/// Random bytes from the operating system.
pub(crate) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Error::io("cannot read \"/dev/urandom\"", error))?;
    Ok(bytes)
}
