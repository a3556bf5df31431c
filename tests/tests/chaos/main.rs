//! Nearly every verb that writes, at random, by several processes on one store, each of them killed now and then, beside a
//! server that is killed and started again. Afterwards store and registry are clean, no command finds in its way what a
//! killed one left, and everything can be removed.
//!
//! `DHOW_TEST_SECONDS=600` is the long run; `DHOW_TEST_SEED` repeats the choices of another, not their timing.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]
#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

mod refusals;
mod verbs;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dhow_testkit::forgetful::Random;
use dhow_testkit::peers::free_address;
use dhow_tests::crash::{Dhow, Picture, chance, endurance};
use dhow_tests::interop::Bench;

use crate::verbs::Names;

const PROCESSES: u64 = 4;

/// How long a server lives, at most.
const LIFE: Duration = Duration::from_secs(3);

/// Whoever tries longer than this has found a fault.
const PATIENCE: Duration = Duration::from_secs(90);

/// What one process did: how often each verb ended well, was refused, and was killed.
type Deeds = BTreeMap<&'static str, [u32; 3]>;

#[test]
fn any_verb_killed_at_any_moment_stands_in_nobody_s_way() {
    let (bench, mut random) = (Bench::new(), chance());
    let dhow = bench.dhow("store");
    let server = Server { address: free_address().expect("a free port"), folder: bench.path("registry") };
    let names = lay_out(&bench, &server);
    for words in verbs::beginning(&names) {
        dhow.must(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let stop = AtomicBool::new(false);
    let deadline = Instant::now() + endurance();
    let seeds: Vec<u64> = (0..PROCESSES).map(|_| random.number()).collect();
    let all = thread::scope(|scope| {
        let serving = scope.spawn(|| server.live_and_die(&dhow, &stop, Random::new(random.number())));
        let workers: Vec<_> = seeds
            .into_iter()
            .zip(0..)
            .map(|(seed, number)| (Random::new(seed), names.of(number)))
            .map(|(random, names)| scope.spawn(|| Worker { dhow: &dhow, random, names }.act_until(deadline)))
            .collect();
        let all: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        println!("{} lives of the server", serving.join().expect("the server"));
        all.into_iter().map(|deeds| deeds.expect("a worker")).collect()
    });
    tell(all);
    dhow.must_be_clean("after the crowd");
    dhow.must(&["serve", "scrub", "--root-dir", server.folder.to_str().expect("a path in UTF-8")]);
    every_verb_works(&dhow, &server, &names, &mut random);
    everything_can_be_removed(&dhow, &names);
}

/// What the verbs work with, in the bench's folder.
fn lay_out(bench: &Bench, server: &Server) -> Names {
    let pictures: [(&str, &[(&str, usize)]); 3] = [
        ("one:1", &[("base", 400_000), ("a", 90_000)]),
        ("two:1", &[("base", 400_000), ("b", 200_000), ("a", 90_000)]),
        ("three:1", &[("b", 200_000), ("c", 3_000_000)]),
    ];
    let folder = bench.path("files");
    fs::create_dir(&folder).expect("a folder");
    let archives = pictures.map(|(name, layers)| Picture::paint(&folder, name, layers).archive_path().to_owned());
    Names::new(&folder, server.address, archives.into())
}

struct Worker<'a> {
    dhow: &'a Dhow,
    random: Random,
    names: Names,
}

impl Worker<'_> {
    fn act_until(mut self, deadline: Instant) -> Deeds {
        let (verbs, mut deeds) = (verbs::all(), Deeds::new());
        while Instant::now() < deadline {
            let verb = verbs[self.random.below(verbs.len() as u64) as usize];
            let words = (verb.words)(&self.names, &mut self.random);
            deeds.entry(verb.name).or_default()[self.act(&words)] += 1;
        }
        deeds
    }

    /// Runs a verb to its end or to that of its life; returns which of [`Deeds`] it was.
    fn act(&mut self, words: &[String]) -> usize {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if self.random.below(3) == 0 {
            let mut child = self.dhow.start(&words);
            thread::sleep(Duration::from_micros(self.random.below(120_000)));
            child.kill().and_then(|()| child.wait()).expect("kill");
            return 2;
        }
        let ran = self.dhow.run(&words);
        if ran.is_acknowledged() {
            return 0;
        }
        assert!(refusals::is_expected(&ran), "{}", ran.told());
        1
    }
}

fn tell(all: Vec<Deeds>) {
    let mut sums = Deeds::new();
    for (name, deeds) in all.into_iter().flatten() {
        for (sum, deed) in sums.entry(name).or_default().iter_mut().zip(deeds) {
            *sum += deed;
        }
    }
    for (name, [done, refused, killed]) in &sums {
        println!("{name:<20} {done:>5} done {refused:>5} refused {killed:>5} killed");
    }
}

/// Each verb by itself, with what each process worked with: whatever killed ones left, it does what it should.
fn every_verb_works(dhow: &Dhow, server: &Server, names: &Names, random: &mut Random) {
    let mut serving = server.launch(dhow).expect("the server comes back");
    for number in 0..PROCESSES {
        let names = names.of(number);
        for words in verbs::ground(&names) {
            dhow.must(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        for verb in verbs::all() {
            let words = (verb.words)(&names, random);
            let ran = dhow.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(ran.is_acknowledged() || refusals::is_of_state(&ran), "{}", ran.told());
        }
    }
    serving.kill().and_then(|()| serving.wait()).expect("its end");
    dhow.must_be_clean("after each verb");
}

fn everything_can_be_removed(dhow: &Dhow, names: &Names) {
    for words in verbs::ending() {
        dhow.must(&words);
    }
    dhow.must_be_clean("when all was removed");
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a table");
    let root = dhow.root().to_string_lossy();
    assert!(!table.contains(&*root), "mounts are left: {table}");
    for folder in ["blobs/sha256", "ingest", "containers", "layers/v1", "layers/trees-v1", "mounts", "volumes"] {
        assert_eq!(entries(&dhow.root().join(folder)), <[String; 0]>::default(), "{folder}");
    }
    drop(fs::remove_dir_all(names.folder()));
}

fn entries(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    // Locks are not content.
    listed.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != "lock").collect()
}

/// A registry that comes back where it was.
struct Server {
    address: SocketAddr,
    folder: std::path::PathBuf,
}

impl Server {
    /// Runs it again and again until it is told to stop; returns how often.
    fn live_and_die(&self, dhow: &Dhow, stop: &AtomicBool, mut random: Random) -> u32 {
        let mut lives = 0;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let mut child = loop {
                if let Some(child) = self.launch(dhow) {
                    break child;
                }
                assert!(begun.elapsed() < PATIENCE, "the server does not come back at {}", self.address);
                thread::sleep(Duration::from_millis(100));
            };
            thread::sleep(Duration::from_millis(random.below(LIFE.as_millis() as u64)));
            child.kill().and_then(|()| child.wait()).expect("kill");
            lives += 1;
        }
        lives
    }

    /// Starts it; none when it ended before it listened, as where another program has the port for a while.
    fn launch(&self, dhow: &Dhow) -> Option<Child> {
        let (listen, folder) = (self.address.to_string(), self.folder.to_str().expect("a path in UTF-8"));
        let mut command = dhow.command(&["serve", "--listen", &listen, "--root-dir", folder]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start dhow serve");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
        if line.is_empty() {
            child.wait().expect("its end");
            return None;
        }
        Some(child)
    }
}
