//! Images of another place, offered read-only: what `serve --local` answers with.

use std::fmt::Debug;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::Digest;
use dhow_spec::{Document, MediaType};
use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::access::Action;
use crate::blobs;
use crate::body::Body;
use crate::cache::send_file;
use crate::failure::{Code, Failure, Outcome};
use crate::manifests;
use crate::name::RepositoryName;
use crate::referrers;
use crate::registry::{Call, Registry};
use crate::response::{Answer, FILTERS_APPLIED};
use crate::route::{ManifestName, Route};
use crate::storage::Storage;

/// A place whose images are offered. All calls may wait for a disk; they run on threads that may.
pub trait Images: Debug + Send + Sync {
    /// The repositories, by the names that they are offered under.
    ///
    /// # Errors
    /// Those of the place.
    fn repositories(&self) -> Result<Vec<String>>;

    /// The name that a repository is offered under, for any that it can be asked for by; nothing when there is none.
    /// `namespace` is the registry that the client means, where it says so. All else takes the name that this returns.
    ///
    /// # Errors
    /// Those of the place.
    fn find(&self, asked: &str, namespace: Option<&str>) -> Result<Option<String>>;

    /// The tags of a repository; nothing when there is no such repository.
    ///
    /// # Errors
    /// Those of the place.
    fn tags(&self, repository: &str) -> Result<Option<Vec<String>>>;

    /// A manifest or index of a repository.
    ///
    /// # Errors
    /// Those of the place.
    fn manifest(&self, repository: &str, name: &ManifestName) -> Result<Option<Offered>>;

    /// A blob of a repository, and its length in bytes.
    ///
    /// # Errors
    /// Those of the place.
    fn blob(&self, repository: &str, digest: &Digest) -> Result<Option<(Arc<File>, u64)>>;

    /// The manifests and indexes of a repository whose subject is `subject`.
    ///
    /// # Errors
    /// Those of the place.
    fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Offered>>;
}

/// A manifest or index that is offered.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Asks a place on a thread that may wait.
async fn ask<T: Send + 'static>(
    images: &Arc<dyn Images>,
    work: impl FnOnce(&dyn Images) -> Result<T> + Send + 'static,
) -> Outcome<T> {
    let images = Arc::clone(images);
    let failed = |error| Error::new(Kind::Internal, format!("a thread failed: {error}"));
    Ok(tokio::task::spawn_blocking(move || work(&*images)).await.map_err(failed).flatten()?)
}

impl<S: Storage> Registry<S> {
    /// The one name of a request's repository, by which rules know it; nothing when no such repository is offered.
    pub(crate) async fn offered_name(&self, call: &Call, route: &Route) -> Outcome<Option<RepositoryName>> {
        let (Some(images), Some(repository)) = (&self.images, route.repository()) else { return Ok(None) };
        let (asked, namespace) = (repository.to_string(), call.query.one("ns")?.map(str::to_owned));
        let found = ask(images, move |images| images.find(&asked, namespace.as_deref())).await?;
        Ok(found.and_then(|name| RepositoryName::parse(&name)))
    }

    /// Answers a request that reads.
    pub(crate) async fn answer_with_image(
        &self,
        call: &Call,
        route: Route,
        images: &Arc<dyn Images>,
    ) -> Outcome<Response<Body>> {
        match route {
            Route::Tags(repository) => {
                let name = repository.to_string();
                let tags = ask(images, move |images| images.tags(&name)).await?;
                let tags = tags.ok_or_else(|| unknown(&repository))?;
                let (answer, tags) = self.page(call, &format!("/v2/{repository}/tags/list"), tags)?;
                Ok(answer.json("application/json", &json!({ "name": repository.as_str(), "tags": tags })))
            }
            Route::Manifest(repository, name) => {
                let (place, wanted) = (repository.to_string(), name.clone());
                let found = ask(images, move |images| images.manifest(&place, &wanted)).await?;
                offered_manifest(call, found.ok_or_else(|| manifests::unknown(&repository, &name))?)
            }
            Route::Blob(repository, digest) => {
                let wanted = digest.clone();
                let found = ask(images, move |images| images.blob(repository.as_str(), &wanted)).await?;
                let (file, size) = found.ok_or_else(|| blobs::unknown(&digest))?;
                send_file(call, &digest, file, size)
            }
            Route::Referrers(repository, subject) => {
                let found = ask(images, move |images| images.referrers(repository.as_str(), &subject)).await?;
                offered_referrers(call, found)
            }
            Route::Catalog => self.offered_repositories(call, images).await,
            _ => Err(Failure::method("POST", "the registry is read-only")),
        }
    }

    async fn offered_repositories(&self, call: &Call, images: &Arc<dyn Images>) -> Outcome<Response<Body>> {
        let mut names = ask(images, |images| images.repositories()).await?;
        if !call.permit.sees_everything() {
            let may_see =
                |name: &String| RepositoryName::parse(name).is_some_and(|name| call.permit.allows(Action::Pull, &name));
            names.retain(may_see);
        }
        let (answer, names) = self.page(call, "/v2/_catalog", names)?;
        Ok(answer.json("application/json", &json!({ "repositories": names })))
    }
}

/// 404: no such repository is offered.
pub(crate) fn unknown(repository: &RepositoryName) -> Box<Failure> {
    let detail = json!({ "name": repository.as_str() });
    Failure::missing(Code::NameUnknown, "repository name not known to registry").with_detail(detail)
}

fn offered_manifest(call: &Call, offered: Offered) -> Outcome<Response<Body>> {
    let Offered { digest, media_type, bytes } = offered;
    let answer = |status| Answer::new(status).digest(&digest).entity_tag(&digest);
    if blobs::has_current(call, &digest) {
        return answer(StatusCode::NOT_MODIFIED).done();
    }
    let answer = answer(StatusCode::OK).header(header::CONTENT_TYPE, media_type).length(bytes.len() as u64);
    if call.is_head() { answer.done() } else { Ok(answer.body(Body::full(bytes))) }
}

fn offered_referrers(call: &Call, found: Vec<Offered>) -> Outcome<Response<Body>> {
    let filter = call.query.one("artifactType")?.filter(|filter| !filter.is_empty());
    let mut entries = Vec::with_capacity(found.len());
    for offered in found {
        let document = Document::parse(offered.bytes.to_vec(), None)?;
        let descriptor = referrers::descriptor(&document, &offered.digest, offered.bytes.len() as u64)?;
        entries.extend(serde_json::from_slice::<Value>(&descriptor).ok());
    }
    let mut answer = Answer::new(StatusCode::OK);
    if let Some(filter) = filter {
        entries.retain(|descriptor| descriptor["artifactType"] == filter);
        answer = answer.header(FILTERS_APPLIED, "artifactType");
    }
    let media_type = MediaType::OciIndex.as_str();
    Ok(answer.json(media_type, &json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries })))
}
