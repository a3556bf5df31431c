//! What registries and the way to them answer when they fail, in the words docker has for it.

use dhow_base::{Error, Kind};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::challenge::challenges;
use crate::config::certs;
use crate::courtesy::refusal;
use crate::json_problem::json_problem;

/// Characters of a foreign body that a message may repeat.
const BODY_SHOWN_MAX: usize = 1024;

/// The codes that docker knows (distribution, `registry/api/errcode` and `registry/api/v2/errors.go`).
const REGISTERED: [&str; 18] = [
    "UNKNOWN",
    "UNSUPPORTED",
    "UNAUTHORIZED",
    "DENIED",
    "UNAVAILABLE",
    "TOOMANYREQUESTS",
    "DIGEST_INVALID",
    "SIZE_INVALID",
    "NAME_INVALID",
    "TAG_INVALID",
    "NAME_UNKNOWN",
    "MANIFEST_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNVERIFIED",
    "MANIFEST_BLOB_UNKNOWN",
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
];

/// One entry of a registry's error body (distribution spec, "Error Codes").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Such as `MANIFEST_UNKNOWN`.
    pub code: String,
    /// The registry's text.
    pub message: String,
    /// Whether the code says it all: there is no detail, and the message is the one that goes with the code.
    is_bare: bool,
}

impl Diagnostic {
    fn new(code: &str, message: &str) -> Self {
        let code = if code.is_empty() { "UNKNOWN" } else { code };
        let message = if message.is_empty() { default_message(code) } else { message };
        Self { code: printable(code), message: printable(message), is_bare: false }
    }

    /// The code as docker knows it.
    fn known_code(&self) -> &str {
        if REGISTERED.contains(&self.code.as_str()) { &self.code } else { "UNKNOWN" }
    }

    /// `<code in lower case with spaces>: <message>`, as docker prints it; the code alone where it says it all (distribution,
    /// `errcode.Errors.UnmarshalJSON`). Codes that docker does not know are `unknown` there.
    fn text(&self) -> String {
        let code = self.known_code().to_lowercase().replace('_', " ");
        if self.is_bare { code } else { format!("{code}: {}", self.message) }
    }
}

/// A failed answer of a registry, read and understood as far as it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What the body (and the challenge) say, never empty when the body was a registry's.
    pub diagnostics: Vec<Diagnostic>,
    /// The whole message where there are no diagnostics.
    text: String,
    /// What the headers say of a limit that was reached.
    limit: Option<String>,
    /// Whether nobody is let in without a client certificate.
    wants_certificate: bool,
}

impl WireError {
    /// Reads a failed answer. `body` is limited by the caller.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        if !status.is_client_error() {
            return Self {
                status,
                diagnostics: Vec::new(),
                text: format!("received unexpected HTTP status: {status}"),
                limit: None,
                wants_certificate: false,
            };
        }
        let (mut diagnostics, problem) = read_body(status, body);
        if let Some(refused) = bearer_error(headers) {
            // What the token lacks says more than the body that goes with it.
            diagnostics = vec![refused];
        }
        if diagnostics.is_empty() {
            diagnostics.extend(implied(status, body));
        }
        let text = match problem {
            // Proxies answer so, with a page for people.
            Some(_) if status == StatusCode::PAYLOAD_TOO_LARGE => {
                "413 Request Entity Too Large: the registry, or a proxy before it, takes no requests of this length"
                    .to_owned()
            }
            // So does nginx when it asks for a client certificate.
            Some(_) if wants_certificate(body) => "400 Bad Request: no required TLS certificate was sent".to_owned(),
            Some(problem) => {
                let shown: String = String::from_utf8_lossy(body).chars().take(BODY_SHOWN_MAX).collect();
                format!("error parsing HTTP {} response body: {problem}: {shown:?}", status.as_u16())
            }
            None => format!("received unexpected HTTP status: {status}"),
        };
        let limit = (status == StatusCode::TOO_MANY_REQUESTS).then(|| refusal(headers)).flatten();
        let wants_certificate = diagnostics.is_empty() && wants_certificate(body);
        Self { status, diagnostics, text, limit, wants_certificate }
    }

    /// A failed answer of a host other than the registry (such as a redirect's target): its body is not repeated, since
    /// object stores put signatures into theirs.
    pub(crate) fn foreign(status: StatusCode, host: &str) -> Self {
        let text = format!("received unexpected HTTP status: {status} (from {host})");
        Self { status, diagnostics: Vec::new(), text, limit: None, wants_certificate: false }
    }

    /// The first code, which decides what the answer means.
    pub fn code(&self) -> Option<&str> {
        self.diagnostics.first().map(|diagnostic| diagnostic.code.as_str())
    }

    /// Whether the first code is `code`.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code() == Some(code)
    }

    /// The message in docker's form.
    pub fn message(&self) -> String {
        let message = self.own_message();
        match &self.limit {
            Some(limit) => format!("{message} ({limit})"),
            None => message,
        }
    }

    fn own_message(&self) -> String {
        match self.diagnostics.as_slice() {
            [] => self.text.clone(),
            [only] => only.text(),
            several => {
                let lines: Vec<String> = several.iter().map(Diagnostic::text).collect();
                format!("errors:\n{}", lines.join("\n"))
            }
        }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self.code() {
            Some("UNAUTHORIZED") => Kind::Unauthorized,
            Some("DENIED") => Kind::Denied,
            Some("TOOMANYREQUESTS") => Kind::RateLimited,
            Some("UNSUPPORTED") => Kind::Unsupported,
            Some("MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_BLOB_UNKNOWN") => Kind::NotFound,
            Some("BLOB_UPLOAD_UNKNOWN") => Kind::Unavailable,
            Some("DIGEST_INVALID" | "SIZE_INVALID") => Kind::Corrupt,
            _ => self.kind_of_status(),
        }
    }

    fn kind_of_status(&self) -> Kind {
        match self.status.as_u16() {
            _ if self.wants_certificate => Kind::Denied,
            401 => Kind::Unauthorized,
            403 => Kind::Denied,
            404 | 410 => Kind::NotFound,
            405 | 501 => Kind::Unsupported,
            408 => Kind::Unavailable,
            413 => Kind::LimitExceeded,
            429 => Kind::RateLimited,
            499 => Kind::Unavailable,
            507 => Kind::NoSpace,
            500.. => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }

    /// As an [`Error`] with a hint that names `domain`, the registry as the user writes it.
    pub(crate) fn into_error(self, domain: &str) -> Error {
        let kind = self.kind();
        let error = Error::new(kind, self.message());
        match kind {
            _ if self.wants_certificate => error.with_hint(certs::wanted(domain)),
            Kind::Unauthorized => error.with_hint(format!("log in first: dhow login {domain}")),
            Kind::RateLimited => {
                error.with_hint(format!("wait a while, or log in for a higher limit: dhow login {domain}"))
            }
            Kind::Unavailable => error.with_hint(format!("the registry {domain} failed; try again later")),
            Kind::NoSpace => {
                error.with_hint(format!("free space on the storage of the registry {domain}, or have it freed"))
            }
            Kind::LimitExceeded => error.with_hint("let it take longer requests; nginx: client_max_body_size 0"),
            _ => error,
        }
    }
}

