//! From a request to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode, header};
use serde_json::json;

use crate::access::Action;
use crate::access_log::{self, Record};
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::images;
use crate::kernel::KernelQueue;
use crate::page::{self, Address};
use crate::receive::Receiver;
use crate::registry::{Call, Registry};
use crate::response::{API_VERSION, Answer};
use crate::route::{Route, RouteError};
use crate::storage::Storage;

/// The `tracing` target of the events that tell of one answered request each.
pub const ACCESS_LOG: &str = "dhow_serve::access";

impl<S: Storage> Registry<S> {
    /// Answers a request, and logs it.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        kernel: Option<KernelQueue>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let (started, live) = (Instant::now(), Arc::clone(&self.live));
        let _counted = live.metrics.in_flight.count();
        let access_log = self.access_log.clone();
        let (parts, body) = request.into_parts();
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let agent = parts.headers.get(header::USER_AGENT).filter(|_| access_log.is_some()).cloned();
        let route = Route::parse(&path);
        let is_page = self.has_page && Address::is_below(&path);
        let kind = route.as_ref().map_or("none", Route::kind);
        let mut user = None;
        let outcome = match Call::new(parts, live.access(), kernel, self.limits.header_bytes) {
            Ok(call) => self.dispatch(call, route, &mut user, body).await,
            Err(failure) => Err(failure),
        };
        let mut code = None;
        let mut response = outcome.unwrap_or_else(|failure| {
            code = Some(failure.code().as_str());
            if let Some(cause) = failure.cause() {
                tracing::error!(%method, path, error = %cause, "the storage failed");
            }
            match is_page {
                true => page::failure(*failure, live.access().browser_challenge()),
                false => failure.into_response(),
            }
        });
        if path.starts_with("/v2") {
            response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        }
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let (status, bytes) = (response.status().as_u16(), response.body().size_hint().exact());
        let took = started.elapsed();
        let (user, seconds) = (user.as_deref(), took.as_secs_f64());
        live.metrics.note(kind, &method, status, bytes.unwrap_or(0), took);
        if let Some(access_log) = access_log {
            let (method, path, agent) =
                (method.as_str(), path.as_str(), agent.as_ref().and_then(|text| text.to_str().ok()));
            let time = access_log::now();
            access_log.write(&Record { time, peer, user, method, path, status, bytes, code, seconds, agent });
        }
        tracing::info!(target: ACCESS_LOG, %peer, user, %method, path, status, bytes, code, seconds);
        response
    }

    /// Notes in `user` who sent the request.
    async fn dispatch(
        self: Arc<Self>,
        mut call: Call,
        route: Result<Route, RouteError>,
        user: &mut Option<Arc<str>>,
        body: Incoming,
    ) -> Outcome<Response<Body>> {
        let is_read = matches!(call.method, Method::GET | Method::HEAD);
        let route = match route {
            // There is no manifest of that name, and there never can be (distribution spec, "Pulling manifests").
            Err(RouteError::Tag(text)) if is_read => {
                let unknown = Failure::missing(Code::ManifestUnknown, "manifest unknown");
                return Err(unknown.with_detail(json!({ "tag": text })));
            }
            Ok(Route::Page(_)) if !self.has_page => return Err(RouteError::Unknown.into()),
            route => route?,
        };
        if !is_read && page::is_of_another_site(&call.headers) {
            let message = "a page of another site may not change anything here";
            return Err(Failure::new(StatusCode::FORBIDDEN, Code::Denied, message));
        }
        // A copy has one name for rules, whichever it was asked by; so has an image of this machine.
        let (copied, offered) = (self.copied(&call, &route)?, self.offered_name(&call, &route).await?);
        let is_offered = offered.is_some() || self.images.is_none();
        let route = match copied.as_ref().map(|copied| copied.name.clone()).or(offered) {
            Some(name) => route.in_repository(name),
            None => route,
        };
        if !matches!(route, Route::Health | Route::Ready) {
            call.permit.caller = call.permit.access.identify(&call.headers, &call.certificate).await?;
            *user = call.permit.caller.name();
            authorize(&call, &route)?;
        }
        if let Some(repository) = route.repository().filter(|_| is_read && !is_offered) {
            return Err(images::unknown(repository));
        }
        if let Some(copied) = copied {
            return self.answer_with_copy(&call, route, &copied).await;
        }
        if is_read {
            return self.read(&call, route).await;
        }
        if self.read_only || self.images.is_some() {
            return Err(Failure::method("GET, HEAD", "the registry is read-only"));
        }
        self.write_to_its_end(call, route, body).await
    }

    /// Does what changes something in a task of its own: it goes on to a defined end when the client goes away and this future is dropped.
    async fn write_to_its_end(self: Arc<Self>, call: Call, route: Route, body: Incoming) -> Outcome<Response<Body>> {
        let mut receiver = call.receiver(body, &self.limits);
        let task = tokio::spawn(async move {
            let outcome = self.write(&call, route, &mut receiver).await;
            if outcome.is_err() && !receiver.ended() {
                receiver.drain().await;
            }
            outcome
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request's task failed");
            Err(Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::Unknown,
                "the request failed inside the registry",
            ))
        })
    }

    /// GET and HEAD.
    async fn read(&self, call: &Call, route: Route) -> Outcome<Response<Body>> {
        let is_content = route.repository().is_some() || matches!(route, Route::Catalog);
        if let Some(images) = self.images.as_ref().filter(|_| is_content) {
            return self.answer_with_image(call, route, images).await;
        }
        match route {
            Route::Ready if self.images.is_some() => Ok(text("text/plain", "ok\n")),
            Route::Health => Ok(text("text/plain", "ok\n")),
            Route::Ready => match self.storage.check().await {
                Ok(()) => Ok(text("text/plain", "ok\n")),
                Err(error) => {
                    tracing::error!(%error, "the storage is not there");
                    let message = "the registry's storage is not there";
                    Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unknown, message))
                }
            },
            Route::Metrics => {
                let copies = self.cache.as_ref().map(|cache| cache.metrics()).unwrap_or_default();
                Ok(text("text/plain; version=0.0.4", self.live.metrics.text(self.sessions.count()) + &copies))
            }
            Route::Page(address) => self.get_page(call, address).await,
            Route::Version => Ok(Answer::new(StatusCode::OK).json("application/json", &json!({}))),
            Route::Catalog => self.list_repositories(call).await,
            Route::Tags(repository) => self.list_tags(call, &repository).await,
            Route::Manifest(repository, name) => self.get_manifest(call, &repository, &name).await,
            Route::Referrers(repository, subject) => self.list_referrers(call, &repository, &subject).await,
            Route::Blob(repository, digest) => self.get_blob(call, &repository, &digest).await,
            Route::Uploads(_) => Err(Failure::method("POST", "uploads are begun with POST")),
            Route::Upload(repository, id) => self.upload_status(&repository, &id).await,
        }
    }

    /// Everything else.
    async fn write(&self, call: &Call, route: Route, receiver: &mut Receiver) -> Outcome<Response<Body>> {
        let method = call.method.clone();
        match (route, method) {
            (Route::Manifest(repository, name), Method::PUT) => {
                self.put_manifest(call, &repository, &name, receiver).await
            }
            (Route::Manifest(repository, name), Method::DELETE) => self.delete_manifest(call, &repository, &name).await,
            (Route::Blob(repository, digest), Method::DELETE) => self.delete_blob(&repository, &digest).await,
            (Route::Uploads(repository), Method::POST) => self.begin_upload(call, &repository, receiver).await,
            (Route::Upload(repository, id), Method::PATCH) => {
                self.append_upload(call, &repository, &id, receiver).await
            }
            (Route::Upload(repository, id), Method::PUT) => self.finish_upload(call, &repository, &id, receiver).await,
            (Route::Upload(repository, id), Method::DELETE) => self.cancel_upload(&repository, &id).await,
            (Route::Page(Address::Delete(repository, name)), Method::POST) => {
                self.delete_by_form(call, &repository, &name, receiver).await
            }
            (route, _) => Err(Failure::method(allowed(&route), "the operation is unsupported")),
        }
    }
}

