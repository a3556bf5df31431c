//! Names of images in the annotations of `index.json`.

use std::collections::BTreeMap;

use dhow_spec::layout::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME};
use dhow_spec::{Descriptor, Reference};

/// The registry of names that have none, and how archives spell it out.
const HUB: &str = "docker.io";
const HUB_SPELLED: [&str; 2] = ["docker.io/", "index.docker.io/"];

/// Annotation of an entry of `index.json`: when it was written, its manifest had been made on that machine and no registry was known to
/// have it. Other tools pass over it.
const ANNOTATION_UNPUBLISHED: &str = "dhow.unpublished";

/// `descriptor`, in which it says that no registry was known to have the manifest.
pub fn unpublished(descriptor: &Descriptor) -> Descriptor {
    descriptor.clone().with_annotation(ANNOTATION_UNPUBLISHED, "true")
}

/// Whether an entry of `index.json` says that of itself.
pub(crate) fn is_unpublished(entry: &Descriptor) -> bool {
    entry.annotations.get(ANNOTATION_UNPUBLISHED).is_some_and(|said| said == "true")
}

/// Whether a name was spelled without a registry.
pub(crate) fn is_bare(reference: &Reference, text: &str) -> bool {
    reference.repository().domain() == HUB && !HUB_SPELLED.iter().any(|spelled| text.starts_with(spelled))
}

/// Whether the name an entry of `index.json` carries is spelled without a registry, as skopeo and podman write it.
pub(crate) fn is_bare_entry(annotations: &BTreeMap<String, String>, name: &Reference) -> bool {
    let whole = annotations.get(ANNOTATION_IMAGE_NAME).filter(|name| !name.is_empty());
    whole.or_else(|| annotations.get(ANNOTATION_REF_NAME)).is_some_and(|text| is_bare(name, text))
}

/// The name an entry of `index.json` carries.
///
/// containerd's annotation holds the whole name. The OCI one often holds a bare tag, which is no name: it only counts
/// when it has a repository, which shows in a colon or a slash.
pub(crate) fn reference_of(annotations: &BTreeMap<String, String>) -> Option<Reference> {
    let whole = annotations.get(ANNOTATION_IMAGE_NAME).filter(|name| !name.is_empty());
    let text = whole.or_else(|| annotations.get(ANNOTATION_REF_NAME).filter(|name| name.contains([':', '/'])))?;
    match Reference::parse(text) {
        Ok(reference) => Some(reference.with_default_tag()),
        Err(error) => {
            tracing::warn!(name = text, %error, "ignoring an invalid image name in index.json");
            None
        }
    }
}

/// `descriptor` as an entry of `index.json` under `name`, annotated as docker and containerd do.
pub(crate) fn named(descriptor: &Descriptor, name: &Reference) -> Descriptor {
    let entry = unnamed(descriptor).with_annotation(ANNOTATION_IMAGE_NAME, name.to_string());
    match name.tag() {
        Some(tag) => entry.with_annotation(ANNOTATION_REF_NAME, tag.as_str()),
        None => entry,
    }
}

/// `descriptor` as an entry of `index.json` under any text, annotated as skopeo does.
pub(crate) fn labelled(descriptor: &Descriptor, label: &str) -> Descriptor {
    unnamed(descriptor).with_annotation(ANNOTATION_REF_NAME, label)
}

/// `descriptor` without a name.
pub(crate) fn unnamed(descriptor: &Descriptor) -> Descriptor {
    let mut entry = descriptor.clone();
    entry.annotations.remove(ANNOTATION_IMAGE_NAME);
    entry.annotations.remove(ANNOTATION_REF_NAME);
    entry
}

/// Whether an entry of `index.json` stands for `name`, exactly or by nothing but its tag.
pub(crate) fn matches(entry: &Descriptor, name: &Reference) -> Option<Match> {
    if let Some(found) = reference_of(&entry.annotations) {
        return (found == *name).then_some(Match::Name);
    }
    let tag = entry.annotations.get(ANNOTATION_REF_NAME)?;
    (name.tag().is_some_and(|wanted| wanted.as_str() == tag)).then_some(Match::Tag)
}

/// How an entry stands for a name; the better one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// By the whole name.
    Name,
    /// By its tag alone, because no repository is recorded.
    Tag,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn whole_names_count_and_bare_tags_do_not() {
        for (pairs, expected) in [
            (&[(ANNOTATION_IMAGE_NAME, "docker.io/library/a:1"), (ANNOTATION_REF_NAME, "1")][..], Some("a:1")),
            (&[(ANNOTATION_REF_NAME, "registry.example/b:2")], Some("registry.example/b:2")),
            (&[(ANNOTATION_REF_NAME, "user/app")], Some("user/app:latest")),
            (&[(ANNOTATION_REF_NAME, "latest")], None),
            (&[(ANNOTATION_IMAGE_NAME, "user/UPPER:1")], None),
            (&[], None),
        ] {
            let found = reference_of(&annotations(pairs)).map(|reference| reference.familiar());
            assert_eq!(found.as_deref(), expected, "{pairs:?}");
        }
    }
}
