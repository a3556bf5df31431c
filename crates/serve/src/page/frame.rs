//! What all pages have around them, and what they are answered with.

use hyper::{Response, StatusCode, header};

use super::address::{Address, Link};
use super::html::{Attribute, Html};
use crate::body::Body;
use crate::response::Answer;

/// Nothing but this server's own style sheet and icon, and forms back to it. There are no scripts.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// What a page shows around its own content.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Of the window.
    pub(super) title: String,
    /// The pages above this one, and their names.
    pub(super) trail: Vec<(Link, String)>,
    /// Who looks at it.
    pub(super) user: Option<String>,
    /// Whether there are accounts to log in with.
    pub(super) has_accounts: bool,
    /// What stands in the search field.
    pub(super) search: String,
}

impl Frame {
    /// Puts the page together.
    pub(super) fn fill(&self, inner: impl FnOnce(&mut Html)) -> Html {
        let mut html = Html::document();
        html.element("html", &[(Attribute::Lang, "en")], |html| {
            html.element("head", &[], |html| self.head(html));
            html.element("body", &[], |html| {
                html.element("header", &[(Attribute::Class, "top")], |html| self.top(html));
                html.element("main", &[(Attribute::Id, "main")], inner);
                html.element("footer", &[], |html| {
                    html.text(concat!("dhow ", env!("CARGO_PKG_VERSION")));
                });
            });
        });
        html
    }

    fn head(&self, html: &mut Html) {
        html.void("meta", &[(Attribute::Charset, "utf-8")]);
        let viewport = [(Attribute::Name, "viewport"), (Attribute::Content, "width=device-width, initial-scale=1")];
        html.void("meta", &viewport);
        html.void("meta", &[(Attribute::Name, "color-scheme"), (Attribute::Content, "light dark")]);
        html.leaf("title", &[], &format!("{} · dhow", self.title));
        html.asset("stylesheet", &Address::Style.link());
        html.asset("icon", &Address::Icon.link());
    }

    fn top(&self, html: &mut Html) {
        html.element("nav", &[(Attribute::AriaLabel, "Path")], |html| {
            html.link(&Address::Home.link(), &[(Attribute::Class, "brand")], "dhow");
            for (link, name) in &self.trail {
                html.leaf("span", &[(Attribute::Class, "slash"), (Attribute::AriaHidden, "true")], "/");
                html.link(link, &[], name);
            }
        });
        html.form(&Address::Home.link(), &[(Attribute::Role, "search"), (Attribute::Method, "get")], |html| {
            html.leaf("label", &[(Attribute::For, "q"), (Attribute::Class, "unseen")], "Search repositories");
            html.void(
                "input",
                &[
                    (Attribute::Type, "search"),
                    (Attribute::Id, "q"),
                    (Attribute::Name, "q"),
                    (Attribute::Placeholder, "Search repositories"),
                    (Attribute::AutoComplete, "off"),
                    (Attribute::Value, &self.search),
                ],
            );
            html.leaf("button", &[(Attribute::Type, "submit"), (Attribute::Class, "unseen")], "Search");
        });
        match &self.user {
            Some(user) => html.leaf("span", &[(Attribute::Class, "user")], user),
            None if self.has_accounts => html.link(&Address::Login.link(), &[(Attribute::Class, "user")], "Log in"),
            None => {}
        }
    }
}

/// An answer with the headers that every page has.
pub(super) fn answer(status: StatusCode) -> Answer {
    Answer::new(status)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        // Not `no-referrer`: with it browsers send forms without saying where they come from.
        .header(header::REFERRER_POLICY, "same-origin")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::CACHE_CONTROL, "no-store")
}

/// A page.
pub(super) fn page(status: StatusCode, html: Html) -> Response<Body> {
    answer(status).header(header::CONTENT_TYPE, "text/html; charset=utf-8").body(Body::full(html.into_string()))
}

/// To another page, by GET.
pub(super) fn see_other(link: &Link) -> Response<Body> {
    answer(StatusCode::SEE_OTHER).header(header::LOCATION, link.as_str()).body(Body::empty())
}