/// Refuses a request that its caller may not make. Every route is named here, so that none is forgotten.
fn authorize(call: &Call, route: &Route) -> Outcome<()> {
    let is_read = matches!(call.method, Method::GET | Method::HEAD);
    match route {
        Route::Health | Route::Ready => Ok(()),
        Route::Page(Address::Style | Address::Icon) => Ok(()),
        Route::Page(Address::Login) | Route::Version => call.permit.check_login(),
        Route::Metrics => call.permit.check_somebody(),
        Route::Page(Address::Home) => call.permit.check_catalogue(),
        Route::Page(Address::Repository(repository) | Address::Image(repository, _)) => {
            call.permit.check(Action::Pull, repository)
        }
        Route::Page(Address::Delete(repository, _)) => call.permit.check(Action::Delete, repository),
        Route::Catalog => call.permit.check_catalogue(),
        Route::Tags(repository) | Route::Referrers(repository, _) => call.permit.check(Action::Pull, repository),
        Route::Manifest(repository, _) | Route::Blob(repository, _) => {
            let action = match call.method {
                Method::DELETE => Action::Delete,
                _ if is_read => Action::Pull,
                _ => Action::Push,
            };
            call.permit.check(action, repository)
        }
        Route::Uploads(repository) | Route::Upload(repository, _) => call.permit.check(Action::Push, repository),
    }
}

fn text(media_type: &str, text: impl Into<Bytes>) -> Response<Body> {
    Answer::new(StatusCode::OK).header(header::CONTENT_TYPE, media_type).body(Body::full(text))
}

fn allowed(route: &Route) -> &'static str {
    match route {
        Route::Page(Address::Delete(..)) => "GET, HEAD, POST",
        Route::Page(_) | Route::Health | Route::Ready | Route::Metrics => "GET, HEAD",
        Route::Version | Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET, HEAD",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
    }
}
