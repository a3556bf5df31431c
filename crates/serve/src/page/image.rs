//! The page of one image, index or artifact.

use std::collections::BTreeMap;

use dhow_spec::document::Body;
use dhow_spec::{Descriptor, Digest, Document, ImageConfig, ImageManifest};

use super::address::{Address, Link};
use super::bar::{self, sum};
use super::commands::Host;
use super::frame::Frame;
use super::history::{self, Step};
use super::html::{Attribute, Html, clip, clipped, count_text, size_text};
use super::index::Entries;
use super::referrers::Referrers;
use super::summary::{Summary, type_of};
use super::{configuration, lists};
use crate::name::RepositoryName;
use crate::route::ManifestName;

/// How many layers are shown; the rest is in the manifest.
const LAYERS_SHOWN: usize = 500;

/// How many names with values are shown of labels or annotations.
const PAIRS_SHOWN: usize = 300;

/// Longer commands are folded, in bytes.
const COMMAND_BYTES_OPEN: usize = 240;

/// The page of what a tag or digest stands for.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) frame: Frame,
    pub(super) host: Host,
    pub(super) repository: RepositoryName,
    /// As it was asked for.
    pub(super) name: ManifestName,
    pub(super) digest: Digest,
    pub(super) document: Document,
    /// Of an image, if it could be read.
    pub(super) config: Option<ImageConfig>,
    /// Of an index.
    pub(super) entries: Entries,
    pub(super) referrers: Referrers,
    pub(super) may_delete: bool,
    /// Whether the tag stays, whoever asks.
    pub(super) is_immutable: bool,
}

impl Image {
    pub(super) fn render(&self) -> Html {
        self.frame.fill(|html| {
            self.heading(html);
            self.facts(html);
            let by_digest = ManifestName::Digest(self.digest.clone());
            self.host.section(html, &self.repository, &self.name, &by_digest, self.is_image());
            match self.document.body() {
                Body::Index(index) => {
                    self.entries.section(html, &self.repository);
                    pairs_section(html, "Annotations", &index.annotations);
                }
                Body::Manifest(manifest) => {
                    self.layers(html, manifest);
                    if let Some(config) = &self.config {
                        configuration::section(html, config);
                        let labels = config.config.as_ref().and_then(|run| run.labels.as_ref());
                        labels.into_iter().for_each(|labels| pairs_section(html, "Labels", labels));
                    }
                    pairs_section(html, "Annotations", &manifest.annotations);
                }
            }
            self.referrers.section(html, &self.repository);
            self.deletion(html);
        })
    }

    fn is_image(&self) -> bool {
        match self.document.body() {
            Body::Index(index) => index.artifact_type.is_none(),
            Body::Manifest(manifest) => manifest.is_image(),
        }
    }

    fn heading(&self, html: &mut Html) {
        html.element("h1", &[], |html| {
            html.leaf("span", &[(Attribute::Class, "repository")], self.repository.as_str());
            match &self.name {
                ManifestName::Tag(tag) => {
                    html.leaf("span", &[(Attribute::Class, "slash")], ":");
                    html.leaf("span", &[(Attribute::Class, "tag")], tag.as_str());
                }
                ManifestName::Digest(digest) => {
                    html.leaf("span", &[(Attribute::Class, "slash")], "@");
                    html.leaf("span", &[(Attribute::Class, "tag")], digest.short());
                }
            }
        });
    }

    fn facts(&self, html: &mut Html) {
        let summary = Summary::of(&self.document, self.config.as_ref());
        html.element("dl", &[(Attribute::Class, "facts")], |html| {
            if summary.artifact_type.is_some() || !summary.platforms.is_empty() {
                let name = if summary.artifact_type.is_some() { "Type" } else { "Platform" };
                fact(html, name, |html| summary.kind(html));
            }
            if let Some(bytes) = summary.size_bytes {
                fact(html, "Size", |html| html.text(&size_text(bytes)));
            }
            if let Some(manifest) = self.document.as_manifest() {
                let name = if manifest.is_image() { "Layers" } else { "Files" };
                fact(html, name, |html| html.text(&manifest.layers.len().to_string()));
            }
            if summary.day.is_some() {
                fact(html, "Created", |html| lists::day(html, summary.day.as_deref()));
            }
            if let Some(subject) = self.document.subject() {
                let name = ManifestName::Digest(subject.digest.clone());
                let link = Address::Image(self.repository.clone(), name).link();
                fact(html, "Refers to", |html| {
                    html.link(&link, &[(Attribute::Class, "digest")], subject.digest.short())
                });
            }
        });
        html.element("p", &[(Attribute::Class, "digest-line")], |html| {
            html.leaf("code", &[(Attribute::Class, "digest whole")], self.digest.as_str());
            html.link(&Link::raw(&self.repository, &self.digest), &[], "Manifest");
        });
    }

