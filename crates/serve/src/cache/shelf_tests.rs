#![allow(clippy::unwrap_used, reason = "a scratch folder that fails is a failed test")]

use proptest::prelude::*;

use super::*;

fn keep(shelf: &Shelf, home: &str, bytes: &[u8]) -> Digest {
    let (path, digest) = (shelf.incoming(), Digest::sha256(bytes));
    let file = fs::open_or_create(&path).unwrap();
    fs::write_at(&file, &path, bytes, 0).unwrap();
    shelf.keep(home, &digest, &path, None).unwrap();
    digest
}

fn has(shelf: &Shelf, home: &str, digest: &Digest) -> bool {
    shelf.find(home, digest).unwrap().is_some()
}

/// What the files take, as the shelf counts it.
fn on_disk(root: &Path) -> u64 {
    let entries = std::fs::read_dir(root.join("blobs/sha256")).unwrap();
    entries.map(|entry| charge(entry.unwrap().metadata().unwrap().len())).sum()
}

#[test]
fn the_least_recently_used_goes_first_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 3 * charge(5000)).unwrap();
    let [a, b, c] = [1, 2, 3].map(|byte| keep(&shelf, "hub/x", &[byte; 5000]));
    assert!(has(&shelf, "hub/x", &a));
    let d = keep(&shelf, "hub/x", &[4; 5000]);
    assert!(!shelf.knows(&b), "b was not used for longest");
    assert!([&a, &c, &d].iter().all(|digest| shelf.knows(digest)));
    assert_eq!(shelf.bytes(), on_disk(folder.path()));
    drop(shelf);
    let shelf = Shelf::open(folder.path(), 2 * charge(5000)).unwrap();
    assert_eq!((shelf.bytes(), on_disk(folder.path())), (2 * charge(5000), 2 * charge(5000)));
    assert!(shelf.knows(&d) && has(&shelf, "hub/x", &d));
    let whole = keep(&shelf, "hub/x", &[5; 100_000]);
    assert!(!shelf.knows(&whole) && shelf.knows(&d), "what is larger than the limit drives nothing out");
    assert!(std::fs::read_dir(folder.path().join("incoming")).unwrap().next().is_none());
}

#[test]
fn content_is_for_those_who_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    let digest = keep(&shelf, "hub/private", b"secret");
    assert!(has(&shelf, "hub/private", &digest) && !has(&shelf, "hub/public", &digest));
    shelf.adopt("hub/public", &digest, None).unwrap();
    drop(shelf);
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    assert!(has(&shelf, "hub/public", &digest) && !has(&shelf, "hub/other", &digest));
    let second = Shelf::open(folder.path(), 1 << 20).expect_err("one server at a time");
    assert_eq!(second.kind(), Kind::Unavailable);
}

#[test]
fn tags_move_and_go_with_what_they_stand_for() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 2 * charge(10)).unwrap();
    let tag = |shelf: &Shelf, tag: &str| shelf.tag("hub/x", tag).map(|(digest, _)| digest);
    let a = keep(&shelf, "hub/x", &[1; 10]);
    let b = keep(&shelf, "hub/x", &[2; 10]);
    shelf.set_tag("hub/x", "v1", Some(&a)).unwrap();
    shelf.set_tag("hub/x", "v2", Some(&a)).unwrap();
    shelf.set_tag("hub/x", "v1", Some(&b)).unwrap();
    drop(shelf);
    let shelf = Shelf::open(folder.path(), 2 * charge(10)).unwrap();
    assert_eq!((tag(&shelf, "v1"), tag(&shelf, "v2")), (Some(b.clone()), Some(a.clone())));
    assert!(has(&shelf, "hub/x", &b));
    keep(&shelf, "hub/x", &[3; 10]);
    assert_eq!((tag(&shelf, "v1"), tag(&shelf, "v2")), (Some(b), None));
    shelf.set_tag("hub/x", "v1", None).unwrap();
    assert_eq!(tag(&shelf, "v1"), None);
    shelf.set_tag("hub/x", "v3", Some(&a)).unwrap();
    assert_eq!(tag(&shelf, "v3"), None, "what is not here has no tags");
}

#[test]
fn damage_loses_copies_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    let (a, b) = (keep(&shelf, "hub/x", b"a"), keep(&shelf, "hub/x", b"b"));
    fs::remove_file(&folder.path().join("blobs/sha256").join(a.hex())).unwrap();
    assert!(!has(&shelf, "hub/x", &a) && !shelf.knows(&a));
    drop(shelf);
    let record = folder.path().join("records/sha256").join(b.hex());
    fs::write_atomic(&record, b"", 0o600, Durability::Cached).unwrap();
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    assert!(shelf.knows(&b) && !has(&shelf, "hub/x", &b));
    drop(shelf);
    fs::write_atomic(&folder.path().join("cache.json"), b"{\"format\":2}", 0o600, Durability::Cached).unwrap();
    assert_eq!(Shelf::open(folder.path(), 1).expect_err("a newer format").kind(), Kind::Unsupported);
}

proptest! {
    // Each case writes up to 40 files.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn never_more_than_the_limit(sizes in proptest::collection::vec(0_usize..30_000, 1..20), limit in 0_u64..100_000) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path(), limit).unwrap();
        for (index, size) in sizes.iter().enumerate() {
            let mut bytes = vec![0; *size];
            bytes.extend_from_slice(&index.to_le_bytes());
            keep(&shelf, "hub/x", &bytes);
            prop_assert!(shelf.bytes() <= limit);
            prop_assert_eq!(shelf.bytes(), on_disk(folder.path()));
        }
    }
}
