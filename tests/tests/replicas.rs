//! Three servers on one bucket, behind a proxy that sends every connection to another one. They are killed and started
//! again while clients push and pull and a collection runs. What was acknowledged is there in the end, to the byte.
//!
//! `DHOW_TEST_SECONDS=120` is the long run; only there collections are killed, too.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dhow_spec::Digest;
use dhow_testkit::forgetful::Random;
use dhow_testkit::peers::{Seaweed, available, free_address};
use dhow_tests::bucket::Objects;
use dhow_tests::crash::{Dhow, chance, endurance};
use dhow_tests::interop::Bench;

const CLIENTS: usize = 16;
const REPLICAS: usize = 3;

/// Content younger than this stays: clients upload before they push a manifest.
const GRACE: &str = "2s";

/// Whoever tries longer than this has found a fault.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn what_was_acknowledged_survives_kills_and_collections() {
    let Some(store) = available(Seaweed::start()) else { return };
    let (bench, mut random, endurance) = (Bench::new(), chance(), endurance().max(Duration::from_secs(10)));
    let dhow = bench.dhow("store");
    let mut replicas: Vec<Replica> = (0..REPLICAS).map(|_| Replica::start(&dhow, &store)).collect();
    let addresses: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address).collect();
    let proxy = proxy(addresses);
    let stop = AtomicBool::new(false);
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| random.number()).collect();
    let kept = thread::scope(|scope| {
        let clients: Vec<_> = seeds
            .into_iter()
            .enumerate()
            .map(|(number, seed)| (number, Random::new(seed)))
            .map(|(number, random)| Client { number, proxy, random, kept: BTreeMap::new(), serial: 0, pulls: 0 })
            .map(|mut client| {
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        client.act();
                    }
                    client
                })
            })
            .collect();
        let collector = scope.spawn(|| collect_until(&dhow, &store, &stop, endurance > Duration::from_secs(60)));
        let kills = kill_until(&mut replicas, Instant::now() + endurance, &mut random, &dhow, &store);
        stop.store(true, Ordering::Relaxed);
        let clients: Vec<Client> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        let Collections { runs, cut, removed } = collector.join().expect("the collector");
        let (pushes, pulls) = clients.iter().fold((0, 0), |sum, client| (sum.0 + client.serial, sum.1 + client.pulls));
        println!("{pushes} pushes, {pulls} pulls, {kills} kills of servers");
        println!("{runs} collections, {cut} of them killed, removed {removed} blobs from repositories");
        assert!(pushes > CLIENTS && kills > 2 && runs > 0, "too little happened");
        // What a tag stood for before may be collected as soon as it is older than the grace time.
        assert!(removed > 0 || endurance < Duration::from_secs(60), "nothing was collected");
        clients
    });
    // A server that never saw any of it.
    let last = Replica::start(&dhow, &store);
    for mut client in kept {
        client.proxy = last.address;
        let names: Vec<String> = client.kept.keys().cloned().collect();
        names.iter().for_each(|name| client.check(name).expect("what was acknowledged is there"));
    }
    // Stores tell whole seconds.
    thread::sleep(Duration::from_secs(6));
    let collected = output(gc(&dhow, &store, &[]));
    let left = output(gc(&dhow, &store, &["--dry-run"]));
    assert!(left.contains("Would remove 0 blobs from repositories, and 0 files of content"), "{collected}{left}");
    let objects = Objects::new(&store.endpoint(), Seaweed::BUCKET, "replicas");
    assert!(objects.keys().len() > CLIENTS, "the bucket is listed");
    assert_eq!(objects.unneeded(), [""; 0], "what nobody needs is older than the grace time");
    let scrubbed = output(storing(dhow.command(&["serve", "scrub", "--storage", &location()]), &store));
    assert!(scrubbed.contains("no problems"), "{scrubbed}");
}

fn location() -> String {
    format!("s3://{}/replicas", Seaweed::BUCKET)
}

