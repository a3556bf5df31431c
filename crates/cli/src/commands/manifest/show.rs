//! Manifests and lists as `docker manifest inspect` prints them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dhow_ops::manifest::{Found, Member, index_of};
use dhow_spec::MediaType;

use super::client;
use crate::errors::{Failure, Outcome};
use crate::format::json;

/// The text for what was found, without its last line break.
///
/// # Errors
/// Those of serialising it.
pub(super) fn text(found: &Found, verbose: bool) -> Outcome<String> {
    match found {
        Found::Manifest(member) if verbose => Ok(json::reindent(&described(member)?, "\t")),
        Found::Manifest(member) => {
            let bytes = member.document.as_ref().map(|document| document.bytes()).unwrap_or_default();
            Ok(json::reindent(&String::from_utf8_lossy(bytes), "\t"))
        }
        Found::List(members) if verbose => {
            let members: Vec<String> = members.iter().map(described).collect::<Outcome<_>>()?;
            Ok(json::reindent(&format!("[{}]", members.join(",")), "\t"))
        }
        Found::List(members) => {
            let index = index_of(members).map_err(client)?;
            Ok(String::from_utf8_lossy(index.bytes()).into_owned())
        }
    }
}

/// A manifest with what docker's client knows of it, as JSON.
fn described(member: &Member) -> Outcome<String> {
    let to_json = |value: Result<String, serde_json::Error>| value.map_err(|e| Failure::Client(e.to_string()));
    let name = to_json(serde_json::to_string(&member.name.to_string()))?;
    let descriptor = to_json(serde_json::to_string(&member.descriptor))?;
    let mut fields = vec![format!("\"Ref\":{name}"), format!("\"Descriptor\":{descriptor}")];
    if let Some(document) = &member.document {
        fields.push(format!("\"Raw\":\"{}\"", STANDARD.encode(document.bytes())));
        let parsed = String::from_utf8_lossy(document.bytes());
        match document.media_type() {
            MediaType::DockerManifest => fields.push(format!("\"SchemaV2Manifest\":{parsed}")),
            MediaType::OciManifest => fields.push(format!("\"OCIManifest\":{parsed}")),
            _ => {}
        }
    }
    Ok(json::escape(&format!("{{{}}}", fields.join(",")), true))
}
