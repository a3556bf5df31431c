//! Writing blobs: found there, mounted from another repository, or uploaded.

use std::ops::Range;
use std::sync::PoisonError;

use dhow_base::{Error, Kind, Result};
use dhow_content::Begin;
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest};
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::endpoint::{Call, Target};
use crate::host::{may_lead, shown};
use crate::quirks::UploadStyle;
use crate::remote::Remote;
use crate::resumption::Noted;
use crate::transport::Answer;

use crate::ingest::Upload;

/// Bytes after which an interrupted upload is worth asking for: below that, starting anew is as quick.
pub(crate) const RESUME_BYTES_MIN: u64 = 1 << 20;

/// An upload that was interrupted.
#[derive(Clone, Debug)]
pub(crate) struct Suspended {
    pub(crate) location: Url,
    /// Whether another run finds it too.
    pub(crate) is_noted: bool,
}

/// An open upload.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) location: Url,
    /// Bytes that the registry has.
    pub(crate) offset: u64,
    pub(crate) style: UploadStyle,
}

/// Begins a blob in the registry.
pub(crate) async fn begin(remote: &Remote, blob: &Descriptor) -> Result<Begin<Upload>> {
    if blob.media_type.is_foreign() && !blob.urls.is_empty() {
        // Its owner does not allow it to be distributed by others: registries take the manifest without it.
        return Ok(Begin::Present);
    }
    let permit = remote.endpoint.upload_permit(remote.client.transport()).await;
    let mut noted = if blob.size > RESUME_BYTES_MIN { remote.noted(&blob.digest) } else { Noted::default() };
    let suspended = remote.suspended.lock().unwrap_or_else(PoisonError::into_inner).remove(&blob.digest);
    let was_suspended = suspended.is_some();
    if let Some(suspended) = suspended
        && let Some(session) = resume(remote, blob, suspended.location).await?
    {
        return Ok(Begin::Write(Upload::new(remote.clone(), blob.clone(), session, (permit, noted))));
    }
    if exists(remote, &blob.digest).await? {
        noted.set(None);
        return Ok(Begin::Present);
    }
    // After a first request, which found out how the registry is spoken to.
    if let Some(left) = noted.location().cloned().filter(|_| !was_suspended)
        && let Ok(Some(session)) = resume(remote, blob, left).await
    {
        return Ok(Begin::Write(Upload::new(remote.clone(), blob.clone(), session, (permit, noted))));
    }
    noted.set(None);
    let session = match mount(remote, blob).await? {
        Mount::Done { from } => return Ok(Begin::Mounted { from }),
        Mount::Session(session) => session,
        Mount::Refused => open(remote, &blob.digest).await?,
    };
    Ok(Begin::Write(Upload::new(remote.clone(), blob.clone(), session, (permit, noted))))
}

/// Whether the registry has the blob in this repository.
pub(crate) async fn exists(remote: &Remote, digest: &Digest) -> Result<bool> {
    let answer = remote.send(&remote.call(Method::HEAD, &format!("blobs/{digest}"))).await?;
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(answer.wire_error().await.into_error(remote.endpoint.domain()));
    }
    // Any other refusal is repeated, with a body that explains it, by the upload that follows.
    Ok(status.is_success())
}

enum Mount {
    Done {
        from: String,
    },
    /// The registry does not mount and opened an upload instead.
    Session(Session),
    Refused,
}

/// Asks for the blob to be mounted from repositories that are known to have it.
async fn mount(remote: &Remote, blob: &Descriptor) -> Result<Mount> {
    // The newest is the likeliest; asking for many costs a request each.
    const TRIED_MAX: usize = 2;
    for source in remote.mount_sources(&blob.digest).take(TRIED_MAX) {
        let page = format!("blobs/uploads/?mount={}&from={}", blob.digest, source.path());
        let mut call = remote.call(Method::POST, &page);
        call.scopes.push(format!("repository:{}:pull", source.path()));
        let answer = match remote.send(&call).await {
            Ok(answer) => answer,
            Err(error) if matches!(error.kind(), Kind::Unauthorized | Kind::Denied) => {
                tracing::debug!(digest = %blob.digest, from = source.path(), %error, "not mounted");
                continue;
            }
            Err(error) => return Err(error),
        };
        match answer.status() {
            StatusCode::CREATED => return Ok(Mount::Done { from: source.path().to_owned() }),
            StatusCode::ACCEPTED => return Ok(Mount::Session(session(remote, &answer)?)),
            status => {
                tracing::debug!(digest = %blob.digest, from = source.path(), status = status.as_u16(), "not mounted")
            }
        }
    }
    Ok(Mount::Refused)
}

