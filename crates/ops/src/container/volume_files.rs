//! A volume's files as an archive, and an archive's as a volume's.

use std::io::Read;

use dhow_base::beneath::Dir;
use dhow_base::{Error, Result};
use dhow_layer::diff::DiffOptions;
use dhow_layer::unpack::{IdMap, Owners};
use dhow_layer::{Decoder, Limits, decode_error};

use super::{Machine, VolumeDetails};
use crate::cp::{Clash, unpack};
use crate::export::{Output, write_to};

/// Writes all files of a volume to a tar archive, as podman's `volume export`. Containers may change them meanwhile.
///
/// # Errors
/// Those of reading the files and of writing; [`dhow_base::Kind::Conflict`] when a file became shorter while it was read.
pub fn export_volume(volume: &VolumeDetails, output: &Output) -> Result<()> {
    write_to(output, &open(volume)?, DiffOptions::default())
}

/// Puts the files of a tar archive, compressed or not, beside those that a volume has; what has the same name is replaced. Nothing is
/// changed by an archive that cannot be read to its end. Returns what could not be kept.
///
/// # Errors
/// Those of the archive, and of what is in the way.
pub fn import_volume(volume: &VolumeDetails, machine: Machine, archive: &mut dyn Read) -> Result<Vec<String>> {
    let owners = if machine.may_own() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    let files = open(volume)?;
    let decoded = Decoder::new(archive, Limits::LAYER);
    let notes = decoded
        .map_err(|error| decode_error("cannot read the archive", error))
        .and_then(|archive| unpack(&files, owners, Clash::Refused, archive, |_| Ok(())));
    notes.map_err(|error| error.context(format_args!("cannot import into volume {}", volume.volume.name)))
}

fn open(volume: &VolumeDetails) -> Result<Dir> {
    let failed = |error| Error::io(format_args!("cannot open volume {}", volume.volume.name), error);
    Dir::open(&volume.files()?).map_err(failed)
}
