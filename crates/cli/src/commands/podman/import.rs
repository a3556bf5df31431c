//! `import` and `commit` of podman

use std::path::{Path, PathBuf};

use clap::Args;
use dhow_base::Kind;
use dhow_base::fs::{Durability, write_atomic};
use dhow_ops::container::{self, CommitRequest};
use dhow_spec::{Digest, Platform};

use super::super::container::{found, machine_for};
use super::super::import::{Given, import_as};
use super::Copying;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Say what architecture the files run on
    #[arg(long, value_name = "string")]
    arch: Option<String>,
    /// Apply a Dockerfile instruction to the image, such as 'CMD ["sh"]' or 'ENV A=b'
    #[arg(short, long, value_name = "stringArray")]
    change: Vec<String>,
    /// Say in the history what it is
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Say what operating system the files run on
    #[arg(long, value_name = "string")]
    os: Option<String>,
    /// Print the ID only
    #[arg(short, long)]
    quiet: bool,
    /// Say what variant of the architecture the files run on
    #[arg(long, value_name = "string")]
    variant: Option<String>,
    #[arg(value_name = "PATH")]
    operands: Vec<String>,
}

impl Verb for Import {
    const ABOUT: &'static str = "Make an image of a tar archive of files";
    const OPERANDS: &'static str = "PATH|URL|- [REFERENCE]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let platform = self.platform();
        let Self { change, message, operands, quiet, .. } = self;
        let source = operands.first().cloned().unwrap_or_default();
        let given = Given { change, message, platform, operands };
        let image_id = import_as(session, given).map_err(|failure| match failure {
            Failure::Reported(error) if error.kind() == Kind::NotFound => {
                Failure::Reported(error.context(format_args!("error opening {source:?}")))
            }
            other => other,
        })?;
        told(session, &image_id, quiet)?;
        session.console.line(image_id.to_string());
        Ok(())
    }
}

impl Import {
    /// What was said, and this machine's for the rest; nothing when nothing was said.
    fn platform(&self) -> Option<String> {
        if self.os.is_none() && self.arch.is_none() && self.variant.is_none() {
            return None;
        }
        let own = Platform::host();
        let (os, arch) = (self.os.as_deref().unwrap_or(&own.os), self.arch.as_deref().unwrap_or(&own.architecture));
        let variant = self.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        Some(format!("{os}/{arch}{variant}"))
    }
}

/// The arguments of `commit`.
#[derive(Args, Debug)]
pub(crate) struct Commit {
    /// Say who made the image
    #[arg(short, long, value_name = "string", default_value = "")]
    author: String,
    /// Apply a Dockerfile instruction to the image, such as 'CMD ["sh"]' or 'ENV A=b'
    #[arg(short, long, value_name = "stringArray")]
    change: Vec<String>,
    /// Write the image ID to a file
    #[arg(long, value_name = "file")]
    iidfile: Option<PathBuf>,
    /// Say in the history what it is
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,
    /// Have a container that runs stand still while its files are read
    #[arg(short = 'p', long = "pause")]
    stands_still: bool,
    /// Print the ID only
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "CONTAINER")]
    operands: Vec<String>,
}

impl Verb for Commit {
    const ABOUT: &'static str = "Make an image of what a container changed";
    const OPERANDS: &'static str = "CONTAINER [IMAGE]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.operands.first() else { return Ok(()) };
        let context = session.local_context()?;
        let reference = self.operands.get(1).filter(|name| !name.is_empty());
        let reference = reference
            .map(|name| context.naming().given(name).map_err(|error| Failure::Client(error.to_string())))
            .transpose()?;
        let record = found(session, &context, name)?;
        machine_for(session, &record)?;
        let request = CommitRequest {
            author: self.author,
            message: self.message,
            changes: self.change,
            pause: self.stands_still,
            reference,
        };
        let image_id = container::commit(&context, &record, &request)?;
        if let Some(path) = &self.iidfile {
            write_id(path, &image_id)?;
        }
        told(session, &image_id, self.quiet)?;
        session.console.line(image_id.hex());
        Ok(())
    }
}

fn write_id(path: &Path, image_id: &Digest) -> dhow_base::Result<()> {
    write_atomic(path, image_id.hex().as_bytes(), 0o644, Durability::Cached)
}

/// Podman copies what it made into its store, and says so.
fn told(session: &Session<'_>, image_id: &Digest, quiet: bool) -> Outcome {
    Copying::new(session.console, quiet).whole(&session.local_context()?, image_id.as_str(), true)
}
