//! `image exists`

use clap::Args;
use dhow_ops::exists;

use crate::errors::{FAILED, FLAG_ERROR, Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `image exists`.
#[derive(Args, Debug)]
pub(crate) struct Exists {
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Exists {
    const ABOUT: &'static str = "Tell by the exit code whether an image is here: 0 yes, 1 no, 125 cannot tell";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        match exists::exists(&session.local_context()?, name) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Quiet(FAILED)),
            // Podman's code for it: 1 is taken.
            Err(error) => Err(Failure::Usage {
                message: format!("{}{error}", session.personality.engine_prefix()),
                code: FLAG_ERROR,
            }),
        }
    }
}
