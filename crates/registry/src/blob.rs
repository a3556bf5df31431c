//! Reading blobs and documents, whole or in ranges.

use std::ops::Range;

use dhow_base::{Error, Kind, Result};
use dhow_content::{ByteStream, Parts};
use dhow_spec::Descriptor;
use dhow_spec::media_type::MANIFEST_ACCEPT;
use futures::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_RANGE, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode};

use crate::endpoint::Call;
use crate::exact::Exact;
use crate::remote::Remote;
use crate::transport::Answer;
use crate::validators::Validator;

/// A body of so many bytes is worth a connection of its own.
pub(crate) const BULK_BYTES_MIN: u64 = 8 << 20;

/// So is a part of so many bytes of a blob that comes in parts: others of it are under way beside it.
const PART_BYTES_MIN: u64 = 1 << 20;

/// How a blob is best fetched from this registry.
pub(crate) fn parts(remote: &Remote, descriptor: &Descriptor) -> Parts {
    let policy = &remote.client.transport().options.parts;
    let in_parts = descriptor.size >= policy.blob_bytes_min
        && !remote.endpoint.ignores_ranges()
        && (policy.loopback || !remote.endpoint.is_loopback());
    if in_parts { Parts { size: policy.size, at_once: policy.at_once } } else { Parts::WHOLE }
}

/// Opens a range of a blob or document.
pub(crate) async fn read(remote: &Remote, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
    let (digest, size) = (&descriptor.digest, descriptor.size);
    if range.end > size || range.start > range.end {
        let message = format!("range {}-{} is outside of {digest} ({size} bytes)", range.start, range.end);
        return Err(Error::new(Kind::Internal, message));
    }
    if range.is_empty() {
        return Ok(futures::stream::empty().boxed());
    }
    let is_whole = range == (0..size);
    let mut wanted = if is_whole { None } else { remote.validators.get(digest) };
    let (answer, skip) = loop {
        let answer = remote.send(&call(remote, descriptor, &range, wanted.as_ref())?).await?;
        match answer.status() {
            StatusCode::OK => {
                check_length(&answer, descriptor)?;
                if let Some(wanted) = wanted.take_if(|wanted| Validator::of(&answer).as_ref() != Some(wanted)) {
                    remote.validators.contradicted(digest, &wanted, &answer)?;
                    // The whole of what may be the same blob after all: the part is asked for without a condition.
                    continue;
                }
                if !is_whole {
                    tracing::debug!(domain = remote.endpoint.domain(), "the registry has no ranges");
                    remote.endpoint.note_ignored_range();
                }
                break (answer, range.start);
            }
            StatusCode::PARTIAL_CONTENT if !is_whole => {
                check_range(&answer, descriptor, &range)?;
                if let (Some(wanted), Some(found)) = (&wanted, Validator::of(&answer))
                    && found.is_other(wanted)
                {
                    remote.validators.contradicted(digest, wanted, &answer)?;
                }
                break (answer, 0);
            }
            status => return Err(refused(remote, descriptor, answer, status).await),
        }
    };
    remote.validators.note(digest, &answer);
    let is_cut = answer.status() == StatusCode::OK && !is_whole;
    let stream = answer.stream(remote.client.transport().options.body_patience);
    let length = range.end - range.start;
    Ok(Exact::new(stream, digest.clone(), length).skipping(skip, is_cut).boxed())
}

/// The request for a range of a blob or document, on the condition that it is of that entity.
fn call(remote: &Remote, descriptor: &Descriptor, range: &Range<u64>, wanted: Option<&Validator>) -> Result<Call> {
    let kind = if descriptor.media_type.is_document() { "manifests" } else { "blobs" };
    let mut call = remote.call(Method::GET, &format!("{kind}/{}", descriptor.digest));
    if kind == "manifests" {
        for media_type in MANIFEST_ACCEPT {
            call.headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
    }
    let length = range.end - range.start;
    let is_part = length >= PART_BYTES_MIN && length < descriptor.size && parts(remote, descriptor).at_once > 1;
    call.bulk = is_part || length >= BULK_BYTES_MIN;
    if length < descriptor.size {
        let value = format!("bytes={}-{}", range.start, range.end - 1);
        call.headers.insert(RANGE, HeaderValue::try_from(value).map_err(|error| internal(&error))?);
        if let Some(wanted) = wanted {
            call.headers.insert(IF_RANGE, wanted.value());
        }
    }
    Ok(call)
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Internal, format!("cannot form a request: {error}"))
}

fn check_length(answer: &Answer, descriptor: &Descriptor) -> Result<()> {
    match answer.content_length() {
        Some(length) if length != descriptor.size => {
            let (digest, size) = (&descriptor.digest, descriptor.size);
            let message =
                format!("{digest} has {size} bytes according to its manifest, the registry announces {length}");
            Err(Error::new(Kind::Corrupt, message))
        }
        _ => Ok(()),
    }
}

/// `Content-Range: bytes 5-9/100` must say what was asked for (RFC 9110 §14.4). It may end earlier: the rest is asked for again.
fn check_range(answer: &Answer, descriptor: &Descriptor, asked: &Range<u64>) -> Result<()> {
    let text = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
    let fits = parse_content_range(text).is_some_and(|(first, last, total)| {
        first == asked.start && last < asked.end && total.is_none_or(|total| total == descriptor.size)
    });
    if fits {
        return Ok(());
    }
    let digest = &descriptor.digest;
    let message = format!("{digest}: bytes {}-{} were asked for, the answer has {text:?}", asked.start, asked.end - 1);
    Err(Error::new(Kind::Corrupt, message))
}

pub(crate) fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first.parse().ok()?, last.parse().ok()?, total))
}

async fn refused(remote: &Remote, descriptor: &Descriptor, answer: Answer, status: StatusCode) -> Error {
    let digest = &descriptor.digest;
    if status == StatusCode::NOT_FOUND && !descriptor.urls.is_empty() {
        let message =
            format!("layer {digest} is not kept by the registry but by another server, which dhow does not ask");
        return Error::new(Kind::Unsupported, message);
    }
    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
        let message = format!("{digest}: the registry answered {status} to a request for its bytes");
        return Error::new(Kind::Corrupt, message);
    }
    answer.wire_error().await.into_error(remote.endpoint.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 5-9/100"), Some((5, 9, Some(100))));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some((0, 0, None)));
        for text in ["", "bytes */100", "bytes 5-/100", "5-9/100", "bytes 5-9", "bytes -1-9/10"] {
            assert_eq!(parse_content_range(text), None, "{text:?}");
        }
    }
}
