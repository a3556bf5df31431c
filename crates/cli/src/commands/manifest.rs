//! `manifest`: what docker's client does by itself, so that its errors have no prefix; a few verbs of podman beside it.

mod show;

use std::cell::RefCell;
use std::future::Future;

use clap::Args;
use dhow_base::Error;
use dhow_ops::transfers::Transfers;
use dhow_ops::{Context, manifest, runtime};
use dhow_spec::{Digest, Reference};

use super::targets;
use crate::errors::{FAILED, Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::schema;
use crate::personality::Personality;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Verb, miscounted};

/// What an interrupted user can count on.
const UNCHANGED: &str = "nothing was changed here";

/// How registries are reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reach {
    /// Allow plain HTTP and certificates that prove nothing
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    network: Network,
}

impl Reach {
    pub(super) fn context(&self, session: &Session<'_>) -> Outcome<Context> {
        session.context(&self.network())
    }

    /// As [`Session::check_authfile`].
    pub(super) fn check_authfile(&self, session: &Session<'_>) -> Outcome {
        session.check_authfile(&self.network)
    }

    /// As [`Reach::context`], as whom the user wants to be at the registries.
    pub(super) fn context_as<'d>(
        &self,
        session: &Session<'_>,
        identity: &Identity,
        domains: impl IntoIterator<Item = &'d str>,
    ) -> Outcome<Context> {
        session.context_as(&self.network(), identity, domains)
    }

    /// As [`Reach::context_as`], with what the user says about transfers.
    pub(super) fn context_moving<'d>(
        &self,
        session: &Session<'_>,
        identity: &Identity,
        domains: impl IntoIterator<Item = &'d str>,
        transfers: Transfers,
    ) -> Outcome<Context> {
        session.context_moving(&self.network(), identity, domains, transfers)
    }

    fn network(&self) -> Network {
        let tls_verify = if self.insecure { Some(false) } else { self.network.tls_verify };
        Network { tls_verify, ..self.network.clone() }
    }
}

/// Runs what waits for a registry.
pub(super) fn run<T>(future: impl Future<Output = dhow_base::Result<T>>) -> Outcome<T> {
    let mut outcome = Err(Failure::Quiet(FAILED));
    runtime::block_on(async {
        outcome = signals::interruptible(future, UNCHANGED).await;
        Ok(())
    })?;
    outcome.map_err(unprefixed)
}

fn client(error: Error) -> Failure {
    unprefixed(Failure::Engine(error))
}

/// Docker's client reports these itself.
fn unprefixed(failure: Failure) -> Failure {
    match failure {
        Failure::Engine(error) => Failure::Reported(error),
        other => other,
    }
}

/// The index that a list makes now.
fn tell_digest(session: &Session<'_>, documents: &Documents<'_>, list: &str, digest: &Digest) -> Outcome {
    if !documents.are_wanted() {
        session.console.line(digest.to_string());
    }
    documents.put(&schema::ListEdited { name: list, digest })
}

/// What is to be said of a manifest.
#[derive(Args, Clone, Debug)]
pub(crate) struct Said {
    /// Set the architecture
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    arch: String,
    /// Set an annotation, which makes the list an OCI index
    #[arg(long, value_name = "key=value", value_parser = parse_annotation)]
    annotation: Vec<(String, String)>,
    /// Set the operating system
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    os: String,
    /// Add features of the operating system
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Set the version of the operating system
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    os_version: String,
    /// Set the variant of the architecture
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    variant: String,
}

fn parse_annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("no value given for annotation")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Said {
    pub(super) fn changes(self) -> manifest::Changes {
        manifest::Changes {
            os: self.os,
            architecture: self.arch,
            variant: self.variant,
            os_version: self.os_version,
            os_features: self.os_features,
            annotations: self.annotation,
        }
    }
}

/// The arguments of `manifest inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    #[command(flatten)]
    documents: DocumentFormat,
    #[command(flatten)]
    reach: Reach,
    /// Also show names, descriptors with platforms, and the bytes of manifests
    #[arg(short, long)]
    verbose: bool,
    #[arg(value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show a manifest, or a list of manifests";
    const OPERANDS: &'static str = "[MANIFEST_LIST] MANIFEST";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let (list, name) = match self.names.as_slice() {
            [list, name, ..] => (Some(list.as_str()), name),
            [name] => (None, name),
            [] => return Ok(()),
        };
        let documents = self.documents.open(session.console);
        let found =
            self.reach.context(session).and_then(|context| run(manifest::inspect(&context, list, name, self.verbose)));
        let text = show::text(&documents.settle(Some(name), found)?, self.verbose)?;
        if documents.are_wanted() {
            // The keys stay in the order that they have in the registry.
            let document: serde_json::Value =
                serde_json::from_str(&text).map_err(|e| Failure::Client(e.to_string()))?;
            return documents.put(&document);
        }
        session.console.line(text);
        Ok(())
    }
}

