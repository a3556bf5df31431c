//! Networks that lose, delay, cut and garble: what arrives is right to the bit, or is not there.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]
#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dhow_testkit::forgetful::Random;
use dhow_testkit::line::{Faults, Line, Shape};
use dhow_testkit::peers;
use dhow_testkit::registry::{ScriptedRegistry, digest_of};
use dhow_tests::crash::{Dhow, chance};
use dhow_tests::netns::Namespace;

const PULLS: usize = 100;
const LAYERS: usize = 20;

/// Pulls under way at once. Most of the time they wait.
const AT_ONCE: usize = 8;

/// Layers of 10 to 70 KB, small ones and such as come in several pieces.
fn layers(random: &mut Random) -> Vec<Vec<u8>> {
    (0..LAYERS)
        .map(|_| {
            let length = 10_000 + random.below(60_000);
            (0..length).map(|_| random.number() as u8).collect()
        })
        .collect()
}

/// Digest and content of every blob in a store, by the name of its file.
fn blobs(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(store.join("blobs/sha256")) else { return BTreeMap::new() };
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
            (digest, std::fs::read(entry.path()).expect("a blob"))
        })
        .collect()
}

/// Pulls a hundred times, each into a store of its own, and holds each to the layers.
fn pull_often(name: &str, layers: &[Vec<u8>], command: &(dyn Fn(&Dhow, &[&str]) -> Command + Sync)) {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::SeqCst) < PULLS {
                    let folder = peers::scratch().expect("a scratch folder");
                    let dhow = Dhow::on(&folder.path().join("store"));
                    let output = command(&dhow, &["pull", "--quiet", name]).output().expect("run dhow");
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    let found = blobs(dhow.root());
                    for layer in layers {
                        assert_eq!(found.get(&digest_of(layer)), Some(layer), "a layer is there to the bit");
                    }
                    assert!(found.iter().all(|(digest, bytes)| digest_of(bytes) == *digest), "nothing else is there");
                }
            });
        }
    });
    println!("{PULLS} pulls of {LAYERS} layers in {:.1?}", start.elapsed());
}

#[test]
fn a_hundred_pulls_over_a_bad_line_are_exact() {
    let mut random = chance();
    let (registry, layers) = (ScriptedRegistry::start(), layers(&mut random));
    registry.put_image("app", "v1", &layers);
    let shape = Shape { delay: Duration::from_millis(2), ..Shape::default() };
    let faults = Faults { loss: 200, stall: 10, reset: 100, truncate: 50, silence: 5, swap: 0 };
    let line = Line::start(registry.address(), shape, faults, random.number());
    pull_often(&format!("{}/app:v1", line.authority()), &layers, &|dhow, words| dhow.command(words));
    let counts = line.counts();
    println!("{counts:?}");
    assert!(counts.faults > PULLS as u64, "the line was bad: {counts:?}");
}

/// Whether a pull ends, and well. A garbled length has it wait for bytes that nobody will send, for a minute each time: then it
/// is killed, which must do no harm either.
fn ends_well_in_time(mut pull: Command) -> bool {
    const PATIENCE: Duration = Duration::from_secs(8);
    let mut child = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start dhow");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("wait for dhow") {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("kill dhow");
    child.wait().expect("wait for dhow");
    false
}

#[test]
fn what_is_garbled_is_never_kept() {
    let mut random = chance();
    let (registry, layers) = (ScriptedRegistry::start(), layers(&mut random));
    registry.put_image("app", "v1", &layers);
    let faults = Faults { swap: 300, truncate: 100, ..Faults::default() };
    let line = Line::start(registry.address(), Shape::default(), faults, random.number());
    let name = format!("{}/app:v1", line.authority());
    let mut complete = 0;
    for _ in 0..10 {
        let folder = peers::scratch().expect("a scratch folder");
        let dhow = Dhow::on(&folder.path().join("store"));
        let is_complete =
            ends_well_in_time(dhow.command(&["pull", "--quiet", "--retry", "2", "--retry-delay", "10ms", &name]));
        let found = blobs(dhow.root());
        assert!(found.iter().all(|(digest, bytes)| digest_of(bytes) == *digest), "wrong bytes became content");
        if is_complete {
            complete += 1;
            assert!(layers.iter().all(|layer| found.contains_key(&digest_of(layer))), "a layer is missing");
        }
        dhow.must_be_clean("after a pull of garbled bytes");
    }
    println!("{complete} of 10 pulls were complete, {:?}", line.counts());
    assert!(line.counts().faults > 0);
}

/// A server inside the namespace; killed when dropped.
struct Inside(Child);

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_hundred_pulls_through_lost_packets_are_exact() {
    let Some(namespace) = peers::available(Namespace::make()) else { return };
    let mut random = chance();
    let layers = layers(&mut random);
    let folder = peers::scratch().expect("a scratch folder");
    let home = Dhow::on(&folder.path().join("home"));
    let inside = |dhow: &Dhow, words: &[&str]| {
        let outside = dhow.command(words);
        let program = outside.get_program().to_str().expect("a printable path").to_owned();
        let mut command = namespace.command(&program, words);
        for (name, value) in outside.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    };
    let address = "127.0.0.1:5000";
    let served = folder.path().join("registry");
    let served = served.to_str().expect("a printable path");
    let mut server = inside(&home, &["serve", "--listen", address, "--root-dir", served]);
    let _server = Inside(server.stdout(Stdio::null()).spawn().expect("start dhow serve"));
    // The image comes in over a line that is still good.
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &layers);
    let (here, there) = (format!("{}/app:v1", registry.authority()), format!("{address}/app:v1"));
    home.must(&["pull", "--quiet", &here]);
    home.must(&["tag", &here, &there]);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let pushed = inside(&home, &["push", "--quiet", &there]).output().expect("run dhow");
        if pushed.status.success() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&pushed.stderr));
        std::thread::sleep(Duration::from_millis(50));
    }
    if let Err(error) = namespace.damage(0.02, 0.001) {
        // A kernel without it cannot be given it by installing something.
        println!("skipped: packets cannot be dropped here: {error}");
        return;
    }
    if let Err(error) = namespace.reorder() {
        println!("packets keep their order, they only get lost: {error}");
    }
    pull_often(&there, &layers, &inside);
    let taken = namespace.taken().expect("the rules' counters");
    println!("packets lost and reset: {taken:?}");
    assert!(taken.first().is_some_and(|lost| *lost > PULLS as u64), "packets were lost: {taken:?}");
}
