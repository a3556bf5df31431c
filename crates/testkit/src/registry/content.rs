//! What the registry has, in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};

/// `sha256:<hex>` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether bytes have a digest, which may be of either algorithm.
pub(super) fn has_digest(bytes: &[u8], digest: &str) -> bool {
    match digest.strip_prefix("sha512:") {
        Some(expected) => hex(&Sha512::digest(bytes)) == expected,
        None => digest_of(bytes) == digest,
    }
}

/// Digests of an image made by [`super::ScriptedRegistry::put_image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Of the manifest.
    pub manifest: String,
    /// Of the config.
    pub config: String,
    /// Of the layers, lowest first.
    pub layers: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) bytes: Arc<[u8]>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: HashSet<String>,
    manifests: HashMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    blobs: HashMap<String, Arc<[u8]>>,
    repositories: HashMap<String, Repository>,
    pub(super) uploads: HashMap<String, Vec<u8>>,
    opened: usize,
}

impl Content {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn put_blob(&mut self, repository: &str, bytes: Vec<u8>) -> String {
        let digest = digest_of(&bytes);
        self.put_blob_as(repository, &digest, bytes);
        digest
    }

    pub(super) fn put_blob_as(&mut self, repository: &str, digest: &str, bytes: Vec<u8>) {
        self.blobs.insert(digest.to_owned(), bytes.into());
        self.repository(repository).blobs.insert(digest.to_owned());
    }

    pub(super) fn put_manifest(&mut self, repository: &str, tag: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = digest_of(&bytes);
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.into() };
        let repository = self.repository(repository);
        repository.manifests.insert(digest.clone(), manifest);
        if !tag.is_empty() {
            repository.tags.insert(tag.to_owned(), digest.clone());
        }
        digest
    }

    pub(super) fn put_image(&mut self, repository: &str, tag: &str, layers: &[Vec<u8>]) -> Image {
        let digests: Vec<String> = layers.iter().map(|layer| self.put_blob(repository, layer.clone())).collect();
        let config = json!({
            "architecture": match std::env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other },
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = config.to_string().into_bytes();
        let config_size = config.len();
        let config = self.put_blob(repository, config);
        let described: Vec<_> = digests
            .iter()
            .zip(layers)
            .map(|(digest, layer)| {
                json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len(),
                })
            })
            .collect();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size,
            },
            "layers": described,
        });
        let manifest = self.put_manifest(repository, tag, media_type, manifest.to_string().into_bytes());
        Image { manifest, config, layers: digests }
    }

    pub(super) fn remove_blob(&mut self, digest: &str) {
        self.blobs.remove(digest);
        for repository in self.repositories.values_mut() {
            repository.blobs.remove(digest);
        }
    }

    pub(super) fn blob(&self, repository: &str, digest: &str) -> Option<Arc<[u8]>> {
        let has = self.repositories.get(repository)?.blobs.contains(digest);
        has.then(|| self.blobs.get(digest).cloned()).flatten()
    }

    pub(super) fn mount(&mut self, digest: &str, from: &str, into: &str) -> bool {
        let has = self.blob(from, digest).is_some();
        if has {
            self.repository(into).blobs.insert(digest.to_owned());
        }
        has
    }

    /// A manifest with its digest, by tag or digest.
    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<(String, &Manifest)> {
        let repository = self.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get(digest).map(|manifest| (digest.to_owned(), manifest))
    }

    /// The blobs and manifests that a manifest names and the repository lacks.
    pub(super) fn missing_below(&self, repository: &str, manifest: &serde_json::Value) -> Vec<String> {
        let digests = |key: &str| {
            let entries = manifest.get(key).and_then(|value| value.as_array()).cloned().unwrap_or_default();
            entries.iter().filter_map(|entry| entry.get("digest")?.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let config = manifest.pointer("/config/digest").and_then(|value| value.as_str()).map(str::to_owned);
        let blobs = config.into_iter().chain(digests("layers"));
        let absent_blobs = blobs.filter(|digest| self.blob(repository, digest).is_none());
        let manifests = digests("manifests");
        let absent = manifests.into_iter().filter(|digest| self.manifest(repository, digest).is_none());
        absent_blobs.chain(absent).collect()
    }

    /// Removes a tag, or a manifest by its digest with every tag that stands for it; `false` when there is none.
    pub(super) fn remove_manifest(&mut self, repository: &str, reference: &str) -> bool {
        let repository = self.repository(repository);
        if !reference.contains(':') {
            return repository.tags.remove(reference).is_some();
        }
        repository.tags.retain(|_, digest| digest != reference);
        repository.manifests.remove(reference).is_some()
    }

    /// All manifests of a repository: digests, media types, bytes; in the order of digests.
    pub(super) fn manifests(&self, repository: &str) -> Vec<(String, String, Arc<[u8]>)> {
        let manifests = self.repositories.get(repository).into_iter().flat_map(|found| &found.manifests);
        let mut all: Vec<_> = manifests
            .map(|(digest, manifest)| (digest.clone(), manifest.media_type.clone(), Arc::clone(&manifest.bytes)))
            .collect();
        all.sort();
        all
    }

    /// The bytes of a blob, whichever repository has it.
    pub(super) fn blob_anywhere(&self, digest: &str) -> Option<Arc<[u8]>> {
        self.blobs.get(digest).cloned()
    }

    /// Makes a repository that has nothing yet.
    pub(super) fn create(&mut self, repository: &str) {
        self.repository(repository);
    }

    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        Some(self.repositories.get(repository)?.tags.keys().cloned().collect())
    }

    pub(super) fn open_upload(&mut self) -> String {
        self.opened += 1;
        let id = format!("upload-{}", self.opened);
        self.uploads.insert(id.clone(), Vec::new());
        id
    }
}
