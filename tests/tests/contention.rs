//! Many processes on one store at once: nothing is lost, nothing is fetched twice, nobody is locked out.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]
#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dhow_testkit::forgetful::Random;
use dhow_tests::crash::{Dhow, Picture, Ran, Shelf, chance, endurance, same_archive};
use tempfile::TempDir;

const PROCESSES: usize = 8;

/// Most names that one of them keeps at a time.
const NAMES_MAX: usize = 10;

/// Four images of which every two share layers.
fn paint(folder: &Path) -> Vec<Picture> {
    let layers: [(&str, &[(&str, usize)]); 4] = [
        ("one:1", &[("base", 400_000), ("a", 90_000)]),
        ("two:1", &[("base", 400_000), ("b", 200_000), ("a", 90_000)]),
        ("three:1", &[("b", 200_000), ("c", 300_000)]),
        ("four:1", &[("base", 400_000), ("c", 300_000), ("d", 10_000)]),
    ];
    layers.map(|(name, layers)| Picture::paint(folder, name, layers)).into()
}

/// One process's share of the crowd: names that only it removes, so that they must work at any time.
struct Worker<'a> {
    number: usize,
    dhow: &'a Dhow,
    pictures: &'a [Picture],
    names: &'a [String],
    folder: &'a Path,
    random: Random,
    mine: Vec<(String, usize)>,
    made: usize,
}

impl Worker<'_> {
    fn act(&mut self) {
        let picture = self.random.below(self.pictures.len() as u64) as usize;
        if self.mine.len() > NAMES_MAX {
            return self.remove_mine();
        }
        match self.random.below(11) {
            0..=3 => self.pull_and_keep(picture),
            4 => self.look_at_mine(),
            5 => self.remove_mine(),
            10 => self.kill_a_pull(picture),
            6 => drop(self.may_be_missing(&["rmi", &self.names[picture]])),
            7 => drop(self.dhow.must(&["image", "prune", "-f"])),
            8 => drop(self.dhow.must(&["images"])),
            _ => self.move_the_common_tag(),
        }
    }

    fn pull_and_keep(&mut self, picture: usize) {
        let name = &self.names[picture];
        self.dhow.must(&["pull", "-q", name]);
        self.made += 1;
        let mine = format!("mine-{}:{}", self.number, self.made);
        // Another process may have removed the name by now.
        if self.may_be_missing(&["tag", name, &mine]) {
            self.mine.push((mine, picture));
        }
    }

    fn kill_a_pull(&mut self, picture: usize) {
        let mut child = self.dhow.start(&["pull", "-q", &self.names[picture]]);
        thread::sleep(Duration::from_millis(self.random.below(60)));
        child.kill().and_then(|()| child.wait()).expect("kill");
    }

    fn look_at_mine(&mut self) {
        let index = self.random.below(self.mine.len() as u64) as usize;
        if let Some((name, picture)) = self.mine.get(index) {
            let path = self.folder.join(format!("saved-{}.tar", self.number));
            assert_complete(self.dhow, name, &self.pictures[*picture], &path);
        }
    }

    fn remove_mine(&mut self) {
        if let Some((name, _)) = self.mine.pop() {
            self.dhow.must(&["rmi", &name]);
        }
    }

    fn move_the_common_tag(&mut self) {
        if let Some((name, _)) = self.mine.last() {
            self.dhow.must(&["tag", name, "common:moving"]);
        }
    }

    /// Runs a command on a name that others remove; returns whether it was there.
    fn may_be_missing(&self, words: &[&str]) -> bool {
        let ran = self.dhow.run(words);
        assert!(ran.is_acknowledged() || says_missing(&ran), "{}", ran.told());
        ran.is_acknowledged()
    }
}

fn says_missing(ran: &Ran) -> bool {
    ran.stderr.to_lowercase().contains("no such image") || ran.stderr.contains("reference does not exist")
}

/// Asserts that `save` gives every layer of the picture, each with the bytes its digest names.
fn assert_complete(dhow: &Dhow, name: &str, picture: &Picture, path: &Path) {
    dhow.must(&["save", "-o", path.to_str().expect("a path in UTF-8"), name]);
    let members = same_archive(path);
    for digest in picture.layer_sizes().keys() {
        let member = format!("blobs/{}", digest.replace(':', "/"));
        let found = members.get(&member).unwrap_or_else(|| panic!("{name}: {member} is missing in {members:?}"));
        assert!(found.ends_with(digest), "{name}: {member} is {found}");
    }
}

