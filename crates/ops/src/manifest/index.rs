//! The index that a list becomes, byte for byte as docker writes it.

use std::collections::BTreeMap;

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Document, MediaType, Platform, Reference};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::Member;

/// Docker's manifest list, in the order of its fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestList<'a> {
    schema_version: u8,
    media_type: &'a MediaType,
    manifests: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a MediaType,
    size: u64,
    digest: &'a Digest,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    platform: Platform,
}

/// The index over some manifests. Docker makes it an OCI index when the first of them is an OCI manifest, else a manifest
/// list; one with annotations is always an OCI index, for only there they have a meaning.
///
/// # Errors
/// [`Kind::Invalid`] when what came of it is no index.
pub fn index_of(members: &[Member]) -> Result<Document> {
    let is_oci = members.first().is_some_and(|member| member.descriptor.media_type == MediaType::OciManifest)
        || members.iter().any(|member| !member.descriptor.annotations.is_empty());
    let media_type = if is_oci { MediaType::OciIndex } else { MediaType::DockerList };
    let manifests = members
        .iter()
        .map(|member| Entry {
            media_type: &member.descriptor.media_type,
            size: member.descriptor.size,
            digest: &member.descriptor.digest,
            annotations: &member.descriptor.annotations,
            platform: member.descriptor.platform.clone().unwrap_or_default(),
        })
        .collect();
    let list = ManifestList { schema_version: 2, media_type: &media_type, manifests };
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
    list.serialize(&mut serializer).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    Ok(Document::parse(as_go(bytes), &media_type)?)
}

/// Go escapes these characters, which in JSON stand only inside of strings.
fn as_go(json: Vec<u8>) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(json.len());
    for byte in json {
        match byte {
            b'<' | b'>' | b'&' => escaped.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => escaped.push(byte),
        }
    }
    escaped
}

/// Refuses members that are in another registry than the list: the index names them by digest alone.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words.
pub(super) fn check_registries(members: &[Member], target: &Reference) -> Result<()> {
    let wanted = target.repository().domain();
    match members.iter().map(|member| member.name.repository().domain()).find(|domain| *domain != wanted) {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "cannot use source images from a different registry than the target image: {other} != {wanted}"
            );
            Err(Error::new(Kind::Invalid, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use dhow_spec::Descriptor;

    use super::*;

    fn member(media_type: MediaType, platform: Platform) -> Member {
        let digest = Digest::sha256(platform.to_string().as_bytes());
        let descriptor = Descriptor::new(media_type, digest, 7).with_platform(platform);
        Member { name: Reference::parse("a:1").unwrap(), descriptor, document: None }
    }

    #[test]
    fn the_first_manifest_decides_what_it_becomes() {
        let oci = || member(MediaType::OciManifest, Platform::new("linux", "amd64"));
        let docker = || member(MediaType::DockerManifest, Platform::new("linux", "arm"));
        for (members, expected) in [
            (vec![oci(), docker()], MediaType::OciIndex),
            (vec![docker(), oci()], MediaType::DockerList),
            (vec![], MediaType::DockerList),
        ] {
            assert_eq!(*index_of(&members).unwrap().media_type(), expected);
        }
        let mut annotated = docker();
        annotated.descriptor = annotated.descriptor.with_annotation("a", "<b>");
        let index = index_of(&[annotated]).unwrap();
        assert_eq!(*index.media_type(), MediaType::OciIndex);
        assert!(String::from_utf8_lossy(index.bytes()).contains(r#""a": "\u003cb\u003e""#));
    }
}
