//! Which members of an index a verb takes.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use dhow_base::{Error, Kind, Result};
use dhow_spec::layout::ANNOTATION_REFERENCE_DIGEST;
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Document, Platform};
use dhow_store::Found;

use crate::context::Context;

/// Which platforms of a multi-platform image a verb takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Platforms {
    /// What docker takes when it is not told: the host's platform out of a registry, all that is here on the way out.
    #[default]
    Default,
    /// These, each of which must be there.
    These(Vec<Platform>),
    /// All of them.
    All,
}

/// How a platform has to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As docker pulls: an older processor that the wanted one also runs will do.
    Best,
    /// Exactly.
    Exact,
}

impl Fit {
    fn matcher(self, platform: &Platform) -> Matcher {
        match self {
            Self::Best => Matcher::ordered(platform),
            Self::Exact => Matcher::strict(platform),
        }
    }
}

/// Picks the members of an index, and of the indexes in it, that fit some platforms.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    wanted: &'a [Platform],
    fit: Fit,
    /// Digest of the index that the name stands for.
    root: &'a Digest,
    /// Whether some of what is wanted will do.
    is_lenient: bool,
    seen: Mutex<Seen>,
}

/// What was met so far.
#[derive(Debug, Default)]
struct Seen {
    /// Platforms that were found, as positions.
    found: HashSet<usize>,
    /// Whether a manifest was taken that does not say what it runs on.
    is_vague: bool,
}

impl<'a> Selection<'a> {
    pub(crate) fn new(wanted: &'a [Platform], fit: Fit, root: &'a Digest) -> Self {
        Self { wanted, fit, root, is_lenient: false, seen: Mutex::default() }
    }

    /// Contents itself with a part of what is wanted, as long as it is not nothing.
    pub(crate) fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// The members of `index` to take: for each platform the one that fits best, and what attests them when several go
    /// together as an index. A member without platform is taken while something is missing: it may be an index with it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] in docker's words when a platform is missing and cannot come from further inside.
    pub(crate) fn pick(&self, index: &Document) -> Result<Vec<Descriptor>> {
        let members = index.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<&Descriptor> = Vec::new();
        for (number, platform) in self.wanted.iter().enumerate() {
            if let Some(member) = best(members, &self.fit.matcher(platform)) {
                seen.found.insert(number);
                taken.push(member);
            }
        }
        if self.wanted.len() > 1 {
            let attestations = members.iter().filter(|member| attests(member, |digest| has(&taken, digest)));
            taken.extend(attestations.collect::<Vec<_>>());
        }
        if seen.found.len() < self.wanted.len() {
            let without = |member: &&Descriptor| member.platform.is_none() && member.media_type.is_document();
            let vague: Vec<&Descriptor> = members.iter().filter(without).collect();
            let will_do = self.is_lenient && !taken.is_empty();
            if vague.is_empty() && !will_do && index.digest(self.root.algorithm()) == *self.root {
                return Err(self.missing(&seen));
            }
            seen.is_vague |= vague.iter().any(|member| member.media_type.is_manifest());
            taken.extend(vague);
        }
        let mut once = HashSet::new();
        Ok(taken.into_iter().filter(|member| once.insert(&member.digest)).cloned().collect())
    }

    /// To be asked when the copy is done and `root` was an index: whether everything wanted was in it.
    ///
    /// # Errors
    /// As [`Selection::pick`].
    pub(crate) fn finish(&self) -> Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let will_do = seen.is_vague || (self.is_lenient && !seen.found.is_empty());
        if will_do || seen.found.len() == self.wanted.len() { Ok(()) } else { Err(self.missing(&seen)) }
    }

    fn missing(&self, seen: &Seen) -> Error {
        let missing = self.wanted.iter().enumerate().find(|(number, _)| !seen.found.contains(number));
        let platform = missing.map(|(_, platform)| platform.to_string()).unwrap_or_default();
        Error::new(Kind::NotFound, format!("no matching manifest for {platform} in the manifest list entries"))
    }
}

/// The member that fits best. Attestations fit nothing.
fn best<'m>(members: &'m [Descriptor], matcher: &Matcher) -> Option<&'m Descriptor> {
    let ranked = members
        .iter()
        .filter(|member| !member.is_attestation())
        .filter_map(|member| Some((matcher.rank(member.platform.as_ref()?)?, member)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, member)| member)
}

fn has(members: &[&Descriptor], digest: &str) -> bool {
    members.iter().any(|member| member.digest.as_str() == digest)
}

/// Whether a member of an index is BuildKit's attestation of one that is kept.
pub(crate) fn attests(member: &Descriptor, is_kept: impl Fn(&str) -> bool) -> bool {
    let subject = member.annotations.get(ANNOTATION_REFERENCE_DIGEST);
    member.is_attestation() && subject.is_some_and(|digest| is_kept(digest))
}

