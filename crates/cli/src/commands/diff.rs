//! `diff`: which files differ between images, or what a container changed.

use clap::Args;
use dhow_base::Kind;
use dhow_ops::container;
use dhow_ops::diff::{self, Change, Difference};

use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, one_by_one};
use crate::format::{schema, units};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Show no sizes: the letter and the path alone, as docker and podman do
    #[arg(long)]
    no_size: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Diff {
    const ABOUT: &'static str =
        "Show which files differ between two images, or what a container or the last layer of an image changed";
    const OPERANDS: &'static str = "IMAGE|CONTAINER [IMAGE]";
    const COUNT: Count = Count::Between(1, 2);
    const NAMES: Operands = Operands::ImagesAndContainers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [first, rest @ ..] = self.names.as_slice() else { return miscounted() };
        let documents = self.documents.open(session.console);
        let context = session.local_context()?;
        let missing = match (rest.is_empty(), container::find(&context, first)) {
            (true, Ok(_)) => return self.container(session, first),
            (true, Err(error)) => Some(super::container::missing(session.personality, first, error)),
            (false, _) => None,
        };
        let told = one_by_one(|show| {
            let done = diff::diff(&context, first, rest.first().map(String::as_str), |difference| {
                show(match documents.are_wanted() {
                    true => documents.put(&schema::Difference::from(&difference)),
                    false => {
                        session.console.bytes(&self.line(&difference));
                        Ok(())
                    }
                })
            });
            match (done, missing) {
                // Docker's command is of containers alone.
                (Err(error), Some(missing))
                    if error.kind() == Kind::NotFound && session.personality != Personality::Dhow =>
                {
                    Err(missing)
                }
                (done, _) => done,
            }
        });
        documents.settle(None, told)
    }
}

impl Diff {
    /// What a container changed, as docker writes it.
    fn container(&self, session: &Session<'_>, name: &str) -> Outcome {
        if self.documents.is_given() {
            let message = "--format is not supported for containers: docker has none for them";
            return Err(Failure::Client(message.to_owned()));
        }
        super::container::machine(session)?;
        let context = session.local_context()?;
        let record = container::find(&context, name)?;
        for (change, path) in container::changes(&context, &record)? {
            let line = [format!("{} ", change.letter()).as_bytes(), &path, b"\n"].concat();
            session.console.bytes(&line);
        }
        Ok(())
    }

    fn line(&self, difference: &Difference) -> Vec<u8> {
        let Difference { change, path, size_before, size_after, .. } = difference;
        let mut line = format!("{} ", change.letter()).into_bytes();
        if !self.no_size {
            let size = match change {
                Change::Added => format!("+{}", units::human_size(size_after.unwrap_or(0))),
                Change::Deleted => format!("-{}", units::human_size(size_before.unwrap_or(0))),
                Change::Changed => grown(size_before.unwrap_or(0), size_after.unwrap_or(0)),
            };
            line.extend(format!("{size:>9} ").bytes());
        }
        line.extend_from_slice(path);
        line.push(b'\n');
        line
    }
}

fn grown(before: u64, after: u64) -> String {
    let sign = if after < before { '-' } else { '+' };
    format!("{sign}{}", units::human_size(after.abs_diff(before)))
}
