//! As much of Google Cloud Storage's XML API as a registry asks for: objects with generations, conditions on them, lists, and
//! objects that come in parts (<https://cloud.google.com/storage/docs/xml-api/reference-methods>). Google has no such program,
//! and those of others heed no conditions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use dhow_spec::Digest;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::ObjectMeta;
use object_store::path::Path;
use tokio::net::TcpListener;

use crate::query::{Query, decode};

/// Fewer than Google's thousand, so that lists have pages.
const NAMES_IN_A_PAGE: usize = 7;

type Answer = Response<Full<Bytes>>;

#[derive(Debug, Default)]
struct Store {
    objects: BTreeMap<String, (ObjectMeta, Bytes)>,
    parts: BTreeMap<(String, usize), Bytes>,
    /// Counts what was written.
    generation: u64,
}

/// Starts a server; returns its address, `http://127.0.0.1:<port>`.
pub(super) async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Arc::new(Mutex::new(Store::default()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let store = Arc::clone(&store);
            let service = service_fn(move |request| {
                let store = Arc::clone(&store);
                async move { Ok::<_, Infallible>(answer(&store, request).await) }
            });
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("http://{address}")
}

async fn answer(store: &Mutex<Store>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let query = Query::parse(parts.uri.query().unwrap_or_default()).unwrap();
    let key = parts.uri.path().trim_start_matches('/').split_once('/').map(|(_, key)| decode(key).unwrap());
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let given = |name: &'static str| query.one(name).unwrap().map(str::to_owned);
    let mut store = store.lock().unwrap();
    match (&parts.method, key, given("uploadId")) {
        (&Method::GET, None, None) => store.list(given),
        (&Method::GET | &Method::HEAD, Some(key), None) => store.read(&key, header),
        (&Method::PUT, Some(key), None) => store.write(&key, body, header("x-goog-if-generation-match")),
        (&Method::DELETE, Some(key), None) => match store.objects.remove(&key) {
            Some(_) => status(StatusCode::NO_CONTENT),
            None => status(StatusCode::NOT_FOUND),
        },
        (&Method::POST, Some(_), None) if given("uploads").is_some() => {
            store.generation += 1;
            let id = format!("upload-{}", store.generation);
            xml(&format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
        }
        (&Method::PUT, Some(_), Some(upload)) => {
            let number = given("partNumber").unwrap().parse().unwrap();
            let e_tag = e_tag(&body);
            store.parts.insert((upload, number), body);
            Response::builder().header("etag", e_tag).body(Full::default()).unwrap()
        }
        (&Method::POST, Some(key), Some(upload)) => store.join(&key, &upload, &String::from_utf8_lossy(&body)),
        (&Method::DELETE, Some(_), Some(upload)) => {
            store.parts.retain(|(of, _), _| *of != upload);
            status(StatusCode::NO_CONTENT)
        }
        (method, key, _) => panic!("nothing is known of {method} {key:?}"),
    }
}

impl Store {
    fn write(&mut self, key: &str, bytes: Bytes, condition: Option<&str>) -> Answer {
        let current = self.objects.get(key).and_then(|(meta, _)| meta.version.as_deref()).unwrap_or("0");
        if condition.is_some_and(|condition| condition != current) {
            return status(StatusCode::PRECONDITION_FAILED);
        }
        self.generation += 1;
        let (e_tag, version) = (e_tag(&bytes), self.generation.to_string());
        let meta = ObjectMeta {
            location: Path::parse(key).unwrap(),
            last_modified: SystemTime::now().into(),
            size: bytes.len() as u64,
            e_tag: Some(e_tag.clone()),
            version: Some(version.clone()),
        };
        self.objects.insert(key.to_owned(), (meta, bytes));
        let answer = Response::builder().header("etag", e_tag).header("x-goog-generation", version);
        answer.body(Full::default()).unwrap()
    }

    fn read<'a>(&self, key: &str, header: impl Fn(&str) -> Option<&'a str>) -> Answer {
        let Some((meta, bytes)) = self.objects.get(key) else { return status(StatusCode::NOT_FOUND) };
        let e_tag = meta.e_tag.clone().unwrap();
        if header("if-none-match") == Some(e_tag.as_str()) {
            return status(StatusCode::NOT_MODIFIED);
        }
        let answer = Response::builder()
            .header("etag", e_tag)
            .header("x-goog-generation", meta.version.clone().unwrap())
            .header("last-modified", meta.last_modified.to_rfc2822());
        let range = header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = range else { return answer.body(Full::new(bytes.clone())).unwrap() };
        let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap().min(bytes.len() - 1));
        let answer = answer.status(StatusCode::PARTIAL_CONTENT);
        let answer = answer.header("content-range", format!("bytes {first}-{last}/{}", bytes.len()));
        answer.body(Full::new(bytes.slice(first..=last))).unwrap()
    }

    fn list(&self, given: impl Fn(&'static str) -> Option<String>) -> Answer {
        let prefix = given("prefix").unwrap_or_default();
        let after = given("continuation-token").or_else(|| given("start-after")).unwrap_or_default();
        let (mut entries, mut folders, mut last) = (Vec::new(), Vec::new(), None);
        let mut keys = self.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).peekable();
        // Folders have no pages here: one could end within a folder.
        let most = if given("delimiter").is_some() { usize::MAX } else { NAMES_IN_A_PAGE };
        for (key, (meta, _)) in keys.by_ref().take(most) {
            last = Some(key);
            let folder = key[prefix.len()..].split_once('/').filter(|_| given("delimiter").is_some());
            if let Some((name, _)) = folder {
                folders.push(format!("<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>"));
                continue;
            }
            let (size, time) = (meta.size, meta.last_modified.to_rfc3339());
            let e_tag = meta.e_tag.as_deref().unwrap_or_default();
            entries.push(format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{time}</LastModified><ETag>{e_tag}</ETag></Contents>"
            ));
        }
        folders.dedup();
        let more = last.filter(|_| keys.peek().is_some());
        let token = more.map(|last| format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        let (entries, folders, token) = (entries.concat(), folders.concat(), token.unwrap_or_default());
        xml(&format!("<ListBucketResult>{entries}{folders}{token}</ListBucketResult>"))
    }

    fn join(&mut self, key: &str, upload: &str, named: &str) -> Answer {
        let mut whole = Vec::new();
        for (index, part) in named.split("<ETag>").skip(1).enumerate() {
            let Some(bytes) = self.parts.get(&(upload.to_owned(), index + 1)) else {
                return status(StatusCode::NOT_FOUND);
            };
            assert!(part.replace("&quot;", "\"").starts_with(&e_tag(bytes)), "{named}");
            whole.extend_from_slice(bytes);
        }
        self.parts.retain(|(of, _), _| of != upload);
        let e_tag = e_tag(&whole);
        let mut answer = self.write(key, whole.into(), None);
        let body = format!("<CompleteMultipartUploadResult><ETag>{e_tag}</ETag></CompleteMultipartUploadResult>");
        *answer.body_mut() = Full::new(body.into());
        answer
    }
}

fn e_tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Digest::sha256(bytes).hex()[..32])
}

fn status(status: StatusCode) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn xml(text: &str) -> Answer {
    Response::builder().header("content-type", "application/xml").body(Full::new(text.to_owned().into())).unwrap()
}
