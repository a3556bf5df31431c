//! Deleting by hand: a page that asks, and the proof that the answer came from it.
//!
//! Browsers send a form of any site to any other, with the password they know. What is deleted here was asked for by a
//! page of this server: the browser says so (`Sec-Fetch-Site`, Fetch Metadata; else `Origin`, RFC 6454), and the form
//! holds what the page left in a cookie. Nothing is kept on the server, so any replica can answer.

use hyper::header::{self, HeaderMap, HeaderName};

use super::address::{Address, spelled};
use super::frame::Frame;
use super::html::{Attribute, Html};
use crate::name::RepositoryName;
use crate::route::ManifestName;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Name of the cookie and of the form's field.
const TOKEN: &str = "dhow-form";

/// Longest body of a form, in bytes.
pub(super) const FORM_BYTES_MAX: u64 = 4 << 10;

/// Random text that a page and its form have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    pub(super) fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The one that the browser sends back as a cookie; nothing when there is none, or another site made it two.
    fn of_cookies(headers: &HeaderMap) -> Option<&str> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut tokens = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().strip_prefix(TOKEN)?.strip_prefix('='));
        let first = tokens.next()?;
        tokens.next().is_none().then_some(first)
    }

    /// The header that leaves it with the browser, for this one page.
    pub(super) fn cookie(&self, address: &Address, is_secure: bool) -> String {
        let secure = if is_secure { "; Secure" } else { "" };
        let path = address.link();
        format!("{TOKEN}={}; Path={}; Max-Age=3600; HttpOnly; SameSite=Strict{secure}", self.0, path.as_str())
    }
}

/// Whether a form came from a page of this server: it holds the token that the cookie holds.
pub(super) fn is_own_form(headers: &HeaderMap, form: &str) -> bool {
    let Ok(fields) = crate::query::Query::parse(form) else { return false };
    let Ok(Some(sent)) = fields.one(TOKEN) else { return false };
    let is_token = sent.len() == 32 && sent.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_token && Token::of_cookies(headers) == Some(sent)
}

/// Whether the browser says that a page of this server, whose name is `authority`, sent the request.
pub(super) fn is_same_origin(headers: &HeaderMap, authority: Option<&str>) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return site == "same-origin";
    }
    // Whether it is HTTP or HTTPS is not compared: only a proxy before this server would know.
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.and_then(|origin| origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")));
    matches!((origin, authority), (Some(origin), Some(authority)) if origin.eq_ignore_ascii_case(authority))
}

/// Whether a page of another site had the browser send the request. Programs that are no browsers say nothing of it.
pub(crate) fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// The page that asks.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) frame: Frame,
    pub(super) repository: RepositoryName,
    pub(super) name: ManifestName,
    pub(super) token: Token,
}

impl Question {
    pub(super) fn render(&self) -> Html {
        let address = Address::Delete(self.repository.clone(), self.name.clone());
        let back = Address::Image(self.repository.clone(), self.name.clone()).link();
        self.frame.fill(|html| {
            let (question, explanation) = match &self.name {
                ManifestName::Tag(_) => (
                    "Delete this tag?",
                    "The name goes. What it stands for can still be pulled by digest and by its other tags.",
                ),
                ManifestName::Digest(_) => (
                    "Delete this manifest?",
                    "The manifest goes, and with it every tag that stands for it. Its layers stay as long as another \
                     image needs them.",
                ),
            };
            html.leaf("h1", &[], question);
            html.element("p", &[], |html| {
                html.leaf("code", &[(Attribute::Class, "digest whole")], &spelled(&self.repository, &self.name));
            });
            html.leaf("p", &[], explanation);
            html.form(&address.link(), &[(Attribute::Method, "post"), (Attribute::Class, "question")], |html| {
                let hidden = [(Attribute::Type, "hidden"), (Attribute::Name, TOKEN), (Attribute::Value, &self.token.0)];
                html.void("input", &hidden);
                html.leaf("button", &[(Attribute::Type, "submit"), (Attribute::Class, "danger")], "Delete");
                html.link(&back, &[(Attribute::Class, "button")], "Keep it");
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
            .collect()
    }

    #[test]
    fn only_this_servers_pages_count() {
        for (pairs, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://reg:5000")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://reg:5000")], true),
            (&[("origin", "https://REG:5000")], true),
            (&[("origin", "http://reg:5001")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "null")], false),
            (&[], false),
        ] {
            assert_eq!(is_same_origin(&headers(pairs), Some("reg:5000")), expected, "{pairs:?}");
        }
        assert!(!is_same_origin(&headers(&[("origin", "http://")]), None));
    }

    #[test]
    fn a_form_holds_what_the_cookie_holds() {
        let token = Token::from_random([0xab; 16]).0;
        let cookie = format!("a=b; {TOKEN}={token}");
        let form = format!("{TOKEN}={token}");
        let own = |cookie: &str, form: &str| is_own_form(&headers(&[("cookie", cookie)]), form);
        assert!(own(&cookie, &form));
        let other = Token::from_random([0xac; 16]).0;
        for (cookie, form) in [
            ("", form.as_str()),
            (&cookie, ""),
            (&cookie, &format!("{TOKEN}={other}")),
            (&format!("{cookie}; {TOKEN}={other}"), &form),
            (&format!("{TOKEN}="), &format!("{TOKEN}=")),
            (&cookie, &format!("{form}&{form}")),
            (&cookie, "%"),
        ] {
            assert!(!own(cookie, form), "{cookie} {form}");
        }
        assert!(!is_own_form(&HeaderMap::new(), &form));
    }
}
