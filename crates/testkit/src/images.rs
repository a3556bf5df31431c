//! Small real images, written as OCI layouts with none of the code under test: an oracle must not share what it judges.

#![allow(
    clippy::disallowed_methods,
    reason = "test images are scratch files; the durable writers of `base::fs` are part of what they test"
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Which of the two families of media types an image is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OCI image specification 1.1.
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

/// How a layer's tar stream is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// One gzip member, level 6, as docker pushes.
    Gzip,
    /// One zstd frame, level 3.
    Zstd,
}

/// A blob or document in a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Media type as descriptors name it.
    pub media_type: String,
    /// `sha256:<hex>` of the bytes as stored.
    pub digest: String,
    /// Length in bytes as stored.
    pub size: u64,
}

impl Blob {
    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

/// A layer in a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The stored bytes.
    pub blob: Blob,
    /// `sha256:<hex>` of the uncompressed tar stream.
    pub diff_id: String,
    /// Length of the uncompressed tar stream in bytes.
    pub uncompressed_size: u64,
}

/// What an image says of itself.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Media types of manifest, config and layers.
    pub format: Format,
    /// `linux/<architecture>`.
    pub architecture: String,
    /// The program it runs.
    pub entrypoint: Vec<String>,
    /// Fields added to the config's top level, where a test needs odd ones.
    pub config_extra: Map<String, Value>,
}

impl Default for Recipe {
    fn default() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            format: Format::Oci,
            architecture: architecture.to_owned(),
            entrypoint: Vec::new(),
            config_extra: Map::new(),
        }
    }
}

/// An OCI image layout being written.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    named: Vec<Value>,
}

impl Layout {
    /// Makes an empty layout in `root`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("blobs/sha256"))?;
        fs::write(root.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let layout = Self { root: root.to_owned(), named: Vec::new() };
        layout.write_index()?;
        Ok(layout)
    }

    /// Opens a layout that was written before, to add to it.
    ///
    /// # Errors
    /// The operating system's, or that `index.json` is not JSON.
    pub fn open(root: &Path) -> io::Result<Self> {
        let mut index: Value = serde_json::from_slice(&fs::read(root.join("index.json"))?)?;
        let named = match index["manifests"].take() {
            Value::Array(named) => named,
            _ => Vec::new(),
        };
        Ok(Self { root: root.to_owned(), named })
    }

    /// The folder it is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob is stored.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.root.join("blobs").join(digest.replace(':', "/"))
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> io::Result<Blob> {
        let digest = sha256(bytes);
        fs::write(self.path(&digest), bytes)?;
        Ok(Blob { media_type: media_type.to_owned(), digest, size: bytes.len() as u64 })
    }

    /// Stores a tar stream as a layer; it is never held in memory as a whole.
    ///
    /// # Errors
    /// The operating system's, or that `tar` cannot be read.
    pub fn layer(&self, mut tar: impl Read, format: Format, compression: Compression) -> io::Result<Layer> {
        let pending = self.root.join("blobs/sha256/pending");
        let mut uncompressed = Sha256::new();
        let mut uncompressed_size = 0;
        let mut buffer = vec![0; 256 << 10];
        let mut encoder = Encoder::new(Hashing::new(File::create(&pending)?), compression)?;
        loop {
            let read = tar.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            uncompressed.update(&buffer[..read]);
            uncompressed_size += read as u64;
            encoder.write_all(&buffer[..read])?;
        }
        let written = encoder.finish()?;
        let digest = hex(&written.hash.finalize());
        fs::rename(&pending, self.path(&digest))?;
        let blob = Blob { media_type: layer_type(format, compression).to_owned(), digest, size: written.length };
        Ok(Layer { blob, diff_id: hex(&uncompressed.finalize()), uncompressed_size })
    }

    /// Stores config and manifest over `layers`; returns the manifest.
    ///
    /// # Errors
    /// The operating system's.
    pub fn image(&self, layers: &[Layer], recipe: &Recipe) -> io::Result<Blob> {
        let history: Vec<Value> = (1..=layers.len())
            .map(|number| json!({ "created": CREATED, "created_by": format!("layer {number}"), "comment": "testkit" }))
            .collect();
        let mut config = json!({
            "created": CREATED,
            "architecture": recipe.architecture,
            "os": "linux",
            "config": { "Entrypoint": recipe.entrypoint, "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
            "history": history,
        });
        if let Value::Object(fields) = &mut config {
            fields.extend(recipe.config_extra.clone());
        }
        let (manifest_type, config_type) = match recipe.format {
            Format::Oci => ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"),
            Format::Docker => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            ),
        };
        let config = self.blob(config_type, &serde_json::to_vec(&config)?)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": layers.iter().map(|layer| layer.blob.descriptor()).collect::<Vec<_>>(),
        });
        self.blob(manifest_type, &serde_json::to_vec_pretty(&manifest)?)
    }

    /// Stores an index over manifests, each with its architecture.
    ///
    /// # Errors
    /// The operating system's.
    pub fn index(&self, manifests: &[(Blob, &str)], format: Format) -> io::Result<Blob> {
        let media_type = match format {
            Format::Oci => "application/vnd.oci.image.index.v1+json",
            Format::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
        };
        let manifests: Vec<Value> = manifests
            .iter()
            .map(|(manifest, architecture)| {
                let mut descriptor = manifest.descriptor();
                descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
                descriptor
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        self.blob(media_type, &serde_json::to_vec_pretty(&index)?)
    }

    /// Lists a document in `index.json` under each of `names` (`org.opencontainers.image.ref.name`).
    ///
    /// # Errors
    /// The operating system's.
    pub fn name(&mut self, document: &Blob, names: &[&str]) -> io::Result<()> {
        for name in names {
            let mut descriptor = document.descriptor();
            descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
            self.named.push(descriptor);
        }
        self.write_index()
    }

    /// As [`Layout::name`] with full image names, which `dhow`, docker and containerd read back as tags.
    ///
    /// # Errors
    /// The operating system's.
    pub fn name_images<'a>(&mut self, images: impl IntoIterator<Item = (&'a Blob, &'a str)>) -> io::Result<()> {
        for (document, name) in images {
            let mut descriptor = document.descriptor();
            let tag = name.rsplit(':').next().unwrap_or("latest");
            descriptor["annotations"] =
                json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
            self.named.push(descriptor);
        }
        self.write_index()
    }

    /// Writes the layout as one tar: an OCI archive. `oci-layout` and `index.json` come last, as they may.
    ///
    /// # Errors
    /// The operating system's.
    pub fn archive(&self, target: &Path) -> io::Result<()> {
        let mut archive = tar::Builder::new(io::BufWriter::new(File::create(target)?));
        let mut blobs: Vec<PathBuf> =
            fs::read_dir(self.root.join("blobs/sha256"))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        blobs.sort();
        for blob in
            blobs.iter().map(PathBuf::as_path).chain([&*self.root.join("oci-layout"), &self.root.join("index.json")])
        {
            let name = blob.strip_prefix(&self.root).unwrap_or(blob);
            archive.append_path_with_name(blob, name)?;
        }
        archive.into_inner()?.flush()
    }

    fn write_index(&self) -> io::Result<()> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.named,
        });
        fs::write(self.root.join("index.json"), serde_json::to_vec(&index)?)
    }
}

