//! The pages with lists: the repositories, and the tags of one.

use super::address::{Address, Link};
use super::frame::Frame;
use super::html::{Attribute, Html, count_text};
use super::summary::Summary;
use crate::name::RepositoryName;
use crate::route::ManifestName;
use dhow_spec::{Digest, Tag};

/// Tags are counted up to here.
pub(super) const COUNTED_TAGS: usize = 1_000;

/// The repositories that a caller may see.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) frame: Frame,
    /// What clients call this registry.
    pub(super) host: String,
    /// Names, and how many tags each has, up to [`COUNTED_TAGS`].
    pub(super) repositories: Vec<(RepositoryName, usize)>,
    pub(super) next: Option<Link>,
    /// Whether the caller could push one.
    pub(super) may_push: bool,
    /// Whether this is not the first page.
    pub(super) goes_on: bool,
}

impl Home {
    pub(super) fn render(&self) -> Html {
        self.frame.fill(|html| {
            html.leaf("h1", &[], "Repositories");
            match self.repositories.is_empty() {
                true => self.nothing(html),
                false => html.element("ul", &[(Attribute::Class, "repositories")], |html| self.rows(html)),
            }
            next_page(html, self.next.as_ref());
        })
    }

    fn rows(&self, html: &mut Html) {
        for (repository, tags) in &self.repositories {
            html.element("li", &[], |html| {
                html.link(&Address::Repository(repository.clone()).link(), &[], repository.as_str());
                let tags = match tags {
                    0 => "no tags".to_owned(),
                    &tags if tags >= COUNTED_TAGS => format!("{COUNTED_TAGS} tags or more"),
                    &tags => count_text(tags, "tag", "tags"),
                };
                html.leaf("span", &[(Attribute::Class, "quiet")], &tags);
            });
        }
    }

    fn nothing(&self, html: &mut Html) {
        html.element("div", &[(Attribute::Class, "empty")], |html| {
            let search = &self.frame.search;
            if !search.is_empty() && self.next.is_some() {
                return html.leaf("p", &[], &format!("No repository up to here has “{search}” in its name."));
            }
            if !search.is_empty() {
                return html.leaf("p", &[], &format!("No repository has “{search}” in its name."));
            }
            if self.goes_on {
                return html.leaf("p", &[], "There are no further repositories.");
            }
            html.leaf("p", &[], "There is nothing here yet.");
            if self.may_push {
                html.leaf("p", &[(Attribute::Class, "quiet")], "Push an image, and it shows up:");
                html.element("pre", &[(Attribute::Class, "command")], |html| {
                    html.leaf("code", &[], &format!("dhow push IMAGE {}/NAME:TAG", self.host));
                });
            }
        });
    }
}

/// The tags of a repository.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) frame: Frame,
    pub(super) repository: RepositoryName,
    /// What the tags' names are to hold.
    pub(super) search: String,
    /// Tags, and what each stands for, where that could be read.
    pub(super) tags: Vec<(Tag, Option<(Digest, Summary)>)>,
    pub(super) next: Option<Link>,
}

impl Tags {
    pub(super) fn render(&self) -> Html {
        self.frame.fill(|html| {
            html.leaf("h1", &[], self.repository.as_str());
            self.search_form(html);
            match self.tags.is_empty() {
                true => self.nothing(html),
                false => html.element("div", &[(Attribute::Class, "wide")], |html| {
                    html.element("table", &[(Attribute::Class, "tags")], |html| self.table(html));
                }),
            }
            next_page(html, self.next.as_ref());
        })
    }

    fn search_form(&self, html: &mut Html) {
        let action = Address::Repository(self.repository.clone()).link();
        let attributes = [(Attribute::Role, "search"), (Attribute::Method, "get"), (Attribute::Class, "filter")];
        html.form(&action, &attributes, |html| {
            html.leaf("label", &[(Attribute::For, "tag"), (Attribute::Class, "unseen")], "Search tags");
            html.void(
                "input",
                &[
                    (Attribute::Type, "search"),
                    (Attribute::Id, "tag"),
                    (Attribute::Name, "tag"),
                    (Attribute::Placeholder, "Search tags"),
                    (Attribute::AutoComplete, "off"),
                    (Attribute::Value, &self.search),
                ],
            );
            html.leaf("button", &[(Attribute::Type, "submit"), (Attribute::Class, "unseen")], "Search");
        });
    }

    fn nothing(&self, html: &mut Html) {
        let text = match self.search.as_str() {
            "" => "This repository has no tags.".to_owned(),
            search => {
                format!("No tag{} has “{search}” in its name.", if self.next.is_some() { " up to here" } else { "" })
            }
        };
        html.element("div", &[(Attribute::Class, "empty")], |html| html.leaf("p", &[], &text));
    }

    fn table(&self, html: &mut Html) {
        let columns = [("Tag", ""), ("Platform", ""), ("Size", "number"), ("Created", "spare"), ("Digest", "spare")];
        html.element("thead", &[], |html| {
            html.element("tr", &[], |html| {
                for (name, class) in columns {
                    html.leaf("th", &[(Attribute::Scope, "col"), (Attribute::Class, class)], name);
                }
            });
        });
        html.element("tbody", &[], |html| {
            for (tag, found) in &self.tags {
                html.element("tr", &[], |html| self.row(html, tag, found.as_ref()));
            }
        });
    }

    fn row(&self, html: &mut Html, tag: &Tag, found: Option<&(Digest, Summary)>) {
        html.element("th", &[(Attribute::Scope, "row")], |html| {
            let name = ManifestName::Tag(tag.clone());
            html.link(&Address::Image(self.repository.clone(), name).link(), &[], tag.as_str());
        });
        let Some((digest, summary)) = found else {
            return html.leaf("td", &[(Attribute::Class, "quiet")], "its manifest is missing");
        };
        html.element("td", &[], |html| summary.kind(html));
        html.leaf("td", &[(Attribute::Class, "number")], &summary.size());
        html.element("td", &[(Attribute::Class, "spare quiet")], |html| day(html, summary.day.as_deref()));
        html.element("td", &[(Attribute::Class, "spare")], |html| html.leaf("code", &[], digest.short()));
    }
}

/// A day, or nothing.
pub(super) fn day(html: &mut Html, day: Option<&str>) {
    if let Some(day) = day {
        html.leaf("time", &[(Attribute::DateTime, day)], day);
    }
}

/// The way to the rest of a list.
pub(super) fn next_page(html: &mut Html, next: Option<&Link>) {
    if let Some(next) = next {
        html.element("p", &[(Attribute::Class, "next")], |html| html.link(next, &[], "Next page"));
    }
}
