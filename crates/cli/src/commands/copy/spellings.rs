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
    /// Skopeo's name of --recompress none
    #[arg(long, action = ArgAction::SetTrue)]
    dest_decompress: Option<bool>,
    /// What is done anyway: layers that are compressed in another way are compressed anew.
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    #[allow(dead_code, reason = "what --dest-compress-format says is done to all layers")]
    dest_force_compress_format: Option<bool>,
    /// How many layers go at once is known here.
    #[arg(long, value_name = "uint", hide = true)]
    #[allow(dead_code, reason = "how many layers go at once depends on the place")]
    image_parallel_copies: Option<u32>,
    /// Leave layers without compression in oci: and oci-archive: also where the source has no manifest
    #[arg(long, action = ArgAction::SetTrue)]
    dest_oci_accept_uncompressed_layers: Option<bool>,
    /// What is done anyway: digests are known before anything is sent.
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    #[allow(dead_code, reason = "digests are known before anything is sent")]
    dest_precompute_digests: Option<bool>,
}

/// Skopeo's zstd with a table of contents, for readers that fetch parts of a layer.
const CHUNKED: &str = "zstd:chunked";

impl Spellings {
    /// What the user should know of what is asked for.
    pub(super) fn note(&self) -> Option<&'static str> {
        let is_chunked = self.dest_compress_format.as_deref() == Some(CHUNKED);
        is_chunked.then_some("Layers are compressed with zstd, without the table of contents of zstd:chunked")
    }

    /// Whether layouts get layers as they are, whatever the source.
    pub(super) fn plain_layouts(&self) -> bool {
        self.dest_oci_accept_uncompressed_layers == Some(true)
    }

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
        let format = match self.dest_compress_format.as_deref() {
            Some(CHUNKED) => Some(Recompression::Zstd),
            format => recompression("--dest-compress-format", format)?,
        };
        if self.dest_decompress == Some(true) {
            let wanted = changes
                .recompress
                .or(format)
                .or(self.dest_compress.filter(|is_given| *is_given).map(|_| Recompression::Gzip));
            if wanted.is_some_and(|wanted| wanted != Recompression::Plain) {
                let message = "conflicting options: --dest-decompress excludes what compresses layers";
                return Err(Failure::Client(message.to_owned()));
            }
            return Ok(Changes { recompress: Some(Recompression::Plain), ..changes });
        }
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
        Some("none") => Ok(Some(Recompression::Plain)),
        Some(other) => {
            let message = format!("{option} {other:?} is not supported: it is \"gzip\", \"zstd\" or \"none\"");
            Err(Failure::Client(message))
        }
    }
}