/// When all of these images say they were made: fixed, so that their digests are.
const CREATED: &str = "2024-02-29T12:30:45.123456789Z";

/// A file in a layer.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Path below the root, without a leading slash.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: &'a [u8],
}

/// A tar stream of regular files, owned by root, with a fixed time.
///
/// # Errors
/// That a path does not fit into a tar header.
pub fn tar_of(entries: &[Entry<'_>]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.content.len() as u64);
        header.set_mode(entry.mode);
        header.set_mtime(1_709_209_845);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, entry.path, entry.content)?;
    }
    builder.into_inner()
}

/// A small image of two layers in a new layout at `root`; `salt` makes its content, and so its digests, its own.
///
/// # Errors
/// The operating system's.
pub fn small(root: &Path, salt: &str, format: Format, compression: Compression) -> io::Result<(Layout, Blob)> {
    let layout = Layout::create(root)?;
    let release = format!("NAME=testkit\nVERSION={salt}\n");
    let noise = pseudo_random(salt, 300 << 10);
    let first = tar_of(&[Entry { path: "etc/os-release", mode: 0o644, content: release.as_bytes() }])?;
    let second = tar_of(&[
        Entry { path: "bin/noise", mode: 0o755, content: &noise },
        Entry { path: "etc/salt", mode: 0o600, content: salt.as_bytes() },
    ])?;
    let layers = [layout.layer(&*first, format, compression)?, layout.layer(&*second, format, compression)?];
    let recipe = Recipe { format, entrypoint: vec!["/bin/noise".to_owned()], ..Recipe::default() };
    let manifest = layout.image(&layers, &recipe)?;
    Ok((layout, manifest))
}

/// Bytes that do not compress, the same for the same seed.
pub fn pseudo_random(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    let mut counter = 0_u64;
    while bytes.len() < length {
        let mut hash = Sha256::new();
        hash.update(seed.as_bytes());
        hash.update(counter.to_le_bytes());
        bytes.extend_from_slice(&hash.finalize());
        counter += 1;
    }
    bytes.truncate(length);
    bytes
}

/// `sha256:<hex>` of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::from("sha256:"), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn layer_type(format: Format, compression: Compression) -> &'static str {
    match (format, compression) {
        (Format::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
        (Format::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
        (Format::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
        (Format::Docker, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
        (Format::Docker, Compression::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        (Format::Docker, Compression::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
    }
}

/// Counts and hashes what passes through.
struct Hashing {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self { file, hash: Sha256::new(), length: 0 }
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

enum Encoder {
    None(Hashing),
    Gzip(GzEncoder<Hashing>),
    Zstd(zstd::Encoder<'static, Hashing>),
}

impl Encoder {
    fn new(sink: Hashing, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Encoder::None(sink),
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(sink, Level::new(6))),
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(sink, 3)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::None(sink) => sink.write_all(bytes),
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Hashing> {
        match self {
            Encoder::None(sink) => Ok(sink),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_salt_makes_the_same_image() {
        let folder = tempfile::tempdir().expect("scratch");
        let one = small(&folder.path().join("1"), "a", Format::Oci, Compression::Gzip).expect("image");
        let two = small(&folder.path().join("2"), "a", Format::Oci, Compression::Gzip).expect("image");
        let other = small(&folder.path().join("3"), "b", Format::Oci, Compression::Gzip).expect("image");
        assert_eq!(one.1, two.1);
        assert_ne!(one.1.digest, other.1.digest);
    }

    #[test]
    fn a_stored_layer_has_the_digest_it_is_named_by() {
        let folder = tempfile::tempdir().expect("scratch");
        let layout = Layout::create(folder.path()).expect("layout");
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let layer = layout.layer(&b"content"[..], Format::Oci, compression).expect("layer");
            let stored = fs::read(layout.path(&layer.blob.digest)).expect("blob");
            assert_eq!(sha256(&stored), layer.blob.digest);
            assert_eq!((layer.diff_id, layer.uncompressed_size), (sha256(b"content"), 7));
        }
    }
}