fn storing(mut command: Command, store: &Seaweed) -> Command {
    command.envs(store.environment());
    command
}

fn gc(dhow: &Dhow, store: &Seaweed, more: &[&str]) -> Command {
    let location = location();
    let arguments = [&["serve", "gc", "--grace", GRACE, "--storage", &location], more].concat();
    storing(dhow.command(&arguments), store)
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("start dhow");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

/// What became of the collections.
#[derive(Default)]
struct Collections {
    runs: usize,
    /// Those that were killed in the middle.
    cut: usize,
    /// Links that they removed, by their own count.
    removed: u64,
}

/// Collects without a pause.
fn collect_until(dhow: &Dhow, store: &Seaweed, stop: &AtomicBool, may_kill: bool) -> Collections {
    let mut done = Collections::default();
    while !stop.load(Ordering::Relaxed) {
        // The collection after a killed one waits the better part of a minute.
        if may_kill && done.cut == 0 && done.runs > 3 {
            let mut child = gc(dhow, store, &[]).stdout(Stdio::null()).spawn().expect("start dhow");
            thread::sleep(Duration::from_millis(300));
            done.cut += usize::from(child.try_wait().expect("its state").is_none());
            let _ = child.kill();
            let _ = child.wait();
        }
        let said = output(gc(dhow, store, &[]));
        let removed = said.split_once("Removed ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        done.removed += removed.unwrap_or_else(|| panic!("{said}"));
        done.runs += 1;
    }
    done
}

fn kill_until(replicas: &mut [Replica], end: Instant, random: &mut Random, dhow: &Dhow, store: &Seaweed) -> usize {
    let mut kills = 0;
    // Where everything takes long, the time is over before enough has happened.
    while Instant::now() < end || kills < 3 {
        thread::sleep(Duration::from_millis(500 + random.below(1500)));
        let victim = &mut replicas[random.below(REPLICAS as u64) as usize];
        victim.kill();
        thread::sleep(Duration::from_millis(random.below(500)));
        victim.run(dhow, store);
        kills += 1;
    }
    kills
}

/// A server that is killed and comes back at the same address.
struct Replica {
    address: SocketAddr,
    child: Child,
}

impl Replica {
    fn start(dhow: &Dhow, store: &Seaweed) -> Self {
        let launched = (0..10).find_map(|_| {
            let address = free_address().expect("a free port");
            Some(Self { address, child: launch(address, dhow, store)? })
        });
        launched.expect("a port that nobody else takes")
    }

    /// A connection of another program may have its port for a while.
    fn run(&mut self, dhow: &Dhow, store: &Seaweed) {
        let begun = Instant::now();
        self.child = loop {
            if let Some(child) = launch(self.address, dhow, store) {
                break child;
            }
            assert!(begun.elapsed() < PATIENCE, "a server does not come back at {}", self.address);
            thread::sleep(Duration::from_millis(200));
        };
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server that listens there; none when it ended before it did, as where the port is taken.
fn launch(address: SocketAddr, dhow: &Dhow, store: &Seaweed) -> Option<Child> {
    let listen = address.to_string();
    let location = location();
    let command = dhow.command(&["serve", "--listen", &listen, "--storage", &location]);
    let mut child = storing(command, store).stdout(Stdio::piped()).spawn().expect("start dhow serve");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("its first line");
    if line.is_empty() {
        child.wait().expect("its end");
        return None;
    }
    assert!(line.contains(&listen), "dhow serve said {line:?}");
    Some(child)
}

/// Sends every connection to the next server that takes it.
fn proxy(replicas: Vec<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let next = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (replicas, next) = (replicas.clone(), Arc::clone(&next));
            thread::spawn(move || {
                let server = replicas.iter().find_map(|_| {
                    let turn = next.fetch_add(1, Ordering::Relaxed) % replicas.len();
                    TcpStream::connect(replicas[turn]).ok()
                });
                let Some(server) = server else { return };
                let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
                let there = thread::spawn(move || pass(from, to));
                pass(server, client);
                let _ = there.join();
            });
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// What a tag was last acknowledged to stand for.
struct Kept {
    manifest: String,
    blobs: Vec<Vec<u8>>,
}

/// Pushes and pulls in a repository of its own, and mounts from a common one.
struct Client {
    number: usize,
    proxy: SocketAddr,
    random: Random,
    kept: BTreeMap<String, Arc<Kept>>,
    serial: usize,
    pulls: usize,
}

/// Layers that several clients have.
static SHARED: Mutex<BTreeMap<u64, Arc<Vec<u8>>>> = Mutex::new(BTreeMap::new());

impl Client {
    fn act(&mut self) {
        let known = self.kept.len() as u64;
        let name = (known > 0).then(|| {
            let index = self.random.below(known) as usize;
            self.kept.keys().nth(index).expect("a name").clone()
        });
        match (self.random.below(10), name) {
            (0..=3, Some(name)) => {
                self.until_done(|client| client.check(&name));
                self.pulls += 1;
            }
            (4, Some(name)) => self.delete(&name),
            (5, Some(name)) => self.retag(&name),
            _ => self.push(),
        }
    }

    /// Repeats what a killed server broke off.
    fn until_done(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<(), String>) {
        let begun = Instant::now();
        while let Err(problem) = attempt(self) {
            assert!(begun.elapsed() < PATIENCE, "client {}: {problem}", self.number);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn push(&mut self) {
        self.serial += 1;
        let length = match self.random.below(10) {
            0 => 6_000_000 + self.random.below(3_000_000),
            1..=4 => 150_000 + self.random.below(300_000),
            _ => self.random.below(100_000),
        };
        let own = noise(length as usize, self.random.number());
        let number = self.random.below(6);
        let length = if number.is_multiple_of(2) { 5_000 } else { 200_000 };
        let mut known = SHARED.lock().expect("no panic");
        let shared = known.entry(number).or_insert_with(|| Arc::new(noise(length, number))).to_vec();
        drop(known);
        let config = format!("{{\"client\":{},\"push\":{}}}", self.number, self.serial).into_bytes();
        let blobs = vec![config, shared, own];
        let manifest = manifest(&blobs);
        // Few tags, so that they are moved often.
        let tag = format!("v{}", self.random.below(5));
        // What was under it may or may not be replaced from here on.
        self.kept.remove(&tag);
        self.until_done(|client| client.try_push(&tag, &manifest, &blobs));
        self.kept.insert(tag, Arc::new(Kept { manifest, blobs }));
    }

    /// The same manifest under another tag, which a server that knows it need not look for.
    fn retag(&mut self, name: &str) {
        let kept = Arc::clone(&self.kept[name]);
        let tag = format!("v{}", self.random.below(5));
        self.kept.remove(&tag);
        self.until_done(|client| client.put_manifest(&tag, &kept.manifest));
        self.kept.insert(tag, kept);
    }

    fn repository(&self) -> String {
        format!("team/client-{}", self.number)
    }

    fn try_push(&mut self, tag: &str, manifest: &str, blobs: &[Vec<u8>]) -> Result<(), String> {
        for blob in blobs {
            self.push_blob(blob)?;
        }
        self.put_manifest(tag, manifest)
    }

    fn put_manifest(&self, tag: &str, manifest: &str) -> Result<(), String> {
        let path = format!("/v2/{}/manifests/{tag}", self.repository());
        let header = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
        self.expect("PUT", &path, header, manifest.as_bytes(), &[201]).map(drop)
    }

    fn push_blob(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (repository, digest) = (self.repository(), Digest::sha256(bytes));
        let found = self.expect("HEAD", &format!("/v2/{repository}/blobs/{digest}"), "", b"", &[200, 404])?;
        if found.status == 200 {
            return Ok(());
        }
        let mount = if self.random.coin() { format!("?mount={digest}") } else { String::new() };
        let begun = self.expect("POST", &format!("/v2/{repository}/blobs/uploads/{mount}"), "", b"", &[201, 202])?;
        if begun.status == 201 {
            return Ok(());
        }
        let mut session = begun.location;
        let chunk = bytes.len() / 3 + 1;
        for (index, part) in bytes.chunks(chunk).enumerate() {
            let first = index * chunk;
            let range = format!("Content-Range: {first}-{}\r\n", first + part.len() - 1);
            session = self.expect("PATCH", &session, &range, part, &[202])?.location;
        }
        self.expect("PUT", &format!("{session}?digest={digest}"), "", b"", &[201]).map(drop)
    }

    fn check(&mut self, tag: &str) -> Result<(), String> {
        let kept = self.kept.remove(tag).expect("a tag that is kept");
        let checked = self.compare(tag, &kept);
        self.kept.insert(tag.to_owned(), kept);
        checked
    }

    fn compare(&mut self, tag: &str, kept: &Kept) -> Result<(), String> {
        let repository = self.repository();
        // A 404 is no broken connection: it is a loss.
        let manifest = self.expect("GET", &format!("/v2/{repository}/manifests/{tag}"), "", b"", &[200, 404])?;
        assert_eq!(manifest.status, 200, "{repository}:{tag} was acknowledged and is gone");
        assert!(manifest.body == kept.manifest.as_bytes(), "{repository}:{tag} is another manifest");
        for blob in &kept.blobs {
            let path = format!("/v2/{repository}/blobs/{}", Digest::sha256(blob));
            let got = self.expect("GET", &path, "", b"", &[200, 404])?;
            assert_eq!(got.status, 200, "{repository}:{tag} lost {path}");
            assert!(got.body == *blob, "{repository}:{tag} has other bytes");
        }
        Ok(())
    }

    fn delete(&mut self, tag: &str) {
        let kept = self.kept.remove(tag).expect("a tag that is kept");
        self.kept.retain(|_, other| other.manifest != kept.manifest);
        let digest = Digest::sha256(kept.manifest.as_bytes());
        let path = format!("/v2/{}/manifests/{digest}", self.repository());
        self.until_done(|client| client.expect("DELETE", &path, "", b"", &[202, 404]).map(drop));
        if self.random.coin() {
            // Some servers may still know it.
            self.until_done(|client| client.try_push(tag, &kept.manifest, &kept.blobs));
            self.kept.insert(tag.to_owned(), kept);
        }
    }

    fn expect(&self, method: &str, path: &str, headers: &str, body: &[u8], statuses: &[u16]) -> Result<Answer, String> {
        let answer =
            request(self.proxy, method, path, headers, body).map_err(|error| format!("{method} {path}: {error}"))?;
        if statuses.contains(&answer.status) {
            return Ok(answer);
        }
        Err(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }
}

struct Answer {
    status: u16,
    location: String,
    body: Vec<u8>,
}

/// On a connection of its own, so that the proxy chooses a server for each.
fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: r\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let field = |name: &str| {
        head.lines().find_map(|line| Some(line.to_ascii_lowercase().strip_prefix(name)?.trim().to_owned()))
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let body = answer.split_off(end + 4);
    let announced: Option<usize> = field("content-length:").and_then(|length| length.parse().ok());
    if method != "HEAD" && announced.is_some_and(|announced| announced != body.len()) {
        return Err(broken());
    }
    Ok(Answer { status, location: field("location:").unwrap_or_default(), body })
}

fn manifest(blobs: &[Vec<u8>]) -> String {
    let entry = |bytes: &Vec<u8>| {
        let digest = Digest::sha256(bytes);
        serde_json::json!({ "mediaType": "application/octet-stream", "digest": digest.as_str(), "size": bytes.len() })
    };
    let layers: Vec<_> = blobs[1..].iter().map(entry).collect();
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": entry(&blobs[0]),
        "layers": layers,
    })
    .to_string()
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.number().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
