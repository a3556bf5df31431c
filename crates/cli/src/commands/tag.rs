//! `tag`

use clap::Args;
use dhow_ops::tag;
use dhow_spec::reference::ReferenceError;
use dhow_spec::{Digest, Reference};

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `tag`.
#[derive(Args, Debug)]
pub(crate) struct Tag {
    // As docker reads it: whatever follows the first name is a name, `--` and `-x` too.
    #[arg(value_name = "NAME", trailing_var_arg = true)]
    names: Vec<String>,
}

impl Verb for Tag {
    const ABOUT: &'static str = "Give an image another name, or several";
    const OPERANDS: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    const COUNT: Count = Count::Exactly(2);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    /// Docker takes one name and says so when it is given none; podman takes any number.
    fn count(&self) -> Count {
        if self.names.len() > 2 { Count::AtLeast(2) } else { Self::COUNT }
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [source, targets @ ..] = self.names.as_slice() else { return miscounted() };
        check_source(source, session.personality)?;
        targets.iter().try_for_each(|target| check_target(target, session.personality))?;
        Ok(tag::tag(&session.local_context()?, source, targets)?)
    }
}

/// A source may also be an ID. Docker's client reports what can be neither name nor ID itself.
fn check_source(source: &str, personality: Personality) -> Outcome {
    match Reference::parse(source) {
        Ok(_) | Err(ReferenceError::Identifier(_)) => Ok(()),
        Err(_) if Digest::parse(source).is_ok() => Ok(()),
        Err(error) => Err(unparsable(source, &error, personality)),
    }
}

fn unparsable(text: &str, error: &ReferenceError, personality: Personality) -> Failure {
    let error_word = if personality == Personality::Docker29 { "error" } else { "Error" };
    Failure::Client(format!("{error_word} parsing reference: {text:?} is not a valid repository/tag: {error}"))
}

fn check_target(target: &str, personality: Personality) -> Outcome {
    let reference = Reference::parse(target).map_err(|error| unparsable(target, &error, personality))?;
    match reference.digest() {
        Some(_) => Err(Failure::Client("refusing to create a tag with a digest reference".to_owned())),
        None => Ok(()),
    }
}
