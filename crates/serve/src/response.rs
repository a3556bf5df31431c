//! Parts that many answers have.

use dhow_spec::digest::Digest;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode, header};

use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::name::RepositoryName;

pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(crate) const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(crate) const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// An answer being put together.
pub(crate) struct Answer(Response<Body>);

impl Answer {
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Self(response)
    }

    /// Adds a header; values are made of parsed input, and one that is no header value is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    pub(crate) fn digest(self, digest: &Digest) -> Self {
        self.header(CONTENT_DIGEST, digest.as_str())
    }

    /// The validator by which clients and proxies ask whether their copy is current.
    pub(crate) fn entity_tag(self, digest: &Digest) -> Self {
        self.header(header::ETAG, entity_tag(digest))
    }

    /// Announces `length` bytes of a body that is sent for a GET and left out for a HEAD.
    pub(crate) fn length(self, length: u64) -> Self {
        self.header(header::CONTENT_LENGTH, length.to_string())
    }

    pub(crate) fn body(mut self, body: Body) -> Response<Body> {
        *self.0.body_mut() = body;
        self.0
    }

    pub(crate) fn json(self, media_type: &str, value: &serde_json::Value) -> Response<Body> {
        self.header(header::CONTENT_TYPE, media_type).body(Body::full(value.to_string()))
    }

    /// Gives the headers to a failure.
    pub(crate) fn headers_into(self, failure: Box<Failure>) -> Box<Failure> {
        let headers = self.0.into_parts().0.headers;
        headers.into_iter().fold(failure, |failure, (name, value)| match name {
            Some(name) => failure.with_header(name, value),
            None => failure,
        })
    }

    /// Without a body.
    pub(crate) fn done(self) -> Outcome<Response<Body>> {
        Ok(self.0)
    }
}

pub(crate) fn entity_tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

pub(crate) fn blob_location(repository: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}
