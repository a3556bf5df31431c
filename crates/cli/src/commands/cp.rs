//! `cp`: files out of an image.

use std::path::Path;

use clap::Args;
use dhow_ops::cp::{self, Copied, Place, Request};

use super::files::Raw;
use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::{schema, units};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `cp`.
#[derive(Args, Debug)]
pub(crate) struct Cp {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Keep owners, groups and devices, which takes root's rights
    #[arg(short = 'a', long)]
    archive: bool,
    /// Copy what SRC points to if it is a symbolic link
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied
    #[arg(short = 'q', long)]
    quiet: bool,
    #[arg(value_name = "PATH", allow_hyphen_values = true)]
    names: Vec<String>,
}

impl Verb for Cp {
    const ABOUT: &'static str = "Copy files out of an image, without a container";
    const OPERANDS: &'static str = "IMAGE:/SRC_PATH DEST_PATH|-";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [source, target] = self.names.as_slice() else { return Ok(()) };
        let request = self.request(source, target)?;
        let documents = self.documents.open(session.console);
        let context = session.local_context()?;
        if target == "-" {
            let copied = cp::to_archive(&context, &request, &mut Raw(session.console));
            // A reader that went away is told of at the end.
            return if session.console.has_failed() { Ok(()) } else { Ok(copied.map(drop)?) };
        }
        let copied = cp::to_path(&context, &request, Path::new(target)).map_err(Failure::from);
        let copied = documents.settle(Some(source), copied)?;
        copied.notes.iter().for_each(|note| session.console.notice(format!("warning: {note}")));
        if documents.are_wanted() {
            return documents.put(&schema::Copied::new(&copied, source, target));
        }
        if !self.quiet {
            let Copied { bytes, .. } = copied;
            session.console.notice(format!("Successfully copied {} to {target}", units::human_size(bytes)));
        }
        Ok(())
    }
}

impl Cp {
    fn request(&self, source: &str, target: &str) -> Outcome<Request> {
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        match (Place::parse(source), Place::parse(target)) {
            (Some(_), Some(_)) => refuse("copying between images is not supported"),
            (None, Some(_)) => refuse("an image does not change: copying into one is not supported"),
            (None, None) => refuse("must specify at least one image source: IMAGE:/path"),
            (Some(_), None) if target == "-" && self.documents.is_given() => {
                refuse("--format needs a DEST_PATH: standard output is for the archive")
            }
            (Some(source), None) => Ok(Request { source, follow_link: self.follow_link, archive: self.archive }),
        }
    }
}
