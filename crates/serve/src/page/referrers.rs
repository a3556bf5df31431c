//! What refers to an image: signatures, SBOMs, attestations.

use dhow_spec::{Descriptor, Tag};

use super::address::{Address, Link};
use super::html::{Attribute, Html, clip, size_text};
use super::{image, lists};
use crate::name::RepositoryName;
use crate::route::ManifestName;

/// Longest type that is shown, in bytes.
const TYPE_BYTES_MAX: usize = 200;

/// What refers to an image.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    /// Those that say so themselves (distribution spec, "Listing Referrers").
    pub(super) entries: Vec<Descriptor>,
    pub(super) next: Option<Link>,
    /// Those that cosign names by a tag made of the image's digest.
    pub(super) tags: Vec<(Tag, &'static str)>,
}

impl Referrers {
    /// The section of the page.
    pub(super) fn section(&self, html: &mut Html, repository: &RepositoryName) {
        if self.entries.is_empty() && self.tags.is_empty() {
            return;
        }
        html.element("section", &[(Attribute::Id, "referrers")], |html| {
            html.leaf("h2", &[], "Referrers");
            html.element("ul", &[(Attribute::Class, "referrers")], |html| {
                for (tag, what) in &self.tags {
                    html.element("li", &[], |html| {
                        html.element("div", &[(Attribute::Class, "what")], |html| {
                            let link = Address::Image(repository.clone(), ManifestName::Tag(tag.clone())).link();
                            html.link(&link, &[], what);
                            html.leaf("span", &[(Attribute::Class, "quiet")], "by tag");
                        });
                    });
                }
                for entry in &self.entries {
                    html.element("li", &[], |html| row(html, repository, entry));
                }
            });
            lists::next_page(html, self.next.as_ref());
        });
    }
}

fn row(html: &mut Html, repository: &RepositoryName, entry: &Descriptor) {
    let artifact_type = entry.artifact_type.as_deref().unwrap_or(entry.media_type.as_str());
    let (name, raw) = (clip(type_name(artifact_type), TYPE_BYTES_MAX), clip(artifact_type, TYPE_BYTES_MAX));
    html.element("div", &[(Attribute::Class, "what")], |html| {
        let digest = ManifestName::Digest(entry.digest.clone());
        html.link(&Address::Image(repository.clone(), digest).link(), &[], &name);
        if name != raw {
            html.leaf("span", &[(Attribute::Class, "quiet")], &raw);
        }
    });
    html.element("div", &[(Attribute::Class, "measure")], |html| {
        html.leaf("span", &[(Attribute::Class, "quiet")], &format!("manifest of {}", size_text(entry.size)));
        html.leaf("code", &[(Attribute::Class, "digest spare")], entry.digest.short());
    });
    if !entry.annotations.is_empty() {
        html.element("details", &[], |html| {
            html.leaf("summary", &[], "Annotations");
            image::pairs(html, entry.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        });
    }
}

/// A type in words, where it is one that people know.
pub(super) fn type_name(artifact_type: &str) -> &str {
    match artifact_type {
        "application/spdx+json" | "text/spdx+json" | "text/spdx" | "https://spdx.dev/Document" => "SPDX SBOM",
        "application/vnd.cyclonedx+json" | "application/vnd.cyclonedx+xml" | "https://cyclonedx.org/bom" => {
            "CycloneDX SBOM"
        }
        "application/vnd.syft+json" => "Syft SBOM",
        "application/vnd.cncf.notary.signature" => "Notary signature",
        "application/vnd.dev.cosign.artifact.sig.v1+json" | "application/vnd.dev.cosign.simplesigning.v1+json" => {
            "cosign signature"
        }
        "application/vnd.in-toto+json" | "application/vnd.dsse.envelope.v1+json" => "in-toto attestation",
        "application/sarif+json" => "SARIF report",
        text if text.starts_with("application/vnd.dev.sigstore.bundle") => "Sigstore bundle",
        text if text.starts_with("https://slsa.dev/provenance/") => "SLSA provenance",
        text if text.starts_with("https://cosign.sigstore.dev/attestation/vuln") => "vulnerability report",
        text => text,
    }
}
