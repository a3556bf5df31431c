//! `manifest` of podman. Lists are kept apart from images here and have no ID: podman's verbs print one, these the list's
//! name, by which scripts can go on.

use std::path::{Path, PathBuf, absolute};

use clap::Args;
use dhow_base::Kind;
use dhow_base::fs::{self, Durability};
use dhow_ops::copy::Location;
use dhow_ops::{Context, Naming, manifest, summary};
use dhow_spec::{Digest, Reference};

use super::push::elsewhere;
use super::refused::{Signing, refuse};
use crate::commands::manifest::{Inspect as Shown, Reach, Said, run};
use crate::commands::targets;
use crate::commands::transfers::Retries;
use crate::errors::{FAILED, Failure, Outcome};
use crate::session::{Identity, Session};
use crate::verb::{Count, Verb, given, miscounted};

/// Exit code of what is no list.
const CANNOT: u8 = 125;

/// Why nothing is said of a list as a whole.
const ONLY_MANIFESTS: &str = "annotations and subjects are of the manifests in a list, not of the list";

/// Why manifests are not changed on their way.
pub(super) const AS_THEY_ARE: &str = "manifests are pushed as their registries have them; `copy` converts images";

/// Why there are no features but those of the operating system.
const NO_FEATURES: &str =
    "only docker's manifest lists have room for features of processors; --os-features is for others";

/// The whole name of a list.
fn list_name(text: &str) -> Outcome<String> {
    Ok(Naming::Podman.given(text)?.to_string())
}

fn bare(image: &str) -> &str {
    image.strip_prefix("docker://").unwrap_or(image)
}

/// Adds an image to a list, of a registry or another place.
fn add(
    session: &Session<'_>,
    context: &Context,
    list: &str,
    image: &str,
    all: bool,
    changes: &manifest::Changes,
) -> Outcome {
    // Podman's images are those of the store.
    let own = image.strip_prefix("containers-storage:").filter(|name| summary::describe(context, name).is_ok());
    let place = match own {
        Some(name) => Some(Location::Store(name.to_owned())),
        None => elsewhere(session, image)?.map(|place| place.seen_from(&absolute(".").unwrap_or_default())),
    };
    match place {
        Some(place) => run(manifest::add_from(context, list, &place, all, changes))?,
        None => run(manifest::add(context, list, image, all, changes))?,
    };
    Ok(())
}

/// The registry of a name.
pub(super) fn domain_of(image: &str) -> Option<String> {
    Reference::parse(bare(image)).ok().map(|reference| reference.repository().domain().to_owned())
}

/// The whole name of a list that is here.
pub(super) fn known(context: &Context, list: &str) -> Outcome<Option<String>> {
    let Ok(name) = list_name(list) else { return Ok(None) };
    Ok(manifest::exists(context, &name)?.then_some(name))
}

/// Fails when there is no such list.
fn must_exist(session: &Session<'_>, list: &str) -> Outcome<String> {
    let name = list_name(list)?;
    if manifest::exists(&session.local_context()?, &name)? {
        return Ok(name);
    }
    Err(Failure::Client(format!("{list}: image not known")))
}

/// The arguments of `manifest create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Add all manifests of indexes
    #[arg(long)]
    all: bool,
    /// Add to a list that is there
    #[arg(short, long)]
    amend: bool,
    #[arg(long, value_name = "key=value", hide = true)]
    annotation: Vec<String>,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Create {
    const ABOUT: &'static str = "Begin a list of manifests, to be annotated and pushed";
    const OPERANDS: &'static str = "MANIFEST_LIST [MANIFEST...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((list, names)) = self.names.split_first() else { return Ok(()) };
        refuse(&[(!self.annotation.is_empty(), "--annotation", ONLY_MANIFESTS)])?;
        let name = list_name(list)?;
        let context = self.reach.context(session)?;
        if !self.amend && manifest::exists(&context, &name)? {
            let message = format!(
                "creating image to hold manifest list: image name {name:?} is already associated with a list: that name is \
                 already in use"
            );
            return Err(Failure::Client(message));
        }
        let created = self.with_members(session, &context, &name, names)?;
        session.console.line(created.to_string());
        Ok(())
    }
}

impl Create {
    /// Makes a list, of indexes with the member for this machine or all of them. A list that is new goes again when one cannot be read.
    fn with_members(
        &self,
        session: &Session<'_>,
        context: &Context,
        name: &str,
        images: &[String],
    ) -> Outcome<Reference> {
        let was_there = manifest::exists(context, name)?;
        let created = run(manifest::create(context, name, &[], self.amend))?;
        let changes = manifest::Changes::default();
        let added = images.iter().try_for_each(|image| add(session, context, name, image, self.all, &changes));
        if added.is_err() && !was_there {
            manifest::rm(context, name)?;
        }
        added.map(|()| created)
    }
}

