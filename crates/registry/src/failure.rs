//! A request that got no answer: what happened, in the words Go's HTTP client (and so docker) has for it.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use dhow_base::error::words;
use dhow_base::{Error, Kind};
use reqwest::Method;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use url::{Host, Url};

use crate::config::certs;
use crate::host::{literal_address, shown};
use crate::transport::Attempt;

/// Why there is no answer, with what the sender decides on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether no connection came about (name, TCP or TLS): nothing was sent.
    pub(crate) is_connect: bool,
    /// Whether somebody was there: a connection, or a handshake over it, that was broken off in the middle.
    pub(crate) was_met: bool,
    /// Whether the way to the other side failed, and not a check made here.
    pub(crate) is_transport: bool,
}

impl Failure {
    /// Whether sending again may help.
    pub(crate) fn may_pass(&self) -> bool {
        self.error.kind().is_transient()
    }

    /// Whether nobody is there, as far as one can tell: the name or the port is wrong more often than a host is just starting.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_connect && !self.was_met
    }

    /// The other side took the request and said nothing for too long.
    pub(crate) fn silence(attempt: &Attempt, patience: Duration) -> Self {
        let message = format!("{}: no answer for {} seconds", prefix(attempt, false), patience.as_secs());
        Self { error: Error::new(Kind::Unavailable, message), is_connect: false, was_met: true, is_transport: true }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_connect: false, was_met: false, is_transport: false }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Puts a transport error into words. Looks names up again where the words name an address. `proxy` is who the request
/// went to instead.
pub(crate) async fn classify(attempt: &Attempt, error: reqwest::Error, proxy: Option<Url>) -> Failure {
    let error = error.without_url();
    let (is_connect, was_met) = (error.is_connect(), was_met(&error));
    let prefix = prefix(attempt, is_connect);
    let words = match find::<rustls::Error>(&error) {
        Some(rustls::Error::AlertReceived(alert)) => Some(alert_words(*alert, attempt)),
        Some(other) => {
            let (kind, text, hint) = tls_words(other);
            Some((kind, text, hint.map(str::to_owned)))
        }
        None => alert_in(&innermost(&error)).map(|alert| alert_words(alert, attempt)),
    };
    if let Some((kind, text, hint)) = words {
        let mut failed = Error::new(kind, format!("{prefix}: {text}"));
        if let Some(hint) = hint {
            failed = failed.with_hint(hint);
        }
        return Failure { error: failed.with_source(error), is_connect, was_met, is_transport: true };
    }
    let text = match &proxy {
        Some(proxy) if is_connect => format!("proxyconnect tcp: {}", proxy_words(proxy, &error).await),
        _ if is_connect => dial_words(&attempt.url, &error).await,
        _ => broken_words(&error),
    };
    let mut failed = Error::new(Kind::Unavailable, format!("{prefix}: {text}")).with_source(error);
    if let Some(proxy) = proxy.filter(|_| is_connect) {
        failed = failed.with_hint(format!(
            "the proxy {} comes from the environment; NO_PROXY names what needs none",
            shown(&proxy)
        ));
    }
    Failure { error: failed, is_connect, was_met, is_transport: true }
}

/// Whether a connection came to its end, which takes somebody who ends it: a host, or a network that lets nobody through.
fn was_met(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let ends = [ConnectionReset, ConnectionAborted, BrokenPipe, UnexpectedEof];
    io_cause(error).is_some_and(|error| ends.contains(&error.kind()))
}

/// `Get "https://host/v2/"`. Docker asks for that page before anything else, so that is what a host that cannot be
/// reached is reported with.
fn prefix(attempt: &Attempt, is_connect: bool) -> String {
    if is_connect && attempt.url.path().starts_with("/v2/") {
        let base = attempt.url.join("/v2/").map(|url| shown(&url)).unwrap_or_default();
        return format!("Get \"{base}\"");
    }
    request_words(&attempt.method, &attempt.url)
}

/// `Head "https://host/v2/name/manifests/tag"`, as Go names a request in errors.
pub(crate) fn request_words(method: &Method, url: &Url) -> String {
    let name = method.as_str();
    let (first, rest) = name.split_at(name.len().min(1));
    format!("{first}{} \"{}\"", rest.to_lowercase(), shown(url))
}

