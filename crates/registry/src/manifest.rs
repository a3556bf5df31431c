//! Manifests and indexes: found by HEAD, read by GET, written by PUT.

use std::fmt;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{VerifiedDocument, verify_document};
use dhow_spec::media_type::MANIFEST_ACCEPT;
use dhow_spec::{Descriptor, Digest, Document, MediaType, Reference, Tag};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};

use crate::endpoint::Call;
use crate::error::WireError;
use crate::remote::Remote;
use crate::transport::Answer;

/// What a manifest is asked for by.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Tag(Tag),
    Digest(Digest),
}

impl Wanted {
    /// For reading: a digest wins over a tag beside it.
    pub(crate) fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Wanted::Digest(digest.clone()),
            (None, Some(tag)) => Wanted::Tag(tag.clone()),
            (None, None) => Wanted::Tag(Tag::latest()),
        }
    }

    /// For writing: the tag is what is given a meaning.
    pub(crate) fn name_of(reference: &Reference) -> Self {
        match reference.tag() {
            Some(tag) => Wanted::Tag(tag.clone()),
            None => Wanted::of(reference),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Tag(tag) => formatter.write_str(tag.as_str()),
            Wanted::Digest(digest) => formatter.write_str(digest.as_str()),
        }
    }
}

fn call(remote: &Remote, method: Method, wanted: &Wanted) -> Call {
    let mut call = remote.call(method, &format!("manifests/{wanted}"));
    for media_type in MANIFEST_ACCEPT {
        // One header each: some registries only read the first type of a list.
        call.headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    call
}

/// Asks by HEAD; `None` when there is no such manifest. Where HEAD says too little, GET is used.
pub(crate) async fn head(remote: &Remote, wanted: &Wanted) -> Result<Option<Descriptor>> {
    let answer = remote.send(&call(remote, Method::HEAD, wanted)).await?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => match announced(&answer, wanted)? {
            Some(descriptor) => Ok(Some(descriptor)),
            None => {
                get(remote, wanted).await.map(|document| Some(document.descriptor().clone())).map_err(Refused::plain)
            }
        },
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(answer.wire_error().await.into_error(remote.endpoint.domain()))
        }
        // An answer to HEAD has no body that could say why; and some servers know no HEAD.
        _ => get(remote, wanted).await.map(|document| Some(document.descriptor().clone())).map_err(Refused::plain),
    }
}