/// Opens an upload.
async fn open(remote: &Remote, digest: &Digest) -> Result<Session> {
    let page = match digest.algorithm() {
        Algorithm::Sha256 => "blobs/uploads/".to_owned(),
        // Registries must know before they hash (distribution spec 1.1, "Pushing blobs").
        other => format!("blobs/uploads/?digest-algorithm={}", other.as_str()),
    };
    let answer = remote.send(&remote.call(Method::POST, &page)).await?;
    match answer.status() {
        StatusCode::ACCEPTED => session(remote, &answer),
        StatusCode::CREATED => {
            Err(Error::new(Kind::Corrupt, format!("{}: an upload was finished before it began", shown(&answer.url))))
        }
        _ => Err(answer.wire_error().await.into_error(remote.endpoint.domain())),
    }
}

/// The session that an answer opened: where it is, and how the registry wants the bytes.
fn session(remote: &Remote, answer: &Answer) -> Result<Session> {
    let location = location(answer)?;
    let smallest = answer.header("oci-chunk-min-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let style = match remote.endpoint.upload_style() {
        UploadStyle::Chunks(size) => UploadStyle::Chunks(size.max(smallest)),
        style => style,
    };
    Ok(Session { location, offset: 0, style })
}

/// Where the next request of an upload goes.
///
/// The registry may send it anywhere outwards; credentials only go along when it is the registry itself (CVE-2026-50151).
/// Behind a proxy that ends TLS, registries often call themselves `http`: then the registry's own origin is meant.
pub(crate) fn location(answer: &Answer) -> Result<Url> {
    let refused = |why: String| Err(Error::new(Kind::Denied, format!("{}: {why}", shown(&answer.url))));
    let Some(mut target) = answer.location()? else {
        let message = format!("{}: the registry did not say where to upload to (no Location)", shown(&answer.url));
        return Err(Error::new(Kind::Corrupt, message));
    };
    if answer.url.scheme() == "https" && target.scheme() == "http" {
        if target.host() != answer.url.host() || target.port().is_some() {
            return refused(format!("the upload to {} is refused: it leaves HTTPS", shown(&target)));
        }
        let _ = target.set_scheme("https");
        let _ = target.set_port(answer.url.port());
    }
    if !may_lead(&answer.url, &target) {
        return refused(format!("the upload to {} is refused: the address is in a private network", shown(&target)));
    }
    Ok(target)
}

/// Goes on with an interrupted upload, from the byte that the registry says it has.
async fn resume(remote: &Remote, blob: &Descriptor, left: Url) -> Result<Option<Session>> {
    let call = Call::new(Method::GET, Target::Url(left.clone()), remote.scopes());
    let answer = remote.send(&call).await?;
    let offset = if answer.status().is_success() { stated_offset(&answer) } else { None };
    match offset {
        Some(offset) if offset > 0 && offset <= blob.size => {
            tracing::debug!(digest = %blob.digest, offset, "going on with an interrupted upload");
            let location = if answer.header("location").is_some() { location(&answer)? } else { left };
            let style = match remote.endpoint.upload_style() {
                // A PUT would have to bring the whole blob.
                UploadStyle::Put => UploadStyle::Patch,
                style => style,
            };
            Ok(Some(Session { location, offset, style }))
        }
        _ => {
            cancel(remote, left).await;
            Ok(None)
        }
    }
}

/// How many bytes the registry has: `Range: 0-<last>` (distribution spec, "Pushing a blob in chunks").
pub(crate) fn stated_offset(answer: &Answer) -> Option<u64> {
    offset_of(answer.header(RANGE.as_str())?)
}

pub(crate) fn offset_of(range: &str) -> Option<u64> {
    let (first, last) = range.trim().trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.parse().ok()?;
    // "0-0" is what registries say for one byte and for none; it is taken for none, and the byte sent again.
    (first == "0").then(|| if last == 0 { 0 } else { last.saturating_add(1) })
}

/// Tells the registry to forget an upload. Failures do not matter: it forgets by itself after a while.
pub(crate) async fn cancel(remote: &Remote, location: Url) {
    let mut call = Call::new(Method::DELETE, Target::Url(location), remote.scopes());
    call.gated = false;
    if let Err(error) = remote.send(&call).await {
        tracing::debug!(%error, "the upload was not cancelled");
    }
}

pub(crate) async fn cancel_all(remote: &Remote) {
    let suspended: Vec<Suspended> = {
        let mut all = remote.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        all.drain().map(|(_, suspended)| suspended).filter(|suspended| !suspended.is_noted).collect()
    };
    for upload in suspended {
        cancel(remote, upload.location).await;
    }
}

/// The `Content-Range` of a chunk: without `bytes`, unlike RFC 9110 (distribution spec, "Pushing a blob in chunks").
pub(crate) fn content_range(range: &Range<u64>) -> String {
    format!("{}-{}", range.start, range.end.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_from_ranges() {
        assert_eq!(offset_of("0-99"), Some(100));
        assert_eq!(offset_of("bytes=0-99"), Some(100));
        assert_eq!(offset_of("0-0"), Some(0));
        assert_eq!(offset_of("5-9"), None);
        assert_eq!(offset_of("0--1"), None);
        assert_eq!(offset_of(""), None);
    }
}