/// The arguments of `manifest add`.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Add all manifests of an index
    #[arg(long)]
    all: bool,
    #[arg(long, hide = true)]
    artifact: bool,
    #[arg(long, value_name = "string", hide = true)]
    artifact_type: Option<String>,
    #[arg(long, value_name = "strings", hide = true)]
    features: Vec<String>,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    said: Said,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Add {
    const ABOUT: &'static str = "Add an image of a registry or another place to a list";
    const OPERANDS: &'static str = "MANIFEST_LIST IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((list, images)) = self.names.split_first() else { return Ok(()) };
        refuse(&[
            (self.artifact || self.artifact_type.is_some(), "--artifact", "`artifact push` makes artifacts"),
            (!self.features.is_empty(), "--features", NO_FEATURES),
        ])?;
        self.reach.check_authfile(session)?;
        let name = must_exist(session, list)?;
        let domains: Vec<String> = images.iter().filter_map(|image| domain_of(image)).collect();
        let context = self.reach.context_as(session, &self.identity, domains.iter().map(String::as_str))?;
        let changes = self.said.changes();
        for image in images {
            add(session, &context, &name, image, self.all, &changes)?;
        }
        session.console.line(name);
        Ok(())
    }
}

/// The arguments of `manifest annotate`.
#[derive(Args, Debug)]
pub(crate) struct Annotate {
    #[arg(long, value_name = "strings", hide = true)]
    features: Vec<String>,
    #[arg(long, hide = true)]
    index: bool,
    #[arg(long, value_name = "string", hide = true)]
    subject: Option<String>,
    #[command(flatten)]
    said: Said,
    #[arg(value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Annotate {
    const ABOUT: &'static str = "Say more of a manifest in a list";
    const OPERANDS: &'static str = "MANIFEST_LIST DIGEST";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [list, image] = self.names.as_slice() else { return miscounted() };
        refuse(&[
            (!self.features.is_empty(), "--features", NO_FEATURES),
            (self.index, "--index", ONLY_MANIFESTS),
            (self.subject.is_some(), "--subject", ONLY_MANIFESTS),
        ])?;
        let name = must_exist(session, list)?;
        let context = session.local_context()?;
        manifest::annotate(&context, &name, bare(image), &self.said.changes())?;
        session.console.line(name);
        Ok(())
    }
}

/// The arguments of `manifest inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    #[command(flatten)]
    reach: Reach,
    /// Accepted for docker's scripts, as podman does
    #[arg(short, long, hide = true)]
    #[allow(dead_code, reason = "podman shows the same with it")]
    verbose: bool,
    #[arg(value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show a manifest, or a list of manifests";
    const OPERANDS: &'static str = "MANIFEST";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        let context = self.reach.context(session)?;
        let list = list_name(name)?;
        let found = if manifest::exists(&context, &list)? { list } else { bare(name).to_owned() };
        Shown::show(session, &context, &found)
    }
}

/// The arguments of `manifest push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// Accepted for old scripts; all manifests are pushed
    #[arg(long)]
    #[allow(dead_code, reason = "a list without its manifests would be of no use")]
    all: bool,
    #[arg(long, value_name = "strings", hide = true)]
    add_compression: Vec<String>,
    #[arg(long, value_name = "string", hide = true)]
    compression_format: Option<String>,
    #[arg(long, value_name = "int", hide = true, allow_negative_numbers = true)]
    compression_level: Option<i32>,
    #[arg(long, hide = true)]
    force_compression: bool,
    /// Write the digest of the index to this file
    #[arg(long, value_name = "string")]
    digestfile: Option<PathBuf>,
    #[arg(short, long, value_name = "string", hide = true)]
    format: Option<String>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Accepted for old scripts; signatures are not copied
    #[arg(long)]
    #[allow(dead_code, reason = "there are no signatures to leave behind")]
    remove_signatures: bool,
    /// Remove the list here when it is pushed
    #[arg(short = 'p', long, alias = "purge")]
    rm: bool,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

