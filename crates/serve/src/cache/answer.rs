//! Requests for copies, and their answers.

use std::fs::File;
use std::sync::Arc;

use dhow_base::{Error, Kind};
use dhow_spec::MediaType;
use dhow_spec::digest::Digest;
use hyper::header::HeaderName;
use hyper::{Method, Response, StatusCode, header};
use serde_json::json;

use super::fill::{Fill, State};
use super::lists::Listed;
use super::{Blob, Cache, Copied, Manifest};
use crate::blobs::{self, has_current};
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::manifests;
use crate::registry::{Call, Registry};
use crate::response::Answer;
use crate::route::{ManifestName, Route};
use crate::storage::Storage;

/// Which registry's content an answer holds (distribution spec, "Registry Proxying").
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// RFC 7234, section 5.5.1: what is served was not compared with the original.
const STALE: &str = "110 - \"Response is Stale\"";

impl<S: Storage> Registry<S> {
    /// What a request's repository is a copy of, if it is one.
    pub(crate) fn copied(&self, call: &Call, route: &Route) -> Outcome<Option<Copied>> {
        match (&self.cache, route.repository()) {
            (Some(cache), Some(repository)) => cache.names().find(repository, call.query.one("ns")?),
            _ => Ok(None),
        }
    }

    /// Answers a request for a copy.
    pub(crate) async fn answer_with_copy(&self, call: &Call, route: Route, copied: &Copied) -> Outcome<Response<Body>> {
        let Some(cache) = &self.cache else { return Err(Failure::missing(Code::NameUnknown, "there are no copies")) };
        if !matches!(call.method, Method::GET | Method::HEAD) {
            let message = format!("{} is a copy of {}: it can only be read", copied.name, copied.original.name());
            return Err(Failure::method("GET, HEAD", &message));
        }
        let mut response = match route {
            Route::Manifest(_, name) => copied_manifest(cache, call, copied, &name).await,
            Route::Blob(_, digest) => copied_blob(cache, call, copied, &digest).await,
            Route::Tags(_) => self.copied_tags(cache, call, copied).await,
            Route::Referrers(_, subject) => copied_referrers(cache, call, copied, &subject).await,
            _ => Err(Failure::method("POST", "uploads are begun with POST")),
        }?;
        if call.query.one("ns")?.is_some()
            && let Ok(registry) = copied.registry.parse()
        {
            response.headers_mut().insert(NAMESPACE, registry);
        }
        Ok(response)
    }

    async fn copied_tags(&self, cache: &Cache, call: &Call, copied: &Copied) -> Outcome<Response<Body>> {
        let found = cache.tags(copied).await.map_err(|error| refused(copied, error))?;
        let Listed { list, is_stale } = found.ok_or_else(|| {
            let detail = json!({ "name": copied.asked.as_str() });
            Failure::missing(Code::NameUnknown, "repository name not known to registry").with_detail(detail)
        })?;
        let (answer, tags) = self.page(call, &format!("/v2/{}/tags/list", copied.asked), list)?;
        Ok(warned(answer, is_stale).json("application/json", &json!({ "name": copied.asked.as_str(), "tags": tags })))
    }
}

/// Says of an answer that it may be an old one.
fn warned(answer: Answer, is_stale: bool) -> Answer {
    if is_stale { answer.header(header::WARNING, STALE) } else { answer }
}

async fn copied_manifest(cache: &Cache, call: &Call, copied: &Copied, name: &ManifestName) -> Outcome<Response<Body>> {
    let found = match name {
        ManifestName::Tag(tag) => cache.tagged(copied, tag).await,
        ManifestName::Digest(digest) => cache.manifest(copied, digest).await,
    };
    let found = found.map_err(|error| refused(copied, error))?;
    let Manifest { digest, media_type, held, is_stale } =
        found.ok_or_else(|| manifests::unknown(&copied.asked, name))?;
    let answer = |status| warned(Answer::new(status).digest(&digest).entity_tag(&digest), is_stale);
    if has_current(call, &digest) {
        return answer(StatusCode::NOT_MODIFIED).done();
    }
    let answer = answer(StatusCode::OK).header(header::CONTENT_TYPE, media_type).length(held.size);
    if call.is_head() {
        return answer.done();
    }
    let body = Body::file(held.file, 0..held.size, call.kernel.as_ref())
        .map_err(|error| Error::io(format_args!("cannot read manifest {digest}"), error))?;
    Ok(answer.body(body))
}

