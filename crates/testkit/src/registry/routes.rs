//! What a right-minded registry answers.

use std::sync::Arc;

use super::access::form;
use super::content::has_digest;
use super::http::{Exchange, Head};
use super::script::Route;
use super::{Shared, State, access, service, ways};

/// A request's page, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) route: Route,
    pub(super) repository: String,
    /// Tag, digest or upload.
    pub(super) name: String,
}

/// Takes a path apart. Repository names may contain slashes, so the last known word counts.
pub(super) fn page(path: &str) -> Page {
    let page = |route, repository: &str, name: &str| Page { route, repository: repository.into(), name: name.into() };
    let Some(rest) = path.strip_prefix("/v2/") else {
        return foreign_page(path);
    };
    if service::is_path(path) {
        return page(Route::Token, "", "");
    }
    if rest.is_empty() {
        return page(Route::Ping, "", "");
    }
    if let Some((repository, id)) = rest.rsplit_once("/blobs/uploads/") {
        return page(if id.is_empty() { Route::UploadStart } else { Route::Upload }, repository, id);
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return page(Route::Tags, repository, "");
    }
    let words = [("/blobs/", Route::Blob), ("/manifests/", Route::Manifest), ("/referrers/", Route::Referrers)];
    for (word, route) in words {
        if let Some((repository, name)) = rest.rsplit_once(word) {
            return page(route, repository, name);
        }
    }
    page(Route::Other, "", "")
}

/// A page outside of the API: a token service, an upload with an address of its own, a blob in the storage.
fn foreign_page(path: &str) -> Page {
    let page = |route, repository: &str, name: &str| Page { route, repository: repository.into(), name: name.into() };
    if path == "/token" || service::is_path(path) {
        return page(Route::Token, "", "");
    }
    if let Some((repository, id)) = path.strip_prefix(OPAQUE_UPLOADS).and_then(|rest| rest.rsplit_once("/uploads/")) {
        return page(Route::Upload, repository, id);
    }
    match ways::stored_digest(path) {
        Some(digest) => page(Route::Storage, "", &digest),
        None => page(Route::Other, "", ""),
    }
}

/// Where uploads are that are outside of the API's pages.
const OPAQUE_UPLOADS: &str = "/artifacts-uploads/";

/// The right answer. For uploads the body is in the upload already.
pub(super) fn answer(shared: &Shared, head: &Head, page: &Page, body: &[u8], ignore_range: bool) -> Exchange {
    let mut state = shared.state();
    let state = &mut *state;
    if page.route == Route::Token {
        return access::token(&state.access, &mut state.tokens, head, body);
    }
    if page.route == Route::Storage {
        return ways::stored(state, head, page, ignore_range);
    }
    // Whether a body is taken was asked before it came: a token may end while it does.
    let is_taken = page.route == Route::Upload && head.content_length().is_some_and(|length| length > 0);
    let answer = match refusal(shared, state, head, page).filter(|_| !is_taken) {
        Some(refusal) => refusal,
        None => page_answer(shared, state, head, page, body, ignore_range),
    };
    ways::marked(state, head, page, answer)
}

fn page_answer(
    shared: &Shared,
    state: &mut State,
    head: &Head,
    page: &Page,
    body: &[u8],
    ignore_range: bool,
) -> Exchange {
    match page.route {
        Route::Ping => Exchange::json(200, &serde_json::json!({})),
        Route::Blob => blob(state, head, page, ignore_range),
        Route::Manifest => manifest(state, head, page, body),
        Route::Tags => tags(state, head, page),
        Route::UploadStart => upload_start(shared, state, head, page),
        Route::Upload => upload(shared, state, head, page),
        Route::Referrers => ways::referrers(state, head, page),
        Route::Any | Route::Token | Route::Storage | Route::Other => {
            Exchange::error(404, "UNSUPPORTED", "no such page")
        }
    }
}

