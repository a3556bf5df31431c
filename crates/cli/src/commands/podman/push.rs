//! `push` of podman

use std::path::PathBuf;

use clap::Args;
use dhow_base::Kind;
use dhow_base::fs::{self, Durability};
use dhow_base::progress::Silent;
use dhow_ops::copy::{self, Changes, Location, Recompression};
use dhow_ops::{Context, Platforms, push, runtime, summary, summary::Description};
use dhow_spec::{Digest, Reference};

use super::manifest::{AS_THEY_ARE, Sending, domain_of, known};
use super::refused::Signing;
use super::{Copying, remote};
use crate::commands::copy::{RETRIES, family};
use crate::commands::transfers::Retries;
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Operands, Verb, given};

/// What an interrupted user can count on.
const RESUMABLE: &str = "layers that the registry has already are not sent again by the next push";

/// Transports other than that of registries.
pub(super) const TRANSPORTS: [&str; 6] =
    ["docker-archive", "oci-archive", "oci", "dir", "docker-daemon", "containers-storage"];

/// The arguments of `push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// Accepted for old scripts; folders get layers as they are
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "layers are compressed already")]
    compress: bool,
    /// Compress layers anew with "gzip" or "zstd"; changes the digest
    #[arg(long, value_name = "string")]
    compression_format: Option<String>,
    /// Accepted for old scripts; the level is always the same
    #[arg(long, value_name = "int", hide = true, allow_negative_numbers = true)]
    #[allow(dead_code, reason = "bytes are to depend on nothing but the layer")]
    compression_level: Option<i32>,
    /// Accepted for old scripts; --compression-format alone does so
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "it is forced anyway")]
    force_compression: bool,
    /// Write the digest of what was pushed to this file
    #[arg(long, value_name = "string")]
    digestfile: Option<PathBuf>,
    /// Accepted for old scripts; there is no Docker content trust
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "there is nothing to disable")]
    disable_content_trust: bool,
    /// Turn manifests into this family's: "oci", or "v2s2" for docker's; changes the digest
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Accepted for old scripts; signatures are not copied
    #[arg(long)]
    #[allow(dead_code, reason = "there are no signatures to leave behind")]
    remove_signatures: bool,
    #[command(flatten)]
    signing: Signing,
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
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((source, destination)) = self.names.split_first() else { return Ok(()) };
        self.signing.refuse()?;
        session.check_authfile(&self.network)?;
        let changes = self.changes()?;
        let local = session.local_context()?;
        let description = match summary::describe(&local, source) {
            // A list of manifests is an image to podman; changed on its way it cannot be.
            Err(error) if error.kind() == Kind::NotFound => match known(&local, source)? {
                Some(_) if changes != Changes::default() => {
                    return Err(Failure::Client(format!("{source} is a list of manifests: {AS_THEY_ARE}")));
                }
                Some(list) => return self.send_list(session, &list, destination.first().map(String::as_str)),
                None => return Err(error.into()),
            },
            described => described?,
        };
        let place = match destination {
            [text, ..] => place(session, text)?,
            // Without a destination the image goes where its name says.
            [] => match push::name_of(&local, source)? {
                Some(name) => Location::Registry(name),
                None => return Err(Failure::Client(format!("{source}: no destination and no name to tell it by"))),
            },
        };
        let transfers = self.retries.transfers()?;
        let context = session.context_moving(&self.network, &self.identity, place.domain(), transfers)?;
        let copying = Copying::new(session.console, self.quiet);
        copying.begin();
        description.config.rootfs.diff_ids.iter().for_each(|diff_id| copying.blob(diff_id.as_str()));
        let mut outcome = Ok(());
        runtime::block_on(async {
            let sent = async {
                match &place {
                    Location::Registry(reference) if changes == Changes::default() => {
                        self.send(session, &context, source, reference).await
                    }
                    place => self.copy(session, &context, source, place, changes).await,
                }
            };
            outcome = signals::interruptible(sent, RESUMABLE).await;
            Ok(())
        })?;
        outcome.map_err(|failure| match &place {
            Location::Registry(reference) => refused(failure, &description, reference),
            _ => failure,
        })?;
        copying.end(&description.summary.id);
        Ok(())
    }
}

