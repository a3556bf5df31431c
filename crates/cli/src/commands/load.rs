//! `load`

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use dhow_base::{Error, Kind};
use dhow_ops::{Context, load};

use super::targets::PlatformOptions;
use super::unpacked;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::schema;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::Session;
use crate::signals;
use crate::terminal;
use crate::verb::{Count, Verb};

/// What a user who interrupts can count on.
pub(super) const KEPT: &str = "no image was loaded; what has arrived is kept for the next load";

/// The arguments of `load`.
#[derive(Args, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Read from a file, or from a directory with an OCI image layout, instead of standard input
    // An empty one is none, as with docker, which clap's own parser of paths refuses.
    #[arg(short, long, value_name = "string", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    input: Option<PathBuf>,
    #[command(flatten)]
    platforms: PlatformOptions,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Unpack the layers on their way in, ready to be mounted and read ("layers"), or the images to plain trees ("tree")
    #[arg(long, value_name = "string", num_args = 0..=1, require_equals = true, default_missing_value = "layers")]
    unpack: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Load {
    const ABOUT: &'static str = "Read images from an archive";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        documents.settle(None, self.load(session, &documents))
    }
}

impl Load {
    fn load(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        let input = match self.input.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => {
                check_file(path)?;
                load::Input::Path(path.clone())
            }
            None if terminal::input_is_terminal() => {
                return Err(Failure::Client("requested load from stdin, but stdin is empty".to_owned()));
            }
            None => load::Input::Stdin,
        };
        let platforms = self.platforms.platforms(None)?;
        let unpack = unpacked::form(session, self.unpack.as_deref())?;
        let request = load::Request { input, platforms, unpack };
        let context = session.local_context()?;
        let report = {
            let progress = Progress::new(session.console, Direction::Load, self.quiet);
            // Docker's daemon answers before it reads: what fails is part of its report.
            let work = || load::load(&context, &request, &progress).map_err(Failure::Reported);
            signals::heeding(session.console, KEPT, work)?
        };
        for image in &report.loaded {
            if documents.are_wanted() {
                documents.put(&schema::Loaded::new(image, report.newer))?;
            } else {
                tell(session, &context, image);
            }
        }
        report.missing.map_or(Ok(()), |error| Err(Failure::Reported(error)))
    }
}

/// In docker's words: a line for each name, or one for an image without any.
fn tell(session: &Session<'_>, context: &Context, image: &load::Loaded) {
    for name in &image.names {
        let shown = context.naming().shown(name);
        if let Some((_, id)) = image.replaced.iter().find(|(replaced, _)| replaced == name) {
            session
                .console
                .line(format!("The image {shown} already exists, renaming the old one with ID {id} to empty string"));
        }
        session.console.line(format!("Loaded image: {shown}"));
    }
    if image.names.is_empty() {
        session.console.line(format!("Loaded image ID: {}", image.image_id));
    }
}

/// Docker's client opens the file itself.
fn check_file(path: &Path) -> Outcome {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("open {}: no such file or directory", path.display());
            Err(Failure::Reported(Error::new(Kind::NotFound, message)))
        }
        _ => Ok(()),
    }
}
