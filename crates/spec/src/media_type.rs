//! Media types of images: OCI's and Docker's (OCI image-spec, media-types.md).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares each media type once: variant, meaning and text.
macro_rules! media_types {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)+) => {
        /// What kind of content a descriptor points to.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MediaType {
            $($(#[$meta])* $variant,)+
            /// Any other type, kept as it was written. Artifacts are made of these.
            Other(String),
        }

        impl MediaType {
            /// The type's text.
            pub fn as_str(&self) -> &str {
                match self {
                    $(MediaType::$variant => $text,)+
                    MediaType::Other(text) => text,
                }
            }

            fn from_exact(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(MediaType::$variant),)+
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        pub(crate) const KNOWN: &[MediaType] = &[$(MediaType::$variant),+];
    };
}

media_types! {
    /// OCI index: several manifests, most often one for each platform.
    OciIndex = "application/vnd.oci.image.index.v1+json",
    /// OCI image manifest.
    OciManifest = "application/vnd.oci.image.manifest.v1+json",
    /// OCI image config.
    OciConfig = "application/vnd.oci.image.config.v1+json",
    /// Uncompressed layer.
    OciLayer = "application/vnd.oci.image.layer.v1.tar",
    /// Layer compressed with gzip.
    OciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip",
    /// Layer compressed with zstd.
    OciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd",
    /// Uncompressed layer that may not be pushed to other registries (deprecated).
    OciForeignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar",
    /// Gzipped layer that may not be pushed to other registries (deprecated).
    OciForeignLayerGzip = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    /// Zstd layer that may not be pushed to other registries (deprecated).
    OciForeignLayerZstd = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    /// The blob `{}`, where a descriptor is required and there is nothing to say.
    OciEmpty = "application/vnd.oci.empty.v1+json",
    /// Docker manifest list, which an OCI index is modelled on.
    DockerList = "application/vnd.docker.distribution.manifest.list.v2+json",
    /// Docker image manifest, version 2, schema 2.
    DockerManifest = "application/vnd.docker.distribution.manifest.v2+json",
    /// Docker image manifest, version 2, schema 1: recognised to be refused.
    DockerSchema1 = "application/vnd.docker.distribution.manifest.v1+json",
    /// Docker image manifest, version 2, schema 1, signed: recognised to be refused.
    DockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws",
    /// Docker image config.
    DockerConfig = "application/vnd.docker.container.image.v1+json",
    /// Docker layer, uncompressed.
    DockerLayer = "application/vnd.docker.image.rootfs.diff.tar",
    /// Docker layer, compressed with gzip.
    DockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip",
    /// Docker layer, compressed with zstd, as BuildKit writes it.
    DockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd",
    /// Docker layer, uncompressed, that may not be pushed to other registries.
    DockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar",
    /// Docker layer, gzipped, that may not be pushed to other registries: the base layers of Windows.
    DockerForeignLayerGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
}

/// What to ask a registry for when a manifest or index is wanted (`Accept` header values).
pub const MANIFEST_ACCEPT: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// How a layer's tar stream is compressed, as its media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl MediaType {
    /// The media type of a `Content-Type` header: parameters after `;` are dropped, and known ones are known in capitals too
    /// (RFC 9110, section 8.3.1).
    pub fn parse(text: &str) -> Self {
        let essence = text.split(';').next().unwrap_or_default().trim();
        Self::from_exact(&essence.to_ascii_lowercase()).unwrap_or_else(|| MediaType::Other(essence.to_owned()))
    }

    /// Whether this is an index or a manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self, MediaType::OciIndex | MediaType::DockerList)
    }

    /// Whether this is an image manifest (of a schema that is supported).
    pub fn is_manifest(&self) -> bool {
        matches!(self, MediaType::OciManifest | MediaType::DockerManifest)
    }

    /// Whether this is a manifest or an index: what a registry keeps under its manifests, not under its blobs.
    pub fn is_document(&self) -> bool {
        self.is_index() || self.is_manifest()
    }

    /// Whether this is the config of a runnable image, not of an artifact.
    pub fn is_image_config(&self) -> bool {
        matches!(self, MediaType::OciConfig | MediaType::DockerConfig)
    }

    /// Whether this is a file system layer.
    pub fn is_layer(&self) -> bool {
        self.compression().is_some()
    }

    /// How the layer is compressed; nothing for what is no layer.
    pub fn compression(&self) -> Option<Compression> {
        use MediaType::*;
        match self {
            OciLayer | OciForeignLayer | DockerLayer | DockerForeignLayer => Some(Compression::None),
            OciLayerGzip | OciForeignLayerGzip | DockerLayerGzip | DockerForeignLayerGzip => Some(Compression::Gzip),
            OciLayerZstd | OciForeignLayerZstd | DockerLayerZstd => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// Whether this is a layer that its owner serves from elsewhere and that is not pushed along.
    pub fn is_foreign(&self) -> bool {
        use MediaType::*;
        matches!(
            self,
            OciForeignLayer | OciForeignLayerGzip | OciForeignLayerZstd | DockerForeignLayer | DockerForeignLayerGzip
        )
    }

    /// Whether this is Docker's retired schema 1.
    pub(crate) fn is_schema1(&self) -> bool {
        matches!(self, MediaType::DockerSchema1 | MediaType::DockerSchema1Signed)
    }

    /// Whether this says nothing about the content: what servers answer that know nothing of images.
    pub(crate) fn is_generic(&self) -> bool {
        matches!(self.as_str(), "" | "application/json" | "application/octet-stream" | "text/plain")
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    /// Takes the text as it stands, parameters and all: what a document says is compared and written back exactly.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::from_exact(&text).unwrap_or(MediaType::Other(text)))
    }
}

#[cfg(test)]
mod tests;