/// Why a proxy did not make the connection: it cannot be reached, or it refuses.
async fn proxy_words(proxy: &Url, error: &reqwest::Error) -> String {
    let is_silent = find::<io::Error>(error).is_some_and(|error| error.raw_os_error().is_some()) || error.is_timeout();
    let is_unknown = innermost(error).contains("lookup");
    if is_silent || is_unknown { dial_words(proxy, error).await } else { innermost(error) }
}

async fn dial_words(url: &Url, error: &reqwest::Error) -> String {
    // What TCP says comes as it is. What ends a handshake over the connection that was made comes wrapped.
    if was_met(error) && find::<io::Error>(error).is_some_and(|error| error.get_ref().is_some()) {
        return broken_words(error);
    }
    let address = match url.host() {
        Some(Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or_default();
            match tokio::net::lookup_host((name, port)).await {
                Ok(mut addresses) => addresses.next().map(|address| address.to_string()).unwrap_or_default(),
                Err(error) => return format!("dial tcp: lookup {name}: {}", lookup_words(&error)),
            }
        }
        _ => literal_address(url).unwrap_or_default(),
    };
    let why = match find::<io::Error>(error) {
        _ if error.is_timeout() => "i/o timeout".to_owned(),
        Some(error) if error.raw_os_error().is_some() => format!("connect: {}", words(error)),
        _ => innermost(error),
    };
    format!("dial tcp {address}: {why}")
}

/// The C library's resolver only gives a text.
fn lookup_words(error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit(": ").next().unwrap_or(&text);
    let unknown = ["Name or service not known", "No address associated with hostname"].contains(&reason);
    if unknown { "no such host".to_owned() } else { reason.to_owned() }
}

fn broken_words(error: &reqwest::Error) -> String {
    match io_cause(error) {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        Some(error) if error.raw_os_error().is_some() => words(error),
        _ => innermost(error),
    }
}

fn tls_words(error: &rustls::Error) -> (Kind, String, Option<&'static str>) {
    const VERIFY: &str = "tls: failed to verify certificate: x509";
    const TRUST: &str = "add the registry's certificate authority to the system's, or use --tls-verify=false";
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            let text = "http: server gave HTTP response to HTTPS client".to_owned();
            (Kind::Unsupported, text, Some("use --tls-verify=false for a registry without TLS"))
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            (Kind::Denied, format!("{VERIFY}: certificate signed by unknown authority"), Some(TRUST))
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (Kind::Denied, format!("{VERIFY}: certificate has expired or is not yet valid: {error}"), None),
        // A self-signed certificate that is its own authority, as `openssl req -x509` makes them.
        rustls::Error::InvalidCertificate(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            (Kind::Denied, format!("{VERIFY}: certificate signed by unknown authority"), Some(TRUST))
        }
        rustls::Error::InvalidCertificate(other) => (Kind::Denied, format!("{VERIFY}: {other}"), Some(TRUST)),
        other => (Kind::Unavailable, format!("tls: {other}"), None),
    }
}

/// The alert that a text tells of: with HTTP/2, that is all that is left of the error. Only those that say more than that the
/// connection broke.
fn alert_in(text: &str) -> Option<AlertDescription> {
    use AlertDescription as Alert;
    let name = text.rsplit_once("received fatal alert: ")?.1;
    let known = [
        Alert::CertificateRequired,
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::HandshakeFailure,
    ];
    known.into_iter().find(|alert| format!("{alert:?}") == name)
}

