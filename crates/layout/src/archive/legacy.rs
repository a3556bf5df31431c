//! Docker archives from before docker 1.10: one directory for each layer, chained by `parent`, and no `manifest.json`.
//!
//! Each `<id>/json` holds the config of the image that ends with this layer. What docker made of it when it moved to
//! content addresses (`MakeConfigFromV1Config`) is done here too, to the byte, so that image IDs agree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::json::parse_strict;
use dhow_spec::{Descriptor, Digest, MediaType, Reference, Repository, Tag};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Made;
use super::layers::LayerTable;
use crate::image::ArchiveImage;
use crate::local::read_all;
use crate::members::Members;

/// Name of the file that lists the tags.
const REPOSITORIES_FILE: &str = "repositories";

/// Fields of a version 1 config that have no place in an image config.
const DROPPED: [&str; 6] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];

/// What is read of `<id>/json`.
#[derive(Debug, Default, Deserialize)]
struct V1Config {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    container_config: Option<V1Command>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct V1Command {
    #[serde(default)]
    cmd: Option<Vec<String>>,
}

/// One layer directory.
struct V1Image {
    raw: Vec<u8>,
    config: V1Config,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: &'a [Digest],
}

/// A history entry as docker writes it.
#[derive(Clone, Serialize)]
struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
}

/// Whether an archive without `manifest.json` is one of these.
pub(super) fn is_legacy(members: &Members) -> bool {
    !ids(members).is_empty()
}

/// The images of such an archive: those with a tag, or if nothing has one, those that are no one's parent.
pub(super) fn images(members: &Members, spool_dir: &Path) -> Result<(Vec<ArchiveImage>, Made)> {
    let all = read_configs(members)?;
    let tagged = read_tags(members)?;
    let wanted: Vec<(String, Vec<Reference>)> = if tagged.is_empty() {
        let parents: HashSet<&str> = all.values().filter_map(|image| image.config.parent.as_deref()).collect();
        let mut tips: Vec<String> = all.keys().filter(|id| !parents.contains(id.as_str())).cloned().collect();
        tips.sort();
        tips.into_iter().map(|id| (id, Vec::new())).collect()
    } else {
        let mut tagged: Vec<_> = tagged.into_iter().collect();
        tagged.sort_by(|(_, one), (_, other)| one.cmp(other));
        tagged
    };
    let chains: Vec<(Vec<&str>, Vec<Reference>)> =
        wanted.iter().map(|(id, names)| Ok((chain(&all, id)?, names.clone()))).collect::<Result<_>>()?;
    let mut table = LayerTable::new(members, spool_dir);
    for id in chains.iter().flat_map(|(chain, _)| chain) {
        table.add_unknown(&layer_path(id))?;
    }
    table.work_out_digests()?;
    let mut made = Made::default();
    let mut images = Vec::with_capacity(chains.len());
    for (chain, names) in chains {
        let diff_ids: Vec<Digest> = chain.iter().map(|id| table.diff_id(&layer_path(id))).collect::<Result<_>>()?;
        let layers = chain
            .iter()
            .zip(&diff_ids)
            .map(|(id, diff_id)| table.layer(&layer_path(id), diff_id))
            .collect::<Result<_>>()?;
        let config = Bytes::from(make_config(&all, &chain, &diff_ids)?);
        let digest = Digest::sha256(&config);
        let root = made.image(Descriptor::new(MediaType::DockerConfig, digest.clone(), config.len() as u64), layers)?;
        made.documents.insert(digest, config);
        images.push(ArchiveImage { root, bare_names: Vec::new(), names, labels: Vec::new() });
    }
    Ok((images, made))
}

fn layer_path(id: &str) -> String {
    format!("{id}/layer.tar")
}

/// The top directories that hold a `json` and a `layer.tar`.
fn ids(members: &Members) -> Vec<&str> {
    let tops = members.table.keys().filter_map(|name| name.strip_suffix("/json")).filter(|id| !id.contains('/'));
    tops.filter(|id| members.table.contains_key(&layer_path(id))).collect()
}

fn read_configs(members: &Members) -> Result<HashMap<String, V1Image>> {
    let ids = ids(members);
    if ids.len() > limits::DESCRIPTORS_MAX {
        return Err(Error::new(Kind::LimitExceeded, "the archive has too many layers"));
    }
    ids.into_iter()
        .map(|id| {
            let name = format!("{id}/json");
            let raw = read_all(&members.find(&name)?, &name, limits::ERROR_BODY_BYTES_MAX * 16)?;
            parse_strict(&raw).map_err(|error| Error::from(error).context(&name))?;
            let config = serde_json::from_slice(&raw).map_err(|error| damaged(&name, &error))?;
            Ok((id.to_owned(), V1Image { raw, config }))
        })
        .collect()
}

