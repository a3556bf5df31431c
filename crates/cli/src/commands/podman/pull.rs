//! `pull` of podman

use clap::Args;
use dhow_base::{Error, Kind, priority};
use dhow_ops::copy::Location;
use dhow_ops::{Context, Platforms, exists, pull, push, runtime, short_names, summary};
use dhow_spec::platform::Matcher;
use dhow_spec::{Reference, Repository};

use super::platform::PlatformParts;
use super::{Copying, remote};
use crate::commands::transfers::Retries;
use crate::commands::wanted::{self, Wanted};
use crate::errors::{Failure, Outcome};
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Operands, Verb};

mod places;

/// What an interrupted user can count on.
const RESUMABLE: &str = "what has arrived is kept, and the next pull goes on from there";

/// The arguments of `pull`.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    #[command(flatten)]
    parts: PlatformParts,
    /// Take this platform of multi-platform images
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Pull "always", if it is "missing", "never", or if it is "newer"
    #[arg(long, value_name = "string", default_value = "always")]
    policy: String,
    /// Accepted for old scripts; there is no Docker content trust
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "there is nothing to disable")]
    disable_content_trust: bool,
    /// Print nothing but the ID of what was pulled
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    identity: Identity,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Pull {
    const ABOUT: &'static str = "Download images from a registry";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        priority::lower();
        if !["always", "missing", "never", "newer"].contains(&self.policy.as_str()) {
            return Err(Failure::Client(format!("unsupported pull policy {:?}", self.policy)));
        }
        session.check_authfile(&self.network)?;
        let platforms = self.platforms()?;
        let names = session.context(&self.network)?;
        let sources: Vec<Outcome<Source>> = self.names.iter().map(|name| self.source(session, &names, name)).collect();
        let domains = sources.iter().flatten().flat_map(Source::domains);
        let context = session.context_moving(&self.network, &self.identity, domains, self.retries.transfers()?)?;
        let puller = Puller { context: &context, session, platforms, options: &self };
        let mut outcome = Ok(());
        runtime::block_on(async {
            outcome = puller.all(sources).await;
            Ok(())
        })?;
        outcome
    }
}

/// Where an image comes from.
enum Source {
    Registry(Wanted),
    Place(Location),
}

impl Source {
    /// The registries that may be asked.
    fn domains(&self) -> impl Iterator<Item = &str> {
        let candidates = match self {
            Source::Registry(wanted) => wanted.candidates.as_slice(),
            Source::Place(_) => &[],
        };
        candidates.iter().map(|reference| reference.repository().domain())
    }
}

impl Pull {
    fn source(&self, session: &Session<'_>, context: &Context, text: &str) -> Outcome<Source> {
        match places::parse(session, text)? {
            Some(place) => Ok(Source::Place(place)),
            None => Ok(Source::Registry(self.wanted(session, context, text)?)),
        }
    }

    /// What a name means: what is here under it, else what the configuration of registries makes of it. With a transport it means
    /// itself (containers/common `libimage`, `copySingleImageFromRegistry`).
    fn wanted(&self, session: &Session<'_>, context: &Context, text: &str) -> Outcome<Wanted> {
        let itself = remote(text)?;
        let alone = |reference| Wanted { text: text.to_owned(), candidates: vec![reference], is_chosen: false };
        if text.starts_with("docker://") {
            return Ok(alone(itself));
        }
        if !self.is_for_another_platform()
            && let Some(here) = push::configured_name(context, text)?
        {
            return Ok(alone(here.with_default_tag()));
        }
        if self.policy == "never" {
            return Ok(alone(itself));
        }
        let mut wanted = wanted::wanted(session, context, text, self.quiet)?;
        wanted.candidates = wanted.candidates.into_iter().map(Reference::with_default_tag).collect();
        Ok(wanted)
    }

    fn is_for_another_platform(&self) -> bool {
        self.platform.is_some() || self.parts.given().is_some()
    }

    fn platforms(&self) -> Outcome<Platforms> {
        Ok(match self.parts.platform(self.platform.as_deref())? {
            Some(platform) => Platforms::These(vec![platform]),
            None => Platforms::Default,
        })
    }
}

