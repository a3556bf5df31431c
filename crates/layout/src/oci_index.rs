//! The images of an OCI image layout, archived or in a directory (OCI image-spec, image-layout.md).

use std::collections::HashSet;

use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::layout::{ANNOTATION_REF_NAME, INDEX_FILE, OCI_LAYOUT_FILE, check_marker};
use dhow_spec::{Descriptor, Digest, Document, MediaType};

use crate::image::ArchiveImage;
use crate::local::{Located, read_all};
use crate::members::Members;
use crate::names::{is_bare_entry, reference_of, unnamed};

/// Longest marker file accepted, in bytes.
pub(crate) const MARKER_BYTES_MAX: u64 = 4 << 10;

/// The images of an archived layout.
pub(crate) fn images(members: &Members) -> Result<Vec<ArchiveImage>> {
    let marker = read_all(&members.find(OCI_LAYOUT_FILE)?, OCI_LAYOUT_FILE, MARKER_BYTES_MAX)?;
    check_marker(&marker)?;
    let bytes = read_all(&members.find(INDEX_FILE)?, INDEX_FILE, limits::MANIFEST_BYTES_MAX)?;
    images_of(&parse_index(bytes)?)
}

/// Parses `index.json`.
///
/// # Errors
/// Those of [`Document::parse`], naming the file.
pub(crate) fn parse_index(bytes: Vec<u8>) -> Result<Document> {
    Document::parse(bytes, &MediaType::OciIndex).map_err(|error| Error::from(error).context(INDEX_FILE))
}

/// The images that `index.json` lists: entries of one digest are one image with several names.
///
/// BuildKit's attestations are no images by themselves, and neither is what is no manifest or index.
pub(crate) fn images_of(index: &Document) -> Result<Vec<ArchiveImage>> {
    let mut images: Vec<ArchiveImage> = Vec::new();
    let entries = index.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
    for entry in entries.iter().filter(|entry| entry.media_type.is_document() && !entry.is_attestation()) {
        let name = reference_of(&entry.annotations);
        let bare = name.clone().filter(|name| is_bare_entry(&entry.annotations, name));
        let label = entry.annotations.get(ANNOTATION_REF_NAME).filter(|label| !label.is_empty()).cloned();
        match images.iter_mut().find(|image| image.root.digest == entry.digest) {
            Some(image) if image.root.size != entry.size || image.root.media_type != entry.media_type => {
                let message = format!("{INDEX_FILE} describes {} in two ways", entry.digest);
                return Err(Error::new(Kind::Corrupt, message));
            }
            Some(image) => {
                image.names.extend(name.filter(|name| !image.names.contains(name)));
                image.bare_names.extend(bare);
                image.labels.extend(label);
            }
            None => images.push(ArchiveImage {
                root: unnamed(entry),
                names: name.into_iter().collect(),
                labels: label.into_iter().collect(),
                bare_names: bare.into_iter().collect(),
            }),
        }
    }
    if images.is_empty() {
        return Err(Error::new(Kind::Invalid, "the archive holds no images"));
    }
    Ok(images)
}

/// Whether a document and everything below it can be located, with the length announced.
///
/// # Errors
/// Those of `locate` and of reading; a document that cannot be parsed or nests too deep counts as not complete.
pub(crate) fn is_complete(
    document: &Descriptor,
    locate: &dyn Fn(&Descriptor) -> Result<Option<Located>>,
) -> Result<bool> {
    let mut visited: HashSet<Digest> = HashSet::new();
    let mut pending = vec![(document.clone(), 0)];
    while let Some((descriptor, depth)) = pending.pop() {
        if !visited.insert(descriptor.digest.clone()) {
            continue;
        }
        let Some(located) = locate(&descriptor)?.filter(|located| located.length() == descriptor.size) else {
            return Ok(false);
        };
        if !descriptor.media_type.is_document() {
            continue;
        }
        if depth > limits::INDEX_DEPTH_MAX || visited.len() > limits::DOCUMENTS_MAX * 10 {
            return Ok(false);
        }
        let bytes = located.read(descriptor.digest.as_str(), limits::MANIFEST_BYTES_MAX)?;
        let Ok(document) = Document::parse(bytes, &descriptor.media_type) else { return Ok(false) };
        pending.extend(document.children().into_iter().map(|child| (child.clone(), depth + 1)));
    }
    Ok(true)
}