/// Whether access rules stop the request; also asked before its body is read.
pub(super) fn refusal(shared: &Shared, state: &State, head: &Head, page: &Page) -> Option<Exchange> {
    let needed = match page.route {
        Route::Token | Route::Storage => return None,
        // Who knows such an address may write there: docker shows credentials to pages of the API alone.
        Route::Upload if head.path.starts_with(OPAQUE_UPLOADS) => return None,
        Route::Ping | Route::Other | Route::Any => Vec::new(),
        _ => {
            let action = match head.method.as_str() {
                "GET" | "HEAD" => "pull",
                "DELETE" if page.route == Route::Manifest => "delete",
                _ => "push",
            };
            let mut needed = vec![(page.repository.clone(), action)];
            let from = form(&head.query).into_iter().find(|(key, _)| key == "from");
            needed.extend(from.map(|(_, repository)| (repository, "pull")));
            needed
        }
    };
    let scheme = if shared.tls.is_some() { "https" } else { "http" };
    let own = format!("{scheme}://{}", shared.address);
    access::refusal(&state.access, &state.tokens, &own, head, &needed)
}

fn blob(state: &State, head: &Head, page: &Page, ignore_range: bool) -> Exchange {
    if let Some(redirect) = ways::redirect(state, head, page) {
        return redirect;
    }
    let Some(bytes) = state.content.blob(&page.repository, &page.name) else {
        return Exchange::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    blob_bytes(bytes, head, page, ignore_range)
}

/// The bytes of a blob, or the range of them that was asked for.
pub(super) fn blob_bytes(bytes: Arc<[u8]>, head: &Head, page: &Page, ignore_range: bool) -> Exchange {
    let entity_tag = format!("\"{}\"", page.name);
    let answer = |status| {
        Exchange::new(status)
            .with("Content-Type", "application/octet-stream")
            .with("Docker-Content-Digest", &page.name)
            .with("ETag", &entity_tag)
            .with("Accept-Ranges", "bytes")
    };
    let same = head.header("if-range").is_none_or(|tag| tag == entity_tag);
    let range = head.header("range").and_then(parse_range).filter(|_| same && !ignore_range && head.method == "GET");
    match range {
        None => answer(200).with_body(bytes),
        Some((first, _)) if first >= bytes.len() => {
            answer(416).with("Content-Range", &format!("bytes */{}", bytes.len()))
        }
        Some((first, last)) => {
            let last = last.min(bytes.len() - 1);
            let range = format!("bytes {first}-{last}/{}", bytes.len());
            answer(206).with("Content-Range", &range).with_body(&bytes[first..=last])
        }
    }
}

fn parse_range(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
    Some((first.parse().ok()?, last)).filter(|(first, last)| first <= last)
}

fn manifest(state: &mut State, head: &Head, page: &Page, body: &[u8]) -> Exchange {
    if head.method == "PUT" {
        return put_manifest(state, head, page, body);
    }
    if head.method == "DELETE" {
        return ways::delete(state, page);
    }
    if let Some(refusal) = ways::pull_refusal(state, head) {
        return refusal;
    }
    match state.content.manifest(&page.repository, &page.name) {
        None => ways::unknown_manifest(state, page),
        Some((digest, manifest)) => {
            let entity_tag = format!("\"{digest}\"");
            if head.header("if-none-match") == Some(&entity_tag) {
                return Exchange::new(304).with("ETag", &entity_tag);
            }
            Exchange::new(200)
                .with("Content-Type", &manifest.media_type)
                .with("Docker-Content-Digest", &digest)
                .with("ETag", &entity_tag)
                .with_body(manifest.bytes.clone())
        }
    }
}

fn put_manifest(state: &mut State, head: &Head, page: &Page, body: &[u8]) -> Exchange {
    let is_digest = page.name.contains(':');
    if is_digest && !has_digest(body, &page.name) {
        return Exchange::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    if let Some(refusal) = ways::write_refusal(state, page) {
        return refusal;
    }
    let Ok(parsed) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Exchange::error(400, "MANIFEST_INVALID", "manifest invalid");
    };
    if let Some(missing) = state.content.missing_below(&page.repository, &parsed).first() {
        return Exchange::error(404, "MANIFEST_BLOB_UNKNOWN", &format!("blob unknown to registry: {missing}"));
    }
    let media_type = head.header("content-type").unwrap_or_default().to_owned();
    let tag = if is_digest { "" } else { page.name.as_str() };
    let digest = state.content.put_manifest(&page.repository, tag, &media_type, body.to_vec());
    let answer = Exchange::new(201).with("Docker-Content-Digest", &digest);
    match parsed.pointer("/subject/digest").and_then(|subject| subject.as_str()).filter(|_| state.ways.referrers) {
        Some(subject) => answer.with("OCI-Subject", subject),
        None => answer,
    }
}

fn tags(state: &State, head: &Head, page: &Page) -> Exchange {
    let Some(tags) = state.content.tags(&page.repository) else {
        let unknown = ("NAME_UNKNOWN", "repository name not known to registry");
        return Exchange::detailed(404, unknown, &serde_json::json!({ "name": page.repository }));
    };
    let last = form(&head.query).into_iter().find(|(key, _)| key == "last").map(|(_, value)| value).unwrap_or_default();
    let left: Vec<String> = tags.into_iter().filter(|tag| *tag > last).collect();
    let shown: Vec<&String> = left.iter().take(state.tags_per_page).collect();
    let answer = Exchange::json(200, &serde_json::json!({ "name": page.repository, "tags": shown }));
    match shown.last() {
        Some(last) if shown.len() < left.len() => {
            let link = format!("</v2/{}/tags/list?last={last}&n={}>; rel=\"next\"", page.repository, shown.len());
            answer.with("Link", &link)
        }
        _ => answer,
    }
}

fn upload_start(shared: &Shared, state: &mut State, head: &Head, page: &Page) -> Exchange {
    if let Some(refusal) = ways::write_refusal(state, page) {
        return refusal;
    }
    let fields = form(&head.query);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let (Some(digest), Some(from)) = (field("mount"), field("from"))
        && state.uploads.mounts
        && state.content.mount(digest, from, &page.repository)
    {
        return Exchange::new(201).with("Location", &format!("/v2/{}/blobs/{digest}", page.repository));
    }
    let id = state.content.open_upload();
    at_upload(shared, state, head, (202, page, &id))
}

/// Adds the headers that say where an upload is and how far it came.
fn at_upload(shared: &Shared, state: &State, head: &Head, (status, page, id): (u16, &Page, &str)) -> Exchange {
    let scheme = if shared.tls.is_some() { "https" } else { "http" };
    let host = head.header("host").map_or_else(|| shared.address.to_string(), str::to_owned);
    let base = if state.uploads.absolute_location { format!("{scheme}://{host}") } else { String::new() };
    let place = match state.uploads.opaque_location {
        true => format!("{base}{OPAQUE_UPLOADS}{}/uploads/{id}", page.repository),
        false => format!("{base}/v2/{}/blobs/uploads/{id}", page.repository),
    };
    let length = state.content.uploads.get(id).map_or(0, Vec::len);
    let answer = Exchange::new(status)
        .with("Location", &format!("{place}?state={length}"))
        .with("Range", &format!("0-{}", length.saturating_sub(1)))
        .with("Docker-Upload-UUID", id);
    match state.uploads.chunk_bytes_min {
        0 => answer,
        smallest => answer.with("OCI-Chunk-Min-Length", &smallest.to_string()),
    }
}

fn upload(shared: &Shared, state: &mut State, head: &Head, page: &Page) -> Exchange {
    if !state.content.uploads.contains_key(&page.name) {
        return Exchange::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    }
    match head.method.as_str() {
        "GET" => at_upload(shared, state, head, (204, page, &page.name)),
        "PATCH" => at_upload(shared, state, head, (202, page, &page.name)),
        "DELETE" => {
            state.content.uploads.remove(&page.name);
            Exchange::new(204)
        }
        "PUT" => finish_upload(state, head, page),
        _ => Exchange::error(405, "UNSUPPORTED", "The operation is unsupported."),
    }
}

fn finish_upload(state: &mut State, head: &Head, page: &Page) -> Exchange {
    let digest = form(&head.query).into_iter().find(|(key, _)| key == "digest").map(|(_, value)| value);
    let bytes = state.content.uploads.remove(&page.name).unwrap_or_default();
    match digest {
        Some(digest) if has_digest(&bytes, &digest) => {
            state.content.put_blob_as(&page.repository, &digest, bytes);
            let location = format!("/v2/{}/blobs/{digest}", page.repository);
            Exchange::new(201).with("Location", &location).with("Docker-Content-Digest", &digest)
        }
        _ => Exchange::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content"),
    }
}
