//! `pull`

use std::fmt::Display;
use std::time::Instant;

use clap::Args;
use dhow_base::Kind;
use dhow_ops::pull::Policy;
use dhow_ops::unpacking::Form;
use dhow_ops::{Context, Platforms, pull, runtime, short_names};
use dhow_spec::{Platform, Reference};

use super::targets::{self, PlatformOptions};
use super::transfers::Retries;
use super::unpacked;
use super::wanted::{self, Wanted};
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::schema;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Operands, Verb};

/// What an interrupted user can count on.
const RESUMABLE: &str = "what has arrived is kept, and the next pull goes on from there";

/// The arguments of `pull`.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// Download all tagged images in the repository
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
    /// When to ask the registry ("always", "missing", "newer", "never") (default "always")
    #[arg(long, value_name = "string", default_value = "always", hide_default_value = true)]
    policy: String,
    /// Print nothing but the full name of what was pulled
    #[arg(short, long)]
    quiet: bool,
    /// Store layers without inflating them to prove their diff IDs
    #[arg(long)]
    stored: bool,
    /// Unpack the layers on their way in, ready to be mounted and read ("layers"), or the image to a plain tree ("tree")
    #[arg(long, value_name = "string", num_args = 0..=1, require_equals = true, default_missing_value = "layers")]
    unpack: Option<String>,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    identity: Identity,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Pull {
    const ABOUT: &'static str = "Download images from a registry";
    const OPERANDS: &'static str = "NAME[:TAG|@DIGEST] [NAME...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let (policy, form, names) = documents.settle(None, self.prepare(session))?;
        let wanted: Vec<(&str, Outcome<Wanted>)> =
            self.names.iter().map(|name| (name.as_str(), self.parse(session, &names, name))).collect();
        let (context, platforms) = documents.settle(None, self.context(session, &wanted))?;
        let puller = Puller {
            context: &context,
            session,
            documents,
            platforms,
            policy,
            quiet: self.quiet,
            stored: self.stored,
            unpack: form,
            all_tags: self.all_tags,
            is_for_container: false,
        };
        let mut failures = Vec::new();
        let run = runtime::block_on(async {
            failures = puller.all(wanted).await;
            Ok(())
        });
        puller.documents.settle(None, run.map_err(Failure::from))?;
        Failure::join(failures)
    }
}

impl Pull {
    /// What the options say that all names have in common, and where to look names up.
    fn prepare(&self, session: &Session<'_>) -> Outcome<(Policy, Option<Form>, Context)> {
        self.platforms.platforms(session.environment.default_platform.as_deref())?;
        let form = unpacked::form(session, self.unpack.as_deref())?;
        if self.stored && form.is_some() {
            return Err(Failure::Client("--stored and --unpack can't be used together".to_owned()));
        }
        Ok((policy(&self.policy)?, form, session.context(&self.network)?))
    }

    fn context(&self, session: &Session<'_>, wanted: &[(&str, Outcome<Wanted>)]) -> Outcome<(Context, Platforms)> {
        let platforms = self.platforms.platforms(session.environment.default_platform.as_deref())?;
        let wanted = wanted.iter().filter_map(|(_, wanted)| wanted.as_ref().ok());
        let domains = wanted.flat_map(|wanted| &wanted.candidates).map(|reference| reference.repository().domain());
        Ok((session.context_moving(&self.network, &self.identity, domains, self.retries.transfers()?)?, platforms))
    }

    fn parse(&self, session: &Session<'_>, context: &Context, name: &str) -> Outcome<Wanted> {
        let reference = targets::reference(name)?;
        if self.all_tags && (reference.tag().is_some() || reference.digest().is_some()) {
            return Err(Failure::Client("tag can't be used with --all-tags/-a".to_owned()));
        }
        wanted::wanted(session, context, name, self.quiet)
    }
}

