//! `push` of podman

use std::path::PathBuf;

use clap::Args;
use dhow_base::Kind;
use dhow_base::fs::{self, Durability};
use dhow_base::progress::Silent;
use dhow_ops::{Context, Platforms, push, runtime, summary, summary::Description};
use dhow_spec::Reference;

use super::{Copying, remote};
use crate::commands::transfers::Retries;
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Verb};

/// What an interrupted user can count on.
const RESUMABLE: &str = "layers that the registry has already are not sent again by the next push";

/// Places that podman can push to and dhow saves to.
const ARCHIVES: [&str; 6] = ["docker-archive", "oci-archive", "oci", "dir", "docker-daemon", "containers-storage"];

/// The arguments of `push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// Write the digest of what was pushed to this file
    #[arg(long, value_name = "string")]
    digestfile: Option<PathBuf>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Accepted for old scripts; signatures are not copied
    #[arg(long)]
    #[allow(dead_code, reason = "there are no signatures to leave behind")]
    remove_signatures: bool,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    identity: Identity,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Push {
    const ABOUT: &'static str = "Upload an image to a registry";
    const OPERANDS: &'static str = "IMAGE [DESTINATION]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((source, destination)) = self.names.split_first() else { return Ok(()) };
        let local = session.local_context()?;
        let description = summary::describe(&local, source)?;
        let reference = match destination {
            [text, ..] => place(text)?,
            // Without a destination the image goes where its name says.
            [] => match push::name_of(&local, source)? {
                Some(name) => name,
                None => return Err(Failure::Client(format!("{source}: no destination and no name to tell it by"))),
            },
        };
        let context = session.context_moving(
            &self.network,
            &self.identity,
            [reference.repository().domain()],
            self.retries.transfers()?,
        )?;
        let copying = Copying::new(session.console, self.quiet);
        copying.begin();
        description.config.rootfs.diff_ids.iter().for_each(|diff_id| copying.blob(diff_id.as_str()));
        let request = push::Request { reference, platforms: Platforms::Default, source: Some(source.to_owned()) };
        let mut outcome = Ok(());
        runtime::block_on(async {
            outcome = signals::interruptible(self.send(session, &context, &request), RESUMABLE).await;
            Ok(())
        })?;
        outcome.map_err(|failure| refused(failure, &description, &request.reference))?;
        copying.end(&description.summary.id);
        Ok(())
    }
}

impl Push {
    async fn send(&self, session: &Session<'_>, context: &Context, request: &push::Request) -> Outcome {
        let prepared = push::prepare(context, request)?;
        let note = prepared.note().map(str::to_owned);
        let pushed = prepared.run(context, &Silent).await?;
        if let Some(note) = note {
            session.console.notice(text::note(&note));
        }
        if let Some(path) = &self.digestfile {
            fs::write_atomic(path, pushed.digest.as_str().as_bytes(), 0o644, Durability::Cached)?;
        }
        Ok(())
    }
}

/// Podman tells of the blob that it could not ask for.
fn refused(failure: Failure, description: &Description, reference: &Reference) -> Failure {
    let Failure::Engine(error) = &failure else { return failure };
    let (Kind::Unauthorized, Some(blob)) = (error.kind(), description.config.rootfs.diff_ids.first()) else {
        return failure;
    };
    let repository = reference.repository();
    Failure::Client(format!(
        "trying to reuse blob {blob} at destination: checking whether a blob {blob} exists in {repository}: unauthorized: \
         authentication required"
    ))
}

/// Where podman would push to.
fn place(text: &str) -> Outcome<Reference> {
    if let Some((transport, _)) = text.split_once(':')
        && ARCHIVES.contains(&transport)
    {
        let message = format!("cannot push to {text:?}: {transport} is no registry; use save");
        return Err(Failure::Client(message));
    }
    remote(text).map_err(|failure| match text.split_once(':') {
        // Podman takes what is no name for a place of a kind that it does not know.
        Some((transport, _)) if !text.starts_with("docker://") => {
            Failure::Client(format!("Invalid image name {text:?}, unknown transport {transport:?}"))
        }
        _ => failure,
    })
}