impl Push {
    /// What is to change on the way.
    fn changes(&self) -> Outcome<Changes> {
        let recompress = match self.compression_format.as_deref() {
            None | Some("") => None,
            Some("gzip") => Some(Recompression::Gzip),
            // Without the table of contents for readers that fetch parts of a layer: it can be left out.
            Some("zstd" | "zstd:chunked") => Some(Recompression::Zstd),
            Some(other) => {
                let message = format!("--compression-format {other:?} is not supported: it is \"gzip\" or \"zstd\"");
                return Err(Failure::Client(message));
            }
        };
        Ok(Changes { format: family(self.format.as_deref())?, recompress, ..Changes::default() })
    }

    fn send_list(&self, session: &Session<'_>, list: &str, destination: Option<&str>) -> Outcome {
        let domain = domain_of(destination.unwrap_or(list));
        let transfers = self.retries.transfers()?;
        let context = session.context_moving(&self.network, &self.identity, domain.as_deref(), transfers)?;
        let digestfile = given(self.digestfile.as_ref()).map(PathBuf::as_path);
        Sending { list, destination, quiet: self.quiet, rm: false, digestfile }.send(session, &context)
    }

    async fn send(&self, session: &Session<'_>, context: &Context, source: &str, reference: &Reference) -> Outcome {
        let (reference, source) = (reference.clone(), Some(source.to_owned()));
        let request = push::Request { reference, platforms: Platforms::Default, source };
        let prepared = push::prepare(context, &request)?;
        let note = prepared.note().map(str::to_owned);
        let pushed = prepared.run(context, &Silent).await?;
        self.tell(session, &pushed.digest, note.as_deref())
    }

    /// To another place than a registry, or changed.
    async fn copy(
        &self,
        session: &Session<'_>,
        context: &Context,
        source: &str,
        destination: &Location,
        changes: Changes,
    ) -> Outcome {
        let request = copy::Request {
            changes,
            retries: RETRIES,
            preserve_digests: false,
            plain_layouts: false,
            ..copy::Request::new(Location::Store(source.to_owned()), destination.clone())
        };
        let copied = copy::copy(context, context, &request, &Silent).await?;
        self.tell(session, &copied.digest, copied.note.as_deref())
    }

    fn tell(&self, session: &Session<'_>, digest: &Digest, note: Option<&str>) -> Outcome {
        if let Some(note) = note {
            session.console.notice(text::note(note));
        }
        if let Some(path) = given(self.digestfile.as_ref()) {
            fs::write_atomic(path, digest.as_str().as_bytes(), 0o644, Durability::Cached)?;
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

/// A place that is no registry, where one is named.
///
/// # Errors
/// What is wrong with its path or name.
pub(super) fn elsewhere(session: &Session<'_>, text: &str) -> Outcome<Option<Location>> {
    match text.split_once(':') {
        Some((transport, _)) if TRANSPORTS.contains(&transport) => {
            Ok(Some(Location::parse(text)?.at_engine(session.environment.docker_host.as_deref())))
        }
        _ => Ok(None),
    }
}

/// Where podman would push to.
fn place(session: &Session<'_>, text: &str) -> Outcome<Location> {
    if let Some(place) = elsewhere(session, text)? {
        return Ok(place);
    }
    let reference = remote(text).map_err(|failure| match text.split_once(':') {
        // Podman takes what is no name for a place of a kind that it does not know.
        Some((transport, _)) if !text.starts_with("docker://") => {
            Failure::Client(format!("Invalid image name {text:?}, unknown transport {transport:?}"))
        }
        _ => failure,
    })?;
    Ok(Location::Registry(reference))
}
