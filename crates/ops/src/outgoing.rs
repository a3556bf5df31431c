//! What of an image leaves the store: the whole of what the name stands for, one manifest of it, or some manifests under an
//! index made for them.

use std::collections::{HashMap, HashSet};

use dhow_base::{Error, Kind, Result};
use dhow_content::{VerifiedDocument, verify_document};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Document, ImageIndex, Platform};
use dhow_store::Store;

use crate::select::{Platforms, attests, not_provided};

/// What leaves the store for one name.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The document that gets the name.
    pub(crate) root: Descriptor,
    /// The manifest in it that readers without indexes get: the host's platform, else the first.
    pub(crate) manifest: Descriptor,
    /// Documents that were made here and lie in no store, children before parents.
    pub(crate) made: Vec<VerifiedDocument>,
    /// What is different from what the name stands for, if the user did not ask for just that.
    pub(crate) narrowed: Option<Narrowed>,
}

/// What leaves is less than what the name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// The platforms that leave.
    kept: Vec<String>,
    from: Digest,
    to: Digest,
    is_index: bool,
}

impl Narrowed {
    fn new(kept: &[&Descriptor], from: &Descriptor, to: &Descriptor, is_index: bool) -> Self {
        let platforms = kept.iter().filter_map(|member| member.platform.as_ref()).map(ToString::to_string);
        Self { kept: platforms.collect(), from: from.digest.clone(), to: to.digest.clone(), is_index }
    }

    /// The note for the user. `done` is what happened to the rest: `pushed`, `saved`.
    pub(crate) fn note(&self, done: &str) -> String {
        let (from, to) = (&self.from, &self.to);
        if !self.is_index {
            // Docker's words.
            return format!(
                "Not all multiplatform-content is present and only the available single-platform image was {done}\n\
                 {from} -> {to}"
            );
        }
        let kept = self.kept.join(", ");
        format!("Only a part of the image was {done}, under a new index: {kept}\n{from} -> {to}")
    }
}

/// Decides what leaves for a name (`name`, for messages) that stands for `target`.
///
/// What is complete and wanted as a whole leaves as it is, bit by bit.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when a platform that was asked for is not here.
pub(crate) fn choose(store: &Store, target: &Descriptor, platforms: &Platforms, name: &str) -> Result<Outgoing> {
    let here = store.manifests_of(&target.digest)?;
    let kept: Vec<&Descriptor> = match platforms {
        Platforms::These(wanted) => exactly(&here, wanted, name)?,
        _ if store.is_complete(&target.digest)? => return whole(target, &here),
        Platforms::Default => vec![shown(&here)?],
        Platforms::All => here.iter().collect(),
    };
    if let [only] = kept.as_slice() {
        let is_asked = matches!(platforms, Platforms::These(_)) || only.digest == target.digest;
        let narrowed = (!is_asked).then(|| Narrowed::new(&kept, target, only, false));
        return Ok(Outgoing { root: bare(only), manifest: bare(only), made: Vec::new(), narrowed });
    }
    let kept_digests = kept.iter().map(|member| member.digest.clone()).collect();
    let mut subset = Subset { store, kept: kept_digests, seen: HashMap::new(), made: Vec::new() };
    match subset.of_index(target)? {
        Some(root) if root.digest != target.digest => {
            let narrowed = Some(Narrowed::new(&kept, target, &root, true));
            Ok(Outgoing { root, manifest: bare(shown(kept)?), made: subset.made, narrowed })
        }
        _ => whole(target, &here),
    }
}

/// The documents of what leaves, children before parents.
///
/// # Errors
/// Those of reading them.
pub(crate) fn documents(store: &Store, outgoing: &Outgoing) -> Result<Vec<VerifiedDocument>> {
    if outgoing.made.is_empty() {
        return store.documents_below(&outgoing.root);
    }
    let mut seen: HashSet<Digest> = outgoing.made.iter().map(|document| document.descriptor().digest.clone()).collect();
    let mut documents = Vec::new();
    for made in &outgoing.made {
        for child in made.document().children() {
            if !seen.contains(&child.digest) {
                let below = store.documents_below(child)?.into_iter();
                documents.extend(below.filter(|document| seen.insert(document.descriptor().digest.clone())));
            }
        }
        documents.push(made.clone());
    }
    Ok(documents)
}

