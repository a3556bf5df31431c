//! `copy`: an image from any place to any other, without keeping it on the way.

mod attached;
mod convert;

use std::collections::HashMap;

use dhow_base::progress::{Event, Observer};
use dhow_base::{Error, Kind, Result};
use dhow_content::{
    Copied as Moved, CopyOptions, Select, Sink, Source, VerifiedDocument, copy as transfer, documents_below,
};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Document, Platform, Reference, Repository};
use dhow_store::NewTarget;

use crate::content_error::blame;
use crate::context::Context;
use crate::outgoing::fitting;
use crate::packed::{AsBefore, Packed, packed};
use crate::pull::layers;
use crate::push::mount_hints;
use crate::select::{Fit, Platforms, Selection};
use crate::transport::choose::choose;
use crate::transport::{AnySink, AnySource, Destination, Opened, Overlay, open};

pub use crate::transport::Location;
pub use convert::{Changes, Family, Recompression};
pub(crate) use convert::{gzipped, recompressed, renamed};

/// What to copy where.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where from.
    pub source: Location,
    /// Where to.
    pub destination: Location,
    /// Which platforms of an index; by default the manifest for this machine.
    pub platforms: Platforms,
    /// What refers to the image comes along: referrers, and what cosign keeps under tags.
    pub referrers: bool,
    /// What is to change on the way.
    pub changes: Changes,
    /// How often a transfer that stands still is tried again.
    pub retries: u32,
    /// Names that the image gets besides in a docker archive.
    pub further_names: Vec<Reference>,
    /// Nothing is compressed on the way, not even what no registry knows yet.
    pub preserve_digests: bool,
    /// What goes beside what the platforms say.
    pub scope: Scope,
    /// Layouts get layers without compression as they are, also of an image that came without a manifest.
    pub plain_layouts: bool,
}

impl Request {
    /// An image as it is: the manifest for this machine, once, with its digest.
    pub fn new(source: Location, destination: Location) -> Self {
        Self {
            source,
            destination,
            platforms: Platforms::Default,
            referrers: false,
            changes: Changes::default(),
            retries: 0,
            further_names: Vec::new(),
            preserve_digests: true,
            scope: Scope::default(),
            plain_layouts: true,
        }
    }
}

/// What of an image goes where `platforms` alone do not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// What the platforms say; an image that is for none of them is refused.
    #[default]
    Wanted,
    /// The same, but an image that is no index goes whatever it is for: so skopeo has `--override-arch`.
    WantedOrAlone,
    /// An index and nothing below it.
    IndexOnly,
}

/// What was copied.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Digest of the manifest or index at the destination.
    pub digest: Digest,
    /// What the user should know: that it is less than all.
    pub note: Option<String>,
    /// How many documents and tags that refer to the image came along.
    pub referrers: usize,
}

/// Copies. `from` and `to` are the handles of the two sides: they may be different accounts.
///
/// Nothing changes on the way unless it is asked for: digests at the destination are those of the source. Only what was made here, or came
/// out of `docker save`, gets compressed layers when it goes to a registry, as it does when it is [pushed](crate::push).
///
/// # Errors
/// Those of either place; what is complete at the destination stays there without a name.
pub async fn copy(from: &Context, to: &Context, request: &Request, observer: &dyn Observer) -> Result<Copied> {
    check(request)?;
    let Some(packed) = packed_before(from, to, request, observer).await? else {
        return copy_from(from, to, &request.source, request, observer).await;
    };
    let source = Location::Store(packed.target.digest.to_string());
    copy_from(from, to, &source, request, &AsBefore { packed: &packed, observer }).await
}

