//! What registries do differently, each a piece that can be combined with any other: where bytes are, what can be removed,
//! who counts, and in which words one is refused.

use serde_json::{Value, json};

use super::State;
use super::access::form;
use super::http::{Exchange, Head};
use super::routes::{Page, blob_bytes};
use super::script::Route;

/// Where a registry differs from others, besides who may do what and how uploads are taken.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Where the bytes of blobs are, if not with the registry.
    pub storage: Option<Storage>,
    /// Whether there is a list of referrers (distribution spec 1.1).
    pub referrers: bool,
    /// What can be removed.
    pub deletes: Deletes,
    /// What is said of a manifest that is not there; `None` for the specification's `MANIFEST_UNKNOWN`.
    pub unknown_manifest: Option<Refusal>,
    /// How many manifests may be read, and how that is told.
    pub pulls: Option<Pulls>,
    /// The refusal to write to a repository that nobody made.
    pub missing_repository: Option<Refusal>,
    /// The refusal to have a tag stand for something else.
    pub immutable_tag: Option<Refusal>,
    /// Whether a request that may not pass is told what is demanded; if not, only `/v2/` says it.
    pub silent_refusals: bool,
    /// Headers of every answer.
    pub headers: Vec<(&'static str, &'static str)>,
}

/// A host that has the bytes of blobs, reached by signed addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Its name.
    pub host: &'static str,
    /// The query that a request must have: the signature.
    pub query: &'static str,
    /// What it says to a request that brings an `Authorization` besides: status and body. `None` when it does not care.
    pub second_proof: Option<(u16, &'static str)>,
}

/// What can be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// Tags and manifests.
    #[default]
    Both,
    /// Manifests by their digests.
    Digests,
    /// Nothing.
    Nothing,
}

/// Words of a refusal; `{name}` is the repository, `{tag}` what comes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The code.
    pub code: &'static str,
    /// The text.
    pub message: &'static str,
}

impl Refusal {
    fn answer(self, page: &Page) -> Exchange {
        let message = self.message.replace("{name}", &page.repository).replace("{tag}", &page.name);
        Exchange::detailed(self.status, (self.code, &message), &json!({ "name": page.repository }))
    }
}

/// A limit of pulls, which are reads of manifests: a HEAD is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulls {
    /// How many are allowed.
    pub limit: u32,
    /// How many there were.
    pub used: u32,
    /// Over how many seconds they are counted.
    pub window_seconds: u32,
}

/// The digest of the blob that an address of a storage means, if it is one.
pub(super) fn stored_digest(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/docker/registry/v2/blobs/sha256/")?;
    let hex = rest.split('/').nth(1)?;
    Some(format!("sha256:{hex}"))
}

/// Where a blob's bytes are, for a request that wants them.
pub(super) fn redirect(state: &State, head: &Head, page: &Page) -> Option<Exchange> {
    let storage = state.ways.storage.filter(|_| head.method == "GET")?;
    let hex = page.name.strip_prefix("sha256:")?;
    state.content.blob(&page.repository, &page.name)?;
    let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    Some(Exchange::new(307).with("Location", &format!("https://{}/{path}?{}", storage.host, storage.query)))
}

/// A blob at its storage, for whoever has a signed address and nothing else.
pub(super) fn stored(state: &State, head: &Head, page: &Page, ignore_range: bool) -> Exchange {
    let Some(storage) = state.ways.storage.filter(|storage| head.header("host") == Some(storage.host)) else {
        return Exchange::error(404, "UNSUPPORTED", "no such page");
    };
    if let (Some((status, body)), Some(_)) = (storage.second_proof, head.header("authorization")) {
        return Exchange::new(status).with("Content-Type", "application/xml").with_body(body.as_bytes());
    }
    if head.query != storage.query {
        let body = "<Error><Code>SignatureDoesNotMatch</Code></Error>";
        return Exchange::new(403).with("Content-Type", "application/xml").with_body(body.as_bytes());
    }
    match state.content.blob_anywhere(&page.name) {
        Some(bytes) => blob_bytes(bytes, head, page, ignore_range),
        None => Exchange::new(404).with_body(*b"<Error><Code>NoSuchKey</Code></Error>"),
    }
}

