//! The web page: what the registry holds, for people with a browser.
//!
//! Pages are made here, of what the storage holds at that moment. They need no scripts, and the policy that they are
//! sent with allows none. Who may see and delete what is decided by the rules that count for clients.

mod address;
mod bar;
mod commands;
mod configuration;
mod deletion;
mod frame;
mod history;
mod html;
mod image;
mod index;
mod lists;
mod load;
mod referrers;
mod summary;

use dhow_spec::document::Body as DocumentBody;
use dhow_spec::{Digest, Document, Tag};
use futures::future::join_all;
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode, header};

use crate::access::Action;
use crate::blobs::has_current;
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;
use crate::random::random;
use crate::receive::Receiver;
use crate::registry::{Call, Registry};
use crate::route::ManifestName;
use crate::storage::{Prefix, Storage};

pub use address::Address;
pub(crate) use deletion::is_of_another_site;

use address::Link;
use commands::Host;
use deletion::{FORM_BYTES_MAX, Question, Token, is_own_form, is_same_origin};
use frame::{Frame, answer, page, see_other};
use html::Html;
use image::Image;
use lists::{COUNTED_TAGS, Home, Tags};
use referrers::Referrers;

const STYLE: &str = include_str!("page/style.css");
const ICON: &str = include_str!("page/icon.svg");

/// How many repositories or tags one page lists.
const ROWS: usize = 50;

/// How many names are looked through for those that a search wants, before the rest is left to the next page.
const NAMES_SEARCHED: usize = 20_000;

/// How many names are read from the storage together.
const NAMES_AT_ONCE: usize = 1_000;

/// How many things are read from the storage at the same time.
const READS_AT_ONCE: usize = 8;

/// How many entries of an index are looked at.
const ENTRIES_SHOWN: usize = 100;

/// What cosign puts behind the digest of an image to name what it made for it.
const COSIGN_TAGS: [(&str, &str); 3] =
    [("sig", "cosign signature"), ("att", "cosign attestation"), ("sbom", "cosign SBOM")];

impl<S: Storage> Registry<S> {
    /// GET and HEAD of a page.
    pub(crate) async fn get_page(&self, call: &Call, address: Address) -> Outcome<Response<Body>> {
        match address {
            Address::Home => self.home_page(call).await,
            Address::Login => Ok(see_other(&Address::Home.link())),
            Address::Style => asset(call, "text/css; charset=utf-8", STYLE),
            Address::Icon => asset(call, "image/svg+xml", ICON),
            Address::Repository(repository) => self.tags_page(call, repository).await,
            Address::Image(repository, name) => self.image_page(call, repository, name).await,
            Address::Delete(repository, name) => self.question_page(call, repository, name).await,
        }
    }

    /// POST: the answer of the page that asks whether to delete.
    pub(crate) async fn delete_by_form(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        let form = receiver.whole(FORM_BYTES_MAX).await?;
        let form = form.as_deref().and_then(|form| std::str::from_utf8(form).ok()).unwrap_or_default();
        if !is_same_origin(&call.headers, call.authority()) || !is_own_form(&call.headers, form) {
            let message =
                "this form did not come from the page that asks; open that page again and repeat the answer there";
            return Err(Failure::new(StatusCode::FORBIDDEN, Code::Denied, message));
        }
        self.delete_manifest(call, repository, name).await?;
        Ok(see_other(&Address::Repository(repository.clone()).link()))
    }

    async fn home_page(&self, call: &Call) -> Outcome<Response<Body>> {
        let search = search_text(call, "q")?;
        let after = call.query.one("after")?;
        let (found, next) = self.find_repositories(call, &search, after).await?;
        let mut repositories = Vec::with_capacity(found.len());
        for names in found.chunks(READS_AT_ONCE) {
            for (name, tags) in names.iter().zip(join_all(names.iter().map(|name| self.count_tags(name))).await) {
                repositories.push((name.clone(), tags?));
            }
        }
        let next = next.map(|last| Address::Home.link().with(&[("q", &search), ("after", &last)]));
        let home = Home {
            frame: self.frame(call, "Repositories", Vec::new(), &search),
            host: self.host(call).name,
            repositories,
            next,
            may_push: !self.read_only && call.permit.allows_somewhere(Action::Push),
            goes_on: after.is_some(),
        };
        Ok(page(StatusCode::OK, home.render()))
    }