impl Verb for Push {
    const ABOUT: &'static str = "Push a list to a registry or another place, as an index";
    const OPERANDS: &'static str = "MANIFEST_LIST [DESTINATION]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((list, destination)) = self.names.split_first() else { return Ok(()) };
        self.signing.refuse()?;
        refuse(&[
            (!self.add_compression.is_empty(), "--add-compression", AS_THEY_ARE),
            (self.compression_format.is_some(), "--compression-format", AS_THEY_ARE),
            (self.compression_level.is_some(), "--compression-level", AS_THEY_ARE),
            (self.force_compression, "--force-compression", AS_THEY_ARE),
            (self.format.is_some(), "--format", AS_THEY_ARE),
        ])?;
        self.reach.check_authfile(session)?;
        let about = format_args!("retrieving local image from image name {list}");
        let name = must_exist(session, list).map_err(|failure| failure.about(about))?;
        let place = destination.first().map_or(name.as_str(), String::as_str);
        let domain = domain_of(place);
        let transfers = self.retries.transfers()?;
        let context = self.reach.context_moving(session, &self.identity, domain.as_deref(), transfers)?;
        let sending = Sending {
            list: &name,
            destination: destination.first().map(String::as_str),
            quiet: self.quiet,
            rm: self.rm,
            digestfile: given(self.digestfile.as_ref()).map(PathBuf::as_path),
        };
        sending.send(session, &context)
    }
}

/// A list on its way to a registry, or another place.
pub(super) struct Sending<'a> {
    /// Its whole name.
    pub(super) list: &'a str,
    pub(super) destination: Option<&'a str>,
    pub(super) quiet: bool,
    /// Whether it goes from here when it is there.
    pub(super) rm: bool,
    pub(super) digestfile: Option<&'a Path>,
}

impl Sending<'_> {
    /// Sends it, and tells so as podman does.
    pub(super) fn send(&self, session: &Session<'_>, context: &Context) -> Outcome {
        let say = |line: &str| {
            if !self.quiet {
                session.console.notice(line);
            }
        };
        say("Getting image list signatures");
        let pushed = |_: &_, digest: &Digest| say(&format!("Copying image {digest}"));
        let elsewhere = self.destination.map(|text| elsewhere(session, text)).transpose()?.flatten();
        let digest = match &elsewhere {
            Some(place) => run(manifest::push_to(context, self.list, place, self.rm, &pushed))?,
            None => run(manifest::push(context, self.list, self.destination, self.rm, &pushed))?.1,
        };
        if let Some(path) = self.digestfile {
            fs::write_atomic(path, digest.as_str().as_bytes(), 0o644, Durability::Cached)?;
        }
        say("Writing manifest list to image destination");
        say("Storing list signatures");
        Ok(())
    }
}

/// The arguments of `manifest rm`.
#[derive(Args, Debug)]
pub(crate) struct Rm {
    /// Say nothing about lists that are not there
    #[arg(short, long)]
    ignore: bool,
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

impl Verb for Rm {
    const ABOUT: &'static str = "Remove lists from this machine";
    const OPERANDS: &'static str = "MANIFEST_LIST [MANIFEST_LIST...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let outcome = targets::each(&self.names, |list| {
            let name = match must_exist(session, list) {
                Err(Failure::Client(_)) if self.ignore => return Ok(()),
                Err(Failure::Client(_)) if summary::describe(&context, list).is_ok() => {
                    let message = format!("Error: {list}: image is not a manifest list");
                    return Err(Failure::Usage { message, code: CANNOT });
                }
                found => found?,
            };
            manifest::rm(&context, &name)?;
            session.console.line(format!("Untagged: {name}"));
            Ok(())
        });
        // As `rmi` has it.
        outcome.map_err(|failure| match failure {
            Failure::Client(message) => {
                Failure::Usage { message: format!("{}{message}", session.personality.client_prefix()), code: FAILED }
            }
            other => other,
        })
    }
}

/// The arguments of `manifest remove`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    #[arg(value_name = "DIGEST")]
    names: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: &'static str = "Take a manifest out of a list";
    const OPERANDS: &'static str = "MANIFEST_LIST DIGEST";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [list, digest] = self.names.as_slice() else { return miscounted() };
        let about = format_args!("removing from manifest list {list}");
        let name = must_exist(session, list).map_err(|failure| failure.about(about))?;
        manifest::remove(&session.local_context()?, &name, digest)
            .map_err(Failure::Engine)
            .map_err(explained_removal(list, digest))?;
        session.console.line(name);
        Ok(())
    }
}

fn explained_removal(list: &str, digest: &str) -> impl Fn(Failure) -> Failure {
    move |failure| match failure {
        Failure::Engine(error) if error.kind() == Kind::NotFound => Failure::Client(format!(
            "removing from manifest list {list}: no instance matching digest {digest:?} found in manifest list: file does \
             not exist"
        )),
        other => other,
    }
}

/// The arguments of `manifest exists`.
#[derive(Args, Debug)]
pub(crate) struct Exists {
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

impl Verb for Exists {
    const ABOUT: &'static str = "Say by the exit code whether there is a list";
    const OPERANDS: &'static str = "MANIFEST_LIST";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [list] = self.names.as_slice() else { return miscounted() };
        if manifest::exists(&session.local_context()?, &list_name(list)?)? {
            return Ok(());
        }
        Err(Failure::Quiet(FAILED))
    }
}
