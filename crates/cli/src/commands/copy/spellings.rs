//! Options of `skopeo copy` that say what dhow says otherwise, or what it does anyway.

use clap::{ArgAction, Args};
use dhow_ops::copy::{Changes, Recompression};
use dhow_spec::Reference;

use crate::errors::{Failure, Outcome};

/// The options.
#[derive(Args, Debug)]
pub(super) struct Spellings {
    /// Further names that the image gets in a docker-archive: destination
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    additional_tag: Vec<String>,
    /// Compress layers that are not compressed; changes the digest
    #[arg(long, action = ArgAction::SetTrue)]
    dest_compress: Option<bool>,
    /// Skopeo's name of --recompress
    #[arg(long, value_name = "string")]
    dest_compress_format: Option<String>,
    /// Accepted for old scripts; there is one level, whose bytes never change
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    dest_compress_level: Option<i64>,
    /// Known so that it is not taken for a mistake.
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    dest_decompress: Option<bool>,
    /// What is done anyway: layers stay as they are.
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    #[allow(dead_code, reason = "layers are taken as they are")]
    dest_oci_accept_uncompressed_layers: Option<bool>,
    /// What is done anyway: digests are known before anything is sent.
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    #[allow(dead_code, reason = "digests are known before anything is sent")]
    dest_precompute_digests: Option<bool>,
}

impl Spellings {
    /// Names in an archive.
    ///
    /// # Errors
    /// What is no name with a tag.
    pub(super) fn further_names(&self) -> Outcome<Vec<Reference>> {
        let name = |text: &String| {
            let reference = Reference::parse(text).map_err(|error| Failure::Client(format!("{text:?}: {error}")))?;
            if reference.tag().is_none() || reference.digest().is_some() {
                let message = format!("--additional-tag {text:?} is no name with a tag");
                return Err(Failure::Client(message));
            }
            Ok(reference)
        };
        self.additional_tag.iter().map(name).collect()
    }

    /// What they change besides.
    ///
    /// # Errors
    /// What contradicts it, and what is not done.
    pub(super) fn apply(&self, changes: Changes) -> Outcome<Changes> {
        if self.dest_decompress == Some(true) {
            let message =
                "--dest-decompress is not supported: layers stay as they are, or are compressed in another way";
            return Err(Failure::Client(message.to_owned()));
        }
        let format = recompression("--dest-compress-format", self.dest_compress_format.as_deref())?;
        if changes.recompress.is_some() && format.is_some_and(|format| Some(format) != changes.recompress) {
            let message = "conflicting options: --recompress and --dest-compress-format exclude each other";
            return Err(Failure::Client(message.to_owned()));
        }
        if self.dest_compress_level.is_some_and(|level| !(-1..=22).contains(&level)) {
            let message = "--dest-compress-level is a number from 1 to 9, or to 22 for zstd";
            return Err(Failure::Client(message.to_owned()));
        }
        let recompress = changes.recompress.or(format);
        if recompress.is_none() && self.dest_compress == Some(true) {
            return Ok(Changes { recompress: Some(Recompression::Gzip), keep_compressed: true, ..changes });
        }
        Ok(Changes { recompress, ..changes })
    }
}

/// Reads the name of a compression; `option` is what it was given with.
pub(super) fn recompression(option: &str, text: Option<&str>) -> Outcome<Option<Recompression>> {
    match text {
        None | Some("") => Ok(None),
        Some("gzip") => Ok(Some(Recompression::Gzip)),
        Some("zstd") => Ok(Some(Recompression::Zstd)),
        Some(other) => {
            let message = format!("{option} {other:?} is not supported: it is \"gzip\" or \"zstd\"");
            Err(Failure::Client(message))
        }
    }
}
