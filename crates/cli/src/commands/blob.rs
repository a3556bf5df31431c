//! `blob`

use clap::Args;
use dhow_ops::remote;

use super::cat::Raw;
use super::remote::{READ_ONLY, Reach, run};
use crate::errors::Outcome;
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

/// The arguments of `blob`.
#[derive(Args, Debug)]
pub(crate) struct Blob {
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Blob {
    const ABOUT: &'static str = "Write a layer or config of a registry to standard output, by its digest";
    const OPERANDS: &'static str = "NAME@DIGEST";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        let reference = remote::reference(name)?;
        let context = self.reach.context(session, [reference.repository().domain()])?;
        let done = run(READ_ONLY, remote::blob(&context, &reference, &mut Raw(session.console)));
        // A reader that went away is told of once, at the end.
        if session.console.has_failed() { Ok(()) } else { done }
    }
}
