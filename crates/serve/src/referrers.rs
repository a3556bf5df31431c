//! What refers to a manifest: signatures, SBOMs and the like (distribution spec, "Listing Referrers").

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::Digest;
use dhow_spec::document::Body as DocumentBody;
use dhow_spec::{Descriptor, Document, MediaType};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::failure::Outcome;
use crate::lists::{link, page_size};
use crate::name::RepositoryName;
use crate::registry::{Call, Registry};
use crate::response::{Answer, FILTERS_APPLIED};
use crate::storage::{Prefix, Storage};

/// One answer is as long as a manifest may be, since clients read it as one; the rest follows by `Link`.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How many entries are read from the storage together.
const ENTRIES_AT_ONCE: usize = 1000;

impl<S: Storage> Registry<S> {
    pub(crate) async fn list_referrers(
        &self,
        call: &Call,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Outcome<Response<Body>> {
        let filter = call.query.one("artifactType")?.filter(|filter| !filter.is_empty());
        let entries_max = page_size(call, self.limits.page_entries)?;
        let mut found = Found::default();
        let mut after = call.query.one("last")?.map(str::to_owned);
        let prefix = Prefix::referrers(repository, subject);
        'pages: while let Some(page) = self.storage.list(&prefix, after.as_deref(), ENTRIES_AT_ONCE).await? {
            for name in &page.names {
                let Some(entry) = self.referrer(repository, subject, name).await? else { continue };
                if filter.is_some_and(|filter| entry["artifactType"] != filter) {
                    continue;
                }
                if found.is_full_with(&entry, entries_max) {
                    found.more = true;
                    break 'pages;
                }
                found.add(name, entry);
            }
            after = page.names.last().cloned();
            if !page.more {
                break;
            }
        }
        let mut answer = Answer::new(StatusCode::OK);
        if filter.is_some() {
            answer = answer.header(FILTERS_APPLIED, "artifactType");
        }
        if found.more
            && let Some(last) = &found.last
        {
            let path = format!("/v2/{repository}/referrers/{subject}");
            let parameters = [
                ("n", Some(entries_max.to_string())),
                ("last", Some(last.clone())),
                ("artifactType", filter.map(str::to_owned)),
            ];
            answer = answer.header(hyper::header::LINK, link(&path, &parameters));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciIndex.as_str(),
            "manifests": found.entries,
        });
        Ok(answer.json(MediaType::OciIndex.as_str(), &index))
    }

    /// The recorded descriptor of a referrer; nothing when that was deleted or never completed.
    pub(crate) async fn referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        name: &str,
    ) -> Outcome<Option<Value>> {
        let Ok(digest) = Digest::parse(name) else { return Ok(None) };
        let record = self.storage.referrer(repository, subject, &digest).await?;
        Ok(record.and_then(|record| serde_json::from_slice(&record).ok()))
    }
}

/// The entries of one answer.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<Value>,
    bytes: usize,
    last: Option<String>,
    more: bool,
}

impl Found {
    fn is_full_with(&self, entry: &Value, entries_max: usize) -> bool {
        let is_too_long = self.bytes + entry.to_string().len() > ANSWER_BYTES_MAX;
        self.entries.len() == entries_max || (is_too_long && !self.entries.is_empty())
    }

    fn add(&mut self, name: &str, entry: Value) {
        self.bytes += entry.to_string().len();
        self.last = Some(name.to_owned());
        self.entries.push(entry);
    }
}

/// The descriptor under which a manifest stands among its subject's referrers: with its annotations, and with its
/// artifact type, which for a manifest without one is its config's media type.
///
/// # Errors
/// None that a parsed document could cause.
pub fn descriptor(document: &Document, digest: &Digest, size: u64) -> Result<Bytes> {
    let mut descriptor = Descriptor::new(document.media_type().clone(), digest.clone(), size);
    match document.body() {
        DocumentBody::Manifest(manifest) => {
            let config_type = || manifest.config.media_type.as_str().to_owned();
            descriptor.artifact_type = Some(manifest.artifact_type.clone().unwrap_or_else(config_type));
            descriptor.annotations = manifest.annotations.clone();
        }
        DocumentBody::Index(index) => {
            descriptor.artifact_type = index.artifact_type.clone();
            descriptor.annotations = index.annotations.clone();
        }
    }
    let bytes = serde_json::to_vec(&descriptor)
        .map_err(|error| Error::new(Kind::Internal, "cannot write a descriptor").with_source(error))?;
    Ok(bytes.into())
}
