//! `commit`

use clap::Args;
use dhow_ops::container::{self, CommitRequest};

use super::machine;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

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
    /// Accepted for old scripts: only containers that do not run are committed
    #[arg(short, long, hide = true)]
    #[allow(dead_code, reason = "there is nothing to pause")]
    pause: bool,
    #[arg(value_name = "CONTAINER")]
    operands: Vec<String>,
}

impl Verb for Commit {
    const ABOUT: &'static str = "Make an image of what a container changed";
    const OPERANDS: &'static str = "CONTAINER [REPOSITORY[:TAG]]";
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
        machine(session)?;
        let record = container::find(&context, name)?;
        let request = CommitRequest { author: self.author, message: self.message, changes: self.change, reference };
        let image_id = container::commit(&context, &record, &request)?;
        session.console.line(image_id.to_string());
        Ok(())
    }
}
