//! What refers to a manifest, and the tag that lists it where a registry has no API for it (distribution spec 1.1,
//! "Listing Referrers", "Pushing Manifests with Subject").

use std::collections::HashSet;

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{VerifiedDocument, verify_document};
use dhow_spec::{Descriptor, Digest, Document, ImageIndex, MediaType, Reference, Tag};
use reqwest::Method;

use crate::manifest::{self, Wanted};
use crate::remote::Remote;
use crate::tags::pages;

/// Most referrers of one manifest that are read.
const REFERRERS_MAX: usize = 100_000;

/// The tag under which a registry without the referrers API keeps what refers to a manifest: `sha256-<hex>`, the algorithm
/// cut to 32 characters, the hex to 64 (distribution spec 1.1, "Referrers Tag Schema").
pub fn fallback_tag(subject: &Digest) -> Tag {
    let algorithm: String = subject.algorithm().as_str().chars().take(32).collect();
    let hex: String = subject.hex().chars().take(64).collect();
    // Both parts are lower-case letters and digits, so that the text is a tag.
    Tag::parse(&format!("{algorithm}-{hex}")).unwrap_or_else(|_| Tag::latest())
}

/// Lists what refers to `subject`.
pub(crate) async fn list(remote: &Remote, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
    let mut found = match by_api(remote, subject, artifact_type).await {
        Ok(found) => found,
        // Registries without the API know no such page; what they say to it differs.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unsupported | Kind::Invalid) => {
            by_tag(remote, subject).await?.map(|index| index.manifests).unwrap_or_default()
        }
        Err(error) => return Err(error),
    };
    let mut seen = HashSet::new();
    found.retain(|referrer| {
        // Whether a registry filters is its own choice.
        let fits = artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted));
        fits && referrer.media_type.is_document() && seen.insert(referrer.digest.clone())
    });
    Ok(found)
}

async fn by_api(remote: &Remote, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
    let filter = artifact_type.map(|wanted| {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("artifactType", wanted).finish();
        format!("?{query}")
    });
    let call = remote.call(Method::GET, &format!("referrers/{subject}{}", filter.unwrap_or_default()));
    let mut found = Vec::new();
    pages(&remote.client, &remote.endpoint, call, limits::MANIFEST_BYTES_MAX, |head, name, body| {
        // A page of something else altogether, such as a proxy's, is an answer of a registry without the API.
        if MediaType::parse(&head.content_type) != MediaType::OciIndex {
            return Err(Error::new(Kind::Unsupported, format!("{name}: the answer is no index")));
        }
        let document = Document::parse(body, &MediaType::OciIndex);
        let document = document.map_err(|error| Error::from(error).context(name))?;
        found.extend(document.as_index().map(|index| index.manifests.clone()).unwrap_or_default());
        if found.len() > REFERRERS_MAX {
            return Err(Error::new(Kind::LimitExceeded, format!("{name}: more than {REFERRERS_MAX} referrers")));
        }
        Ok(true)
    })
    .await?;
    Ok(found)
}

