//! `push`

use std::time::Instant;

use clap::Args;
use dhow_base::Kind;
use dhow_base::progress::{Event, Observer};
use dhow_ops::{Context, Platforms, push, runtime};
use dhow_spec::Reference;

use super::targets::{self, PlatformOptions};
use super::transfers::Retries;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, text};
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Operands, Verb};

/// What an interrupted user can count on.
const RESUMABLE: &str = "layers that the registry has already are not sent again by the next push";

/// What docker's client says before it pushes one platform.
const ONE_PLATFORM: &str =
    "Using --platform pushes only the specified platform manifest of a multi-platform image index.
Other components, like attestations, will not be included.
To push the complete multi-platform image, remove the --platform flag.
";

/// The arguments of `push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// Push all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Accepted for old scripts; there is no Docker content trust
    #[arg(long)]
    #[allow(dead_code, reason = "there is nothing to disable")]
    disable_content_trust: bool,
    #[command(flatten)]
    documents: DocumentFormat,
    #[command(flatten)]
    platforms: PlatformOptions,
    /// Print nothing but the full name of what was pushed
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    identity: Identity,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Push {
    const ABOUT: &'static str = "Upload images to a registry";
    const OPERANDS: &'static str = "NAME[:TAG] [NAME...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let names = documents.settle(None, session.context(&self.network))?;
        let wanted: Vec<(&str, Outcome<Reference>)> =
            self.names.iter().map(|name| (name.as_str(), self.parse(&names, name))).collect();
        let (context, platforms) = documents.settle(None, self.prepare(session, &wanted))?;
        let pusher =
            Pusher { context: &context, session, documents, platforms, quiet: self.quiet, all_tags: self.all_tags };
        let mut failures = Vec::new();
        let run = runtime::block_on(async {
            failures = pusher.all(wanted).await;
            Ok(())
        });
        pusher.documents.settle(None, run.map_err(Failure::from))?;
        Failure::join(failures)
    }
}

impl Push {
    fn prepare(&self, session: &Session<'_>, wanted: &[(&str, Outcome<Reference>)]) -> Outcome<(Context, Platforms)> {
        let platforms = self.platforms.platforms(None)?;
        if matches!(&platforms, Platforms::These(these) if these.len() == 1) {
            session.console.notice(text::info(ONE_PLATFORM));
        }
        let references = wanted.iter().filter_map(|(_, reference)| reference.as_ref().ok());
        let domains = references.map(|reference| reference.repository().domain());
        Ok((session.context_moving(&self.network, &self.identity, domains, self.retries.transfers()?)?, platforms))
    }

    fn parse(&self, names: &Context, name: &str) -> Outcome<Reference> {
        let reference = match push::configured_name(names, name)? {
            Some(reference) => reference,
            None => targets::reference(name)?,
        };
        if reference.digest().is_some() {
            return Err(Failure::Client("cannot push a digest reference".to_owned()));
        }
        if self.all_tags && reference.tag().is_some() {
            return Err(Failure::Client("tag can't be used with --all-tags/-a".to_owned()));
        }
        Ok(reference)
    }
}

struct Pusher<'a> {
    context: &'a Context,
    session: &'a Session<'a>,
    documents: Documents<'a>,
    platforms: Platforms,
    quiet: bool,
    all_tags: bool,
}

impl Pusher<'_> {
    async fn all(&self, wanted: Vec<(&str, Outcome<Reference>)>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (name, reference) in wanted {
            let outcome = match reference {
                Ok(reference) => signals::interruptible(self.operand(name, &reference), RESUMABLE).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = self.documents.settle(Some(name), outcome) {
                let stop = failure.is_interruption();
                failures.push(failure);
                if stop {
                    break;
                }
            }
        }
        failures
    }

    async fn operand(&self, name: &str, reference: &Reference) -> Outcome {
        let repository = reference.repository();
        let tagged = reference.clone().with_default_tag();
        if !self.all_tags && tagged != *reference {
            self.say("Using default tag: latest");
        }
        self.say(&format!("The push refers to repository [{repository}]"));
        let done = if self.all_tags {
            for tagged in push::references(self.context, repository).map_err(Failure::Reported)? {
                self.one(name, &tagged).await?;
            }
            repository.to_string()
        } else {
            self.one(name, &tagged).await?;
            tagged.to_string()
        };
        if self.quiet && !self.documents.are_wanted() {
            // Docker names what was pushed only when it said nothing else.
            self.session.console.line(done);
        }
        Ok(())
    }

    async fn one(&self, name: &str, reference: &Reference) -> Outcome {
        let started = Instant::now();
        let request = push::Request { reference: reference.clone(), platforms: self.platforms.clone(), source: None };
        let prepared = push::prepare(self.context, &request).map_err(Failure::Reported)?;
        let note = prepared.note().map(str::to_owned);
        let pushed = {
            let progress = Progress::new(self.session.console, Direction::Push, self.quiet);
            for layer in prepared.layers() {
                progress.event(Event::Queued { digest: layer.as_str(), size: 0 });
            }
            let pushed = prepared.run(self.context, &progress).await;
            if pushed.as_ref().is_err_and(|error| error.kind() != Kind::Unavailable) {
                progress.announce();
            }
            pushed.map_err(Failure::Reported)?
        };
        let tag = reference.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
        self.say(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size));
        self.documents.put(&schema::Pushed::new(name, reference, &pushed, started.elapsed()))?;
        if let Some(note) = note {
            self.session.console.notice(text::note(&note));
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.session.console.aside(format!("{line}\n"));
            self.session.console.flush();
        }
    }
}