/// Takes an image for a container out of a place that is no registry, where one is named. Returns what the image is called.
///
/// # Errors
/// Those of the place and of the store.
pub(in crate::commands) fn for_container(session: &Session<'_>, text: &str, quiet: bool) -> Outcome<Option<String>> {
    let Some(place) = places::parse(session, text)? else { return Ok(None) };
    let context = session.local_context()?;
    let mut taken = Ok(Vec::new());
    runtime::block_on(async {
        taken = signals::interruptible(places::pull(&context, &place), RESUMABLE).await;
        Ok(())
    })?;
    let Some(id) = taken?.into_iter().next() else { return Ok(None) };
    Copying::new(session.console, quiet).whole(&context, &id, true)?;
    let names = summary::describe(&context, &id)?.summary.names;
    let named = names.into_iter().find(|name| name.tag().is_some());
    Ok(Some(named.map_or(id, |name| name.to_string())))
}

struct Puller<'a> {
    context: &'a Context,
    session: &'a Session<'a>,
    platforms: Platforms,
    options: &'a Pull,
}

impl Puller<'_> {
    /// One after the other; a failure does not keep the others from their turn.
    async fn all(&self, sources: Vec<Outcome<Source>>) -> Outcome {
        let mut failures = Vec::new();
        for source in sources {
            let pulled = match source {
                Ok(Source::Registry(wanted)) => signals::interruptible(self.candidates(&wanted), RESUMABLE).await,
                Ok(Source::Place(place)) => signals::interruptible(self.place(&place), RESUMABLE).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = pulled {
                let stop = failure.is_interruption();
                failures.push(failure);
                if stop {
                    break;
                }
            }
        }
        let Some(last) = failures.pop() else { return Ok(()) };
        // Podman does not collect these.
        failures.iter().for_each(|failure| failure.report(self.session.personality, self.session.console));
        Err(last)
    }

    async fn place(&self, place: &Location) -> Outcome {
        for id in places::pull(self.context, place).await? {
            self.session.console.line(id);
        }
        Ok(())
    }

    /// Pulls the first of the images that a name may mean, and remembers which one the user meant.
    async fn candidates(&self, name: &Wanted) -> Outcome {
        let mut failures = Vec::new();
        for reference in &name.candidates {
            let pulled =
                if self.options.all_tags { self.repository(reference).await } else { self.one(reference).await };
            match pulled {
                Ok(()) if name.is_chosen => {
                    let recorded = short_names::record(self.context, &name.text, reference.repository());
                    // The image is here: that it will be asked for again next time is no failure.
                    let _ = recorded.inspect_err(|error| self.session.console.notice(format!("WARNING: {error}")));
                    return Ok(());
                }
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_interruption() => return Err(failure),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failed(failures))
    }

    async fn repository(&self, reference: &Reference) -> Outcome {
        for tagged in pull::tags(self.context, reference.repository()).await? {
            self.one(&tagged).await?;
        }
        Ok(())
    }

    async fn one(&self, reference: &Reference) -> Outcome {
        let name = reference.to_string();
        let policy = self.options.policy.as_str();
        if policy != "always" && policy != "newer" && exists::exists(self.context, &name)? {
            self.session.console.line(summary::describe(self.context, &name)?.summary.id.hex());
            return Ok(());
        }
        if policy == "never" {
            return Err(Failure::Client(format!("{name}: image not known")));
        }
        let copying = Copying::new(self.session.console, self.options.quiet);
        let trying = || copying.say(&format!("Trying to pull {name}..."));
        let platforms = self.platforms.clone();
        let request =
            pull::Request { reference: reference.clone(), platforms, stored: false, measured: false, unpack: None };
        let present = if policy == "newer" { pull::present(self.context, &request)? } else { None };
        // With an image that is here podman says nothing before it knows of a newer one.
        if present.is_none() {
            trying();
        }
        let resolved = match (pull::resolve(self.context, &request).await, present) {
            (Ok(resolved), Some(present)) if *resolved.digest() == present.digest => return self.told(&present),
            (Err(error), Some(present)) if error.kind() != Kind::Cancelled => {
                copying.say(&format!("WARNING: {error}; the image that is here is taken"));
                return self.told(&present);
            }
            (resolved, present) => {
                let resolved = resolved.map_err(|error| explained(reference, error))?;
                if present.is_some() {
                    trying();
                }
                resolved.whatever_platform()
            }
        };
        copying.begin();
        let pulled = resolved.fetch(self.context, &copying).await.map_err(|error| explained(reference, error))?;
        if !self.options.quiet {
            // What was here already was not told of.
            let layers = summary::describe(self.context, pulled.image_id.as_str())?.layers;
            layers.iter().for_each(|layer| copying.blob(layer.as_str()));
        }
        copying.end(&pulled.image_id);
        self.warn_of_platform(&pulled)?;
        self.told(&pulled)
    }

    fn told(&self, pulled: &pull::Pulled) -> Outcome {
        self.session.console.line(pulled.image_id.hex());
        self.session.console.flush();
        Ok(())
    }

    /// Podman takes an image for another platform where there is no choice, and says so (containers/common `libimage`,
    /// `checkPlatform`).
    fn warn_of_platform(&self, pulled: &pull::Pulled) -> Outcome {
        let Platforms::These(wanted) = &self.platforms else { return Ok(()) };
        if pulled.media_type.is_index() {
            return Ok(());
        }
        let found = summary::describe(self.context, pulled.image_id.as_str())?.config.platform();
        if let Some(wanted) = wanted.iter().find(|wanted| !Matcher::ordered(wanted).matches(&found)) {
            let warning = format!("WARNING: image platform ({found}) does not match the expected platform ({wanted})");
            self.session.console.notice(warning);
        }
        Ok(())
    }
}

/// Several failures as one, in podman's form (containers/image `shortnames.FormatPullErrors`).
fn failed(mut failures: Vec<Failure>) -> Failure {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let line = |failure: &Failure| match failure {
        Failure::Client(message) => Some(format!("\n * {message}")),
        _ => None,
    };
    match failures.iter().map(line).collect::<Option<Vec<String>>>() {
        Some(lines) => Failure::Client(format!("{} errors occurred while pulling:{}", lines.len(), lines.concat())),
        None => Failure::Several(failures),
    }
}

/// Podman tells what it was about to do.
fn explained(reference: &Reference, error: Error) -> Failure {
    if error.kind() == Kind::Cancelled {
        return Failure::Engine(error);
    }
    let repository = reference.repository();
    let version = reference.digest().map(ToString::to_string).or_else(|| reference.tag().map(ToString::to_string));
    let reading = |why: &str| format!("reading manifest {} in {repository}: {why}", version.unwrap_or_default());
    let message = error.to_string();
    let what = match error.kind() {
        // Docker puts its own words before the registry's.
        Kind::NotFound => reading(in_short(after(&message, " not found: "))),
        Kind::Denied => reading(in_short(after(&message, "'docker login': "))),
        Kind::Unauthorized => reading(in_short(&message)),
        Kind::Unavailable => format!("pinging container registry {}: {message}", host(repository)),
        _ => message,
    };
    Failure::Client(format!("initializing source docker://{}: {what}", reference.familiar()))
}

/// Where a registry answers: Docker Hub has another name for it.
fn host(repository: &Repository) -> &str {
    match repository.domain() {
        "docker.io" => "registry-1.docker.io",
        domain => domain,
    }
}

fn after<'t>(text: &'t str, words: &str) -> &'t str {
    text.split_once(words).map_or(text, |(_, rest)| rest)
}

