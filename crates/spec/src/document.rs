//! Manifests and indexes: the documents that images are made of (OCI image-spec, manifest.md and image-index.md).

mod body;
mod error;
mod parse;

use std::sync::Arc;

use serde::Serialize;

use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest};
use crate::media_type::MediaType;

pub use body::{Body, ImageIndex, ImageManifest, SchemaVersion};
pub use error::DocumentError;

/// A manifest or an index: the exact bytes and what they mean. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Document {
    bytes: Arc<[u8]>,
    body: Body,
}

impl Document {
    /// Parses a document strictly, so that no other reader can take the same bytes for something else.
    ///
    /// `declared` is what the descriptor or the `Content-Type` header says it is. `None`, an empty type and the types
    /// of servers that know nothing of images (`application/json`, `text/plain`) leave it to the document itself.
    /// Any other type must be the document's own.
    pub fn parse<'a>(
        bytes: impl Into<Arc<[u8]>>,
        declared: impl Into<Option<&'a MediaType>>,
    ) -> Result<Self, DocumentError> {
        let bytes = bytes.into();
        let body = parse::parse_body(&bytes, declared.into())?;
        Ok(Self { bytes, body })
    }

    /// Writes a new manifest as compact JSON. It is held to the same rules as one that is read.
    pub fn from_manifest(manifest: ImageManifest) -> Result<Self, DocumentError> {
        Self::write(&manifest, &manifest.media_type)
    }

    /// Writes a new index as compact JSON. It is held to the same rules as one that is read.
    pub fn from_index(index: ImageIndex) -> Result<Self, DocumentError> {
        Self::write(&index, &index.media_type)
    }

    fn write(body: &impl Serialize, media_type: &MediaType) -> Result<Self, DocumentError> {
        let bytes = serde_json::to_vec(body).map_err(DocumentError::Malformed)?;
        Self::parse(bytes, media_type)
    }

    /// The bytes as they were read or written: what is hashed, stored and sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the document is: one of the manifest or index types.
    pub fn media_type(&self) -> &MediaType {
        match &self.body {
            Body::Manifest(manifest) => &manifest.media_type,
            Body::Index(index) => &index.media_type,
        }
    }

    /// What the document says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The manifest, if it is one.
    pub fn as_manifest(&self) -> Option<&ImageManifest> {
        match &self.body {
            Body::Manifest(manifest) => Some(manifest),
            Body::Index(_) => None,
        }
    }

    /// The index, if it is one.
    pub fn as_index(&self) -> Option<&ImageIndex> {
        match &self.body {
            Body::Manifest(_) => None,
            Body::Index(index) => Some(index),
        }
    }

    /// The document that this one is about (a signature's image, for example), if it names one.
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.body {
            Body::Manifest(manifest) => manifest.subject.as_ref(),
            Body::Index(index) => index.subject.as_ref(),
        }
    }

    /// The content the document is made of, in order: config and layers, or manifests. The subject is not part of it.
    pub fn children(&self) -> Vec<&Descriptor> {
        match &self.body {
            Body::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            Body::Index(index) => index.manifests.iter().collect(),
        }
    }

    /// The digest of the bytes.
    pub fn digest(&self, algorithm: Algorithm) -> Digest {
        Digest::of(algorithm, &self.bytes)
    }

    /// A descriptor that points to this document by SHA-256.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type().clone(), self.digest(Algorithm::Sha256), self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests;
