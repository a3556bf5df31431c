//! `images --tree`, and docker 29's `images`: what names stand for as a whole, with all its platforms.

use std::collections::{HashMap, HashSet};

use dhow_base::{Kind, Result};
use dhow_spec::{Descriptor, Digest, Platform, Reference};
use dhow_store::{HeldMember, Holding, Image, Store};

use crate::context::Context;
use crate::filter::{Filter, Term};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only names that match: `repository[:tag]`, with the globs of Go's `path.Match`.
    pub reference: Option<String>,
    /// Only images that fit; see [`Filter`].
    pub filters: Vec<Term>,
    /// Also what has no tag.
    pub untagged: bool,
    /// Whether [`Whole::platforms`] are wanted: indexes are read for it.
    pub platforms: bool,
}

/// What one or several names stand for: a manifest, or an index with all its platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The ID of the image that other lists show for it.
    pub id: Digest,
    /// Familiar names with tags, in the order of their text.
    pub names: Vec<String>,
    /// When the image was made, in nanoseconds since the Unix epoch.
    pub created: Option<i64>,
    /// Bytes of what is here of it, as it is stored.
    pub bytes: u64,
    /// Whether a container uses any of it.
    pub in_use: bool,
    /// Its platforms, in the order of the index.
    pub platforms: Vec<Part>,
}

/// The image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// What it runs on.
    pub platform: Platform,
    /// Whether it is here as a whole; an index may be partly present.
    pub is_here: bool,
    /// Bytes of what is here of it, as it is stored.
    pub bytes: u64,
    /// Whether a container uses it.
    pub in_use: bool,
}

/// Lists what fits, the newest images first.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for an unknown filter or a bad value, else those of the store.
pub fn list(context: &Context, request: &Request) -> Result<Vec<Whole>> {
    let mut filter = Filter::parse(&request.filters)?;
    if let Some(pattern) = &request.reference {
        filter.and_reference(pattern)?;
    }
    let store = context.store()?;
    let used = store.used_images()?;
    let images = filter.select(store, store.images()?)?;
    let images: HashMap<Digest, Image> = images.into_iter().map(|image| (image.id.clone(), image)).collect();
    let mut wholes = Vec::with_capacity(images.len());
    for holding in store.holdings()? {
        let Some(image) = images.get(&holding.image_id) else { continue };
        let is_wanted = |name: &&Reference| filter.takes_name(name);
        let mut names: Vec<String> = holding.references.iter().filter(is_wanted).map(Reference::familiar).collect();
        names.sort_unstable();
        // What has other names than those asked for is no nameless image.
        let is_shown = !names.is_empty() || (request.untagged && holding.references.is_empty());
        if is_shown {
            wholes.push(whole(store, holding, names, image, &used, request.platforms)?);
        }
    }
    wholes.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(wholes)
}

fn whole(
    store: &Store,
    holding: Holding,
    names: Vec<String>,
    image: &Image,
    used: &HashSet<Digest>,
    with_platforms: bool,
) -> Result<Whole> {
    let in_use = holding.members.iter().any(|member| used.contains(&member.image_id));
    let mut platforms = Vec::new();
    if with_platforms {
        let described = described(store, &holding.target)?;
        platforms = in_order(&described, holding.members.into_iter().map(|member| part(member, used)).collect());
    }
    let (id, bytes, created) = (holding.image_id, holding.bytes, image.created);
    Ok(Whole { id, names, created, bytes, in_use, platforms })
}

fn part(member: HeldMember, used: &HashSet<Digest>) -> Part {
    Part {
        in_use: used.contains(&member.image_id),
        manifest: member.manifest,
        platform: member.platform,
        is_here: true,
        bytes: member.bytes,
    }
}

/// What an index says of its members, attestations left out; nothing for a manifest. An index that cannot be read does not
/// keep all others from being listed.
fn described(store: &Store, target: &Digest) -> Result<Vec<Descriptor>> {
    let document = match store.document(target) {
        Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NotFound | Kind::Invalid) => {
            tracing::warn!(%target, %error, "cannot tell which platforms there are");
            return Ok(Vec::new());
        }
        document => document?,
    };
    let members = document.document().as_index().map(|index| index.manifests.clone()).unwrap_or_default();
    Ok(members.into_iter().filter(|member| !member.is_attestation()).collect())
}

/// The parts as the index has them, with those that are not here; what is further inside comes last.
fn in_order(described: &[Descriptor], mut here: Vec<Part>) -> Vec<Part> {
    let mut parts = Vec::with_capacity(described.len().max(here.len()));
    for member in described {
        let found = here.iter().position(|part| part.manifest == member.digest);
        match (found.map(|position| here.remove(position)), &member.platform) {
            (Some(part), platform) => {
                parts.push(Part { platform: platform.clone().unwrap_or(part.platform.clone()), ..part });
            }
            (None, Some(platform)) if member.media_type.is_manifest() => parts.push(Part {
                manifest: member.digest.clone(),
                platform: platform.clone(),
                is_here: false,
                bytes: 0,
                in_use: false,
            }),
            // An index inside, or something that does not say what it runs on.
            (None, _) => {}
        }
    }
    parts.append(&mut here);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::MediaType;

    fn described_as(text: &str) -> Descriptor {
        let digest = Digest::sha256(text.as_bytes());
        Descriptor::new(MediaType::OciManifest, digest, 1).with_platform(Platform::parse(text).unwrap())
    }

    fn part(text: &str, is_here: bool) -> Part {
        let (manifest, platform) = (Digest::sha256(text.as_bytes()), Platform::parse(text).unwrap());
        Part { manifest, platform, is_here, bytes: u64::from(is_here), in_use: false }
    }

    #[test]
    fn parts_stand_as_in_the_index() {
        let index = ["linux/amd64", "linux/arm64", "linux/s390x"].map(described_as);
        let here = vec![part("linux/riscv64", true), part("linux/arm64", true)];
        let expected = [("linux/amd64", false), ("linux/arm64", true), ("linux/s390x", false), ("linux/riscv64", true)];
        assert_eq!(in_order(&index, here), expected.map(|(text, is_here)| part(text, is_here)));
        assert_eq!(in_order(&[], vec![part("linux/amd64", true)]), [part("linux/amd64", true)]);
    }
}
