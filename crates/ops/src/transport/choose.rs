//! What of an image is copied: all of it, the manifest for one platform, or some manifests under an index made for them.

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{VerifiedDocument, read_document, verify_document};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Document, ImageIndex, Platform};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{AnySource, Opened};
use crate::outgoing::fitting;
use crate::pull::check_platforms;
use crate::select::{Fit, Platforms, Selection};

/// What is copied.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The document that gets the name.
    pub(crate) root: VerifiedDocument,
    /// Documents that were made here, the root among them; they lie nowhere else.
    pub(crate) made: Vec<VerifiedDocument>,
    /// What the user should know: that it is less than what was asked for.
    pub(crate) note: Option<String>,
}

impl Chosen {
    fn whole(root: VerifiedDocument) -> Self {
        Self { root, made: Vec::new(), note: None }
    }
}

/// Chooses. By default it is the manifest for this machine, or what the local store shows for the name.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when a platform is not there.
pub(crate) async fn choose(opened: &Opened, platforms: &Platforms, name: &str) -> Result<Chosen> {
    let (source, root) = (&opened.source, &opened.root);
    if root.document().as_index().is_none() {
        if let Platforms::These(wanted) = platforms {
            check_platforms(source, root.document(), wanted, name).await?;
        }
        return Ok(Chosen::whole(root.clone()));
    }
    match platforms {
        Platforms::All => some(source, root, None).await,
        Platforms::Default => match &opened.shown {
            Some(shown) => Ok(Chosen::whole(read_document(source, &bare(shown)).await?)),
            None => one(source, root, &Platform::host()).await,
        },
        Platforms::These(wanted) => match wanted.as_slice() {
            [only] => one(source, root, only).await,
            several => some(source, root, Some(several)).await,
        },
    }
}

fn bare(member: &Descriptor) -> Descriptor {
    Descriptor::new(member.media_type.clone(), member.digest.clone(), member.size)
}

/// The manifest for one platform.
async fn one(source: &AnySource, root: &VerifiedDocument, platform: &Platform) -> Result<Chosen> {
    let matcher = Matcher::ordered(platform);
    match find(source, root, &matcher, 0).await? {
        Some(manifest) => Ok(Chosen::whole(manifest)),
        None => {
            let message = format!("no matching manifest for {platform} in the manifest list entries");
            Err(Error::new(Kind::NotFound, message).with_hint("--all takes all platforms, --platform another one"))
        }
    }
}

/// Looks through an index, then through those in it.
fn find<'a>(
    source: &'a AnySource,
    document: &'a VerifiedDocument,
    matcher: &'a Matcher,
    depth: usize,
) -> BoxFuture<'a, Result<Option<VerifiedDocument>>> {
    async move {
        let members = document.document().as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
        let manifests = members.iter().filter(|member| member.media_type.is_manifest() && !member.is_attestation());
        if let Some(member) = fitting(manifests, matcher) {
            return read_document(source, &bare(member)).await.map(Some);
        }
        if depth >= limits::INDEX_DEPTH_MAX {
            return Ok(None);
        }
        for member in members.iter().filter(|member| member.media_type.is_index()) {
            let inner = read_document(source, &bare(member)).await?;
            if let Some(found) = find(source, &inner, matcher, depth + 1).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
    .boxed()
}

/// Several platforms, or all that are there; the index itself where that is all of it.
async fn some(source: &AnySource, root: &VerifiedDocument, wanted: Option<&[Platform]>) -> Result<Chosen> {
    let digest = &root.descriptor().digest;
    if wanted.is_none() && source.has(root.descriptor()).await? {
        return Ok(Chosen::whole(root.clone()));
    }
    let selection = wanted.map(|wanted| Selection::new(wanted, Fit::Best, digest));
    let mut narrowing = Narrowing { source, selection: selection.as_ref(), made: Vec::new(), kept: Vec::new() };
    let remains = narrowing.of_index(root.clone(), 0).await?;
    if let Some(selection) = &selection {
        selection.finish()?;
    }
    let Some(descriptor) = remains else {
        return Err(Error::new(Kind::NotFound, format!("nothing of {digest} is there")));
    };
    if descriptor.digest == *digest {
        return Ok(Chosen::whole(root.clone()));
    }
    let made = narrowing.made;
    let made_root = made.iter().find(|document| document.descriptor().digest == descriptor.digest).cloned();
    let root = made_root.ok_or_else(|| Error::new(Kind::Internal, "an index was made and is not there"))?;
    let kept = narrowing.kept.join(", ");
    let note =
        format!("Only a part of the image was copied, under a new index: {kept}\n{digest} -> {}", descriptor.digest);
    Ok(Chosen { root, made, note: Some(note) })
}

/// Makes indexes that name less than others.
struct Narrowing<'a> {
    source: &'a AnySource,
    /// What is wanted; everything that is there if nothing is said.
    selection: Option<&'a Selection<'a>>,
    made: Vec<VerifiedDocument>,
    /// The platforms that remain.
    kept: Vec<String>,
}

impl Narrowing<'_> {
    /// What remains of an index: itself, one that was made, or nothing.
    fn of_index(&mut self, document: VerifiedDocument, depth: usize) -> BoxFuture<'_, Result<Option<Descriptor>>> {
        async move {
            let Some(index) = document.document().as_index() else { return Ok(None) };
            if depth > limits::INDEX_DEPTH_MAX {
                let message = format!("{} nests indexes too deep", document.descriptor().digest);
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            let taken = match self.selection {
                Some(selection) => selection.pick(document.document())?,
                None => index.manifests.clone(),
            };
            let mut members = Vec::with_capacity(taken.len());
            for member in &index.manifests {
                if taken.iter().any(|other| other.digest == member.digest) {
                    members.extend(self.of_member(member, depth).await?);
                }
            }
            if members.is_empty() {
                return Ok(None);
            }
            if members == index.manifests {
                return Ok(Some(document.descriptor().clone()));
            }
            let made = Document::from_index(ImageIndex { manifests: members, ..index.clone() })?;
            let descriptor = made.descriptor();
            self.made.push(verify_document(made.bytes().to_vec(), &descriptor)?);
            Ok(Some(descriptor))
        }
        .boxed()
    }

    async fn of_member(&mut self, member: &Descriptor, depth: usize) -> Result<Option<Descriptor>> {
        if !member.media_type.is_index() {
            if !self.source.has(member).await? {
                return Ok(None);
            }
            let platform = member.platform.as_ref().filter(|_| !member.is_attestation());
            self.kept.extend(platform.map(ToString::to_string));
            return Ok(Some(member.clone()));
        }
        let inner = match read_document(self.source, &bare(member)).await {
            Ok(inner) => inner,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(self.of_index(inner, depth + 1).await?.map(|remains| {
            let data = member.data.clone().filter(|_| remains.digest == member.digest);
            Descriptor { digest: remains.digest, size: remains.size, data, ..member.clone() }
        }))
    }
}
