//! Random operations against a model of what a store should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use dhow_spec::Digest;
use dhow_store::Store;
use proptest::prelude::*;

use crate::common::*;

static REMOTES: LazyLock<Vec<Remote>> =
    LazyLock::new(|| (0..3).map(|number| Remote::small(&format!("model-{number}"))).collect());

#[derive(Clone, Debug)]
enum Step {
    Pull(usize, usize),
    FetchOnly(usize),
    Tag(usize, usize),
    Untag(usize),
    Remove(usize),
    Collect,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_usize, 0..4_usize).prop_map(|(image, name)| Step::Pull(image, name)),
        (0..3_usize).prop_map(Step::FetchOnly),
        (0..4_usize, 0..4_usize).prop_map(|(from, to)| Step::Tag(from, to)),
        (0..4_usize).prop_map(Step::Untag),
        (0..4_usize).prop_map(Step::Remove),
        Just(Step::Collect),
        Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

fn name(number: usize) -> String {
    format!("name-{number}:v1")
}

/// What a store should hold.
#[derive(Debug, Default)]
struct Model {
    names: BTreeMap<usize, Digest>,
    kept: BTreeSet<Digest>,
}

fn run(store: &Store, model: &mut Model, step: &Step) {
    match step {
        Step::Pull(image, number) => {
            let remote = &REMOTES[*image];
            remote.pull(store, &[&name(*number)]).unwrap();
            model.names.insert(*number, remote.root.digest.clone());
            model.kept.insert(remote.root.digest.clone());
        }
        Step::FetchOnly(image) => REMOTES[*image].fetch(&store.begin("test").unwrap()).unwrap(),
        Step::Tag(from, to) => {
            let target = store.resolve(&reference(&name(*from))).unwrap();
            assert_eq!(target.as_ref().map(|target| &target.digest), model.names.get(from));
            if let Some(target) = target {
                store.tag(&target, &reference(&name(*to))).unwrap();
                model.names.insert(*to, target.digest);
            }
        }
        Step::Untag(number) => {
            let was_there = store.update(|update| update.untag(&reference(&name(*number)))).unwrap();
            assert_eq!(was_there, model.names.remove(number).is_some());
        }
        Step::Remove(number) => {
            let removed = remove(store, &name(*number));
            assert_eq!(removed.is_ok(), model.names.contains_key(number));
            if let Some(target) = model.names.get(number).cloned() {
                model.names.retain(|_, other| *other != target);
                model.kept.remove(&target);
            }
        }
        Step::Collect | Step::Reopen => {
            store.collect().unwrap();
        }
    }
}

fn compare(store: &Store, model: &Model) {
    for number in 0..4 {
        let target = store.resolve(&reference(&name(number))).unwrap();
        assert_eq!(target.as_ref().map(|target| &target.digest), model.names.get(&number), "{}", name(number));
    }
    for remote in REMOTES.iter() {
        let kept = model.kept.contains(&remote.root.digest);
        assert_eq!(store.find_target(&remote.root.digest).is_ok(), kept);
        assert!(!kept || store.is_complete(&remote.root.digest).unwrap());
    }
    let images = store.images().unwrap();
    assert_eq!(images.len(), model.kept.len());
    assert_eq!(images.iter().map(|image| image.references.len()).sum::<usize>(), model.names.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_store_is_what_was_done_to_it(steps in steps()) {
        let directory = scratch();
        let mut store = open(&directory);
        let mut model = Model::default();
        for step in &steps {
            if matches!(step, Step::Reopen) {
                store = open(&directory);
            }
            run(&store, &mut model, step);
            compare(&store, &model);
        }
        store.collect().unwrap();
        prop_assert!(store.check(false).unwrap().problems.is_empty());
        let files = std::fs::read_dir(root_of(&directory).join("blobs/sha256")).unwrap().count();
        prop_assert_eq!(files, model.kept.len() * 4, "a manifest, a config and two layers of each");
    }
}