async fn copy_from(
    from: &Context,
    to: &Context,
    source: &Location,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Copied> {
    let opened = open(from, source).await?;
    let outcome = match &request.destination {
        Location::Store(name) => into_store(from, to, &opened, name, request, observer).await,
        _ => into_place(from, to, &opened, request, observer).await,
    };
    outcome.map_err(|error| opened.explain(error))
}

/// What goes to a registry instead of an image of the store. It is made before the image is opened, which would keep the plain layers here.
async fn packed_before(
    from: &Context,
    to: &Context,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Option<Packed>> {
    let (Location::Store(name), Location::Registry(target)) = (&request.source, &request.destination) else {
        return Ok(None);
    };
    if request.preserve_digests || !request.changes.is_none() {
        return Ok(None);
    }
    let (found, remote) = (from.find(name)?, to.push_to(target.repository())?);
    let packed = packed(from, &remote, &found.target, observer).await;
    match packed {
        Err(error) => Err(blame(from.store()?, name, &found.target, error)),
        packed => packed,
    }
}

fn check(request: &Request) -> Result<()> {
    let conflict = |what: &str| Err(Error::new(Kind::Invalid, what.to_owned()));
    if request.referrers && !request.changes.is_none() {
        return conflict(
            "--referrers cannot go with --format or --recompress: what refers to the image names its digest",
        );
    }
    if !request.further_names.is_empty() && !matches!(request.destination, Location::DockerArchive { .. }) {
        return conflict("--additional-tag gives names in a docker-archive: destination");
    }
    if request.scope == Scope::IndexOnly && !request.changes.is_none() {
        return conflict(
            "--multi-arch index-only cannot go with --format or --recompress: they change what the index names",
        );
    }
    if request.scope == Scope::IndexOnly && matches!(request.destination, Location::Store(_)) {
        return conflict("--multi-arch index-only: the local store keeps no index without an image");
    }
    if request.referrers && matches!(request.destination, Location::Store(_)) {
        return conflict("--referrers: the local store keeps no referrers");
    }
    Ok(())
}

/// What goes, after all choices and changes.
struct Going {
    root: VerifiedDocument,
    /// All documents, where they were read.
    documents: Vec<VerifiedDocument>,
    blobs: HashMap<Digest, dhow_content::LocalBlob>,
    note: Option<String>,
}

async fn going(context: &Context, opened: &Opened, request: &Request, options: &CopyOptions<'_>) -> Result<Going> {
    let is_alone = opened.root.document().as_index().is_none();
    if request.scope == Scope::IndexOnly && !is_alone {
        let root = opened.root.clone();
        return Ok(Going { documents: vec![root.clone()], root, blobs: HashMap::new(), note: None });
    }
    let as_it_is = Platforms::Default;
    let platforms = if is_alone && request.scope != Scope::Wanted { &as_it_is } else { &request.platforms };
    let chosen = choose(opened, platforms, &request.source.to_string()).await?;
    let mut at_hand = chosen.made.clone();
    at_hand.push(chosen.root.clone());
    let no_blobs = HashMap::new();
    let source = Overlay { source: &opened.source, documents: &at_hand, blobs: &no_blobs };
    let documents = documents_below(&source, chosen.root.descriptor(), options).await?;
    let changes = changes(opened, request);
    if changes.is_none() {
        return Ok(Going { root: chosen.root, documents, blobs: HashMap::new(), note: chosen.note });
    }
    let converted = convert::convert(context, &source, &documents, changes).await?;
    let root = converted.documents.last().cloned();
    let root = root.ok_or_else(|| Error::new(Kind::Internal, "nothing came of a conversion"))?;
    Ok(Going { root, documents: converted.documents, blobs: converted.blobs, note: chosen.note })
}

/// What is to change on the way. An image without a manifest has no digest that could change: its manifest is made as the place has
/// it, with compressed layers for registries and layouts, which are there to be fetched from, and in OCI's words for layouts.
fn changes(opened: &Opened, request: &Request) -> Changes {
    let changes = request.changes;
    let is_new = match (&request.source, &request.destination) {
        // The digest of a layout is known to whoever made it.
        (Location::OciArchive { .. }, _) => opened.lacks_manifest(),
        (_, Location::Registry(_)) => opened.has_new_manifest(),
        _ => opened.lacks_manifest(),
    };
    if !is_new || request.preserve_digests {
        return changes;
    }
    let is_layout = matches!(request.destination, Location::OciDirectory { .. } | Location::OciArchive { .. });
    let is_for_fetching = (is_layout && !request.plain_layouts) || matches!(request.destination, Location::Registry(_));
    let compresses = is_for_fetching && changes.recompress.is_none();
    Changes {
        format: changes.format.or(is_layout.then_some(Family::Oci)),
        recompress: changes.recompress.or(compresses.then_some(Recompression::Gzip)),
        keep_compressed: changes.keep_compressed || compresses,
    }
}

fn options<'a>(context: &Context, request: &Request, observer: &'a dyn Observer) -> CopyOptions<'a> {
    CopyOptions { retries: request.retries, ..context.settings().transfers.copy_options(observer) }
}

