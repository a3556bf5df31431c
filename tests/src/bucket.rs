//! What lies in a bucket of `dhow serve`, read by its format (`docs/formats/bucket.md`) and without the program that wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A bucket of an S3 server that lets everybody read.
#[derive(Debug)]
pub struct Objects {
    address: SocketAddr,
    bucket: String,
    prefix: String,
}

impl Objects {
    /// Those of a registry at `s3://bucket/prefix`.
    pub fn new(endpoint: &str, bucket: &str, prefix: &str) -> Self {
        let address = endpoint.strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{endpoint:?} is no endpoint"));
        Self { address, bucket: bucket.to_owned(), prefix: format!("{prefix}/") }
    }

    /// All keys behind the prefix.
    pub fn keys(&self) -> Vec<String> {
        let (mut keys, mut token) = (Vec::new(), None);
        loop {
            let more = token.map(|token: String| format!("&continuation-token={token}")).unwrap_or_default();
            let query = format!("/{}?list-type=2&max-keys=1000&prefix={}{more}", self.bucket, self.prefix);
            let page = String::from_utf8(self.ask(&query)).expect("a list");
            let found = fields(&page, "Key").map(|key| key.strip_prefix(&self.prefix).expect("a key").to_owned());
            keys.extend(found);
            token = fields(&page, "NextContinuationToken").next().map(str::to_owned);
            if token.is_none() || !page.contains("<IsTruncated>true</IsTruncated>") {
                return keys;
            }
        }
    }

    /// An object's first line and what is behind it.
    fn record(&self, key: &str) -> (Value, Vec<u8>) {
        let mut bytes = self.ask(&format!("/{}/{}{key}", self.bucket, self.prefix));
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_else(|| panic!("{key} has no line"));
        let rest = bytes.split_off(end + 1);
        (serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{key}: {error}")), rest)
    }

    /// Keys of what no manifest of the registry needs: links of repositories to blobs, and bytes of blobs.
    pub fn unneeded(&self) -> Vec<String> {
        let keys = self.keys();
        let mut needed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for key in &keys {
            let manifest = key.strip_prefix("repositories/").and_then(|rest| rest.split_once("/_manifests/"));
            let Some((repository, _)) = manifest else { continue };
            let (head, bytes) = self.record(key);
            if head.get("mediaType").is_some() {
                let document: Value = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{key}: {error}"));
                let layers = document["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
                let named = layers.iter().chain([&document["config"]]);
                let digests = named.filter_map(|named| named["digest"].as_str()?.strip_prefix("sha256:"));
                needed.entry(repository).or_default().extend(digests.map(str::to_owned));
            }
        }
        let (mut unneeded, mut linked) = (Vec::new(), BTreeSet::new());
        for key in &keys {
            let Some((hex, name)) = link(key) else { continue };
            match needed.get(name.replace(':', "/").as_str()) {
                Some(digests) if digests.contains(hex) => {
                    linked.extend(self.record(key).0["at"].as_str().map(str::to_owned));
                }
                _ => unneeded.push(key.clone()),
            }
        }
        for key in &keys {
            let at = key.split_once("/at.").map(|(_, serial)| format!("data/{serial}"));
            let is_content = key.starts_with("data/") || (key.starts_with("blobs/") && key.contains("/data."));
            let content = at.or_else(|| is_content.then(|| key.clone()));
            unneeded.extend(content.filter(|content| !linked.contains(content)).map(|_| key.clone()));
        }
        unneeded
    }

    fn ask(&self, target: &str) -> Vec<u8> {
        self.try_ask(target).unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    fn try_ask(&self, target: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // The older version knows no chunks.
        stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.ok_or_else(|| io::Error::other("no answer"))?;
        let body = answer.split_off(end + 4);
        match answer.split(|byte| *byte == b' ').nth(1) {
            Some(b"200") => Ok(body),
            _ => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
        }
    }
}

/// The digest and the repository of a link, `blobs/sha256/<hex>/in.<name>`.
fn link(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("blobs/sha256/")?.split_once("/in.")
}

/// What stands between the tags of a name.
fn fields<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let pieces: Vec<&str> = page.split(begin.as_str()).skip(1).collect();
    pieces.into_iter().filter_map(move |piece| piece.split_once(end.as_str()).map(|(field, _)| field))
}