fn whole(target: &Descriptor, here: &[Descriptor]) -> Result<Outgoing> {
    let manifest = bare(shown(here)?);
    Ok(Outgoing { root: target.clone(), manifest, made: Vec::new(), narrowed: None })
}

/// The manifests for exactly these platforms, each once.
fn exactly<'d>(here: &'d [Descriptor], wanted: &[Platform], name: &str) -> Result<Vec<&'d Descriptor>> {
    let mut kept: Vec<&Descriptor> = Vec::new();
    for platform in wanted {
        let member = fitting(here, &Matcher::strict(platform)).ok_or_else(|| not_provided(name, platform))?;
        if kept.iter().all(|other| other.digest != member.digest) {
            kept.push(member);
        }
    }
    Ok(kept)
}

/// The manifest for the host, else the first.
fn shown<'d>(members: impl IntoIterator<Item = &'d Descriptor>) -> Result<&'d Descriptor> {
    let members: Vec<&Descriptor> = members.into_iter().collect();
    let best = fitting(members.iter().copied(), &Matcher::ordered(&Platform::host()));
    best.or(members.first().copied()).ok_or_else(|| Error::new(Kind::Internal, "an image without a manifest"))
}

/// The member that fits best.
pub(crate) fn fitting<'d>(
    members: impl IntoIterator<Item = &'d Descriptor>,
    matcher: &Matcher,
) -> Option<&'d Descriptor> {
    let ranked = members.into_iter().filter_map(|member| Some((matcher.rank(member.platform.as_ref()?)?, member)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, member)| member)
}

/// A descriptor that stands for itself, not for a platform of something else.
fn bare(member: &Descriptor) -> Descriptor {
    Descriptor { platform: None, ..member.clone() }
}

/// An index less some of its members.
struct Subset<'a> {
    store: &'a Store,
    kept: HashSet<Digest>,
    /// What remains of the indexes that were looked into.
    seen: HashMap<Digest, Option<Descriptor>>,
    made: Vec<VerifiedDocument>,
}

impl Subset<'_> {
    /// What remains of an index: itself, one that was made, or nothing.
    fn of_index(&mut self, descriptor: &Descriptor) -> Result<Option<Descriptor>> {
        if let Some(known) = self.seen.get(&descriptor.digest) {
            return Ok(known.clone());
        }
        let document = self.store.document(&descriptor.digest)?;
        let Some(index) = document.document().as_index() else {
            return Err(Error::new(Kind::Corrupt, format!("{} is no index", descriptor.digest)));
        };
        let mut members: Vec<Descriptor> = Vec::with_capacity(index.manifests.len());
        for member in &index.manifests {
            members.extend(self.of_member(member)?);
        }
        let remains = if members.is_empty() {
            None
        } else if members == index.manifests {
            Some(descriptor.clone())
        } else {
            Some(self.make(ImageIndex { manifests: members, ..index.clone() })?)
        };
        self.seen.insert(descriptor.digest.clone(), remains.clone());
        Ok(remains)
    }

    fn of_member(&mut self, member: &Descriptor) -> Result<Option<Descriptor>> {
        if member.media_type.is_index() {
            if !self.has(member)? {
                return Ok(None);
            }
            return Ok(self.of_index(member)?.map(|remains| {
                let is_same = remains.digest == member.digest;
                let data = member.data.clone().filter(|_| is_same);
                Descriptor { digest: remains.digest, size: remains.size, data, ..member.clone() }
            }));
        }
        let is_kept = self.kept.contains(&member.digest)
            || (attests(member, |digest| self.kept.iter().any(|kept| kept.as_str() == digest))
                && self.store.is_complete(&member.digest)?);
        Ok(is_kept.then(|| member.clone()))
    }

    fn has(&self, document: &Descriptor) -> Result<bool> {
        match self.store.document(&document.digest) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn make(&mut self, index: ImageIndex) -> Result<Descriptor> {
        let document = Document::from_index(index)?;
        let descriptor = document.descriptor();
        self.made.push(verify_document(document.bytes().to_vec(), &descriptor)?);
        Ok(descriptor)
    }
}
