//! A multi-platform image as BuildKit pushes it: three platforms, two of them attested.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::fs;
use std::path::PathBuf;

use dhow_testkit::images::{Blob, Compression, Entry, Format, Layout, Recipe, sha256, tar_of};
use serde_json::{Map, Value, json};

use crate::scene::{Scene, Server};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An index over `linux/amd64`, `linux/arm64` and `linux/arm/v7`; the first two have attestations behind them.
///
/// Digests are called `index`, `amd64`, `arm64`, `v7` for the manifests, `id-…` for the image IDs and `attests-…`.
#[derive(Debug)]
pub struct Multi {
    /// Where it is.
    pub layout: Layout,
    /// The index.
    pub index: Blob,
    /// Digests of its members, in order: three images, then the attestations of the first two.
    pub members: Vec<String>,
    /// The image IDs of the three images.
    pub ids: Vec<String>,
}

impl Multi {
    /// Writes one.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn new(scene: &Scene) -> Self {
        let layout = Layout::create(&scene.path("layout-multi")).expect("a layout");
        let platforms = [("amd64", "amd64", None), ("arm64", "arm64", None), ("v7", "arm", Some("v7"))];
        let (mut descriptors, mut ids) = (Vec::new(), Vec::new());
        for (name, architecture, variant) in platforms {
            let (manifest, id) = image(&layout, architecture, variant);
            scene.call_digest(&manifest.digest, name);
            scene.call_digest(&id, &format!("id-{name}"));
            let mut platform = json!({ "architecture": architecture, "os": "linux" });
            if let Some(variant) = variant {
                platform["variant"] = json!(variant);
            }
            descriptors.push(descriptor(&manifest, platform));
            ids.push(id);
        }
        for (number, name) in ["amd64", "arm64"].into_iter().enumerate() {
            let of = descriptors[number]["digest"].as_str().expect("a digest").to_owned();
            let attestation = attestation(&layout, &of);
            scene.call_digest(&attestation.digest, &format!("attests-{name}"));
            let mut member = descriptor(&attestation, json!({ "architecture": "unknown", "os": "unknown" }));
            member["annotations"] =
                json!({ "vnd.docker.reference.digest": of, "vnd.docker.reference.type": "attestation-manifest" });
            descriptors.push(member);
        }
        let members =
            descriptors.iter().map(|member| member["digest"].as_str().expect("a digest").to_owned()).collect();
        let annotations = json!({ "org.opencontainers.image.source": "https://example.test" });
        // Spelt as no program here spells it: what is passed on must be these very bytes.
        let index =
            json!({ "mediaType": INDEX, "schemaVersion": 2, "manifests": descriptors, "annotations": annotations });
        let bytes = serde_json::to_vec_pretty(&index).expect("JSON");
        let index = layout.blob(INDEX, &bytes).expect("an index");
        scene.call_digest(&index.digest, "index");
        Self { layout, index, members, ids }
    }

    /// An index that has this one in it, beside an image for `linux/s390x`, which is called `s390x`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn nest(mut self, scene: &Scene) -> Self {
        let (manifest, _) = image(&self.layout, "s390x", None);
        scene.call_digest(&manifest.digest, "s390x");
        let mut inner = descriptor(&self.index, Value::Null);
        inner.as_object_mut().expect("an object").remove("platform");
        let beside = descriptor(&manifest, json!({ "architecture": "s390x", "os": "linux" }));
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [beside, inner] });
        self.index = self.layout.blob(INDEX, index.to_string().as_bytes()).expect("an index");
        self
    }

    /// An archive with it under a full name.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn archive(&self, name: &str) -> PathBuf {
        let mut layout = Layout::open(self.layout.root()).expect("the layout");
        layout.name_images([(&self.index, name)]).expect("a name");
        let target = self.layout.root().with_extension("tar");
        layout.archive(&target).expect("an archive");
        target
    }

    /// Pushes all of it as `image` from a store of its own.
    ///
    /// # Panics
    /// When that fails.
    pub fn publish(&self, scene: &Scene, server: &Server, image: &str) -> String {
        let name = server.name(image);
        let store = scene.path("store-of-publisher");
        let store = store.to_str().expect("a printable path");
        let archive = self.archive(&name);
        scene.must(&["--root", store, "load", "-i", archive.to_str().expect("a printable path")]);
        scene.must(&["--root", store, "push", "-q", &name]);
        name
    }

    /// Takes a member out of the layout, as archives of some platforms are.
    ///
    /// # Panics
    /// When it was not there.
    pub fn remove(&self, member: usize) {
        fs::remove_file(self.layout.path(&self.members[member])).expect("a member");
    }
}

fn descriptor(blob: &Blob, platform: Value) -> Value {
    json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size, "platform": platform })
}

fn image(layout: &Layout, architecture: &str, variant: Option<&str>) -> (Blob, String) {
    let content = format!("{architecture} {variant:?}");
    let tar = tar_of(&[Entry { path: "etc/platform", mode: 0o644, content: content.as_bytes() }]).expect("a tar");
    let layer = layout.layer(&*tar, Format::Oci, Compression::Gzip).expect("a layer");
    let extra = variant.map(|variant| ("variant".to_owned(), json!(variant)));
    let config_extra = Map::from_iter(extra);
    let recipe = Recipe { architecture: architecture.to_owned(), config_extra, ..Recipe::default() };
    let manifest = layout.image(&[layer], &recipe).expect("an image");
    let parsed: Value =
        serde_json::from_slice(&fs::read(layout.path(&manifest.digest)).expect("a manifest")).expect("JSON");
    let id = parsed["config"]["digest"].as_str().expect("a config").to_owned();
    (manifest, id)
}

fn attestation(layout: &Layout, of: &str) -> Blob {
    let statement = json!({ "_type": "https://in-toto.io/Statement/v0.1", "subject": [{ "digest": of }] });
    let statement = layout.blob("application/vnd.in-toto+json", statement.to_string().as_bytes()).expect("a statement");
    let diff_id = sha256(of.as_bytes());
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let config_type = "application/vnd.oci.image.config.v1+json";
    let config = layout.blob(config_type, config.to_string().as_bytes()).expect("a config");
    let of = |blob: &Blob| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size });
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": of(&config), "layers": [of(&statement)] });
    layout.blob(MANIFEST, manifest.to_string().as_bytes()).expect("an attestation")
}