async fn into_place(
    from: &Context,
    to: &Context,
    opened: &Opened,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Copied> {
    let options = options(from, request, observer);
    let going = going(from, opened, request, &options).await?;
    let root = going.root.descriptor();
    let destination = Destination::open(to, &request.destination)?.with_names(request.further_names.clone());
    destination.check(root)?;
    if request.referrers {
        attached::check(&opened.source, &destination.sink)?;
    }
    let destination = destination.with_mount_hints(hints(opened, &request.destination, &going.documents)?);
    let source = Overlay { source: &opened.source, documents: &going.documents, blobs: &going.blobs };
    let moved = match request.scope {
        Scope::IndexOnly if going.root.document().as_index().is_some() => Ok(()),
        _ => move_all(&source, &destination.sink, root, &going.documents, &options).await,
    };
    let referrers = match moved {
        Ok(()) if request.referrers => {
            let subjects = going.documents.iter().map(|document| document.descriptor().digest.clone()).collect();
            attached::copy_all(&opened.source, &destination.sink, subjects, &options).await
        }
        outcome => outcome.map(|()| 0),
    };
    let referrers = match referrers {
        Ok(referrers) => referrers,
        Err(error) => {
            destination.abandon().await;
            return Err(error);
        }
    };
    let digest = root.digest.clone();
    let shown = shown(&going.root).filter(|_| request.scope != Scope::IndexOnly);
    destination.finish(&going.root, &going.documents, shown).await?;
    record_homes(opened, request, &going)?;
    Ok(Copied { digest, note: going.note, referrers })
}

/// Moves everything below a root, whose documents are at hand; the root itself is left to the one who names it.
pub(crate) async fn move_all<S: Source>(
    source: &S,
    sink: &AnySink,
    root: &Descriptor,
    documents: &[VerifiedDocument],
    options: &CopyOptions<'_>,
) -> Result<()> {
    // Who has the root has everything below it.
    if matches!(sink, AnySink::Registry(_)) && sink.holds(root).await? {
        for layer in layers(documents) {
            options.observer.event(Event::Present { digest: layer.digest.as_str() });
        }
        return Ok(());
    }
    let everything = |index: &Document| Ok(index.as_index().map(|index| index.manifests.clone()).unwrap_or_default());
    let options = CopyOptions { leave_root: true, select: Select::Only(&everything), ..*options };
    let moved: Moved = transfer(source, sink, root, &options).await?;
    tracing::debug!(moved = moved.blobs_moved, present = moved.blobs_present, "copied");
    Ok(())
}

/// The manifest that readers without indexes shall take: the host's platform, else the first.
pub(crate) fn shown(root: &VerifiedDocument) -> Option<Descriptor> {
    let index = root.document().as_index()?;
    let matcher = Matcher::ordered(&Platform::host());
    let manifests =
        || index.manifests.iter().filter(|member| member.media_type.is_manifest() && !member.is_attestation());
    fitting(manifests(), &matcher).or(manifests().next()).cloned()
}

/// For each blob, the other repositories of the destination's registry that are known to have it.
fn hints(
    opened: &Opened,
    destination: &Location,
    documents: &[VerifiedDocument],
) -> Result<HashMap<Digest, Vec<Repository>>> {
    let Location::Registry(target) = destination else { return Ok(HashMap::new()) };
    match &opened.source {
        AnySource::Store(session) => mount_hints(session.store(), target.repository(), documents),
        AnySource::Registry(remote) => {
            let manifests = documents.iter().filter_map(|document| document.document().as_manifest());
            let blobs = manifests.flat_map(|manifest| std::iter::once(&manifest.config).chain(&manifest.layers));
            Ok(blobs.map(|blob| (blob.digest.clone(), vec![remote.repository().clone()])).collect())
        }
        _ => Ok(HashMap::new()),
    }
}

/// A later push of the same image can have its layers mounted from where they are now.
fn record_homes(opened: &Opened, request: &Request, going: &Going) -> Result<()> {
    let (AnySource::Store(session), Location::Registry(target)) = (&opened.source, &request.destination) else {
        return Ok(());
    };
    let digests: Vec<Digest> = layers(&going.documents).map(|layer| layer.digest.clone()).collect();
    session.record_homes(target.repository(), &digests)
}

/// Into the local store, which takes an index in part and records it as a whole, as `pull` does.
async fn into_store(
    from: &Context,
    to: &Context,
    opened: &Opened,
    name: &str,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Copied> {
    let reference = Reference::parse(name)?;
    if reference.digest().is_some() {
        let message = format!("{name:?}: an image cannot be given a digest as its name");
        return Err(Error::new(Kind::Invalid, message));
    }
    let options = options(from, request, observer);
    let session = to.store()?.begin("copy")?;
    let (root, documents) = if request.changes.is_none() {
        let root = opened.root.descriptor().clone();
        let at_hand = std::slice::from_ref(&opened.root);
        let source = Overlay { source: &opened.source, documents: at_hand, blobs: &HashMap::new() };
        let copied = select_and_copy(&source, opened, &session, &request.platforms, &options).await?;
        (root, copied.documents)
    } else {
        let going = going(from, opened, request, &options).await?;
        let source = Overlay { source: &opened.source, documents: &going.documents, blobs: &going.blobs };
        let copied = transfer(&source, &session, going.root.descriptor(), &options).await?;
        (going.root.descriptor().clone(), copied.documents)
    };
    let known_as = opened.remote().filter(|_| request.changes.is_none()).map(|remote| remote.repository().clone());
    let target = NewTarget {
        references: vec![reference.with_default_tag()],
        digest_repositories: known_as.iter().cloned().collect(),
        ..NewTarget::default_for(root.clone())
    };
    session.commit(&[target])?;
    if opened.has_new_manifest() {
        session.store().note_made_here(&root.digest);
    }
    if let Some(repository) = known_as {
        let digests: Vec<Digest> = layers(&documents).map(|layer| layer.digest.clone()).collect();
        session.record_homes(&repository, &digests)?;
    }
    for layer in layers(&documents) {
        observer.event(Event::Done { digest: layer.digest.as_str() });
    }
    Ok(Copied { digest: root.digest, note: None, referrers: 0 })
}

async fn select_and_copy<S: Source>(
    source: &S,
    opened: &Opened,
    session: &dhow_store::Session,
    platforms: &Platforms,
    options: &CopyOptions<'_>,
) -> Result<Moved> {
    let root = opened.root.descriptor();
    let host = [Platform::host()];
    let is_index = opened.root.document().as_index().is_some();
    let wanted: &[Platform] = match platforms {
        Platforms::These(wanted) => wanted,
        // What is in the store already is taken as it is there.
        Platforms::Default if opened.shown.is_none() => &host,
        Platforms::Default | Platforms::All => &[],
    };
    if wanted.is_empty() || !is_index {
        let mut present = Vec::new();
        if let Some(index) = opened.root.document().as_index() {
            for member in &index.manifests {
                if opened.source.has(member).await? {
                    present.push(member.clone());
                }
            }
        }
        let is_root = |index: &Document| index.digest(root.digest.algorithm()) == root.digest;
        let pick = |index: &Document| match index.as_index() {
            Some(_) if is_root(index) => Ok(present.clone()),
            Some(inner) => Ok(inner.manifests.clone()),
            None => Ok(Vec::new()),
        };
        return transfer(source, session, root, &CopyOptions { select: Select::Only(&pick), ..*options }).await;
    }
    let selection = Selection::new(wanted, Fit::Best, &root.digest);
    let pick = |index: &Document| selection.pick(index);
    let copied = transfer(source, session, root, &CopyOptions { select: Select::Only(&pick), ..*options }).await?;
    selection.finish()?;
    Ok(copied)
}
