//! `dhow pull` is killed with SIGKILL at random moments: the next run goes on where it stopped, and nothing else is lost.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]
#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use dhow_testkit::forgetful::Random;
use dhow_testkit::peers::available;
use dhow_tests::crash::{Dhow, Picture, Shelf, chance, same_archive};
use tempfile::TempDir;

/// How many times the program is killed.
const KILLS: u32 = 200;

/// How many times while it fetches one large blob in parts.
const KILLS_OF_PARTS: u32 = 25;

/// Bytes of one blob that may come twice after a kill: what was read from the connections and not yet noted.
const AGAIN_BYTES_MAX: u64 = 256 << 10;

/// Bytes that may be fetched in vain for each kill, on the average: what the kernel holds for a program that gets no time
/// to read from its connections.
const WASTE_BYTES_MAX: u64 = 1 << 20;

const PATIENCE: Duration = Duration::from_secs(120);

/// A pull that is killed again and again until it gets through.
struct Chain<'a> {
    dhow: Dhow,
    shelf: &'a Shelf,
    /// The command that pulls.
    words: &'a [&'a str],
    layers: BTreeMap<String, u64>,
    random: &'a mut Random,
    /// How much later than the last byte a kill may come, in microseconds: long enough to be too late now and then.
    finish_us: u64,
    /// Most bytes of one blob that came twice.
    most_again: u64,
}

impl Chain<'_> {
    /// Runs to the end; returns how many kills it took.
    fn run(&mut self, what: &str) -> u32 {
        for kills in 0.. {
            let missing = self.missing();
            self.shelf.forget();
            let (bytes, delay) = self.moment(missing.values().sum());
            let until = self.shelf.sent() + bytes;
            let mut child = self.dhow.start(self.words);
            let finished = self.wait_for(&mut child, until, delay);
            let sent = self.shelf.sent_by_blob();
            for (digest, missing) in missing {
                let sent = sent.get(&digest).copied().unwrap_or(0);
                self.most_again = self.most_again.max(sent.saturating_sub(missing));
                assert!(
                    sent <= missing + AGAIN_BYTES_MAX,
                    "{what}, after kill {kills}: {missing} bytes of {digest} were missing, {sent} were fetched"
                );
            }
            if finished {
                return kills;
            }
            if self.random.below(4) == 0 {
                self.dhow.must_be_clean(&format!("{what}, after kill {kills}"));
            }
        }
        unreachable!("the loop only ends with the pull")
    }

    /// How many bytes of each layer have not reached the store. What the registry sent is no measure of that: a kill
    /// loses what waits in the connection.
    fn missing(&self) -> BTreeMap<String, u64> {
        // Parts leave holes in the file.
        let filled = |metadata: Metadata| metadata.len().min(metadata.blocks() * 512);
        let length = |path: PathBuf| fs::metadata(path).map_or(0, filled);
        let missing = |(digest, size): (&String, &u64)| {
            let blob = length(self.dhow.root().join("blobs").join(digest.replace(':', "/")));
            let arriving = length(self.dhow.root().join("ingest").join(digest.replace(':', "-")));
            (digest.clone(), size.saturating_sub(blob.max(arriving)))
        };
        self.layers.iter().map(missing).collect()
    }

    /// When to kill: after how many bytes from the registry, and how much later. Most often while some are missing,
    /// sometimes at once (the kill hits the start), sometimes after all of them (it hits the proof and the commit).
    fn moment(&mut self, missing: u64) -> (u64, Duration) {
        let (bytes, delay_us) = match self.random.below(8) {
            0 => (0, 30_000),
            1 | 2 => (missing, self.finish_us),
            _ => (self.random.below(missing + 1), 5_000),
        };
        (bytes, Duration::from_micros(self.random.below(delay_us)))
    }

    /// Kills the program. Returns whether it was faster.
    fn wait_for(&mut self, child: &mut Child, until: u64, delay: Duration) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.shelf.sent() < until && child.try_wait().expect("wait for dhow").is_none() {
            assert!(Instant::now() < deadline, "the pull hangs");
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(delay);
        child.kill().expect("kill");
        let status = child.wait().expect("wait for dhow");
        // All answers to the dead program must have come to their end before their bytes are counted.
        self.shelf.settle();
        assert!(status.success() || status.code().is_none(), "the pull failed with {status}");
        status.success()
    }
}

/// Twice the time that has passed, in microseconds, but at least what a loaded machine may take for anything.
fn twice_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).map_or(u64::MAX, |micros| (2 * micros).max(80_000))
}