/// What the other side ended the handshake with, in Go's words. What it says of certificates, it says of this client's.
fn alert_words(alert: AlertDescription, attempt: &Attempt) -> (Kind, String, Option<String>) {
    use AlertDescription as Alert;
    let words = match alert {
        Alert::CertificateRequired => "certificate required",
        Alert::BadCertificate => "bad certificate",
        Alert::UnsupportedCertificate => "unsupported certificate",
        Alert::CertificateRevoked => "revoked certificate",
        Alert::CertificateExpired => "expired certificate",
        Alert::CertificateUnknown => "unknown certificate",
        Alert::UnknownCA => "unknown certificate authority",
        Alert::AccessDenied => "access denied",
        Alert::HandshakeFailure => "handshake failure",
        Alert::ProtocolVersion => "protocol version not supported",
        Alert::UnrecognisedName => "unrecognized name",
        Alert::InternalError => "internal error",
        other => {
            let text = format!("remote error: tls: {other:?}");
            return (Kind::Unavailable, text, None);
        }
    };
    let text = format!("remote error: tls: {words}");
    match alert {
        Alert::InternalError => (Kind::Unavailable, text, None),
        Alert::ProtocolVersion | Alert::UnrecognisedName => (Kind::Unsupported, text, None),
        _ => {
            let host = attempt.url.host_str().unwrap_or_default();
            let at = attempt.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            let hint = match attempt.security.certificate_for(&attempt.url) {
                Some(path) => format!("{at} does not accept the client certificate {path:?}"),
                None if attempt.security.host() != Some(host) => {
                    format!("{at} wants a client certificate, and none is shown to hosts that a registry leads to")
                }
                None if alert == Alert::HandshakeFailure => format!("it may be that {}", certs::wanted(&at)),
                None => certs::wanted(&at),
            };
            (Kind::Denied, text, Some(hint))
        }
    }
}

/// The first error of type `T` in the chain of causes. I/O errors hide what they wrap, so those are looked into.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        current = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The I/O error that others were made of.
fn io_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let outer = find::<io::Error>(error)?;
    outer.get_ref().and_then(|wrapped| io_cause(wrapped)).or(Some(outer))
}

/// The text of the last cause: the outer ones only say that a request failed.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.downcast_ref().map_or_else(|| current.to_string(), words)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use dhow_testkit::registry::ScriptedRegistry;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::config::site::Site;
    use crate::transport::Security;

    /// What a client that checks certificates says of a URL, and of what kind that is.
    fn words(url: &str) -> (String, Kind) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = Url::parse(url).unwrap();
            let error = reqwest::Client::new().get(url.clone()).send().await.unwrap_err();
            let security = Arc::new(Security::of(&Site::plain("registry.example"), None));
            let (headers, body) = (HeaderMap::new(), Bytes::new());
            let attempt = Attempt {
                method: Method::GET,
                url,
                headers,
                body,
                patience: None,
                security,
                gated: false,
                bulk: false,
            };
            let error = classify(&attempt, error, None).await.error;
            (error.to_string(), error.kind())
        })
    }

    #[test]
    fn what_the_system_says_is_in_small_letters() {
        assert_eq!(innermost(&io::Error::from_raw_os_error(2)), "no such file or directory");
    }

    #[test]
    fn what_go_says_of_hosts_that_cannot_be_reached() {
        let (text, kind) = words("http://127.0.0.1:1/v2/a/manifests/b");
        assert_eq!(text, "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused");
        assert_eq!(kind, Kind::Unavailable);
        let (text, _) = words("http://[::1]:1/v2/");
        assert!(text.starts_with("Get \"http://[::1]:1/v2/\": dial tcp [::1]:1: connect: "), "{text}");
        let (text, _) = words("https://no-such-host.invalid/token?secret=1");
        assert!(
            text.starts_with("Get \"https://no-such-host.invalid/token\": dial tcp: lookup no-such-host.invalid: ")
        );
    }

    #[test]
    fn alerts_that_are_only_told_of() {
        let text = rustls::Error::AlertReceived(AlertDescription::BadCertificate).to_string();
        assert_eq!(alert_in(&text), Some(AlertDescription::BadCertificate));
        assert_eq!(alert_in(&format!("connection error: {text}")), Some(AlertDescription::BadCertificate));
        assert_eq!(alert_in("received fatal alert: UnexpectedMessage"), None);
        assert_eq!(alert_in("connection closed"), None);
    }

    #[test]
    fn what_go_says_of_certificates() {
        let plain = ScriptedRegistry::start();
        let (text, kind) = words(&format!("https://{}/v2/", plain.authority()));
        let name = plain.authority();
        assert_eq!(text, format!("Get \"https://{name}/v2/\": http: server gave HTTP response to HTTPS client"));
        assert_eq!(kind, Kind::Unsupported);
        let unknown = ScriptedRegistry::start_tls();
        let (text, kind) = words(&format!("{}/v2/", unknown.url()));
        let expected = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert_eq!(text, format!("Get \"{}/v2/\": {expected}", unknown.url()));
        assert_eq!(kind, Kind::Denied);
    }
}