    fn layers(&self, html: &mut Html, manifest: &ImageManifest) {
        let sizes: Vec<u64> = manifest.layers.iter().map(|layer| layer.size).collect();
        if sizes.is_empty() {
            return;
        }
        let (made, empty) = history::steps(self.config.as_ref(), sizes.len());
        let largest = sizes.iter().copied().max().unwrap_or(0);
        html.element("section", &[], |html| {
            html.leaf("h2", &[], if manifest.is_image() { "Layers" } else { "Files" });
            bar::stack(html, &sizes);
            html.element("ol", &[(Attribute::Class, "layers")], |html| {
                for (index, (layer, step)) in manifest.layers.iter().zip(&made).take(LAYERS_SHOWN).enumerate() {
                    html.element("li", &[], |html| layer_row(html, index, layer, step, largest));
                }
            });
            if let Some(more) = sizes.len().checked_sub(LAYERS_SHOWN).filter(|more| *more > 0) {
                let bytes = sum(sizes.iter().skip(LAYERS_SHOWN).copied());
                let text = format!("And {more} more of {} together, which the manifest lists.", size_text(bytes));
                html.leaf("p", &[(Attribute::Class, "quiet")], &text);
            }
            empty_steps(html, &empty);
        });
    }

    fn deletion(&self, html: &mut Html) {
        if !self.may_delete {
            return;
        }
        html.element("section", &[(Attribute::Class, "deletion")], |html| {
            html.leaf("h2", &[], "Delete");
            if self.is_immutable {
                return html.leaf(
                    "p",
                    &[(Attribute::Class, "quiet")],
                    "This tag is immutable: it can be neither moved nor deleted.",
                );
            }
            html.element("p", &[], |html| {
                if let ManifestName::Tag(tag) = &self.name {
                    let link = Address::Delete(self.repository.clone(), self.name.clone()).link();
                    html.link(&link, &[(Attribute::Class, "button")], &format!("Delete the tag {tag}…"));
                    html.text(" ");
                }
                let name = ManifestName::Digest(self.digest.clone());
                let link = Address::Delete(self.repository.clone(), name).link();
                html.link(&link, &[(Attribute::Class, "button")], "Delete the manifest and all its tags…");
            });
        });
    }
}

fn fact(html: &mut Html, name: &str, value: impl FnOnce(&mut Html)) {
    html.element("div", &[], |html| {
        html.leaf("dt", &[], name);
        html.element("dd", &[], value);
    });
}

fn layer_row(html: &mut Html, index: usize, layer: &Descriptor, step: &Step, largest: u64) {
    html.element("div", &[(Attribute::Class, "what")], |html| {
        html.leaf("span", &[(Attribute::Class, &bar::shade(index)), (Attribute::AriaHidden, "true")], "");
        let title = layer.annotations.get("org.opencontainers.image.title");
        match (step.command.as_str(), title) {
            ("", Some(title)) => html.leaf("span", &[(Attribute::Class, "title")], &clip(title, COMMAND_BYTES_OPEN)),
            ("", None) => html.leaf("span", &[(Attribute::Class, "quiet")], "no command is recorded"),
            (text, _) => command(html, text),
        }
    });
    html.element("div", &[(Attribute::Class, "measure")], |html| {
        bar::share(html, layer.size, largest);
        html.leaf("span", &[(Attribute::Class, "number")], &size_text(layer.size));
        html.leaf("code", &[(Attribute::Class, "digest spare")], layer.digest.short());
        html.leaf("span", &[(Attribute::Class, "quiet spare")], &media_text(layer));
    });
}

/// Compression of a layer, or the type of a file: what sets it apart from the others.
fn media_text(layer: &Descriptor) -> String {
    if !layer.media_type.is_layer() {
        return clip(layer.media_type.as_str(), COMMAND_BYTES_OPEN);
    }
    let text = layer.media_type.as_str();
    let compression = text.rsplit(['+', '.']).next().filter(|end| matches!(*end, "gzip" | "zstd"));
    match compression {
        Some(compression) => compression.to_owned(),
        None => "uncompressed".to_owned(),
    }
}

/// A command, folded when it is long.
fn command(html: &mut Html, text: &str) {
    if text.len() <= COMMAND_BYTES_OPEN {
        return html.leaf("code", &[], text);
    }
    html.element("details", &[], |html| {
        html.element("summary", &[], |html| html.leaf("code", &[], &clip(text, COMMAND_BYTES_OPEN)));
        html.element("pre", &[], |html| html.leaf("code", &[], &clipped(text)));
    });
}

fn empty_steps(html: &mut Html, steps: &[Step]) {
    if steps.is_empty() {
        return;
    }
    html.element("details", &[], |html| {
        let count = count_text(steps.len(), "step that changed no files", "steps that changed no files");
        html.leaf("summary", &[], &count);
        html.element("ul", &[(Attribute::Class, "steps")], |html| {
            for step in steps.iter().take(LAYERS_SHOWN) {
                html.element("li", &[], |html| html.leaf("code", &[], &clipped(&step.command)));
            }
        });
    });
}

/// A section with names and their values.
pub(super) fn pairs_section(html: &mut Html, title: &str, pairs: &BTreeMap<String, String>) {
    if pairs.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], title);
        self::pairs(html, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    });
}

/// Names and their values.
pub(super) fn pairs<'a>(html: &mut Html, pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    let more = pairs.len().saturating_sub(PAIRS_SHOWN);
    html.element("dl", &[(Attribute::Class, "pairs")], |html| {
        for (name, value) in pairs.take(PAIRS_SHOWN) {
            html.leaf("dt", &[], &clipped(name));
            html.leaf("dd", &[], &clipped(value));
        }
    });
    if more > 0 {
        html.leaf("p", &[(Attribute::Class, "quiet")], &format!("And {more} more."));
    }
}

/// The type of a manifest for a list.
pub(super) fn manifest_type(manifest: &ImageManifest) -> String {
    type_of(manifest.artifact_type.as_deref(), &manifest.config)
}