impl Inspect {
    /// Shows what a name stands for.
    pub(super) fn show(session: &Session<'_>, context: &Context, name: &str) -> Outcome {
        let found = run(manifest::inspect(context, None, name, false))?;
        session.console.line(show::text(&found, false)?);
        Ok(())
    }
}

/// The arguments of `manifest create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Add to a list that is there
    #[arg(short, long)]
    amend: bool,
    #[command(flatten)]
    documents: DocumentFormat,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Create {
    const ABOUT: &'static str = "Begin a list of manifests, to be annotated and pushed";
    const OPERANDS: &'static str = "MANIFEST_LIST MANIFEST [MANIFEST...]";
    // Podman begins empty lists.
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if matches!(session.personality, Personality::Docker | Personality::Docker29) {
            let usage = || format!("{} {}", session.path, Self::OPERANDS);
            Count::AtLeast(2).check(self.names.len(), session.personality, &session.path, usage)?;
        }
        let Some((list, names)) = self.names.split_first() else { return Ok(()) };
        let documents = self.documents.open(session.console);
        let created =
            self.reach.context(session).and_then(|context| run(manifest::create(&context, list, names, self.amend)));
        let name = documents.settle(Some(list), created)?;
        session.console.aside(format!("Created manifest list {name}\n"));
        documents.put(&schema::ListCreated::new(list, &name))
    }
}

/// The arguments of `manifest add`.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Add all manifests of an index
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    documents: DocumentFormat,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    said: Said,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Add {
    const ABOUT: &'static str = "Add an image of a registry to a list";
    const OPERANDS: &'static str = "MANIFEST_LIST IMAGE";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [list, name] = self.names.as_slice() else { return miscounted() };
        let documents = self.documents.open(session.console);
        let changes = self.said.changes();
        let added = self
            .reach
            .context(session)
            .and_then(|context| run(manifest::add(&context, list, name, self.all, &changes)));
        tell_digest(session, &documents, list, &documents.settle(Some(name), added)?)
    }
}

/// The arguments of `manifest annotate`.
#[derive(Args, Debug)]
pub(crate) struct Annotate {
    #[command(flatten)]
    said: Said,
    #[arg(value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Annotate {
    const ABOUT: &'static str = "Say more of a manifest in a list";
    const OPERANDS: &'static str = "MANIFEST_LIST MANIFEST";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [list, name] = self.names.as_slice() else { return miscounted() };
        let changes = self.said.changes();
        manifest::annotate(&session.local_context()?, list, name, &changes).map(drop).map_err(client)
    }
}

/// The arguments of `manifest push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Remove the list here when it is pushed
    #[arg(short, long)]
    purge: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

impl Verb for Push {
    const ABOUT: &'static str = "Push a list to a registry, as an index";
    const OPERANDS: &'static str = "MANIFEST_LIST [DESTINATION]";
    // Docker takes exactly one, podman also a destination.
    const COUNT: Count = Count::AtMost(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((list, destination)) = self.names.split_first() else {
            let usage = || format!("{} [OPTIONS] {}", session.path, Self::OPERANDS);
            return Count::Exactly(1).check(0, session.personality, &session.path, usage);
        };
        let documents = self.documents.open(session.console);
        let brought = RefCell::new(Vec::new());
        let pushed = |name: &Reference, digest: &Digest| {
            session.console.aside(format!("Pushed ref {name} with digest: {digest}\n"));
            session.console.flush();
            brought.borrow_mut().push((name.clone(), digest.clone()));
        };
        let destination = destination.first().map(String::as_str);
        let outcome = self
            .reach
            .context(session)
            .and_then(|context| run(manifest::push(&context, list, destination, self.purge, &pushed)));
        let (target, digest) = documents.settle(Some(list), outcome)?;
        session.console.aside(format!("{digest}\n"));
        documents.put(&schema::ListPushed::new(list, &target, &digest, brought.into_inner()))
    }
}

/// The arguments of `manifest rm`.
#[derive(Args, Debug)]
pub(crate) struct Rm {
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
        targets::each(&self.names, |name| manifest::rm(&context, name).map_err(client))
    }
}

/// The arguments of `manifest remove`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    #[command(flatten)]
    documents: DocumentFormat,
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
        let documents = self.documents.open(session.console);
        let removed =
            session.local_context().and_then(|context| manifest::remove(&context, list, digest).map_err(client));
        tell_digest(session, &documents, list, &documents.settle(Some(digest), removed)?)
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
        let context = session.local_context()?;
        targets::each(&self.names, |name| match manifest::exists(&context, name).map_err(client)? {
            true => Ok(()),
            false => Err(Failure::Quiet(FAILED)),
        })
    }
}
