//! Whatever a client sends (methods, addresses, headers, bodies, several requests after one another), the server answers, never
//! with a failure of its own; and whoever may not read a repository never sees what is in it.
#![no_main]

use std::cell::RefCell;
use std::path::Path;
use std::sync::LazyLock;

use dhow_serve::{Configuration, Exchange};
use dhow_spec::Digest;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH"];

/// `SESSION` stands for an upload that was begun before.
const PATHS: [&str; 16] = [
    "/v2/team/app/manifests/",
    "/v2/team/app/blobs/uploads/",
    "/v2/team/app/blobs/",
    "/v2/team/app/tags/list",
    "/v2/team/app/referrers/",
    "SESSION",
    "/v2/_catalog",
    "/v2/",
    "/r/",
    "/delete/team/app:",
    "/",
    "/metrics",
    "/v2/secret/app/manifests/",
    "/v2/secret/app/blobs/",
    "/r/secret/app",
    "",
];

const HEADERS: [&str; 20] = [
    "Range",
    "Content-Range",
    "Content-Type",
    "Authorization",
    "If-None-Match",
    "If-Range",
    "Accept",
    "Accept-Encoding",
    "Cookie",
    "Origin",
    "Sec-Fetch-Site",
    "Expect",
    "Transfer-Encoding",
    "Content-Length",
    "Host",
    "X-Forwarded-Proto",
    "Upgrade",
    "Connection",
    "Trailer",
    "Content-Encoding",
];

const SECRET: &str = "{\"kept from everybody\":\"f3b1c5ae\"}";

/// Everybody may work in `team`, nobody may look at `secret`.
static GUARDED: LazyLock<Configuration> = LazyLock::new(|| {
    let rules = "[[access.rules]]\nusers = [\"anonymous\"]\nallow = [\"pull\", \"push\", \"delete\"]\n\
                 repositories = [\"team/**\"]\n\
                 [[immutable-tags]]\nrepositories = [\"team/**\"]\ntags = [\"v*\"]\n\
                 [[quotas]]\nnamespace = \"team\"\nbytes = 100000\ntags = 3\n";
    Configuration::parse(rules, Path::new("/")).expect("a configuration")
});

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime"));
}

fn push(repository: &str, blob: &str) -> String {
    let digest = Digest::sha256(blob.as_bytes());
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"{digest}\",\"size\":{}}},\
         \"layers\":[],\"annotations\":{{\"a\":{blob:?}}}}}",
        blob.len()
    );
    format!(
        "POST /v2/{repository}/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{blob}\
         PUT /v2/{repository}/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{manifest}\
         POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        blob.len(),
        manifest.len()
    )
}

/// A request that is put together of what requests have; one in eight is just bytes.
fn request(input: &mut Unstructured<'_>, session: &str) -> Result<Vec<u8>> {
    let shape: u8 = input.arbitrary()?;
    if shape & 7 == 0 {
        return Ok(input.arbitrary::<&[u8]>()?.to_vec());
    }
    let path = input.choose(&PATHS)?.replace("SESSION", session);
    let mut request = format!("{} {path}{} HTTP/1.1\r\n", input.choose(&METHODS)?, input.arbitrary::<&str>()?);
    for _ in 0..input.int_in_range(0..=4)? {
        request.push_str(&format!("{}: {}\r\n", input.choose(&HEADERS)?, input.arbitrary::<&str>()?));
    }
    let body: &[u8] = input.arbitrary()?;
    match shape >> 3 & 3 {
        0 => {}
        1 => request.push_str(&format!("Transfer-Encoding: chunked\r\n\r\n{:x}", body.len())),
        _ => request.push_str(&format!("Content-Length: {}\r\n", body.len())),
    }
    request.push_str("\r\n");
    let end: &[u8] = if shape >> 3 & 3 == 1 { b"\r\n0\r\n\r\n" } else { b"" };
    Ok([request.as_bytes(), body, end].concat())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn check(input: &mut Unstructured<'_>) -> Result<()> {
    let exchange = Exchange::new().await.expect("a registry in memory");
    let open = Configuration::default();
    let configuration = if input.arbitrary()? { &*GUARDED } else { &open };
    let mut session = String::new();
    for (repository, blob) in [("secret/app", SECRET), ("team/app", "{}")] {
        let pushed = exchange.answer(&open, push(repository, blob).as_bytes()).await.expect("an answer");
        let pushed = String::from_utf8(pushed).expect("text");
        assert_eq!(pushed.matches("HTTP/1.1 20").count(), 3, "{pushed}");
        let (_, location) = pushed.rsplit_once("location: ").expect("an upload");
        session = location.lines().next().expect("its address").to_owned();
    }
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        let request = request(input, &session)?;
        let answer = exchange.answer(configuration, &request).await.expect("an answer");
        let shown = || (String::from_utf8_lossy(&request).into_owned(), String::from_utf8_lossy(&answer).into_owned());
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{:?}", shown());
        if std::ptr::eq(configuration, &*GUARDED) && !holds(&request, "f3b1c5ae") {
            assert!(!holds(&answer, "f3b1c5ae"), "{:?}", shown());
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    // Too few bytes make no request.
    let _ = RUNTIME.with_borrow(|runtime| runtime.block_on(check(&mut input)));
});