    /// Repositories that the caller may pull from and that have `search` in their names; and the name behind which to go
    /// on, if there are more or there may be.
    async fn find_repositories(
        &self,
        call: &Call,
        search: &str,
        after: Option<&str>,
    ) -> Outcome<(Vec<RepositoryName>, Option<String>)> {
        let mut found: Vec<RepositoryName> = Vec::new();
        let mut after = after.map(str::to_owned);
        for _ in 0..NAMES_SEARCHED / NAMES_AT_ONCE {
            let names = self.storage.repositories(after.as_deref(), NAMES_AT_ONCE).await?;
            for name in &names.names {
                let Some(name) = RepositoryName::parse(name) else { continue };
                if !name.as_str().contains(search) || !call.permit.allows(Action::Pull, &name) {
                    continue;
                }
                if found.len() == ROWS {
                    let last = found.last().map(|name| name.as_str().to_owned());
                    return Ok((found, last));
                }
                found.push(name);
            }
            if !names.more {
                return Ok((found, None));
            }
            after = names.names.last().cloned();
        }
        Ok((found, after))
    }

    async fn count_tags(&self, repository: &RepositoryName) -> Outcome<usize> {
        let tags = self.storage.list(&Prefix::tags(repository), None, COUNTED_TAGS).await?;
        Ok(tags.map_or(0, |page| page.names.len()))
    }

    async fn tags_page(&self, call: &Call, repository: RepositoryName) -> Outcome<Response<Body>> {
        let search = search_text(call, "tag")?;
        let (names, next) = self.find_tags(&repository, &search, call.query.one("after")?).await?;
        let mut tags = Vec::with_capacity(names.len());
        for names in names.chunks(READS_AT_ONCE) {
            let found = join_all(names.iter().map(|tag| self.summary_of_tag(&repository, tag))).await;
            for (tag, found) in names.iter().zip(found) {
                tags.push((tag.clone(), found?));
            }
        }
        let link = Address::Repository(repository.clone()).link();
        let next = next.map(|last| link.with(&[("tag", &search), ("after", &last)]));
        let frame = self.frame(call, repository.as_str(), trail(&repository), "");
        Ok(page(StatusCode::OK, Tags { frame, repository, search, tags, next }.render()))
    }

    /// As [`Registry::find_repositories`], for the tags of one.
    async fn find_tags(
        &self,
        repository: &RepositoryName,
        search: &str,
        after: Option<&str>,
    ) -> Outcome<(Vec<Tag>, Option<String>)> {
        let mut found: Vec<Tag> = Vec::new();
        let mut after = after.map(str::to_owned);
        for _ in 0..NAMES_SEARCHED / NAMES_AT_ONCE {
            let prefix = Prefix::tags(repository);
            let Some(names) = self.storage.list(&prefix, after.as_deref(), NAMES_AT_ONCE).await? else {
                if self.storage.list(&Prefix::repository(repository), None, 1).await?.is_none() {
                    return Err(Failure::missing(Code::NameUnknown, "there is no repository of that name"));
                }
                return Ok((found, None));
            };
            for tag in names.names.iter().filter(|name| name.contains(search)).filter_map(|name| Tag::parse(name).ok())
            {
                if found.len() == ROWS {
                    let last = found.last().map(|tag| tag.as_str().to_owned());
                    return Ok((found, last));
                }
                found.push(tag);
            }
            if !names.more {
                return Ok((found, None));
            }
            after = names.names.last().cloned();
        }
        Ok((found, after))
    }

    async fn image_page(&self, call: &Call, repository: RepositoryName, name: ManifestName) -> Outcome<Response<Body>> {
        let missing = || Failure::missing(Code::ManifestUnknown, "there is no image of that name");
        let digest = match &name {
            ManifestName::Digest(digest) => digest.clone(),
            ManifestName::Tag(tag) => self.storage.tag(&repository, tag).await?.ok_or_else(missing)?,
        };
        let document = self.document(&repository, &digest).await?.ok_or_else(missing)?;
        let config = self.image_config(&repository, &document).await?;
        let entries = match document.body() {
            DocumentBody::Index(index) => self.entries(&repository, index, ENTRIES_SHOWN).await?,
            DocumentBody::Manifest(_) => index::Entries::default(),
        };
        let referrers = self.referrers_shown(call, &repository, &name, &digest).await?;
        let is_immutable = matches!(&name, ManifestName::Tag(tag) if call.permit.is_immutable(&repository, tag));
        let image = Image {
            frame: self.frame(call, &address::spelled(&repository, &name), trail(&repository), ""),
            host: self.host(call),
            may_delete: !self.read_only && call.permit.allows(Action::Delete, &repository),
            repository,
            name,
            digest,
            document,
            config,
            entries,
            referrers,
            is_immutable,
        };
        Ok(page(StatusCode::OK, image.render()))
    }

