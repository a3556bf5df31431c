//! `validate`

use std::path::PathBuf;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Location;
use dhow_ops::validate::validate;

use super::remote::{READ_ONLY, Reach, run};
use super::targets::{self, PlatformOptions};
use crate::errors::{FAILED, Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::schema;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `validate`.
#[derive(Args, Debug)]
pub(crate) struct Validate {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Of layers, look only whether they are there
    #[arg(long)]
    fast: bool,
    #[command(flatten)]
    platforms: PlatformOptions,
    /// An image in a registry, as crane wants it: the same as docker://NAME
    #[arg(long, value_name = "string")]
    remote: Option<String>,
    /// An archive, as crane wants it: the same as docker-archive:FILE
    #[arg(long, value_name = "string")]
    tarball: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Validate {
    const ABOUT: &'static str = "Check that images are what their manifests and configs say";
    const OPERANDS: &'static str = "[IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let places = documents.settle(None, self.places())?;
        let platforms = documents.settle(None, self.platforms.platforms(None))?;
        let context = self.reach.context(session, places.iter().filter_map(|(_, place)| place.domain()))?;
        let mut failed = false;
        let outcome = targets::each(&places, |(name, place)| {
            let work = validate(&context, place, &platforms, self.fast);
            let validated = documents.settle(Some(name), run(READ_ONLY, work))?;
            failed |= !validated.problems.is_empty();
            if documents.are_wanted() {
                return documents.put(&schema::Validated::new(name, &validated));
            }
            match validated.problems.as_slice() {
                [] => session.console.line(format!("PASS: {name}")),
                problems => {
                    problems.iter().for_each(|problem| session.console.line(format!("FAIL: {name}: {problem}")))
                }
            }
            session.console.flush();
            Ok(())
        });
        outcome?;
        if failed { Err(Failure::Quiet(FAILED)) } else { Ok(()) }
    }
}

impl Validate {
    fn places(&self) -> Outcome<Vec<(String, Location)>> {
        let mut places = Vec::new();
        for name in &self.names {
            places.push((name.clone(), Location::parse(name)?));
        }
        if let Some(name) = &self.remote {
            places.push((name.clone(), Location::Registry(dhow_ops::remote::reference(name)?)));
        }
        if let Some(path) = &self.tarball {
            places.push((path.display().to_string(), Location::DockerArchive { path: path.clone(), name: None }));
        }
        if places.is_empty() {
            let error = Error::new(Kind::Invalid, "there is nothing to validate");
            return Err(error.with_hint("name images, or use --remote or --tarball").into());
        }
        Ok(places)
    }
}
