//! Images for these tests: a few layers of noise, so that neither compression nor chance makes two alike.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dhow_testkit::forgetful::Random;
use dhow_testkit::images::{Blob, Compression, Entry, Format, Layer, Layout, Recipe, pseudo_random, sha256, tar_of};

/// An image as an OCI layout and as an archive of it.
#[derive(Debug)]
pub struct Picture {
    /// Familiar name with tag.
    pub name: String,
    /// The layout.
    pub layout: Layout,
    /// The manifest.
    pub manifest: Blob,
    /// Digest of the config.
    pub config: String,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// A tar that `dhow load` takes; it carries the name given to [`Picture::paint`].
    pub archive: PathBuf,
}

impl Picture {
    /// Writes an image named `name` below `folder`, with one compressed layer for each of `layers`: (seed, bytes of noise).
    ///
    /// # Panics
    /// When the operating system fails a write.
    pub fn paint(folder: &Path, name: &str, layers: &[(&str, usize)]) -> Self {
        let root = folder.join(name.replace(['/', ':'], "-"));
        let mut layout = Layout::create(&root).expect("a layout");
        let layers: Vec<Layer> = layers
            .iter()
            .map(|(seed, bytes)| {
                let content = noise(seed, *bytes);
                let tar = tar_of(&[Entry { path: &format!("noise/{seed}"), mode: 0o644, content: &content }]);
                // Packing much noise with gzip would take longer than the test.
                let compression = if *bytes > 16 << 20 { Compression::Zstd } else { Compression::Gzip };
                layout.layer(&*tar.expect("a tar"), Format::Oci, compression).expect("a layer")
            })
            .collect();
        let recipe = Recipe { entrypoint: vec![name.to_owned()], ..Recipe::default() };
        let manifest = layout.image(&layers, &recipe).expect("an image");
        layout.name_images([(&manifest, format!("docker.io/library/{name}").as_str())]).expect("an index");
        let archive = root.with_extension("tar");
        layout.archive(&archive).expect("an archive");
        let document = std::fs::read(layout.path(&manifest.digest)).expect("the manifest");
        let document: serde_json::Value = serde_json::from_slice(&document).expect("a manifest");
        let config = document["config"]["digest"].as_str().expect("a config's digest").to_owned();
        Self { name: name.to_owned(), layout, manifest, config, layers, archive }
    }

    /// The archive's path as an argument.
    ///
    /// # Panics
    /// When the path is not UTF-8.
    pub fn archive_path(&self) -> &str {
        self.archive.to_str().expect("a path in UTF-8")
    }

    /// The layers' digests and sizes.
    pub fn layer_sizes(&self) -> BTreeMap<String, u64> {
        self.layers.iter().map(|layer| (layer.blob.digest.clone(), layer.blob.size)).collect()
    }
}

/// Bytes that do not compress.
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let start = pseudo_random(seed, 8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut random = Random::new(start);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| random.number().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// What two saved archives must have in common to hold the same image: each member's path, type and content.
///
/// # Panics
/// When `path` is not a readable tar.
pub fn same_archive(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(File::open(path).expect("the saved archive"));
    let members = archive.entries().expect("a tar");
    members
        .map(|member| {
            let mut member = member.expect("a member");
            let name = member.path().expect("a path").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).expect("the member's bytes");
            let kind = member.header().entry_type();
            (name, format!("{kind:?} {}", sha256(&bytes)))
        })
        .collect()
}