/// Pulls an image for a container: everything that is said goes to standard error, as with docker.
///
/// # Errors
/// Those of pulling it.
pub(super) fn for_container(
    session: &Session<'_>,
    context: &Context,
    image: &str,
    platform: Option<&Platform>,
    quiet: bool,
) -> Outcome {
    let platforms = platform.map_or(Platforms::Default, |platform| Platforms::These(vec![platform.clone()]));
    targets::reference(image)?;
    let wanted = wanted::wanted(session, context, image, quiet)?;
    session.console.divert();
    let puller = Puller {
        context,
        session,
        documents: DocumentFormat::none().open(session.console),
        platforms,
        policy: Policy::Always,
        quiet,
        stored: false,
        all_tags: false,
        unpack: None,
        is_for_container: true,
    };
    let mut failures = Vec::new();
    runtime::block_on(async {
        failures = puller.all(vec![(image, Ok(wanted))]).await;
        Ok(())
    })?;
    Failure::join(failures)
}

struct Puller<'a> {
    context: &'a Context,
    session: &'a Session<'a>,
    documents: Documents<'a>,
    platforms: Platforms,
    policy: Policy,
    quiet: bool,
    stored: bool,
    unpack: Option<Form>,
    all_tags: bool,
    /// Whether the name of what was pulled is of no interest.
    is_for_container: bool,
}

impl Puller<'_> {
    async fn all(&self, wanted: Vec<(&str, Outcome<Wanted>)>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (name, wanted) in wanted {
            let outcome = match wanted {
                Ok(wanted) => signals::interruptible(self.candidates(wanted), RESUMABLE).await,
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

    /// Pulls the first of the images that a name may mean, and remembers which one the user meant.
    async fn candidates(&self, name: Wanted) -> Outcome {
        let pulled = if self.all_tags { self.first_repository(&name).await? } else { self.first_image(&name).await? };
        if name.is_chosen {
            let recorded = short_names::record(self.context, &name.text, pulled.repository());
            // The image is here: that it will be asked for again next time is no failure.
            let _ = recorded.inspect_err(|error| self.session.console.notice(format!("WARNING: {error}")));
        }
        Ok(())
    }

    async fn first_repository<'n>(&self, name: &'n Wanted) -> Outcome<&'n Reference> {
        let mut failures = Vec::new();
        for reference in &name.candidates {
            match self.repository(&name.text, reference).await {
                Ok(()) => return Ok(reference),
                Err(failure) if failure.is_interruption() => return Err(failure),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failed(failures))
    }

    async fn first_image<'n>(&self, name: &'n Wanted) -> Outcome<&'n Reference> {
        let tagged: Vec<Reference> = name.candidates.iter().cloned().map(Reference::with_default_tag).collect();
        // Who runs an image was told already which one is missing.
        if tagged != name.candidates && !self.is_for_container {
            self.say("Using default tag: latest");
        }
        let mut order: Vec<usize> = (0..tagged.len()).collect();
        if matches!(self.policy, Policy::Missing | Policy::Never) {
            // What is here comes before what could be elsewhere.
            for (index, reference) in tagged.iter().enumerate() {
                if pull::present(self.context, &self.request(reference))?.is_some() {
                    order = vec![index];
                    break;
                }
            }
        }
        let mut failures = Vec::new();
        for index in order {
            match self.one(&name.text, &tagged[index]).await {
                Ok(()) => return Ok(&name.candidates[index]),
                Err(failure) if failure.is_interruption() => return Err(failure),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failed(failures))
    }

    async fn one(&self, name: &str, tagged: &Reference) -> Outcome {
        let newer = self.fetch(name, tagged).await?;
        self.say(&status(&pulled_name(tagged), newer));
        self.conclude(tagged);
        Ok(())
    }

    async fn repository(&self, name: &str, reference: &Reference) -> Outcome {
        let repository = reference.repository();
        let mut newer = false;
        for tagged in pull::tags(self.context, repository).await? {
            newer |= self.fetch(name, &tagged).await?;
        }
        self.say(&status(repository.familiar(), newer));
        self.conclude(repository);
        Ok(())
    }

    /// Pulls one image and says whether anything changed.
    async fn fetch(&self, name: &str, reference: &Reference) -> Outcome<bool> {
        let started = Instant::now();
        let pulled = self.pulled(reference).await?;
        self.say(&format!("Digest: {}", pulled.digest));
        self.documents.put(&schema::Pulled::new(name, reference, &pulled, started.elapsed()))?;
        Ok(pulled.newer)
    }

    /// What is here now: fetched, or what was here where that is good enough.
    async fn pulled(&self, reference: &Reference) -> Outcome<pull::Pulled> {
        let request = self.request(reference);
        let present = match self.policy {
            Policy::Always => None,
            _ => pull::present(self.context, &request)?,
        };
        let resolved = match (self.policy, present) {
            (Policy::Missing | Policy::Never, Some(present)) => return Ok(present),
            (Policy::Never, None) => return Err(pull::not_here(&request).into()),
            (_, present) => match (pull::resolve(self.context, &request).await, present) {
                (Ok(resolved), _) => resolved,
                (Err(error), Some(present)) if error.kind() != Kind::Cancelled => {
                    self.session.console.notice(format!("WARNING: {error}; the image that is here is taken"));
                    return Ok(present);
                }
                (Err(error), _) => return Err(error.into()),
            },
        };
        self.say(&format!("{}: Pulling from {}", heading(reference), reference.repository().path()));
        let progress = Progress::new(self.session.console, Direction::Pull, self.quiet);
        resolved.fetch(self.context, &progress).await.map_err(Failure::Reported)
    }

    fn request(&self, reference: &Reference) -> pull::Request {
        pull::Request {
            reference: reference.clone(),
            platforms: self.platforms.clone(),
            stored: self.stored,
            measured: self.documents.are_wanted(),
            unpack: self.unpack.clone(),
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.session.console.aside(format!("{line}\n"));
            self.session.console.flush();
        }
    }

    /// The last line, the same with and without `--quiet`: the full name.
    fn conclude(&self, name: &impl Display) {
        if !self.documents.are_wanted() && !self.is_for_container {
            self.session.console.line(name.to_string());
        }
    }
}