/// Docker's sentence for an image that is here, but not for the platform asked for.
pub(crate) fn not_provided(name: &str, platform: &Platform) -> Error {
    let message =
        format!("image with reference {name} was found but does not provide the specified platform ({platform})");
    Error::new(Kind::NotFound, message)
}

/// Finds an image as [`Context::find`] does; with a platform, that member of what was found.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when there is no such image, or not for the platform.
pub(crate) fn find(context: &Context, name: &str, platform: Option<&Platform>) -> Result<Found> {
    let found = context.find(name)?;
    let Some(platform) = platform else { return Ok(found) };
    let store = context.store()?;
    let manifest =
        store.manifest_for(&found.target.digest, Some(platform))?.ok_or_else(|| not_provided(name, platform))?;
    let image_id = store.find_target(&manifest.digest)?.image_id;
    Ok(Found { image_id, manifest, ..found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::layout::{ANNOTATION_REFERENCE_TYPE, REFERENCE_TYPE_ATTESTATION};
    use dhow_spec::{ImageIndex, MediaType};

    fn manifest(name: &str) -> Descriptor {
        Descriptor::new(MediaType::OciManifest, Digest::sha256(name.as_bytes()), 10)
    }

    fn runs_on(platform: &str) -> Descriptor {
        manifest(platform).with_platform(Platform::parse(platform).unwrap())
    }

    fn attestation(of: &Descriptor) -> Descriptor {
        manifest(&format!("attests {}", of.digest))
            .with_platform(Platform::new("unknown", "unknown"))
            .with_annotation(ANNOTATION_REFERENCE_TYPE, REFERENCE_TYPE_ATTESTATION)
            .with_annotation(ANNOTATION_REFERENCE_DIGEST, of.digest.as_str())
    }

    fn index(members: &[Descriptor]) -> Document {
        Document::from_index(ImageIndex::new(members.to_vec())).unwrap()
    }

    fn picked(document: &Document, wanted: &[&str], fit: Fit) -> std::result::Result<Vec<Digest>, String> {
        let wanted: Vec<Platform> = wanted.iter().map(|text| Platform::parse(text).unwrap()).collect();
        let root = document.descriptor().digest;
        let selection = Selection::new(&wanted, fit, &root);
        let picked = selection.pick(document).and_then(|picked| selection.finish().map(|()| picked));
        picked.map(|members| members.into_iter().map(|member| member.digest).collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn each_platform_once_with_what_attests_it() {
        let (amd64, v7, v6) = (runs_on("linux/amd64"), runs_on("linux/arm/v7"), runs_on("linux/arm/v6"));
        let (of_amd64, of_v6) = (attestation(&amd64), attestation(&v6));
        let document = index(&[amd64.clone(), v7.clone(), v6, of_amd64.clone(), of_v6]);
        for (wanted, fit, expected) in [
            (&["linux/amd64"][..], Fit::Best, vec![&amd64]),
            (&["linux/arm64", "linux/arm/v7"], Fit::Best, vec![&v7]),
            (&["linux/arm/v7", "linux/amd64"], Fit::Exact, vec![&v7, &amd64, &of_amd64]),
        ] {
            let expected: Vec<Digest> = expected.into_iter().map(|member| member.digest.clone()).collect();
            assert_eq!(picked(&document, wanted, fit), Ok(expected), "{wanted:?}");
        }
        let missing = |platform| Err(format!("no matching manifest for {platform} in the manifest list entries"));
        assert_eq!(picked(&document, &["linux/amd64", "linux/arm64"], Fit::Exact), missing("linux/arm64"));
        assert_eq!(picked(&document, &["linux/riscv64", "linux/s390x"], Fit::Best), missing("linux/riscv64"));
    }

    #[test]
    fn indexes_inside_are_looked_into_while_something_is_missing() {
        let inner = index(&[runs_on("linux/arm64")]);
        let other = index(&[runs_on("linux/s390x")]);
        let outer = index(&[runs_on("linux/amd64"), inner.descriptor(), other.descriptor()]);
        let root = outer.descriptor().digest;
        let wanted = [Platform::new("linux", "amd64"), Platform::new("linux", "arm64")];
        let selection = Selection::new(&wanted, Fit::Best, &root);
        assert_eq!(selection.pick(&outer).unwrap().len(), 3);
        assert!(selection.finish().is_err());
        assert_eq!(selection.pick(&inner).unwrap().len(), 1);
        assert_eq!(selection.pick(&other).unwrap(), []);
        selection.finish().unwrap();
    }

    #[test]
    fn a_manifest_that_says_no_platform_may_be_the_one() {
        let vague = manifest("vague");
        assert_eq!(picked(&index(std::slice::from_ref(&vague)), &["linux/arm64"], Fit::Best), Ok(vec![vague.digest]));
    }
}