async fn copied_blob(cache: &Arc<Cache>, call: &Call, copied: &Copied, digest: &Digest) -> Outcome<Response<Body>> {
    let unknown = || blobs::unknown(digest);
    if call.is_head() {
        let size = cache.blob_size(copied, digest).await.map_err(|error| refused(copied, error))?;
        let answer = blobs::answer(StatusCode::OK, digest).header(header::CONTENT_TYPE, blobs::MEDIA_TYPE);
        // A length that the registry did not say is not made up.
        return match size.ok_or_else(unknown)? {
            0 => answer.done(),
            size => answer.length(size).done(),
        };
    }
    match cache.blob(copied, digest).await.map_err(|error| refused(copied, error))?.ok_or_else(unknown)? {
        Blob::Held(held) => send_file(call, digest, held.file, held.size),
        Blob::Arriving(fill) => send_arriving(call, copied, digest, fill).await,
    }
}

/// Sends a blob that is in a file.
pub(crate) fn send_file(call: &Call, digest: &Digest, file: Arc<File>, size: u64) -> Outcome<Response<Body>> {
    if has_current(call, digest) {
        return blobs::answer(StatusCode::NOT_MODIFIED, digest).done();
    }
    let (answer, range) = blobs::head(call, digest, size)?;
    if call.is_head() {
        return answer.done();
    }
    let body = Body::file(file, range, call.kernel.as_ref())
        .map_err(|error| Error::io(format_args!("cannot read blob {digest}"), error))?;
    Ok(answer.body(body))
}

/// Sends a blob that is still on its way.
async fn send_arriving(call: &Call, copied: &Copied, digest: &Digest, mut fill: Fill) -> Outcome<Response<Body>> {
    if has_current(call, digest) {
        return blobs::answer(StatusCode::NOT_MODIFIED, digest).done();
    }
    let size = fill.begun().await.size;
    if size == Some(0) {
        // Nothing of it could be held back until it is proven.
        if let State::Failed(error) = fill.ended().await {
            return Err(refused(copied, Error::new(error.kind(), error.to_string())));
        }
    }
    let Some(size) = size else {
        let answer = blobs::answer(StatusCode::OK, digest).header(header::CONTENT_TYPE, blobs::MEDIA_TYPE);
        return Ok(answer.body(Body::arriving(fill.read(None), None)));
    };
    let (answer, range) = blobs::head(call, digest, size)?;
    let length = range.end - range.start;
    Ok(answer.body(Body::arriving(fill.read(Some(range)), Some(length))))
}

async fn copied_referrers(cache: &Cache, call: &Call, copied: &Copied, subject: &Digest) -> Outcome<Response<Body>> {
    let filter = call.query.one("artifactType")?.filter(|filter| !filter.is_empty());
    let found = cache.referrers(copied, subject, filter).await;
    let Listed { list, is_stale } = found.map_err(|error| refused(copied, error))?;
    let mut answer = warned(Answer::new(StatusCode::OK), is_stale);
    if filter.is_some() {
        answer = answer.header(crate::response::FILTERS_APPLIED, "artifactType");
    }
    let media_type = MediaType::OciIndex.as_str();
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": list });
    Ok(answer.json(media_type, &index))
}

/// A failure of the registry that has the original. What it said goes to the log: it may tell of accounts.
fn refused(copied: &Copied, error: Error) -> Box<Failure> {
    let Copied { registry, original, .. } = copied;
    tracing::warn!(registry, repository = original.path(), %error, "a copy cannot be had");
    let (status, code, message) = match error.kind() {
        Kind::Denied | Kind::Unauthorized => {
            (StatusCode::FORBIDDEN, Code::Denied, format!("{registry} refuses access to {}", original.path()))
        }
        Kind::RateLimited => {
            (StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, format!("{registry} asks to slow down"))
        }
        Kind::Corrupt => {
            (StatusCode::BAD_GATEWAY, Code::Unknown, format!("{registry} sent something else than it was asked for"))
        }
        Kind::LimitExceeded => {
            (StatusCode::BAD_GATEWAY, Code::SizeInvalid, format!("what {registry} has is larger than the limit"))
        }
        Kind::NoSpace | Kind::Io | Kind::Internal => return error.into(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, format!("{registry} cannot be reached")),
    };
    Failure::new(status, code, message)
}
