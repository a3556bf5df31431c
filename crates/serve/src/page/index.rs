//! The images of an index: platforms and attestations.

use dhow_spec::layout::ANNOTATION_REFERENCE_DIGEST;
use dhow_spec::{Descriptor, ImageManifest};

use super::address::Address;
use super::bar::{self, sum};
use super::html::{Attribute, Html, clip, size_text};
use super::image::manifest_type;
use super::referrers::type_name;
use super::summary::platform_text;
use crate::name::RepositoryName;
use crate::route::ManifestName;

/// Longest type that is shown of an entry, in bytes.
const TYPE_BYTES_MAX: usize = 120;

/// The annotation that says what an attestation states (BuildKit's, after in-toto's).
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// What an index holds.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    /// Entries that are not among them, because there are too many.
    pub(super) more: usize,
}

/// One entry of an index.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) descriptor: Descriptor,
    /// What it points to; nothing where the registry does not have it, or it is an index itself.
    pub(super) manifest: Option<ImageManifest>,
    /// Whether the registry has it.
    pub(super) is_here: bool,
}

impl Entry {
    fn size_bytes(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| sum(manifest.layers.iter().map(|layer| layer.size)))
    }
}

impl Entries {
    /// The section of the page.
    pub(super) fn section(&self, html: &mut Html, repository: &RepositoryName) {
        let (attestations, images): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|entry| entry.descriptor.is_attestation());
        let largest = images.iter().map(|entry| entry.size_bytes()).max().unwrap_or(0);
        html.element("section", &[], |html| {
            html.leaf("h2", &[], "Platforms");
            if images.is_empty() {
                html.leaf("p", &[(Attribute::Class, "quiet")], "The index is empty.");
            }
            html.element("ul", &[(Attribute::Class, "entries")], |html| {
                for entry in &images {
                    html.element("li", &[], |html| image(html, repository, entry, largest));
                }
            });
            if self.more > 0 {
                html.leaf(
                    "p",
                    &[(Attribute::Class, "quiet")],
                    &format!("And {} more, which the manifest lists.", self.more),
                );
            }
        });
        if !attestations.is_empty() {
            html.element("section", &[], |html| {
                html.leaf("h2", &[], "Attestations");
                html.element("ul", &[(Attribute::Class, "entries")], |html| {
                    for entry in attestations {
                        html.element("li", &[], |html| attestation(html, repository, entry, &images));
                    }
                });
            });
        }
    }
}

fn image(html: &mut Html, repository: &RepositoryName, entry: &Entry, largest: u64) {
    let descriptor = &entry.descriptor;
    let name = match (&descriptor.platform, &entry.manifest) {
        (Some(platform), _) => platform_text(platform),
        (None, Some(manifest)) => clip(&manifest_type(manifest), TYPE_BYTES_MAX),
        (None, None) => clip(descriptor.media_type.as_str(), TYPE_BYTES_MAX),
    };
    html.element("div", &[(Attribute::Class, "what")], |html| named(html, repository, entry, &name));
    html.element("div", &[(Attribute::Class, "measure")], |html| {
        if entry.manifest.is_some() {
            bar::share(html, entry.size_bytes(), largest);
            html.leaf("span", &[(Attribute::Class, "number")], &size_text(entry.size_bytes()));
        } else if !entry.is_here {
            html.leaf("span", &[(Attribute::Class, "quiet")], "not in this registry");
        }
        html.leaf("code", &[(Attribute::Class, "digest spare")], descriptor.digest.short());
    });
}

fn attestation(html: &mut Html, repository: &RepositoryName, entry: &Entry, images: &[&Entry]) {
    let states = entry.manifest.iter().flat_map(|manifest| &manifest.layers);
    let mut types: Vec<&str> =
        states.filter_map(|layer| layer.annotations.get(PREDICATE_TYPE)).map(|text| type_name(text)).collect();
    types.dedup();
    let name = if types.is_empty() { "attestation".to_owned() } else { clip(&types.join(", "), TYPE_BYTES_MAX) };
    html.element("div", &[(Attribute::Class, "what")], |html| named(html, repository, entry, &name));
    html.element("div", &[(Attribute::Class, "measure")], |html| {
        let about = entry.descriptor.annotations.get(ANNOTATION_REFERENCE_DIGEST);
        let about = about.and_then(|about| images.iter().find(|image| image.descriptor.digest.as_str() == about));
        if let Some(platform) = about.and_then(|image| image.descriptor.platform.as_ref()) {
            html.leaf("span", &[(Attribute::Class, "quiet")], &format!("about {}", platform_text(platform)));
        }
        html.leaf("code", &[(Attribute::Class, "digest spare")], entry.descriptor.digest.short());
    });
}

/// The name, as a link where there is something behind it.
fn named(html: &mut Html, repository: &RepositoryName, entry: &Entry, name: &str) {
    match entry.is_here {
        true => {
            let digest = ManifestName::Digest(entry.descriptor.digest.clone());
            html.link(&Address::Image(repository.clone(), digest).link(), &[], name);
        }
        false => html.leaf("span", &[], name),
    }
}
