//! `tag`, `untag` and `image exists` of podman

use clap::Args;
use dhow_ops::{exists, tag, untag};

use crate::errors::{FAILED, Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `tag`.
#[derive(Args, Debug)]
pub(crate) struct Tag {
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Tag {
    const ABOUT: &'static str = "Give an image further names";
    const OPERANDS: &'static str = "IMAGE TARGET_NAME [TARGET_NAME...]";
    const COUNT: Count = Count::AtLeast(2);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((source, targets)) = self.names.split_first() else { return Ok(()) };
        Ok(tag::tag(&session.local_context()?, source, targets)?)
    }
}

/// The arguments of `untag`.
#[derive(Args, Debug)]
pub(crate) struct Untag {
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Untag {
    const ABOUT: &'static str = "Take names off an image, all when none is given";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((image, names)) = self.names.split_first() else { return Ok(()) };
        Ok(untag::untag(&session.local_context()?, image, names)?)
    }
}

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
        if exists::exists(&session.local_context()?, name)? { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}
