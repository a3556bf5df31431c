//! `tag`

use clap::Args;
use dhow_ops::tag;
use dhow_spec::Reference;

use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `tag`.
#[derive(Args, Debug)]
pub(crate) struct Tag {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Tag {
    const ABOUT: &'static str = "Give an image another name";
    const OPERANDS: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [source, target] = self.names.as_slice() else { return Ok(()) };
        check(target)?;
        Ok(tag::tag(&session.local_context()?, source, target)?)
    }
}

/// Docker's client reports a bad target itself, its engine a bad source.
fn check(target: &str) -> Outcome {
    let reference = Reference::parse(target).map_err(|error| {
        Failure::Client(format!("Error parsing reference: {target:?} is not a valid repository/tag: {error}"))
    })?;
    match reference.digest() {
        Some(_) => Err(Failure::Client("refusing to create a tag with a digest reference".to_owned())),
        None => Ok(()),
    }
}
