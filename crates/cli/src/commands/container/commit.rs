//! `commit`

use clap::Args;
use dhow_ops::Context;
use dhow_ops::container::{self, CommitRequest, Record};
use dhow_spec::Reference;

use super::{found, machine_for};
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `commit`.
#[derive(Args, Debug)]
pub(crate) struct Commit {
    /// Say who made the image
    #[arg(short, long, value_name = "string", default_value = "")]
    author: String,
    /// Apply a Dockerfile instruction to the image, such as 'CMD ["sh"]' or 'ENV A=b'
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Say in the history what it is
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,
    /// Have a container that runs stand still while its files are read (--pause=false takes them as they are)
    #[arg(short, long)]
    pause: bool,
    /// As docker 29 says --pause=false
    #[arg(long, hide = true)]
    no_pause: bool,
    #[arg(value_name = "CONTAINER")]
    operands: Vec<String>,
}

impl Verb for Commit {
    const ABOUT: &'static str = "Make an image of what a container changed";
    const OPERANDS: &'static str = "CONTAINER [REPOSITORY[:TAG]]";
    const COUNT: Count = Count::Between(1, 2);
    const NAMES: Operands = Operands::OneContainer;

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [container, image @ ..] = self.operands.as_slice() else { return miscounted() };
        let context = session.local_context()?;
        let (record, reference) = subject(session, &context, container, image.first())?;
        let pause = self.pause && !self.no_pause;
        let request = CommitRequest {
            author: self.author,
            message: self.message,
            changes: self.change,
            pause,
            reference,
            ..CommitRequest::default()
        };
        let image_id = container::commit(&context, &record, &request)?;
        session.console.line(image_id.to_string());
        Ok(())
    }
}

/// Finds the container that an image is made of, with the right to read its files, and parses the image's name, where it is to have one.
///
/// # Errors
/// Docker's words for what is no name; those of finding the container, and of entering its user namespace.
pub(in crate::commands) fn subject(
    session: &Session<'_>,
    context: &Context,
    container: &str,
    image: Option<&String>,
) -> Outcome<(Record, Option<Reference>)> {
    let reference = image
        .filter(|name| !name.is_empty())
        .map(|name| context.naming().given(name).map_err(|error| Failure::Client(error.to_string())))
        .transpose()?;
    let record = found(session, context, container)?;
    machine_for(session, &record)?;
    Ok((record, reference))
}
