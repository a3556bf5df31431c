//! `untag`, `image untag`

use clap::Args;
use dhow_ops::untag;

use crate::errors::Outcome;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `untag`.
#[derive(Args, Debug)]
pub(crate) struct Untag {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Untag {
    const ABOUT: &'static str = "Take names off an image, which stays; all of them when none is given";
    const OPERANDS: &'static str = "IMAGE [NAME...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [image, names @ ..] = self.names.as_slice() else { return miscounted() };
        Ok(untag::untag(&session.local_context()?, image, names)?)
    }
}
