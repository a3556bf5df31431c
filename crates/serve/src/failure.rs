//! Failures as clients see them: a status, a code of the distribution spec and a sentence ("Error Codes").

use dhow_base::{Error, Kind};
use dhow_spec::digest::DigestError;
use dhow_spec::document::DocumentError;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::body::Body;
use crate::query::QueryError;
use crate::route::RouteError;

/// An error code of the distribution spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TooManyRequests,
    Unauthorized,
    /// Not of the specification: another registry, whose content this one copies, cannot be reached. Docker's word.
    Unavailable,
    Unsupported,
    /// Not of the specification, which names codes for 4xx only: the server is at fault. Docker's word.
    Unknown,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Code::BlobUnknown => "BLOB_UNKNOWN",
            Code::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Code::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Code::Denied => "DENIED",
            Code::DigestInvalid => "DIGEST_INVALID",
            Code::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Code::ManifestInvalid => "MANIFEST_INVALID",
            Code::ManifestUnknown => "MANIFEST_UNKNOWN",
            Code::NameInvalid => "NAME_INVALID",
            Code::NameUnknown => "NAME_UNKNOWN",
            Code::SizeInvalid => "SIZE_INVALID",
            Code::TooManyRequests => "TOOMANYREQUESTS",
            Code::Unauthorized => "UNAUTHORIZED",
            Code::Unavailable => "UNAVAILABLE",
            Code::Unsupported => "UNSUPPORTED",
            Code::Unknown => "UNKNOWN",
        }
    }
}

/// One refused request.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: Code,
    message: String,
    detail: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Error>,
}

/// `Result` with a [`Failure`].
pub(crate) type Outcome<T> = Result<T, Box<Failure>>;

impl Failure {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { status, code, message: message.into(), detail: None, headers: Vec::new(), cause: None })
    }

    /// Status 400.
    pub(crate) fn bad(code: Code, message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Status 404.
    pub(crate) fn missing(code: Code, message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// Status 405, with the methods that the address does take.
    pub(crate) fn method(allow: &'static str, message: &str) -> Box<Self> {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
            .with_header(header::ALLOW, HeaderValue::from_static(allow))
    }

    pub(crate) fn with_detail(mut self: Box<Self>, detail: Value) -> Box<Self> {
        self.detail = Some(detail);
        self
    }

    pub(crate) fn with_header(mut self: Box<Self>, name: HeaderName, value: HeaderValue) -> Box<Self> {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_headers(self) -> Vec<(HeaderName, HeaderValue)> {
        self.headers
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// What went wrong inside, which is logged and never sent: it may hold paths.
    pub(crate) fn cause(&self) -> Option<&Error> {
        self.cause.as_ref()
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut entry = json!({ "code": self.code.as_str(), "message": self.message });
        if let Some(detail) = self.detail {
            entry["detail"] = detail;
        }
        let body = json!({ "errors": [entry] }).to_string();
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        add_headers(&mut response, self.headers);
        response
    }
}

/// Adds headers, of which there may be several of one name.
pub(crate) fn add_headers(response: &mut Response<Body>, headers: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
}

impl From<Error> for Box<Failure> {
    fn from(error: Error) -> Self {
        let mut failure = match error.kind() {
            Kind::NoSpace => {
                let message = "no space left on the registry's storage";
                Failure::new(StatusCode::INSUFFICIENT_STORAGE, Code::Unknown, message)
            }
            // Only uploads are written on a condition whose failure a client can do something about.
            Kind::Conflict => {
                let message = "another server has taken over this upload";
                return Failure::new(StatusCode::CONFLICT, Code::BlobUploadInvalid, message);
            }
            _ => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, "the registry's storage failed"),
        };
        failure.cause = Some(error);
        failure
    }
}

impl From<RouteError> for Box<Failure> {
    fn from(error: RouteError) -> Self {
        let message = error.to_string();
        match error {
            RouteError::Unknown => Failure::missing(Code::Unsupported, message),
            RouteError::Name(_) => Failure::bad(Code::NameInvalid, message),
            RouteError::Tag(_) => Failure::bad(Code::ManifestInvalid, message),
            RouteError::Digest { .. } => Failure::bad(Code::DigestInvalid, message),
            RouteError::UploadId => Failure::missing(Code::BlobUploadUnknown, message),
        }
    }
}

impl From<QueryError> for Box<Failure> {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::Repeated("digest" | "mount" | "digest-algorithm") => Failure::bad(Code::DigestInvalid, message),
            QueryError::Repeated("from") => Failure::bad(Code::NameInvalid, message),
            _ => Failure::bad(Code::Unsupported, message),
        }
    }
}

impl From<DigestError> for Box<Failure> {
    fn from(error: DigestError) -> Self {
        Failure::bad(Code::DigestInvalid, error.to_string())
    }
}

impl From<DocumentError> for Box<Failure> {
    fn from(error: DocumentError) -> Self {
        let status = match &error {
            DocumentError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Failure::new(status, Code::ManifestInvalid, error.to_string())
    }
}