/// Whether a page is nginx's for a client without a certificate (`ngx_http_special_response.c`, error 496).
fn wants_certificate(body: &[u8]) -> bool {
    const TITLE: &[u8] = b"<title>400 No required SSL certificate was sent</title>";
    body.windows(TITLE.len()).take(BODY_SHOWN_MAX).any(|window| window == TITLE)
}

/// Reads `{"errors":[…]}` or the old `{"details":"…"}`; the text says what stood in the way of either.
fn read_body(status: StatusCode, body: &[u8]) -> (Vec<Diagnostic>, Option<String>) {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return (Vec::new(), Some(json_problem(body).unwrap_or_else(|| error.to_string()))),
    };
    if let Some(details) = value.get("details").and_then(Value::as_str).filter(|details| !details.is_empty()) {
        let code = match status.as_u16() {
            401 => "UNAUTHORIZED",
            403 => "DENIED",
            429 => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        };
        return (vec![Diagnostic::new(code, details)], None);
    }
    let entries = value.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let diagnostics: Vec<Diagnostic> = entries.iter().take(16).map(diagnostic).collect();
    let problem = diagnostics.is_empty().then(|| "no error details found in HTTP response body".to_owned());
    (diagnostics, problem)
}

fn diagnostic(entry: &Value) -> Diagnostic {
    let field = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    // Details are free-form and docker does not print them; a text is used where there is no message.
    let message = Some(field("message")).filter(|message| !message.is_empty()).unwrap_or(field("detail"));
    let detail = entry.get("detail").filter(|detail| !detail.is_null());
    let mut diagnostic = Diagnostic::new(field("code"), message);
    diagnostic.is_bare = detail.is_none() && message_is_default(&diagnostic, field("message"));
    diagnostic
}

fn message_is_default(diagnostic: &Diagnostic, message: &str) -> bool {
    message.is_empty() || message == default_message(diagnostic.known_code())
}

/// What a status says by itself. Answers to HEAD have no body that could say more.
fn implied(status: StatusCode, body: &[u8]) -> Option<Diagnostic> {
    match status.as_u16() {
        401 => Some(Diagnostic::new("UNAUTHORIZED", "")),
        403 if body.is_empty() => Some(Diagnostic::new("DENIED", "")),
        429 => Some(Diagnostic::new("TOOMANYREQUESTS", "")),
        _ => None,
    }
}

/// The `error` of a Bearer challenge (RFC 6750 §3.1).
fn bearer_error(headers: &HeaderMap) -> Option<Diagnostic> {
    challenges(headers).iter().filter(|challenge| challenge.scheme == "bearer").find_map(|challenge| {
        let code = match challenge.parameter("error")? {
            "invalid_token" => "UNAUTHORIZED",
            "insufficient_scope" => "DENIED",
            _ => return None,
        };
        Some(Diagnostic::new(code, challenge.parameter("error_description").unwrap_or_default()))
    })
}

