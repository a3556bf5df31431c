//! Docker's verbs that a container engine is needed for.

use clap::Args;

use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of any of them.
#[derive(Args, Debug)]
pub(crate) struct Refused {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

impl Verb for Refused {
    const ABOUT: &'static str = "For a container engine; not supported";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.words
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let verb = session.path.split_once(' ').map_or(session.path.as_str(), |(_, verb)| verb);
        let why = "it is for a container engine that runs services, and dhow runs containers in the foreground";
        Err(Failure::Client(format!("{verb} is not supported: {why}")))
    }
}
