//! `commit` of podman

use std::path::{Path, PathBuf};

use clap::Args;
use dhow_base::fs::{Durability, write_atomic};
use dhow_ops::container::{self, CommitRequest};
use dhow_ops::copy::Family;
use dhow_spec::Digest;

use super::super::container::subject;
use super::Copying;
use super::import::instruction;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, given, miscounted};

/// The arguments of `commit`.
#[derive(Args, Debug)]
pub(crate) struct Commit {
    /// Say who made the image
    #[arg(short, long, value_name = "string", default_value = "")]
    author: String,
    /// Apply a Dockerfile instruction to the image, such as 'CMD ["sh"]' or 'ENV A=b'
    #[arg(short, long, value_name = "stringArray")]
    change: Vec<String>,
    /// Media types of the image: "oci" or "docker"
    #[arg(short, long, value_name = "Format", default_value = "oci", hide_default_value = true)]
    format: String,
    /// Write the image ID to a file
    #[arg(long, value_name = "file")]
    iidfile: Option<PathBuf>,
    /// Make volumes of the image of all that the container has
    #[arg(long)]
    include_volumes: bool,
    /// Say in the history what it is, which images of docker's format have
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,
    /// Have a container that runs stand still while its files are read
    #[arg(short = 'p', long = "pause")]
    stands_still: bool,
    /// Print the ID only
    #[arg(short, long)]
    quiet: bool,
    /// Make one layer of all
    #[arg(short, long)]
    squash: bool,
    #[arg(value_name = "CONTAINER")]
    operands: Vec<String>,
}

impl Verb for Commit {
    const ABOUT: &'static str = "Make an image of what a container changed";
    const OPERANDS: &'static str = "CONTAINER [IMAGE]";
    const COUNT: Count = Count::Between(1, 2);
    const NAMES: Operands = Operands::OneContainer;

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [container, image @ ..] = self.operands.as_slice() else { return miscounted() };
        let family = match self.format.as_str() {
            "oci" => Family::Oci,
            "docker" => Family::Docker,
            other => return Err(Failure::Client(format!("unrecognized image format {other:?}"))),
        };
        if family == Family::Oci && !self.message.is_empty() {
            let message = "messages are only compatible with the docker image format (-f docker)";
            return Err(Failure::Client(message.to_owned()));
        }
        let context = session.local_context()?;
        let (record, reference) = subject(session, &context, container, image.first())?;
        let request = CommitRequest {
            author: self.author,
            message: self.message,
            changes: self.change.iter().map(|text| instruction(text)).collect::<Outcome<_>>()?,
            pause: self.stands_still,
            family: Some(family),
            squash: self.squash,
            volumes: self.include_volumes,
            reference,
        };
        let image_id = container::commit(&context, &record, &request)?;
        if let Some(path) = given(self.iidfile.as_ref()) {
            write_id(path, &image_id).map_err(|error| Failure::Client(format!("failed to write image ID: {error}")))?;
        }
        // Podman copies what it made into its store, and says so.
        Copying::new(session.console, self.quiet).whole(&context, image_id.as_str(), true)?;
        session.console.line(image_id.hex());
        Ok(())
    }
}

fn write_id(path: &Path, image_id: &Digest) -> dhow_base::Result<()> {
    write_atomic(path, image_id.hex().as_bytes(), 0o644, Durability::Cached)
}