/// The text that goes with a code that came without one (distribution spec; docker's registered messages).
fn default_message(code: &str) -> &'static str {
    match code {
        "UNSUPPORTED" => "The operation is unsupported.",
        "UNAUTHORIZED" => "authentication required",
        "DENIED" => "requested access to the resource is denied",
        "UNAVAILABLE" => "service unavailable",
        "TOOMANYREQUESTS" => "too many requests",
        "DIGEST_INVALID" => "provided digest did not match uploaded content",
        "SIZE_INVALID" => "provided length did not match content length",
        "NAME_INVALID" => "invalid repository name",
        "TAG_INVALID" => "manifest tag did not match URI",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "MANIFEST_UNKNOWN" => "manifest unknown",
        "MANIFEST_INVALID" => "manifest invalid",
        "MANIFEST_UNVERIFIED" => "manifest failed signature verification",
        "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" => "blob unknown to registry",
        "BLOB_UPLOAD_UNKNOWN" => "blob upload unknown to registry",
        "BLOB_UPLOAD_INVALID" => "blob upload invalid",
        _ => "unknown error",
    }
}

/// Control characters could rewrite the user's terminal.
fn printable(text: &str) -> String {
    text.chars().take(BODY_SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};

    use super::*;

    fn read(status: u16, body: &str) -> WireError {
        WireError::read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn docker_words_for_registry_errors() {
        let unknown =
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"nope"}}]}"#;
        for (status, body, kind, message) in [
            (404, unknown, Kind::NotFound, "manifest unknown: manifest unknown"),
            (401, "", Kind::Unauthorized, "unauthorized: authentication required"),
            (
                401,
                r#"{"details":"incorrect username or password"}"#,
                Kind::Unauthorized,
                "unauthorized: incorrect username or password",
            ),
            // Without a detail, the message that goes with the code adds nothing to it.
            (403, r#"{"errors":[{"code":"DENIED"}]}"#, Kind::Denied, "denied"),
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                Kind::NotFound,
                "manifest unknown",
            ),
            (
                404,
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":null}]}"#,
                Kind::NotFound,
                "name unknown",
            ),
            (
                404,
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing"}]}"#,
                Kind::NotFound,
                "name unknown: no such thing",
            ),
            (
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[]}]}"#,
                Kind::Unauthorized,
                "unauthorized: authentication required",
            ),
            (404, r#"{"errors":[{"code":"ODD","message":"unknown error"}]}"#, Kind::NotFound, "unknown"),
            (
                429,
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow"}]}"#,
                Kind::RateLimited,
                "toomanyrequests: slow",
            ),
            (429, "", Kind::RateLimited, "toomanyrequests: too many requests"),
            (403, "", Kind::Denied, "denied: requested access to the resource is denied"),
            (
                404,
                "<html>",
                Kind::NotFound,
                "error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: \"<html>\"",
            ),
            (
                404,
                "{}",
                Kind::NotFound,
                "error parsing HTTP 404 response body: no error details found in HTTP response body: \"{}\"",
            ),
            (
                413,
                "<html>nginx</html>",
                Kind::LimitExceeded,
                "413 Request Entity Too Large: the registry, or a proxy before it, takes no requests of this length",
            ),
            (
                400,
                "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>",
                Kind::Denied,
                "400 Bad Request: no required TLS certificate was sent",
            ),
            (503, "down", Kind::Unavailable, "received unexpected HTTP status: 503 Service Unavailable"),
            (
                400,
                r#"{"errors":[{"code":"A_B","message":"x"},{"code":"C","message":"y"}]}"#,
                Kind::Invalid,
                "errors:\nunknown: x\nunknown: y",
            ),
        ] {
            let error = read(status, body);
            assert_eq!((error.kind(), error.message().as_str()), (kind, message));
        }
    }

    #[test]
    fn a_full_registry_is_named_as_what_is_full() {
        let error = read(507, "{}").into_error("registry.example:5000");
        assert_eq!(error.kind(), Kind::NoSpace);
        assert!(error.hint().is_some_and(|hint| hint.contains("the registry registry.example:5000")), "{error:?}");
    }

    #[test]
    fn an_insufficient_scope_is_a_denial() {
        let header = r#"Bearer realm="https://a/t",error="insufficient_scope""#;
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(header))]);
        let error = WireError::read(StatusCode::UNAUTHORIZED, &headers, b"{}");
        assert_eq!(error.message(), "denied: requested access to the resource is denied");
        assert_eq!(error.kind(), Kind::Denied);
    }

    #[test]
    fn bodies_cannot_write_to_the_terminal() {
        let error = read(400, "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[2Jb\"}]}");
        assert_eq!(error.message(), "unknown: a [2Jb");
        assert!(read(404, &"<".repeat(100_000)).message().len() < 2000);
    }
}
