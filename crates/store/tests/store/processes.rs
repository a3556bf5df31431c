//! Many processes on one store, all of them doing everything, some of them killed.

use std::path::Path;
use std::time::{Duration, Instant};

use dhow_base::Kind;
use dhow_testkit::forgetful::Random;

use crate::child::command;
use crate::common::*;

const IMAGES: u64 = 4;
const TIME: Duration = Duration::from_secs(4);

/// Works on the store until the time is over. Anything but losing a race is a failure.
pub(crate) fn child(root: &Path, seed: u64) {
    let mut random = Random::new(seed);
    let remotes: Vec<Remote> = (0..IMAGES).map(|number| Remote::small(&format!("busy-{number}"))).collect();
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let store = open_at(root).unwrap();
        let number = random.below(IMAGES);
        let name = format!("image-{number}:1");
        let done = match random.below(8) {
            0..=2 => remotes[number as usize].pull(&store, &[&name]).map(|_| ()),
            3 => store.find(&name).and_then(|found| store.tag(&found.target, &reference(&format!("{name}x")))),
            4 => remove(&store, &name),
            5 => store.collect().map(|_| ()),
            6 => store.images().map(|_| ()),
            _ => store.find(&name).and_then(|found| store.layers(&found.image_id)).map(|_| ()),
        };
        match done {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::NotFound => {
                // Somebody removed the image in between; nothing of this store may be missing otherwise.
                assert!(error.to_string().starts_with("No such image"), "{error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn work_together_and_leave_the_store_sound() {
    let directory = scratch();
    let root = root_of(&directory);
    let mut children: Vec<_> = (0..6_u64)
        .map(|seed| command("busy", directory.path(), &root, &[&seed.to_string()]).spawn().unwrap())
        .collect();
    let mut random = Random::new(99);
    let end = Instant::now() + TIME;
    // Two places are for processes that are killed again and again, at any moment.
    while Instant::now() < end {
        let mut victim = command("busy", directory.path(), &root, &[&random.number().to_string()]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(50 + random.below(250)));
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success(), "a process met what cannot be");
    }
    let store = open_at(&root).unwrap();
    assert_sound(&store, "after the tumult");
    for image in store.images().unwrap() {
        for name in &image.references {
            let target = store.resolve(name).unwrap().unwrap();
            assert!(store.is_complete(&target.digest).unwrap(), "{name}");
        }
    }
    store.collect().unwrap();
    assert_eq!(store.check(true).unwrap().problems.iter().filter(|problem| problem.repaired.is_none()).count(), 0);
}