/// What the headers announce, when they announce all that a descriptor needs. The digest is a claim: whoever reads the
/// manifest by it proves it.
fn announced(answer: &Answer, wanted: &Wanted) -> Result<Option<Descriptor>> {
    let digest = answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
    let media_type = answer.header(CONTENT_TYPE.as_str()).map(MediaType::parse);
    if let (Wanted::Digest(asked), Some(digest)) = (wanted, &digest)
        && asked.algorithm() == digest.algorithm()
        && asked != digest
    {
        return Err(substituted(asked, digest));
    }
    let digest = match wanted {
        Wanted::Digest(asked) => Some(asked.clone()),
        Wanted::Tag(_) => digest,
    };
    match (digest, media_type, answer.content_length()) {
        (Some(digest), Some(media_type), Some(size)) if media_type.is_document() && size > 0 => {
            if size > limits::MANIFEST_BYTES_MAX {
                let limit = limits::MANIFEST_BYTES_MAX;
                let message = format!("manifest {digest} has {size} bytes, at most {limit} are accepted");
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            Ok(Some(Descriptor::new(media_type, digest, size)))
        }
        _ => Ok(None),
    }
}

fn substituted(asked: &Digest, found: &Digest) -> Error {
    Error::new(Kind::Corrupt, format!("the registry answered with manifest {found} when asked for {asked}"))
}

/// What a reference stands for.
pub(crate) async fn resolve(remote: &Remote, reference: &Reference) -> Result<Descriptor> {
    let wanted = Wanted::of(reference);
    let answer = remote.send(&call(remote, Method::HEAD, &wanted)).await?;
    if answer.status().is_success() {
        if let Some(descriptor) = announced(&answer, &wanted)? {
            return Ok(descriptor);
        }
    } else if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS {
        return Err(answer.wire_error().await.into_error(remote.endpoint.domain()));
    }
    Ok(fetch(remote, reference).await?.descriptor().clone())
}

/// Reads what a reference stands for.
pub(crate) async fn fetch(remote: &Remote, reference: &Reference) -> Result<VerifiedDocument> {
    get(remote, &Wanted::of(reference)).await.map_err(|refused| refused.for_pull(reference))
}

/// A GET that failed: as the registry says, or otherwise.
enum Refused {
    Wire(WireError, String),
    Other(Error),
}

impl Refused {
    /// Whether the body broke off.
    fn may_pass(&self) -> bool {
        matches!(self, Refused::Other(error) if error.kind().is_transient())
    }

    fn plain(self) -> Error {
        match self {
            Refused::Wire(wire, domain) => wire.into_error(&domain),
            Refused::Other(error) => error,
        }
    }

    /// In the words docker has for a pull that was refused.
    fn for_pull(self, reference: &Reference) -> Error {
        let Refused::Wire(wire, domain) = self else { return self.plain() };
        let name = reference.repository().familiar();
        let context = if wire.is("DENIED") {
            format!("pull access denied for {name}, repository does not exist or may require 'docker login'")
        } else if wire.is("NAME_UNKNOWN") {
            format!("repository {name} not found")
        } else if wire.is("MANIFEST_UNKNOWN") {
            format!("manifest for {} not found", reference.familiar())
        } else {
            return wire.into_error(&domain);
        };
        let way_out = match () {
            () if wire.is("DENIED") => Some(format!("check the name, or log in first: dhow login {domain}")),
            () if wire.is("MANIFEST_UNKNOWN") => Some(format!("`dhow tags {name}` lists the tags that there are")),
            () => None,
        };
        let error = wire.into_error(&domain).context(context);
        way_out.into_iter().fold(error, Error::with_hint)
    }
}

/// Reads what a tag stands for unless that is still `known`; `None` then. One request, whatever comes of it.
pub(crate) async fn refresh(
    remote: &Remote,
    reference: &Reference,
    known: &Digest,
) -> Result<Option<VerifiedDocument>> {
    let wanted = Wanted::of(reference);
    let mut call = call(remote, Method::GET, &wanted);
    // Registries that have entity tags for manifests have their digests (distribution, `registry/handlers/manifests.go`).
    let entity_tag = HeaderValue::try_from(format!("\"{known}\""))
        .map_err(|error| Error::new(Kind::Internal, format!("cannot form a request: {error}")))?;
    call.headers.insert(IF_NONE_MATCH, entity_tag);
    let answer = remote.send(&call).await?;
    if answer.status() != StatusCode::NOT_MODIFIED {
        return match understood(remote, &wanted, answer).await {
            Err(refused) if refused.may_pass() => fetch(remote, reference).await.map(Some),
            found => found.map(Some).map_err(|refused| refused.for_pull(reference)),
        };
    }
    let stated = answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
    match stated {
        // A cache on the way mixed something up.
        Some(stated) if stated != *known => fetch(remote, reference).await.map(Some),
        _ => Ok(None),
    }
}

/// Reads a manifest. What breaks off in its body is asked for again: whoever sends a request knows nothing of bodies.
async fn get(remote: &Remote, wanted: &Wanted) -> Result<VerifiedDocument, Refused> {
    let policy = remote.client.transport().options.retry;
    let mut failed = 0;
    loop {
        let answer = remote.send(&call(remote, Method::GET, wanted)).await.map_err(Refused::Other)?;
        let found = understood(remote, wanted, answer).await;
        failed += 1;
        let pause = match &found {
            Err(refused) if refused.may_pass() => policy.pause(failed, None),
            _ => None,
        };
        let Some(pause) = pause else { return found };
        tracing::info!(%wanted, ?pause, failed, "trying again");
        tokio::time::sleep(pause).await;
    }
}

/// The manifest that an answer to GET brings.
async fn understood(remote: &Remote, wanted: &Wanted, answer: Answer) -> Result<VerifiedDocument, Refused> {
    if !answer.status().is_success() {
        return Err(Refused::Wire(answer.wire_error().await, remote.endpoint.domain().to_owned()));
    }
    let is_page =
        answer.header(CONTENT_TYPE.as_str()).is_some_and(|text| MediaType::parse(text).as_str() == "text/html");
    read(answer, wanted).await.map_err(|error| {
        // Whoever asks people to log in on the way to a network, say.
        let instead = if is_page { ": the answer is a web page (text/html), perhaps of a proxy's" } else { "" };
        let about = format_args!("manifest {wanted} of {}{instead}", remote.repository.familiar());
        Refused::Other(error.context(about))
    })
}

/// Reads and proves the body of a manifest.
async fn read(answer: Answer, wanted: &Wanted) -> Result<VerifiedDocument> {
    let announced = answer.header("docker-content-digest").map(Digest::parse).and_then(Result::ok);
    let media_type = answer.header(CONTENT_TYPE.as_str()).map(MediaType::parse);
    let bytes = answer.bytes(limits::MANIFEST_BYTES_MAX).await?;
    let digest = match (wanted, announced) {
        (Wanted::Digest(asked), Some(announced))
            if asked.algorithm() == announced.algorithm() && *asked != announced =>
        {
            return Err(substituted(asked, &announced));
        }
        (Wanted::Digest(asked), _) => asked.clone(),
        // The registry's word is proven below like any other digest.
        (Wanted::Tag(_), Some(announced)) => announced,
        (Wanted::Tag(_), None) => Digest::sha256(&bytes),
    };
    let size = bytes.len() as u64;
    let own_type = Document::parse(bytes.as_slice(), media_type.as_ref()).map_err(Error::from)?.media_type().clone();
    verify_document(bytes, &Descriptor::new(own_type, digest, size))
}

/// Whether the registry has a manifest: it takes none whose parts it does not have.
pub(crate) async fn holds(remote: &Remote, digest: &Digest) -> Result<bool> {
    let wanted = Wanted::Digest(digest.clone());
    let answer = remote.send(&call(remote, Method::HEAD, &wanted)).await?;
    let status = answer.status();
    if status.is_success() {
        let stated = answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
        return Ok(stated.is_none_or(|stated| stated == *digest));
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(answer.wire_error().await.into_error(remote.endpoint.domain()));
    }
    // Not there, or not to be seen: the write that follows says which.
    Ok(false)
}

/// Removes a tag or a manifest.
pub(crate) async fn delete(remote: &Remote, wanted: &Wanted) -> Result<()> {
    let answer = remote.send(&remote.call(Method::DELETE, &format!("manifests/{wanted}"))).await?;
    if answer.status().is_success() {
        return Ok(());
    }
    let (is_tag, domain) = (matches!(wanted, Wanted::Tag(_)), remote.endpoint.domain());
    let error = answer.wire_error().await;
    // Registries that only remove by digest say so in different ways; docker's own complains about the digest.
    let refuses = matches!(error.kind(), Kind::Unsupported) || (is_tag && error.is("DIGEST_INVALID"));
    if !refuses {
        return Err(error.into_error(domain));
    }
    let what = if is_tag { "tags" } else { "manifests" };
    Err(Error::new(Kind::Unsupported, format!("the registry {domain} removes no {what}: {}", error.message())))
}

/// What a registry says to a manifest that it took.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Whether it keeps the manifest among the referrers of its subject (`OCI-Subject`).
    pub(crate) knows_subject: bool,
}

/// Writes a manifest under a tag or its digest.
pub(crate) async fn put(remote: &Remote, wanted: &Wanted, document: &VerifiedDocument) -> Result<Stored> {
    let mut call = remote.call(Method::PUT, &format!("manifests/{wanted}"));
    let media_type = document.document().media_type().as_str();
    let media_type = HeaderValue::from_str(media_type)
        .map_err(|_| Error::new(Kind::Invalid, format!("media type {media_type:?} cannot be sent as a header")))?;
    call.headers.insert(CONTENT_TYPE, media_type);
    call.body = Bytes::copy_from_slice(document.bytes());
    let answer = remote.send(&call).await?;
    if !answer.status().is_success() {
        return Err(answer.wire_error().await.into_error(remote.endpoint.domain()));
    }
    let ours = &document.descriptor().digest;
    let stated = answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
    match stated {
        Some(stated) if stated.algorithm() == ours.algorithm() && stated != *ours => {
            let name = remote.repository.familiar();
            let message = format!("{name}: the registry stored manifest {ours} as {stated}: it changed the bytes");
            Err(Error::new(Kind::Corrupt, message))
        }
        _ => Ok(Stored { knows_subject: answer.header("oci-subject").is_some() }),
    }
}