/// `repositories`: `{"<name>": {"<tag>": "<layer id>"}}`, turned into the names of each layer ID.
fn read_tags(members: &Members) -> Result<BTreeMap<String, Vec<Reference>>> {
    if !members.contains(REPOSITORIES_FILE) {
        return Ok(BTreeMap::new());
    }
    let bytes = read_all(&members.find(REPOSITORIES_FILE)?, REPOSITORIES_FILE, limits::MANIFEST_BYTES_MAX)?;
    let value = parse_strict(&bytes).map_err(|error| Error::from(error).context(REPOSITORIES_FILE))?;
    let repositories: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_value(value).map_err(|error| damaged(REPOSITORIES_FILE, &error))?;
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for (name, tags) in repositories {
        for (tag, id) in tags {
            let invalid = |error| Error::from(error).context(format_args!("invalid tag \"{name}:{tag}\""));
            let repository = Repository::parse(&name).map_err(invalid)?;
            let reference = Reference::from_tag(repository, Tag::parse(&tag).map_err(invalid)?);
            names.entry(id).or_default().push(reference);
        }
    }
    Ok(names)
}

/// The layer IDs from the lowest up to `tip`.
fn chain<'a>(all: &'a HashMap<String, V1Image>, tip: &str) -> Result<Vec<&'a str>> {
    let mut chain: Vec<&str> = Vec::new();
    let mut next = Some(tip);
    while let Some(id) = next {
        let (id, image) =
            all.get_key_value(id).ok_or_else(|| Error::new(Kind::Corrupt, format!("invalid target ID: {id}")))?;
        chain.push(id);
        if chain.len() > all.len() {
            return Err(Error::new(Kind::Corrupt, format!("the parents of layer {tip} run in circles")));
        }
        next = image.config.parent.as_deref().filter(|parent| !parent.is_empty());
    }
    chain.reverse();
    Ok(chain)
}

/// The config of the image that a chain of layers makes.
fn make_config(all: &HashMap<String, V1Image>, chain: &[&str], diff_ids: &[Digest]) -> Result<Vec<u8>> {
    let images: Vec<&V1Image> = chain.iter().filter_map(|id| all.get(*id)).collect();
    let Some(tip) = images.last() else { return Err(Error::new(Kind::Internal, "an image without layers")) };
    let history: Vec<History> = images.iter().map(|image| history(&image.config)).collect();
    let mut fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&tip.raw).map_err(|error| damaged("json", &error))?;
    fields.retain(|key, _| !DROPPED.contains(&key.as_str()));
    let rootfs = serde_json::value::to_raw_value(&RootFs { r#type: "layers", diff_ids });
    let history = serde_json::value::to_raw_value(&history);
    fields.insert("rootfs".to_owned(), rootfs.map_err(|error| damaged("rootfs", &error))?);
    fields.insert("history".to_owned(), history.map_err(|error| damaged("history", &error))?);
    let json = serde_json::to_vec(&fields).map_err(|error| damaged("json", &error))?;
    Ok(compact_as_go(&json))
}

fn history(config: &V1Config) -> History {
    let command = config.container_config.as_ref().and_then(|config| config.cmd.as_deref()).unwrap_or_default();
    History {
        created: config.created.as_deref().map(trim_fraction),
        author: config.author.clone().unwrap_or_default(),
        created_by: command.join(" "),
        comment: config.comment.clone().unwrap_or_default(),
    }
}

/// Go writes times without trailing zeros in the fraction of a second.
fn trim_fraction(time: &str) -> String {
    let Some((seconds, rest)) = time.split_once('.') else { return time.to_owned() };
    let zone = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone);
    match fraction.trim_end_matches('0') {
        "" => format!("{seconds}{zone}"),
        fraction => format!("{seconds}.{fraction}{zone}"),
    }
}

/// Valid JSON as Go's `encoding/json` compacts it: no white space, and `<`, `>`, `&`, U+2028 and U+2029 escaped.
fn compact_as_go(json: &[u8]) -> Vec<u8> {
    let mut compact = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = json;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => continue,
            b'<' | b'>' | b'&' => {
                compact.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                escaped = false;
                continue;
            }
            0xe2 if matches!(tail, [0x80, 0xa8 | 0xa9, ..]) => {
                compact.extend_from_slice(if tail[1] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                rest = &tail[2..];
                continue;
            }
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
        compact.push(byte);
    }
    compact
}

fn damaged(what: &str, error: &serde_json::Error) -> Error {
    Error::new(Kind::Corrupt, format!("{what} in the archive is invalid: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_compacted_as_go_does() {
        let json = "{ \"a\" : \"x \\\" <&> \u{2028}\" ,\n\t\"b\": [1.0, -0e3] }";
        let expected = r#"{"a":"x \" \u003c\u0026\u003e \u2028","b":[1.0,-0e3]}"#;
        assert_eq!(String::from_utf8(compact_as_go(json.as_bytes())).expect("UTF-8"), expected);
    }

    #[test]
    fn times_lose_trailing_zeros() {
        assert_eq!(trim_fraction("2015-01-02T03:04:05.120000Z"), "2015-01-02T03:04:05.12Z");
        assert_eq!(trim_fraction("2015-01-02T03:04:05.000+01:00"), "2015-01-02T03:04:05+01:00");
        assert_eq!(trim_fraction("2015-01-02T03:04:05Z"), "2015-01-02T03:04:05Z");
    }
}
