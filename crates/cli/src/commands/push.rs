//! `push`

use clap::Args;
use dhow_base::Kind;
use dhow_base::progress::{Event, Observer};
use dhow_ops::{Context, Platforms, push, runtime};
use dhow_spec::Reference;

use super::targets::{self, PlatformOptions};
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Verb};

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
    platforms: PlatformOptions,
    /// Print nothing but the full name of what was pushed
    #[arg(short, long)]
    quiet: bool,
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

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let platforms = self.platforms.platforms(None)?;
        if matches!(&platforms, Platforms::These(these) if these.len() == 1) {
            session.console.notice(text::info(ONE_PLATFORM));
        }
        let wanted: Vec<Outcome<Reference>> = self.names.iter().map(|name| self.parse(name)).collect();
        let domains = wanted.iter().flatten().map(|reference| reference.repository().domain());
        let context = session.context_as(&self.network, &self.identity, domains)?;
        let pusher = Pusher { context: &context, session, platforms, quiet: self.quiet };
        let mut failures = Vec::new();
        runtime::block_on(async {
            failures = pusher.all(wanted, self.all_tags).await;
            Ok(())
        })?;
        Failure::join(failures)
    }
}

impl Push {
    fn parse(&self, name: &str) -> Outcome<Reference> {
        let reference = targets::reference(name)?;
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
    platforms: Platforms,
    quiet: bool,
}

impl Pusher<'_> {
    async fn all(&self, references: Vec<Outcome<Reference>>, all_tags: bool) -> Vec<Failure> {
        let mut failures = Vec::new();
        for reference in references {
            let reference = match reference {
                Ok(reference) => reference,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            let pushed = self.repository(&reference, all_tags);
            if let Err(failure) = signals::interruptible(pushed, RESUMABLE).await {
                let stop = failure.is_interruption();
                failures.push(failure);
                if stop {
                    break;
                }
            }
        }
        failures
    }

    async fn repository(&self, reference: &Reference, all_tags: bool) -> Outcome {
        let repository = reference.repository();
        let tagged = reference.clone().with_default_tag();
        if !all_tags && tagged != *reference {
            self.say("Using default tag: latest");
        }
        self.say(&format!("The push refers to repository [{repository}]"));
        let done = if all_tags {
            for tagged in push::references(self.context, repository).map_err(Failure::Reported)? {
                self.one(&tagged).await.map_err(Failure::Reported)?;
            }
            repository.to_string()
        } else {
            self.one(&tagged).await.map_err(Failure::Reported)?;
            tagged.to_string()
        };
        if self.quiet {
            // Docker names what was pushed only when it said nothing else.
            self.session.console.line(done);
        }
        Ok(())
    }

    async fn one(&self, reference: &Reference) -> dhow_base::Result<()> {
        let request = push::Request { reference: reference.clone(), platforms: self.platforms.clone(), source: None };
        let prepared = push::prepare(self.context, &request)?;
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
            pushed?
        };
        let tag = reference.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
        self.say(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size));
        if let Some(note) = note {
            self.session.console.notice(text::note(&note));
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.session.console.line(line);
            self.session.console.flush();
        }
    }
}
