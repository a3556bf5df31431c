//! `rmi`, `image rm`

use clap::Args;
use dhow_base::Kind;
use dhow_ops::rmi;

use super::{filters, targets};
use crate::background;
use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::schema;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `rmi`.
#[derive(Args, Debug)]
pub(crate) struct Rmi {
    /// Remove all images, or with --filter those that fit
    #[arg(short, long)]
    all: bool,
    /// Remove the images that fit, as "images --filter" shows them: "until=7d", "reference=PATTERN"
    #[arg(long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    #[command(flatten)]
    documents: DocumentFormat,
    /// Remove images with several names or stopped containers too; missing images are no failure
    #[arg(short, long)]
    force: bool,
    /// Say nothing about missing images
    #[arg(short, long)]
    ignore: bool,
    /// Accepted for old scripts; there are no untagged parents to keep
    #[arg(long)]
    #[allow(dead_code, reason = "parents are a matter of docker's classic builder: there are none here to remove")]
    no_prune: bool,
    /// Remove only these platforms of a multi-platform image; needs --force
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    platform: Vec<String>,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Rmi {
    const ABOUT: &'static str = "Remove images";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn count(&self) -> Count {
        if self.selects() { Count::AtLeast(0) } else { Self::COUNT }
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let answer = documents.settle(None, self.remove(session))?;
        if documents.are_wanted() {
            documents.put(&self.document(&answer))?;
        }
        self.tell(session, answer.outcomes)
    }
}

impl Rmi {
    /// Whether images are chosen by what they are.
    fn selects(&self) -> bool {
        self.all || !self.filter.is_empty()
    }

    fn remove(&self, session: &Session<'_>) -> Outcome<rmi::Answer> {
        if self.selects() && !self.names.is_empty() {
            return Err(Failure::Client("either name images or give --all or --filter, not both".to_owned()));
        }
        let mut request = rmi::Request { force: self.force, ..rmi::Request::default() };
        for text in &self.platform {
            request.platforms.extend(targets::platform(Some(text))?);
        }
        if self.selects() && !request.platforms.is_empty() {
            return Err(Failure::Client("--platform needs the names of images".to_owned()));
        }
        let context = session.local_context()?;
        let answer = if self.selects() {
            rmi::remove_all(&context, &filters::given(&self.filter), &request)?
        } else {
            rmi::remove(&context, &self.names, &request)?
        };
        background::empty_trash(&context);
        Ok(answer)
    }

    fn document(&self, answer: &rmi::Answer) -> schema::Remove<'_> {
        let mut document = schema::Remove::new(answer.reclaimed_bytes);
        for (place, outcome) in answer.outcomes.iter().enumerate() {
            match outcome {
                Ok(removed) => document.add(removed),
                Err(error) if self.ignore && error.kind() == Kind::NotFound => {}
                Err(error) => {
                    document.add_failure(schema::Failed::new(self.names.get(place).map(String::as_str), error))
                }
            }
        }
        document
    }

    fn tell(&self, session: &Session<'_>, outcomes: Vec<rmi::Outcome>) -> Outcome {
        let mut failures = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(_) if self.documents.is_given() => {}
                Ok(removed) => removed.iter().for_each(|line| session.console.line(shown(line))),
                Err(error) => failures.push(Failure::from(error)),
            }
        }
        if self.ignore {
            failures.retain(|failure| !failure.is_not_found());
        }
        let only_missing = failures.iter().all(Failure::is_not_found);
        let outcome = Failure::join(failures);
        match outcome {
            Err(failure) if self.force && only_missing => {
                failure.report(session.personality, session.console);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

fn shown(line: &rmi::Removed) -> String {
    match line {
        rmi::Removed::Untagged(name) => format!("Untagged: {}", name.familiar()),
        rmi::Removed::Deleted(digest) | rmi::Removed::DeletedLayer(digest) => format!("Deleted: {digest}"),
    }
}