/// Several failures as one.
fn failed(mut failures: Vec<Failure>) -> Failure {
    match (failures.len(), failures.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            failures.extend(last);
            Failure::Several(failures)
        }
    }
}

/// Reads `--policy`, in podman's words where it is wrong.
fn policy(text: &str) -> Outcome<Policy> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "always" => Policy::Always,
        "" | "missing" | "ifnotpresent" => Policy::Missing,
        "newer" | "ifnewer" => Policy::Newer,
        "never" => Policy::Never,
        _ => return Err(Failure::Client(format!("unsupported pull policy {text:?}"))),
    })
}

/// What docker puts before «Pulling from»: the tag, or the whole name when there is a digest.
fn heading(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => format!("{}@{digest}", reference.repository()),
        (None, Some(tag)) => tag.as_str().to_owned(),
        (None, None) => reference.to_string(),
    }
}

/// What docker's status speaks of: a tag beside a digest is for people, its daemon is not told of it.
fn pulled_name(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => Reference::from_digest(reference.repository().clone(), digest.clone()).familiar(),
        None => reference.familiar(),
    }
}

fn status(name: &str, newer: bool) -> String {
    let what = if newer { "Downloaded newer image" } else { "Image is up to date" };
    format!("Status: {what} for {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let cases = [
            ("alpine:3.20".to_owned(), "3.20".to_owned()),
            (format!("alpine@{digest}"), format!("docker.io/library/alpine@{digest}")),
            (format!("alpine:3.20@{digest}"), format!("docker.io/library/alpine@{digest}")),
        ];
        for (text, expected) in cases {
            assert_eq!(heading(&Reference::parse(&text).unwrap()), expected);
        }
    }
}
