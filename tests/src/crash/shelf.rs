//! A registry that hands out images slowly and knows how many bytes of them it sent.

use std::collections::BTreeMap;
use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use dhow_testkit::registry::{Effect, Request, Route, Rule, ScriptedRegistry};

use super::Picture;

/// Images in a registry on this machine.
#[derive(Debug)]
pub struct Shelf {
    registry: ScriptedRegistry,
}

impl Shelf {
    /// Serves images, each under the name it was painted with.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn open(pictures: &[&Picture]) -> Self {
        Self::stock(ScriptedRegistry::start(), pictures)
    }

    /// As [`Shelf::open`], at an address that counts as distant.
    ///
    /// # Errors
    /// When the machine has none but the loopback's.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn open_far_away(pictures: &[&Picture]) -> io::Result<Self> {
        // Connecting a datagram socket sends nothing; it only picks the way out.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket
            .connect("198.51.100.1:9")
            .map_err(|error| io::Error::new(error.kind(), format!("no address but the loopback's: {error}")))?;
        Ok(Self::stock(ScriptedRegistry::start_at(socket.local_addr()?.ip()), pictures))
    }

    fn stock(registry: ScriptedRegistry, pictures: &[&Picture]) -> Self {
        for Picture { name, layout, manifest, config, layers, .. } in pictures {
            let (repository, tag) = name.split_once(':').expect("a name with a tag");
            let bytes = |digest: &str| std::fs::read(layout.path(digest)).expect("a blob");
            for digest in layers.iter().map(|layer| &layer.blob.digest).chain([config]) {
                registry.put_blob(repository, &bytes(digest));
            }
            registry.put_manifest(repository, tag, &manifest.media_type, &bytes(&manifest.digest));
        }
        Self { registry }
    }

    /// The full name of an image here.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.registry.authority())
    }

    /// Sends blobs slowly from now on: on each connection so many bytes, then a pause.
    pub fn drip(&self, bytes: usize, pause: Duration) {
        self.registry.clear_script();
        self.registry.script(Rule::on(Route::Blob).effect(Effect::Drip(bytes, pause)));
    }

    /// Bytes that were sent, whatever they belong to; counts while they are on their way.
    pub fn sent(&self) -> u64 {
        self.registry.bytes_sent()
    }

    /// Bytes of each blob that were sent in answers that have ended.
    pub fn sent_by_blob(&self) -> BTreeMap<String, u64> {
        let mut bytes = BTreeMap::new();
        for request in self.registry.requests() {
            if request.route == Route::Blob && request.sent > 0 {
                let digest = request.path.rsplit('/').next().unwrap_or_default().to_owned();
                *bytes.entry(digest).or_default() += request.sent;
            }
        }
        bytes
    }

    /// How many answers brought bytes of a blob.
    pub fn answers(&self, digest: &str) -> usize {
        let brought = |request: &&Request| request.sent > 0 && request.path.ends_with(digest);
        self.registry.requests().iter().filter(brought).count()
    }

    /// Forgets what was sent in answers that have ended.
    pub fn forget(&self) {
        self.registry.clear_log();
    }

    /// Waits until no answer is under way.
    ///
    /// # Panics
    /// When one takes more than a minute.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.registry.under_way() > 0 {
            assert!(Instant::now() < deadline, "an answer of the registry hangs");
            thread::sleep(Duration::from_micros(200));
        }
    }
}
