//! HTTPS. `tls/` holds keys that are public, and good for nothing but tests.

use std::path::Path;
use std::time::{Duration, Instant};

use dhow_spec::Digest;
use reqwest::{Certificate, Client, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{PASSWORD, Registry, noise, write};

const AUTHORITY: &str = include_str!("tls/authority.pem");
const SERVER: (&str, &str) = (include_str!("tls/server.pem"), include_str!("tls/server.key.pem"));
const RENEWED: (&str, &str) = (include_str!("tls/renewed.pem"), include_str!("tls/renewed.key.pem"));
const CLIENT: (&str, &str) = (include_str!("tls/client.pem"), include_str!("tls/client.key.pem"));

const FILES: &str = "[tls]\ncertificate = \"server.pem\"\nkey = \"server.key.pem\"\n";

fn place(folder: &Path, (certificate, key): (&str, &str)) {
    write(&folder.join("server.pem"), certificate);
    write(&folder.join("server.key.pem"), key);
    write(&folder.join("authority.pem"), AUTHORITY);
}

fn client(identity: Option<(&str, &str)>) -> Client {
    let builder = Client::builder().tls_certs_only([Certificate::from_pem(AUTHORITY.as_bytes()).unwrap()]);
    let builder = builder.pool_max_idle_per_host(0);
    let pem = identity.map(|(certificate, key)| Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
    match pem {
        Some(identity) => builder.identity(identity),
        None => builder,
    }
    .build()
    .unwrap()
}

async fn serve(text: &str) -> Registry {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), SERVER);
    Registry::configured_in(folder, text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_in_and_out_over_http_2_and_1() {
    let registry = serve(FILES).await;
    let (bytes, base) = (noise(3 << 20), format!("https://{}/v2/a/blobs", registry.address));
    let digest = Digest::sha256(&bytes);
    let pushed =
        client(None).post(format!("{base}/uploads/?digest={digest}")).body(bytes.clone()).send().await.unwrap();
    assert_eq!((pushed.status().as_u16(), pushed.version()), (201, reqwest::Version::HTTP_2));
    let pulled = client(None).get(format!("{base}/{digest}")).send().await.unwrap();
    assert!(pulled.bytes().await.unwrap() == bytes);
    let certificate = Certificate::from_pem(AUTHORITY.as_bytes()).unwrap();
    let old = Client::builder().http1_only().tls_certs_only([certificate]).build().unwrap();
    let pulled = old.get(format!("{base}/{digest}")).send().await.unwrap();
    assert_eq!(pulled.version(), reqwest::Version::HTTP_11);
    assert!(pulled.bytes().await.unwrap() == bytes);
}

#[tokio::test]
async fn plain_http_gets_nothing_and_silence_is_let_go() {
    let registry = serve(&format!("{FILES}[limits]\nheader-wait-seconds = 1\n")).await;
    let answer = registry.raw("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    let started = Instant::now();
    let mut silent = TcpStream::connect(registry.address).await.unwrap();
    silent.write_all(b"\x16").await.unwrap();
    let _ = silent.read_to_end(&mut Vec::new()).await;
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(client(None).get(format!("https://{}/v2/", registry.address)).send().await.is_ok());
}

#[tokio::test]
async fn a_renewed_certificate_counts_and_a_broken_one_does_not() {
    let registry = serve(FILES).await;
    let first = peer(&registry).await;
    write(&registry.beside("server.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(peer(&registry).await, first);
    place(registry.root.parent().unwrap(), RENEWED);
    let deadline = Instant::now() + Duration::from_secs(20);
    while peer(&registry).await == first {
        assert!(Instant::now() < deadline, "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The certificate that the server shows.
async fn peer(registry: &Registry) -> Vec<u8> {
    let client =
        Client::builder().tls_info(true).tls_certs_only([Certificate::from_pem(AUTHORITY.as_bytes()).unwrap()]);
    let got = client.build().unwrap().get(format!("https://{}/v2/", registry.address)).send().await.unwrap();
    got.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn only_clients_with_a_certificate_get_in() {
    let registry = serve(&format!("{FILES}client-ca = \"authority.pem\"\n")).await;
    let url = format!("https://{}/healthz", registry.address);
    assert!(client(None).get(&url).send().await.is_err());
    // A certificate that is for servers is none for clients.
    assert!(client(Some(SERVER)).get(&url).send().await.is_err());
    assert_eq!(client(Some(CLIENT)).get(&url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_rule_can_name_a_certificate() {
    let rules = |user: &str| {
        format!(
            "{FILES}client-ca = \"authority.pem\"\n[access]\nhtpasswd = \"accounts\"\n\
             [[access.rules]]\nusers = [\"{user}\"]\nallow = [\"pull\", \"push\"]\nrepositories = [\"team/**\"]\n\
             [[access.rules]]\nusers = [\"alice\"]\nallow = [\"pull\"]\nrepositories = [\"alice/**\"]\n"
        )
    };
    for (user, team) in [("cn=client of tests", 404), ("cn=server of tests", 401), ("dns=client of tests", 401)] {
        let registry = serve(&rules(user)).await;
        let base = format!("https://{}/v2", registry.address);
        let status = async |path: &str, user: Option<&str>| {
            let request = client(Some(CLIENT)).get(format!("{base}{path}"));
            let request = if let Some(user) = user { request.basic_auth(user, Some(PASSWORD)) } else { request };
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(status("/team/app/manifests/v1", None).await, team, "{user}");
        assert_eq!(status("/", None).await, if team == 404 { 200 } else { 401 }, "{user}");
        let denied = if team == 404 { 403 } else { 401 };
        assert_eq!(status("/alice/app/manifests/v1", None).await, denied, "{user}");
        // An account counts beside the certificate.
        assert_eq!(status("/alice/app/manifests/v1", Some("alice")).await, 404, "{user}");
        let beside = if team == 404 { 404 } else { 403 };
        assert_eq!(status("/team/app/manifests/v1", Some("alice")).await, beside, "{user}");
    }
}

#[tokio::test]
async fn files_that_do_not_fit_keep_the_server_from_starting() {
    for (text, named) in [
        ("[tls]\ncertificate = \"server.pem\"", "its key"),
        ("[tls]\nclient-ca = \"authority.pem\"", "its key"),
        ("[tls]\ncertificate = \"server.key.pem\"\nkey = \"server.key.pem\"", "no certificates"),
        ("[tls]\ncertificate = \"server.pem\"\nkey = \"server.pem\"", "no private key"),
        ("[tls]\ncertificate = \"authority.pem\"\nkey = \"server.key.pem\"", "cannot be used"),
        ("[tls]\ncertificate = \"server.pem\"\nkey = \"nowhere.pem\"", "nowhere.pem"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path(), SERVER);
        write(&folder.path().join("serve.toml"), text);
        let mut options = dhow_serve::ServeOptions::new(folder.path().join("registry"));
        options.source.file = Some(folder.path().join("serve.toml"));
        let error = dhow_serve::bind("127.0.0.1:0", options).await.expect_err(text).to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
