//! What an archive holds, and what is put into one.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Reference};

/// One image found in an archive or layout directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveImage {
    /// Its manifest or index.
    pub root: Descriptor,
    /// The names it is stored under, each with tag or digest; none for an untagged image.
    pub names: Vec<Reference>,
    /// What OCI layouts call it (`org.opencontainers.image.ref.name`), as it is written there: often a bare tag.
    pub labels: Vec<String>,
    /// Those of the names that the archive has without a registry: tools differ in whose they are.
    pub bare_names: Vec<Reference>,
}

/// The image that a user means: by its label or name, by its digest (`@sha256:…`), by its position (`@0`, as skopeo counts
/// the images of docker archives), or, without `text`, the only one. `place` names the place in messages.
///
/// # Errors
/// [`Kind::NotFound`] when there is none of that name; [`Kind::Invalid`] when several could be meant.
pub fn choose<'i>(images: &'i [ArchiveImage], text: Option<&str>, place: &str) -> Result<&'i ArchiveImage> {
    let known = || {
        let names = images.iter().flat_map(|image| {
            let whole = image.names.iter().map(Reference::familiar);
            image.labels.iter().cloned().chain(whole)
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let Some(text) = text else {
        return match images {
            [only] => Ok(only),
            _ => {
                let message = format!("{place} holds {} images: say which", images.len());
                Err(Error::new(Kind::Invalid, message).with_hint(format!("their names: {}", known())))
            }
        };
    };
    let found = match text.strip_prefix('@') {
        Some(which) => {
            let position = which.parse::<usize>().ok();
            let by_digest = images.iter().find(|image| image.root.digest.as_str() == which);
            by_digest.or_else(|| images.get(position?))
        }
        None => {
            let reference = Reference::parse(text).ok().map(Reference::with_default_tag);
            let labelled = images.iter().find(|image| image.labels.iter().any(|label| label == text));
            labelled.or_else(|| {
                let reference = reference?;
                images.iter().find(|image| image.names.contains(&reference))
            })
        }
    };
    found.ok_or_else(|| {
        let error = Error::new(Kind::NotFound, format!("{place} has no image {text:?}"));
        if known().is_empty() { error } else { error.with_hint(format!("it has: {}", known())) }
    })
}

/// One image that was copied into an archive and is now to be listed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedImage {
    /// Its manifest or index.
    pub root: Descriptor,
    /// For an index, the manifest that readers without indexes shall take: the one of the host's platform.
    pub manifest: Option<Descriptor>,
    /// The names it gets; none for an untagged image.
    pub names: Vec<Reference>,
    /// What it is called in `index.json` beside that, whatever text it is; see [`ArchiveImage::labels`].
    pub labels: Vec<String>,
}
