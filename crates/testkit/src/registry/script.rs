//! What a test tells the registry to do wrong.

use std::time::Duration;

/// The kinds of pages a registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Any of them.
    Any,
    /// `/v2/`.
    Ping,
    /// The token service.
    Token,
    /// `…/manifests/<reference>`.
    Manifest,
    /// `…/blobs/<digest>`.
    Blob,
    /// `POST …/blobs/uploads/`.
    UploadStart,
    /// Everything at an open upload.
    Upload,
    /// `…/tags/list`.
    Tags,
    /// `…/referrers/<digest>`.
    Referrers,
    /// A blob at the storage that the registry leads to.
    Storage,
    /// Anything else.
    Other,
}

/// What happens to a request that a [`Rule`] matches.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The connection is closed without an answer.
    Close,
    /// The request is carried out, then the connection is closed without an answer.
    CloseAfterwards,
    /// The answer comes that much later.
    Delay(Duration),
    /// This answer instead of the right one.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Vec<u8>,
    },
    /// The right answer with another body; lengths are adjusted.
    Body(Vec<u8>),
    /// The right answer with this header, instead of what it had of that name.
    SetHeader(String, String),
    /// The right answer without this header. Without `content-length`, the body comes in chunks.
    RemoveHeader(String),
    /// A redirect to the same path and query at another base (`http://127.0.0.1:1234`).
    RedirectTo(u16, String),
    /// The connection is closed after so many bytes of the right body.
    CutAfter(u64),
    /// The right body, so many bytes at a time with a pause after each.
    Drip(usize, Duration),
    /// A body without end, in chunks.
    Endless,
    /// The whole blob with status 200 though a range was asked for.
    IgnoreRange,
    /// The connection is closed after so many bytes of the request's body; they are kept in the upload.
    CutRequestAfter(u64),
}

impl Effect {
    /// An answer with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Effect::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 429 or 503 with `Retry-After` in seconds.
    pub fn retry_after(status: u16, seconds: u64) -> Self {
        let headers = vec![("Retry-After".to_owned(), seconds.to_string())];
        Effect::Answer { status, headers, body: Vec::new() }
    }

    /// A registry's error body.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Effect::Answer { status, headers, body: body.into_bytes() }
    }
}

/// When something goes wrong, and what.
#[derive(Clone, Debug)]
pub struct Rule {
    route: Route,
    method: Option<String>,
    path_part: String,
    pub(super) effects: Vec<Effect>,
    skip: usize,
    left: usize,
}

impl Rule {
    /// Matches requests for this kind of page, every time.
    pub fn on(route: Route) -> Self {
        Self { route, method: None, path_part: String::new(), effects: Vec::new(), skip: 0, left: usize::MAX }
    }

    /// Only requests of this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only paths that contain this text, such as a digest.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path_part = part.to_owned();
        self
    }

    /// What happens. May be called several times: a delay and a changed header, for example.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// Acts on so many matching requests, then no more.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = times;
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn after(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Whether the rule acts on this request; counts it.
    pub(super) fn acts(&mut self, route: Route, method: &str, path: &str) -> bool {
        let matches = (self.route == Route::Any || self.route == route)
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
            && path.contains(&self.path_part);
        if !matches || self.left == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.left -= 1;
        true
    }
}