    async fn referrers_shown(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
        digest: &Digest,
    ) -> Outcome<Referrers> {
        let after = call.query.one("after")?;
        let mut shown = Referrers::default();
        let Some(names) = self.storage.list(&Prefix::referrers(repository, digest), after, ROWS).await? else {
            shown.tags = self.cosign_tags(repository, digest).await?;
            return Ok(shown);
        };
        for names in names.names.chunks(READS_AT_ONCE) {
            for entry in join_all(names.iter().map(|name| self.referrer(repository, digest, name))).await {
                // Written by this program; one that it cannot read is an error of somebody else, and not shown.
                shown.entries.extend(entry?.and_then(|entry| serde_json::from_value(entry).ok()));
            }
        }
        if names.more
            && let Some(last) = names.names.last()
        {
            let link = Address::Image(repository.clone(), name.clone()).link();
            shown.next = Some(link.with(&[("after", last)]));
        }
        shown.tags = self.cosign_tags(repository, digest).await?;
        Ok(shown)
    }

    /// The tags by which cosign finds what it made for an image, as far as they are set.
    async fn cosign_tags(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Vec<(Tag, &'static str)>> {
        let mut tags = Vec::new();
        for (end, what) in COSIGN_TAGS {
            let Ok(tag) = Tag::parse(&format!("{}-{}.{end}", digest.algorithm(), digest.hex())) else { continue };
            if self.storage.tag(repository, &tag).await?.is_some() {
                tags.push((tag, what));
            }
        }
        Ok(tags)
    }

    async fn question_page(
        &self,
        call: &Call,
        repository: RepositoryName,
        name: ManifestName,
    ) -> Outcome<Response<Body>> {
        if self.read_only {
            return Err(Failure::new(StatusCode::FORBIDDEN, Code::Denied, "this registry is read-only"));
        }
        let digest = match &name {
            ManifestName::Digest(digest) => Some(digest.clone()),
            ManifestName::Tag(tag) => self.storage.tag(&repository, tag).await?,
        };
        let is_there = match &digest {
            Some(digest) => matches!(name, ManifestName::Tag(_)) || self.document(&repository, digest).await?.is_some(),
            None => false,
        };
        if !is_there {
            return Err(Failure::missing(Code::ManifestUnknown, "there is no image of that name"));
        }
        let token = Token::from_random(random()?);
        let cookie = token.cookie(&Address::Delete(repository.clone(), name.clone()), self.live.tls().is_some());
        let frame = self.frame(call, "Delete", trail(&repository), "");
        let mut response = page(StatusCode::OK, Question { frame, repository, name, token }.render());
        if let Ok(cookie) = cookie.parse() {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    fn frame(&self, call: &Call, title: &str, trail: Vec<(Link, String)>, search: &str) -> Frame {
        Frame {
            title: title.to_owned(),
            trail,
            user: call.permit.caller.name().as_deref().map(str::to_owned),
            has_accounts: call.permit.access.has_accounts(),
            search: search.to_owned(),
        }
    }

    fn host(&self, call: &Call) -> Host {
        // A proxy that ends TLS says so; whoever lies here gets wrong commands to read, nothing else.
        let is_behind_tls = call.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        Host::new(call.authority(), self.live.tls().is_some() || is_behind_tls)
    }
}

/// The page of a request that failed. Where browsers can log in, they are asked to by `challenge`, whatever clients are told.
pub(crate) fn failure(failure: Failure, challenge: Option<HeaderValue>) -> Response<Body> {
    let status = failure.status();
    let title = match status {
        StatusCode::UNAUTHORIZED => "Log in",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::CONFLICT => "Not possible",
        status if status.is_client_error() => "Not understood",
        _ => "Something went wrong",
    };
    let html =
        Frame { title: title.to_owned(), ..Frame::default() }.fill(|html| failed(html, title, failure.message()));
    let mut response = page(status, html);
    response.headers_mut().extend(failure.into_headers());
    if let Some(challenge) = challenge.filter(|_| status == StatusCode::UNAUTHORIZED) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn failed(html: &mut Html, title: &str, message: &str) {
    html.leaf("h1", &[], title);
    html.leaf("p", &[], &html::clipped(message));
    html.element("p", &[], |html| html.link(&Address::Home.link(), &[], "All repositories"));
}

/// The page of an image that is stored nowhere; nothing when `document` is neither a manifest nor an index. A config that is
/// none is left out. Tests look here for texts that break out of the page.
pub fn preview(document: &[u8], config: &[u8]) -> Option<String> {
    let document = Document::parse(document.to_vec(), None).ok()?;
    let repository = RepositoryName::parse("preview")?;
    let digest = document.digest(dhow_spec::Algorithm::Sha256);
    let descriptors = document.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
    let entries = descriptors.iter().take(ENTRIES_SHOWN).cloned();
    let entries = entries.map(|descriptor| index::Entry { descriptor, manifest: None, is_here: true }).collect();
    let image = Image {
        frame: Frame::default(),
        host: Host::new(Some("localhost"), true),
        repository,
        name: ManifestName::Digest(digest.clone()),
        digest,
        config: dhow_spec::ImageConfig::parse(config).ok(),
        entries: index::Entries { entries, more: 0 },
        referrers: Referrers { entries: descriptors.iter().take(ROWS).cloned().collect(), ..Referrers::default() },
        document,
        may_delete: true,
        is_immutable: false,
    };
    Some(image.render().into_string())
}

/// The way back from an image to its repository.
fn trail(repository: &RepositoryName) -> Vec<(Link, String)> {
    vec![(Address::Repository(repository.clone()).link(), repository.as_str().to_owned())]
}

/// What a search form holds. Names are in lower case and without spaces, which a form writes as `+`.
fn search_text(call: &Call, key: &'static str) -> Outcome<String> {
    let text = call.query.one(key)?.unwrap_or_default().replace('+', " ");
    let text = text.trim();
    Ok(html::clip(if key == "q" { text.to_lowercase() } else { text.to_owned() }.as_str(), 255))
}

/// A file of the program. Browsers ask each time whether it is still the same, since another version has another one.
fn asset(call: &Call, media_type: &str, text: &'static str) -> Outcome<Response<Body>> {
    let digest = Digest::sha256(text.as_bytes());
    let answer = |status| answer(status).entity_tag(&digest).header(header::CACHE_CONTROL, "no-cache");
    if has_current(call, &digest) {
        return answer(StatusCode::NOT_MODIFIED).done();
    }
    Ok(answer(StatusCode::OK).header(header::CONTENT_TYPE, media_type).body(Body::full(text)))
}

#[cfg(test)]
mod tests {
    use dhow_spec::MediaType;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Fails unless every `<` begins a tag that pages are made of.
    fn check_markup(html: &str) {
        const NAMES: &str = "!doctype html head body header main footer meta title link nav a span form label input button \
                             h1 h2 h3 p section dl dt dd div ol ul li code pre details summary svg rect time";
        assert_eq!(html.matches('<').count(), html.matches('>').count());
        for tag in html.split('<').skip(1) {
            let name = tag.trim_start_matches('/').split([' ', '>']).next().unwrap_or_default();
            assert!(NAMES.split_whitespace().any(|known| known == name), "<{tag}");
        }
    }

    fn manifest(text: &str, size: u64) -> Vec<u8> {
        let digest = Digest::sha256(text.as_bytes());
        let layer = json!({
            "mediaType": MediaType::OciLayer.as_str(), "digest": digest.as_str(), "size": size,
            "annotations": { "org.opencontainers.image.title": text },
        });
        json!({
            "schemaVersion": 2, "mediaType": MediaType::OciManifest.as_str(),
            "config": { "mediaType": MediaType::OciConfig.as_str(), "digest": digest.as_str(), "size": 2 },
            "layers": [layer.clone(), layer], "annotations": { text: text },
        })
        .to_string()
        .into_bytes()
    }

    fn config(text: &str) -> Vec<u8> {
        json!({
            "os": text, "architecture": text, "author": text, "created": text,
            "rootfs": { "type": "layers", "diff_ids": [] },
            "history": [{ "created_by": text }, { "created_by": text, "comment": text, "empty_layer": true }],
            "config": { "Env": [text], "Cmd": [text], "Entrypoint": [text], "User": text, "WorkingDir": text,
                        "Labels": { text: text }, "Volumes": { text: {} }, "StopSignal": text },
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn long_contents_are_cut_and_say_so() {
        let many: String = (0..2_000).map(|number| format!("\"key-{number}\":\"value\",")).collect();
        let config = format!(
            "{{\"rootfs\":{{\"type\":\"layers\"}},\"config\":{{\"Labels\":{{{many}\"last\":\"{}\"}}}}}}",
            "x".repeat(1 << 20)
        );
        let html = preview(&manifest("a", 1), config.as_bytes()).expect("a page");
        assert!(html.contains("And 1701 more.") && html.len() < 100_000, "{}", html.len());
        let layer = format!(
            "{{\"mediaType\":\"{}\",\"digest\":\"{}\",\"size\":1}}",
            MediaType::OciLayer.as_str(),
            Digest::sha256(b"")
        );
        let text = String::from_utf8(manifest("a", 1)).expect("text");
        let (head, tail) = text.split_once("\"layers\":[").expect("layers");
        let html = preview(format!("{head}\"layers\":[{}{tail}", format!("{layer},").repeat(5_000)).as_bytes(), b"");
        let html = html.expect("a page");
        assert!(html.contains("And 4502 more of 4.5 kB together") && html.len() < 1 << 20, "{}", html.len());
    }

    proptest! {
        #[test]
        fn no_text_breaks_out(text in "[<>\"'&a-z/=! \u{0}-\u{20}\u{202e}é]{0,40}", size in 0..=1_u64 << 40) {
            let html = preview(&manifest(&text, size), &config(&text)).expect("a page");
            check_markup(&html);
            let hidden = '\u{202e}';
            prop_assert!(!html.contains(hidden));
        }
    }
}