fn saved(dhow: &Dhow, name: &str, folder: &Path) -> Vec<u8> {
    let path = folder.join("saved.tar");
    dhow.must(&["save", "-o", path.to_str().expect("a path in UTF-8"), name]);
    fs::read(path).expect("the saved archive")
}

#[test]
fn a_pull_killed_at_any_moment_resumes_and_loses_nothing_else() {
    let folder = TempDir::new().expect("a directory");
    let folder = folder.path();
    let kept = Picture::paint(folder, "kept:1", &[("shared", 60_000), ("kept", 100_000)]);
    let layers = [("shared", 60_000), ("first", 3_000_000), ("second", 1_800_000), ("third", 300_000), ("tiny", 100)];
    let pulled = Picture::paint(folder, "pulled:1", &layers);
    let shelf = Shelf::open(&[&pulled]);
    let name = shelf.name("pulled:1");
    let undisturbed = Dhow::on(&folder.join("undisturbed"));
    undisturbed.must(&["load", "-i", kept.archive_path()]);
    let began = Instant::now();
    undisturbed.must(&["pull", "-q", &name]);
    let finish_us = twice_since(began);
    let expected =
        [(name.as_str(), saved(&undisturbed, &name, folder)), ("kept:1", saved(&undisturbed, "kept:1", folder))];
    let members = same_archive(&folder.join("saved.tar"));
    assert!(!members.is_empty());

    let words = ["pull", "-q", name.as_str()];
    let mut random = chance();
    let (mut kills, mut chains, mut most_again) = (0, 0, 0);
    shelf.drip(32 << 10, Duration::from_micros(800));
    let sent_before = shelf.sent();
    while kills < KILLS {
        let root = folder.join("store");
        let _ = fs::remove_dir_all(&root);
        let dhow = Dhow::on(&root);
        dhow.must(&["load", "-i", kept.archive_path()]);
        let layers = pulled.layer_sizes();
        let mut chain = Chain {
            dhow: dhow.clone(),
            shelf: &shelf,
            words: &words,
            layers,
            random: &mut random,
            finish_us,
            most_again,
        };
        kills += chain.run(&format!("chain {chains}"));
        most_again = chain.most_again;
        chains += 1;
        dhow.must_be_clean("after the last run");
        for (name, bytes) in &expected {
            assert!(saved(&dhow, name, folder) == *bytes, "{name} is saved as other bytes");
        }
    }
    // What a kill loses on the average waited in the connections; a program that began anew would lose half of it all.
    let wasted = shelf.sent() - sent_before - chains * pulled.layer_sizes().values().sum::<u64>();
    assert!(wasted / u64::from(kills) < WASTE_BYTES_MAX, "{wasted} bytes were fetched in vain by {kills} kills");
    println!(
        "{kills} kills in {chains} pulls, at most {most_again} bytes of a blob came twice, {wasted} bytes in vain"
    );
}

#[test]
fn a_large_blob_that_comes_in_parts_resumes_too() {
    let folder = TempDir::new().expect("a directory");
    let picture = Picture::paint(folder.path(), "large:1", &[("large", 68 << 20)]);
    let Some(shelf) = available(Shelf::open_far_away(&[&picture])) else { return };
    let name = shelf.name("large:1");
    let words = ["pull", "-q", "--tls-verify=false", name.as_str()];
    let layers = picture.layer_sizes();
    let undisturbed = Dhow::on(&folder.path().join("undisturbed"));
    let began = Instant::now();
    undisturbed.must(&words);
    let finish_us = twice_since(began);
    let digest = &picture.layers[0].blob.digest;
    assert!(shelf.answers(digest) > 1, "the blob came in one piece");
    let expected = saved(&undisturbed, &name, folder.path());

    shelf.drip(128 << 10, Duration::from_millis(2));
    let mut random = chance();
    let (mut kills, mut chains, mut most_again) = (0, 0, 0);
    while kills < KILLS_OF_PARTS {
        let root = folder.path().join("store");
        let _ = fs::remove_dir_all(&root);
        let dhow = Dhow::on(&root);
        let layers = layers.clone();
        let mut chain = Chain {
            dhow: dhow.clone(),
            shelf: &shelf,
            words: &words,
            layers,
            random: &mut random,
            finish_us,
            most_again,
        };
        kills += chain.run(&format!("chain {chains}"));
        most_again = chain.most_again;
        chains += 1;
        dhow.must_be_clean("after the last run");
        assert!(saved(&dhow, &name, folder.path()) == expected, "the image is saved as other bytes");
    }
    println!("{kills} kills in {chains} pulls, at most {most_again} bytes of the blob came twice");
}