/// Adds what every answer has, and takes away what this registry does not say.
pub(super) fn marked(state: &State, head: &Head, page: &Page, mut answer: Exchange) -> Exchange {
    if state.ways.silent_refusals && page.route != Route::Ping {
        answer.remove("www-authenticate");
    }
    for (name, value) in &state.ways.headers {
        answer.set(name, value);
    }
    let is_read = matches!(head.method.as_str(), "GET" | "HEAD") && answer.status != 401;
    if let Some(pulls) = state.ways.pulls.filter(|_| is_read && page.route == Route::Manifest) {
        let left = pulls.limit.saturating_sub(pulls.used);
        answer.set("ratelimit-limit", &format!("{};w={}", pulls.limit, pulls.window_seconds));
        answer.set("ratelimit-remaining", &format!("{left};w={}", pulls.window_seconds));
    }
    answer
}

/// Counts a read of a manifest, and refuses it when there were enough.
pub(super) fn pull_refusal(state: &mut State, head: &Head) -> Option<Exchange> {
    let pulls = state.ways.pulls.as_mut().filter(|_| head.method == "GET")?;
    if pulls.used >= pulls.limit {
        let message =
            "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit";
        return Some(Exchange::error(429, "TOOMANYREQUESTS", message));
    }
    pulls.used += 1;
    None
}

/// Why something may not be written to this repository, under this tag.
pub(super) fn write_refusal(state: &State, page: &Page) -> Option<Exchange> {
    if let Some(refusal) = state.ways.missing_repository.filter(|_| state.content.tags(&page.repository).is_none()) {
        return Some(refusal.answer(page));
    }
    let is_taken = page.route == Route::Manifest
        && !page.name.contains(':')
        && state.content.manifest(&page.repository, &page.name).is_some();
    state.ways.immutable_tag.filter(|_| is_taken).map(|refusal| refusal.answer(page))
}

pub(super) fn unknown_manifest(state: &State, page: &Page) -> Exchange {
    match state.ways.unknown_manifest {
        Some(refusal) => refusal.answer(page),
        // Without a detail, docker takes the code for the whole message.
        None => Exchange::detailed(404, ("MANIFEST_UNKNOWN", "manifest unknown"), &json!({ "Tag": page.name })),
    }
}

/// Removes a tag, or a manifest with all its tags.
pub(super) fn delete(state: &mut State, page: &Page) -> Exchange {
    let is_digest = page.name.contains(':');
    match state.ways.deletes {
        Deletes::Nothing => return Exchange::error(405, "UNSUPPORTED", "The operation is unsupported."),
        Deletes::Digests if !is_digest => {
            return Exchange::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        _ => {}
    }
    match state.content.remove_manifest(&page.repository, &page.name) {
        true => Exchange::new(202),
        false => unknown_manifest(state, page),
    }
}

/// What refers to a manifest.
pub(super) fn referrers(state: &State, head: &Head, page: &Page) -> Exchange {
    if !state.ways.referrers {
        return Exchange::error(404, "UNSUPPORTED", "no such page");
    }
    let wanted = form(&head.query).into_iter().find(|(key, _)| key == "artifactType").map(|(_, value)| value);
    let entry = |(digest, media_type, bytes): (String, String, std::sync::Arc<[u8]>)| {
        let manifest: Value = serde_json::from_slice(&bytes).ok()?;
        if manifest.pointer("/subject/digest")?.as_str() != Some(page.name.as_str()) {
            return None;
        }
        let own = manifest.get("artifactType").or_else(|| manifest.pointer("/config/mediaType")).cloned();
        if wanted.is_some() && own.as_ref().and_then(Value::as_str) != wanted.as_deref() {
            return None;
        }
        Some(json!({
            "mediaType": media_type, "digest": digest, "size": bytes.len(), "artifactType": own,
            "annotations": manifest.get("annotations").cloned().unwrap_or_else(|| json!({})),
        }))
    };
    let manifests: Vec<Value> = state.content.manifests(&page.repository).into_iter().filter_map(entry).collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    let mut answer = Exchange::json(200, &index);
    answer.set("Content-Type", media_type);
    match wanted {
        Some(_) => answer.with("OCI-Filters-Applied", "artifactType"),
        None => answer,
    }
}
