//! Blobs that are there (distribution spec, "Pulling blobs" and "Deleting Blobs").

use std::ops::Range;

use dhow_spec::digest::Digest;
use hyper::{Response, StatusCode, header};
use serde_json::json;

use crate::access::Action;
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;
use crate::range::{Requested, requested};
use crate::registry::{Call, Registry};
use crate::response::{Answer, entity_tag};
use crate::storage::Storage;

/// Content never changes under its digest.
const CACHE_FOR_EVER: &str = "max-age=31536000, immutable";

/// What blobs are sent as.
pub(crate) const MEDIA_TYPE: &str = "application/octet-stream";

impl<S: Storage> Registry<S> {
    pub(crate) async fn get_blob(
        &self,
        call: &Call,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Outcome<Response<Body>> {
        let found = match call.is_head() && call.permit.allows(Action::Push, repository) {
            true => self.storage.blob_to_use(repository, digest).await,
            false => self.storage.blob(repository, digest).await,
        };
        let object = found?.ok_or_else(|| unknown(digest))?;
        if has_current(call, digest) {
            return answer(StatusCode::NOT_MODIFIED, digest).done();
        }
        let (answer, range) = head(call, digest, object.size)?;
        if call.is_head() {
            return answer.done();
        }
        let read = object.body(range, call.kernel.as_ref()).await;
        Ok(answer.body(read.map_err(|error| error.context(format_args!("cannot read blob {digest}")))?))
    }

    pub(crate) async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Response<Body>> {
        let _deleting = self.locks.deleting(repository).await;
        match self.storage.delete_blob(repository, digest).await? {
            true => Answer::new(StatusCode::ACCEPTED).digest(digest).done(),
            false => Err(unknown(digest)),
        }
    }
}

/// What all answers say of a blob.
pub(crate) fn answer(status: StatusCode, digest: &Digest) -> Answer {
    Answer::new(status)
        .digest(digest)
        .entity_tag(digest)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, CACHE_FOR_EVER)
}

/// The head of an answer with the bytes of a blob, and which of its `size` bytes follow.
pub(crate) fn head(call: &Call, digest: &Digest, size: u64) -> Outcome<(Answer, Range<u64>)> {
    let (status, range) = match wanted(call, digest, size) {
        Requested::Everything => (StatusCode::OK, 0..size),
        Requested::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Requested::Unsatisfiable => return Err(unsatisfiable(size)),
    };
    let mut answer = answer(status, digest).header(header::CONTENT_TYPE, MEDIA_TYPE).length(range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        answer = answer.header(header::CONTENT_RANGE, part);
    }
    Ok((answer, range))
}

/// Whether the client has the content already (RFC 9110, section 13.1.2).
pub(crate) fn has_current(call: &Call, digest: &Digest) -> bool {
    let current = entity_tag(digest);
    call.header(header::IF_NONE_MATCH).is_some_and(|given| {
        given.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == current || tag == "*")
    })
}

/// A range counts only when the client's `If-Range`, if there is one, names this content (RFC 9110, section 13.1.5).
fn wanted(call: &Call, digest: &Digest, size: u64) -> Requested {
    match (call.header(header::RANGE), call.header(header::IF_RANGE)) {
        (Some(_), Some(condition)) if condition != entity_tag(digest) => Requested::Everything,
        (Some(range), _) => requested(range, size),
        (None, _) => Requested::Everything,
    }
}

fn unsatisfiable(size: u64) -> Box<Failure> {
    let message = format!("the blob has {size} bytes, and none in the range");
    Answer::new(StatusCode::RANGE_NOT_SATISFIABLE)
        .header(header::CONTENT_RANGE, format!("bytes */{size}"))
        .headers_into(Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, message))
}

pub(crate) fn unknown(digest: &Digest) -> Box<Failure> {
    Failure::missing(Code::BlobUnknown, "blob unknown to registry").with_detail(json!(digest.as_str()))
}