async fn by_tag(remote: &Remote, subject: &Digest) -> Result<Option<ImageIndex>> {
    let name = Reference::from_tag(remote.repository.clone(), fallback_tag(subject));
    match manifest::fetch(remote, &name).await {
        Ok(document) => Ok(document.document().as_index().cloned()),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a manifest; where the registry does not say that it keeps it among its subject's referrers, the fallback tag is
/// brought up to date.
///
/// Two writers of one tag at the same moment may lose one entry: the protocol has no way to prevent it.
pub(crate) async fn attach(remote: &Remote, wanted: &Wanted, document: &VerifiedDocument) -> Result<()> {
    let stored = manifest::put(remote, wanted, document).await?;
    let Some(subject) = document.document().subject() else { return Ok(()) };
    if stored.knows_subject && keeps(remote, &subject.digest, &document.descriptor().digest).await? {
        return Ok(());
    }
    let mut index = by_tag(remote, &subject.digest).await?.unwrap_or_else(|| ImageIndex::new(Vec::new()));
    let digest = &document.descriptor().digest;
    if index.manifests.iter().any(|known| known.digest == *digest) {
        return Ok(());
    }
    index.manifests.push(described(document));
    let index = Document::from_index(index)?;
    let index = verify_document(index.bytes().to_vec(), &index.descriptor())?;
    manifest::put(remote, &Wanted::Tag(fallback_tag(&subject.digest)), &index).await.map(drop)
}

/// Whether a registry that says it keeps a referrer does. Its word counts, unless it is known to say so without serving
/// referrers.
async fn keeps(remote: &Remote, subject: &Digest, referrer: &Digest) -> Result<bool> {
    if remote.endpoint.keeps_referrers() {
        return Ok(true);
    }
    match by_api(remote, subject, None).await {
        Ok(found) => Ok(found.iter().any(|known| known.digest == *referrer)),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unsupported | Kind::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes a manifest that is gone out of the fallback tag's list; nothing happens where there is none.
pub(crate) async fn detach(remote: &Remote, subject: &Digest, referrer: &Digest) -> Result<()> {
    let Some(mut index) = by_tag(remote, subject).await? else { return Ok(()) };
    let before = index.manifests.len();
    index.manifests.retain(|known| known.digest != *referrer);
    if index.manifests.len() == before {
        return Ok(());
    }
    let index = Document::from_index(index)?;
    let index = verify_document(index.bytes().to_vec(), &index.descriptor())?;
    manifest::put(remote, &Wanted::Tag(fallback_tag(subject)), &index).await.map(drop)
}

/// A manifest as it stands among the referrers of its subject: with its annotations and artifact type, which for one that
/// states none is its config's media type.
fn described(document: &VerifiedDocument) -> Descriptor {
    let mut descriptor = document.descriptor().clone();
    descriptor.platform = None;
    if let Some(manifest) = document.document().as_manifest() {
        let config_type = || manifest.config.media_type.as_str().to_owned();
        descriptor.artifact_type = Some(manifest.artifact_type.clone().unwrap_or_else(config_type));
        descriptor.annotations = manifest.annotations.clone();
    } else if let Some(index) = document.document().as_index() {
        descriptor.artifact_type = index.artifact_type.clone();
        descriptor.annotations = index.annotations.clone();
    }
    descriptor
}

#[cfg(test)]
mod tests {
    use dhow_spec::Repository;
    use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry};

    use super::*;
    use crate::client::{Client, ClientOptions};
    use crate::remote::Access;

    /// A document about `subject`, pushed to a registry that says it keeps it among the subject's referrers and does not:
    /// whether it is under the fallback tag.
    fn has_fallback(is_believed: bool) -> bool {
        let registry = ScriptedRegistry::start();
        let subject = registry.put_image("app", "v1", &[]);
        let says = Effect::SetHeader("OCI-Subject".to_owned(), subject.manifest.clone());
        registry.script(Rule::on(Route::Manifest).method("PUT").effect(says));
        let size = registry.manifest("app", "v1").unwrap().1.len();
        let mut index = ImageIndex::new(Vec::new());
        let subject = Digest::parse(&subject.manifest).unwrap();
        index.subject = Some(Descriptor::new(MediaType::OciManifest, subject.clone(), size as u64));
        let index = Document::from_index(index).unwrap();
        let index = verify_document(index.bytes().to_vec(), &index.descriptor()).unwrap();
        let repository = Repository::parse(&format!("{}/app", registry.authority())).unwrap();
        let client = Client::new(ClientOptions::default()).unwrap();
        let remote = client.repository(&repository, Access::Push).unwrap();
        if !is_believed {
            remote.endpoint.doubt_referrers();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(remote.attach(&index)).unwrap();
        registry.tag("app", fallback_tag(&subject).as_str()).is_some()
    }

    #[test]
    fn a_registry_that_is_not_believed_is_asked() {
        assert!(!has_fallback(true));
        assert!(has_fallback(false));
    }

    #[test]
    fn the_fallback_tag_is_cut_to_what_a_tag_may_be() {
        let hex = "ab".repeat(32);
        let digest = Digest::parse(&format!("sha256:{hex}")).expect("a digest");
        assert_eq!(fallback_tag(&digest).as_str(), format!("sha256-{hex}"));
        let digest = Digest::parse(&format!("sha512:{hex}{}", "cd".repeat(32))).expect("a digest");
        assert_eq!(fallback_tag(&digest).as_str(), format!("sha512-{hex}"));
    }
}
