//! Which members of an index a verb takes.

use dhow_base::{Error, Kind, Result};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Document, Platform};

/// The member of `index` that fits `platform` best, with docker's fall-backs (an arm64 host takes arm/v7, and so on).
///
/// A member that is itself an index without platform is taken when nothing else fits: the copy looks inside it.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when nothing fits.
pub(crate) fn choose(index: &Document, platform: &Platform) -> Result<Vec<Descriptor>> {
    let members = index.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
    let matcher = Matcher::ordered(platform);
    let best = members
        .iter()
        .filter(|member| !member.is_attestation())
        .filter_map(|member| Some((matcher.rank(member.platform.as_ref()?)?, member)))
        .min_by_key(|(rank, _)| *rank);
    if let Some((_, member)) = best {
        return Ok(vec![member.clone()]);
    }
    let nested: Vec<Descriptor> =
        members.iter().filter(|member| member.platform.is_none() && member.media_type.is_document()).cloned().collect();
    if nested.is_empty() {
        let message = format!("no matching manifest for {platform} in the manifest list entries");
        return Err(Error::new(Kind::NotFound, message));
    }
    Ok(nested)
}
