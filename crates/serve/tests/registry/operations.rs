//! What those see who run the server.

use std::sync::{Arc, Mutex};

use dhow_serve::{AccessLog, ServeOptions};
use serde_json::Value;

use crate::harness::{PASSWORD, Registry};

#[tokio::test]
async fn readiness_follows_the_folder() {
    let registry = Registry::start().await;
    assert_eq!(registry.get("/readyz").await.status(), 200);
    let marker = registry.root.join("registry.json");
    dhow_base::fs::rename(&marker, &registry.root.join("away")).unwrap();
    assert_eq!(registry.get("/readyz").await.status(), 503);
    assert_eq!(registry.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn metrics_count_requests() {
    let registry = Registry::start().await;
    registry.push_image("a/b", "v1", "layer").await;
    registry.begin("a/b").await;
    assert_eq!(registry.get("/v2/a/b/manifests/v1").await.status(), 200);
    assert_eq!(registry.get("/v2/a/b/manifests/none").await.status(), 404);
    let got = registry.get("/metrics").await;
    assert_eq!(got.headers()["content-type"], "text/plain; version=0.0.4");
    let text = got.text().await.unwrap();
    for line in [
        "dhow_http_requests_total{route=\"manifest\",method=\"GET\",status=\"200\"} 1",
        "dhow_http_requests_total{route=\"manifest\",method=\"GET\",status=\"404\"} 1",
        "dhow_http_requests_total{route=\"manifest\",method=\"PUT\",status=\"201\"} 1",
        "dhow_upload_sessions 1",
        "dhow_http_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn metrics_need_an_account_where_there_are_some() {
    let registry = Registry::configured("access.htpasswd = \"accounts\"").await;
    assert_eq!(registry.get("/metrics").await.status(), 401);
    assert_eq!(registry.get("/readyz").await.status(), 200);
    let known = registry.request(reqwest::Method::GET, "/metrics").basic_auth("bob", Some(PASSWORD));
    assert_eq!(known.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn each_request_is_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut options = ServeOptions::new(folder.path().join("registry"));
    let sink = Arc::clone(&lines);
    options.access_log = Some(AccessLog::new(move |line: &str| sink.lock().unwrap().push(line.to_owned())));
    let registry = Registry::serve(options).await;
    let odd = "/v2/a/manifests/x%22%0a";
    assert_eq!(registry.get(odd).await.status(), 404);
    registry.stop().await;
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains('\n'));
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["method"], &line["path"], &line["status"]), (&"GET".into(), &odd.into(), &404.into()));
    assert_eq!((&line["code"], &line["user"]), (&"MANIFEST_UNKNOWN".into(), &Value::Null));
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    assert!(line["time"].as_f64().is_some_and(|time| time > 1e9) && line["seconds"].as_f64().is_some(), "{line}");
}