/// What a registry says that says no more than its code does.
fn in_short(text: &str) -> &str {
    const SAYINGS: [(&str, &str); 3] = [
        ("denied", "denied: requested access to the resource is denied"),
        ("unauthorized", "unauthorized: authentication required"),
        ("unauthorized", "no basic auth credentials"),
    ];
    SAYINGS.iter().find(|(_, saying)| text.ends_with(saying)).map_or(text, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_was_read() {
        let reference = Reference::parse("quay.io/acme/web:1").unwrap();
        let shown = |kind, message: &str| match explained(&reference, Error::new(kind, message)) {
            Failure::Client(message) => message,
            other => panic!("{other:?}"),
        };
        let start = "initializing source docker://quay.io/acme/web:1: reading manifest 1 in quay.io/acme/web: ";
        for (kind, message, expected) in [
            (
                Kind::NotFound,
                "manifest for x not found: manifest unknown: manifest unknown",
                "manifest unknown: manifest unknown",
            ),
            (Kind::NotFound, "manifest for x not found: manifest unknown: gone", "manifest unknown: gone"),
            (Kind::Denied, "pull access denied for x, … 'docker login': denied: no", "denied: no"),
            (Kind::Unauthorized, "Get \"http://x\": no basic auth credentials", "unauthorized"),
        ] {
            assert_eq!(shown(kind, message), format!("{start}{expected}"));
        }
    }
}
