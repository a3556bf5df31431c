//! `commit`

use clap::Args;
use dhow_ops::container::{self, CommitRequest};

use super::{found, machine_for};
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
        let pause = self.pause && !self.no_pause;
        let request =
            CommitRequest { author: self.author, message: self.message, changes: self.change, pause, reference };
        let image_id = container::commit(&context, &record, &request)?;
        session.console.line(image_id.to_string());
        Ok(())
    }
}
