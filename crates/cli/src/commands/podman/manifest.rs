//! `manifest` of podman. Lists are kept apart from images here and have no ID: podman's verbs print one, these the list's
//! name, by which scripts can go on.

use clap::Args;
use dhow_base::Kind;
use dhow_ops::{Naming, manifest};
use dhow_spec::Digest;

use crate::commands::manifest::{Inspect as Shown, Reach, Said, run};
use crate::commands::targets;
use crate::errors::{FAILED, Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The whole name of a list.
fn list_name(text: &str) -> Outcome<String> {
    Ok(Naming::Podman.given(text)?.to_string())
}

fn bare(image: &str) -> &str {
    image.strip_prefix("docker://").unwrap_or(image)
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
    /// Add to a list that is there
    #[arg(short, long)]
    amend: bool,
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
        let name = list_name(list)?;
        let context = self.reach.context(session)?;
        if !self.amend && manifest::exists(&context, &name)? {
            let message = format!(
                "creating image to hold manifest list: image name {name:?} is already associated with a list: that name is \
                 already in use"
            );
            return Err(Failure::Client(message));
        }
        let names: Vec<String> = names.iter().map(|name| bare(name).to_owned()).collect();
        let created = run(manifest::create(&context, &name, &names, self.amend))?;
        session.console.line(created.to_string());
        Ok(())
    }
}

/// The arguments of `manifest add`.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Add all manifests of an index
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    said: Said,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Add {
    const ABOUT: &'static str = "Add an image of a registry to a list";
    const OPERANDS: &'static str = "MANIFEST_LIST IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((list, images)) = self.names.split_first() else { return Ok(()) };
        let name = must_exist(session, list)?;
        let context = self.reach.context(session)?;
        let changes = self.said.changes();
        for image in images {
            run(manifest::add(&context, &name, bare(image), self.all, &changes))?;
        }
        session.console.line(name);
        Ok(())
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
    const OPERANDS: &'static str = "MANIFEST_LIST DIGEST";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [list, image] = self.names.as_slice() else { return Ok(()) };
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
        let [name] = self.names.as_slice() else { return Ok(()) };
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
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Remove the list here when it is pushed
    #[arg(short = 'p', long, alias = "purge")]
    rm: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

impl Verb for Push {
    const ABOUT: &'static str = "Push a list to a registry, as an index";
    const OPERANDS: &'static str = "MANIFEST_LIST [DESTINATION]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((list, destination)) = self.names.split_first() else { return Ok(()) };
        let name = must_exist(session, list).map_err(|failure| match failure {
            Failure::Client(message) => {
                Failure::Client(format!("retrieving local image from image name {list}: {message}"))
            }
            other => other,
        })?;
        let context = self.reach.context(session)?;
        let say = |line: &str| {
            if !self.quiet {
                session.console.notice(line);
            }
        };
        say("Getting image list signatures");
        let pushed = |_: &_, digest: &Digest| say(&format!("Copying image {digest}"));
        let destination = destination.first().map(String::as_str);
        run(manifest::push(&context, &name, destination, self.rm, &pushed))?;
        say("Writing manifest list to image destination");
        say("Storing list signatures");
        Ok(())
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
        let outcome = targets::each(&self.names, |list| {
            let name = must_exist(session, list)?;
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
        let [list, digest] = self.names.as_slice() else { return Ok(()) };
        let name = must_exist(session, list).map_err(|failure| match failure {
            Failure::Client(message) => Failure::Client(format!("removing from manifest list {list}: {message}")),
            other => other,
        })?;
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
        let [list] = self.names.as_slice() else { return Ok(()) };
        if manifest::exists(&session.local_context()?, &list_name(list)?)? {
            return Ok(());
        }
        Err(Failure::Quiet(FAILED))
    }
}
