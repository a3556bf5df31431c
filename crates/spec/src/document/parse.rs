//! From bytes to a [`Body`]: every rule that keeps two readers from seeing two things.

use std::slice;

use dhow_base::limits::{DESCRIPTORS_MAX, MANIFEST_BYTES_MAX};
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use super::{Body, DocumentError, ImageIndex, ImageManifest};
use crate::descriptor::Descriptor;
use crate::json::{parse_strict, refuse_case_variants};
use crate::media_type::MediaType;

type Fields = Map<String, Value>;

pub(super) fn parse_body(bytes: &[u8], declared: Option<&MediaType>) -> Result<Body, DocumentError> {
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(DocumentError::TooLarge(bytes.len() as u64));
    }
    let Value::Object(mut fields) = parse_strict(bytes)? else {
        return Err(DocumentError::Malformed(serde_json::Error::custom("not a JSON object")));
    };
    check_keys(&fields)?;
    let declared = declared.filter(|media_type| !media_type.is_generic());
    check_schema(&fields, declared)?;
    check_parts(&fields)?;

    let media_type = settle_media_type(&fields, declared)?;
    let is_index = media_type.is_index();
    fields.insert("mediaType".to_owned(), Value::String(media_type.as_str().to_owned()));
    if is_index {
        return read(fields).map(Body::Index);
    }
    fill_types(&mut fields);
    read(fields).map(Body::Manifest)
}

/// A config or layer without a type is one whose type says nothing, as docker and skopeo have it. In an index, what has no type stays refused:
/// it says whether there is more below.
fn fill_types(fields: &mut Fields) {
    for part in ["config", "layers"] {
        let descriptors = match fields.get_mut(part) {
            Some(Value::Array(list)) => list.as_mut_slice(),
            Some(one) => slice::from_mut(one),
            None => continue,
        };
        for descriptor in descriptors.iter_mut().filter_map(Value::as_object_mut) {
            let media_type = descriptor.entry("mediaType").or_insert(Value::Null);
            if media_type.is_null() {
                *media_type = Value::String(String::new());
            }
        }
    }
}

/// Refuses keys, here and in descriptors, that differ from those with a meaning only by case.
fn check_keys(fields: &Fields) -> Result<(), DocumentError> {
    refuse_case_variants(fields, ImageManifest::KEYS)?;
    refuse_case_variants(fields, ImageIndex::KEYS)?;
    refuse_case_variants(fields, &["fsLayers"])?;
    for key in ["config", "subject"] {
        fields.get(key).map_or(Ok(()), Descriptor::check_keys)?;
    }
    for key in ["layers", "manifests"] {
        let Some(Value::Array(descriptors)) = fields.get(key) else { continue };
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(DocumentError::TooManyDescriptors(descriptors.len()));
        }
        descriptors.iter().try_for_each(Descriptor::check_keys)?;
    }
    Ok(())
}

/// Only schema version 2; schema 1 has an error of its own, since there the user can do something.
fn check_schema(fields: &Fields, declared: Option<&MediaType>) -> Result<(), DocumentError> {
    let version = fields.get("schemaVersion");
    let number = version.and_then(Value::as_u64);
    let is_schema1 = declared.is_some_and(MediaType::is_schema1)
        || stated_media_type(fields)?.is_some_and(|stated| stated.is_schema1())
        || number == Some(1)
        || fields.contains_key("fsLayers");
    match (number, version) {
        _ if is_schema1 => Err(DocumentError::Schema1),
        (Some(2), _) => Ok(()),
        (_, Some(other)) => Err(DocumentError::SchemaVersion(other.to_string())),
        (_, None) => Err(DocumentError::SchemaVersion("none".to_owned())),
    }
}

fn check_parts(fields: &Fields) -> Result<(), DocumentError> {
    let part_of_manifest = ["layers", "config"].into_iter().find(|key| fields.contains_key(*key));
    match part_of_manifest {
        Some(part) if fields.contains_key("manifests") => Err(DocumentError::Ambiguous(part)),
        _ => Ok(()),
    }
}

/// Brings together what was announced, what the document says and what it looks like.
fn settle_media_type(fields: &Fields, declared: Option<&MediaType>) -> Result<MediaType, DocumentError> {
    let media_type = match (declared, stated_media_type(fields)?) {
        (Some(declared), Some(stated)) if *declared != stated => {
            return Err(DocumentError::MediaTypeMismatch { declared: declared.clone(), stated });
        }
        (Some(declared), _) => declared.clone(),
        (None, Some(stated)) => stated,
        // OCI documents may leave it out; Docker's must not.
        (None, None) if fields.contains_key("manifests") => MediaType::OciIndex,
        (None, None) if fields.contains_key("config") => MediaType::OciManifest,
        (None, None) => return Err(DocumentError::Unrecognized),
    };
    let parts_of_another: &[&'static str] = match &media_type {
        index if index.is_index() => &["config", "layers"],
        manifest if manifest.is_manifest() => &["manifests"],
        _ => return Err(DocumentError::UnsupportedMediaType(media_type)),
    };
    match parts_of_another.iter().find(|part| fields.contains_key(**part)) {
        Some(part) => Err(DocumentError::WrongPart { media_type, part }),
        None => Ok(media_type),
    }
}

fn stated_media_type(fields: &Fields) -> Result<Option<MediaType>, DocumentError> {
    match fields.get("mediaType") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(stated) => serde_json::from_value(stated.clone()).map(Some).map_err(DocumentError::Malformed),
    }
}

fn read<T: DeserializeOwned>(fields: Fields) -> Result<T, DocumentError> {
    serde_json::from_value(Value::Object(fields)).map_err(DocumentError::Malformed)
}
