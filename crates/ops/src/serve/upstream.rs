//! The way of a cache to the registries that it copies: dhow's own client, with the user's credentials.

use std::time::Duration;

use dhow_base::{Kind, Result};
use dhow_content::Source as _;
use dhow_registry::{Access, Client, ClientOptions, Remote, RetryPolicy};
use dhow_serve::{Arriving, Fetched, Reply, Upstream};
use dhow_spec::{Descriptor, Digest, MediaType, Reference, Repository, Tag};

use crate::context::Context;

/// Clients wait for what a cache is told, so that it gives up earlier than a pull.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 3,
    first_pause: Duration::from_millis(250),
    longest_pause: Duration::from_secs(2),
    longest_retry_after: Duration::from_secs(2),
    fixed: false,
    trusts_names: false,
};

/// Registries, as everything else in dhow speaks to them.
#[derive(Debug)]
pub(super) struct Registries {
    client: Client,
}

impl Registries {
    pub(super) fn new(context: &Context) -> Result<Self> {
        let options = ClientOptions { retry: RETRY, ..context.client_options()? };
        Ok(Self { client: Client::new(options)? })
    }

    /// Mirrors are not asked: this cache may be one.
    fn remote(&self, repository: &Repository) -> Result<Remote> {
        self.client.repository(repository, Access::Pull)
    }
}

/// What is not there is no failure.
fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Upstream for Registries {
    fn resolve<'a>(&'a self, repository: &'a Repository, tag: &'a Tag) -> Reply<'a, Option<Digest>> {
        Box::pin(async move {
            let reference = Reference::from_tag(repository.clone(), tag.clone());
            let head = found(self.remote(repository)?.head(&reference).await)?;
            Ok(head.flatten().map(|descriptor| descriptor.digest))
        })
    }

    fn document<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, Option<Fetched>> {
        Box::pin(async move {
            let reference = Reference::from_digest(repository.clone(), digest.clone());
            let document = found(self.remote(repository)?.fetch_document(&reference).await)?;
            Ok(document.map(|document| Fetched {
                digest: document.descriptor().digest.clone(),
                media_type: document.document().media_type().as_str().to_owned(),
                bytes: document.bytes().to_vec().into(),
            }))
        })
    }

    fn has_document<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, bool> {
        Box::pin(async move { Ok(found(self.remote(repository)?.head_digest(digest).await)?.flatten().is_some()) })
    }

    fn blob_size<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, Option<u64>> {
        Box::pin(async move { Ok(found(self.remote(repository)?.blob_size(digest).await)?.flatten()) })
    }

    fn blob<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
    ) -> Reply<'a, Option<(Option<u64>, Arriving)>> {
        Box::pin(async move { Ok(found(self.remote(repository)?.whole_blob(digest).await)?.flatten()) })
    }

    fn rest<'a>(&'a self, repository: &'a Repository, digest: &'a Digest, size: u64, from: u64) -> Reply<'a, Arriving> {
        Box::pin(async move {
            let blob = Descriptor::new(MediaType::OciLayer, digest.clone(), size);
            self.remote(repository)?.read(&blob, from..size).await
        })
    }

    fn tags<'a>(&'a self, repository: &'a Repository) -> Reply<'a, Option<Vec<String>>> {
        Box::pin(async move {
            let tags = found(self.remote(repository)?.tags().await)?;
            Ok(tags.map(|tags| tags.iter().map(|tag| tag.as_str().to_owned()).collect()))
        })
    }

    fn referrers<'a>(
        &'a self,
        repository: &'a Repository,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> Reply<'a, Vec<Descriptor>> {
        Box::pin(async move { self.remote(repository)?.referrers(subject, artifact_type).await })
    }
}