#[test]
fn eight_processes_at_once_leave_a_clean_store() {
    let folder = TempDir::new().expect("a directory");
    let pictures = paint(folder.path());
    let shelf = Shelf::open(&pictures.iter().collect::<Vec<_>>());
    let names: Vec<String> = ["one:1", "two:1", "three:1", "four:1"].iter().map(|name| shelf.name(name)).collect();
    let dhow = Dhow::on(&folder.path().join("store"));
    let mut random = chance();
    let deadline = Instant::now() + endurance();
    let commands = AtomicUsize::new(0);
    let kept: Vec<(String, usize)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES)
            .map(|number| {
                let random = Random::new(random.number());
                let (dhow, pictures, names, folder) = (&dhow, &*pictures, &*names, folder.path());
                let mut worker = Worker { number, dhow, pictures, names, folder, random, mine: Vec::new(), made: 0 };
                let commands = &commands;
                scope.spawn(move || {
                    while Instant::now() < deadline {
                        worker.act();
                        commands.fetch_add(1, Ordering::Relaxed);
                    }
                    worker.mine
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    println!("{} acts by {PROCESSES} processes, {} names kept", commands.into_inner(), kept.len());
    dhow.must_be_clean("after the crowd");
    let path = folder.path().join("saved.tar");
    for (name, picture) in &kept {
        assert_complete(&dhow, name, &pictures[*picture], &path);
    }
    for name in tags(&dhow) {
        dhow.must(&["save", "-o", path.to_str().expect("a path in UTF-8"), &name]);
    }
}

/// Every name that `images` shows.
fn tags(dhow: &Dhow) -> Vec<String> {
    let table = dhow.must(&["images"]);
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().take(2).collect::<Vec<_>>().join(":"));
    rows.filter(|name| !name.contains("<none>")).collect()
}

#[test]
fn pulls_of_one_image_at_once_fetch_each_blob_once() {
    let folder = TempDir::new().expect("a directory");
    let picture = Picture::paint(folder.path(), "one:1", &[("first", 900_000), ("second", 700_000)]);
    for processes in [2, 4] {
        let shelf = Shelf::open(&[&picture]);
        shelf.drip(32 << 10, Duration::from_millis(5));
        let dhow = Dhow::on(&folder.path().join(format!("store-{processes}")));
        let name = shelf.name("one:1");
        let together = Barrier::new(processes);
        thread::scope(|scope| {
            for _ in 0..processes {
                scope.spawn(|| {
                    together.wait();
                    dhow.must(&["pull", &name]);
                });
            }
        });
        let expected = picture.layer_sizes();
        let sent: BTreeMap<String, u64> =
            shelf.sent_by_blob().into_iter().filter(|(digest, _)| expected.contains_key(digest)).collect();
        assert_eq!(sent, expected, "bytes sent of each layer, {processes} processes");
        dhow.must_be_clean("after the pulls");
        assert_complete(&dhow, &name, &picture, &folder.path().join("saved.tar"));
    }
}

#[test]
fn images_answers_while_four_pulls_run() {
    let folder = TempDir::new().expect("a directory");
    let pictures = paint(folder.path());
    let shelf = Shelf::open(&pictures.iter().collect::<Vec<_>>());
    shelf.drip(16 << 10, Duration::from_millis(10));
    let dhow = Dhow::on(&folder.path().join("store"));
    dhow.must(&["images"]);
    let running = AtomicUsize::new(pictures.len());
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for name in ["one:1", "two:1", "three:1", "four:1"] {
            let (name, dhow, running, failed) = (shelf.name(name), &dhow, &running, &failed);
            scope.spawn(move || {
                let ran = dhow.run(&["pull", "-q", &name]);
                running.fetch_sub(1, Ordering::SeqCst);
                failed.fetch_or(!ran.is_acknowledged(), Ordering::SeqCst);
                assert!(ran.is_acknowledged(), "{}", ran.told());
            });
        }
        let mut listings = 0;
        while running.load(Ordering::SeqCst) > 0 && !failed.load(Ordering::SeqCst) {
            // A name that is shown is complete: never one whose layers are still on their way.
            for name in tags(&dhow) {
                dhow.must(&["history", &name]);
            }
            listings += 1;
        }
        println!("{listings} listings");
    });
    assert_eq!(tags(&dhow).len(), pictures.len());
    dhow.must_be_clean("after the pulls");
}
