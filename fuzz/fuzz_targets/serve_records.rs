//! What a folder or a bucket holds beside content is read or refused; nothing that is read in the journal names a file outside of
//! the folder, and a key of a bucket that says something says the same when it is written anew.
#![no_main]

use dhow_serve::records::{journal_keys, object_kinds, respelled_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for key in journal_keys(bytes).into_iter().flatten() {
        assert!(key.starts_with("blobs/") || key.starts_with("repositories/"), "{key}");
        assert!(key.split('/').all(|name| !name.is_empty() && !name.starts_with('.')), "{key}");
    }
    let kinds = object_kinds(bytes);
    assert!(kinds.is_empty() || kinds == ["sweep"] || bytes.contains(&b'\n'), "{kinds:?}");
    if let Ok(key) = std::str::from_utf8(bytes)
        && let Some(written) = respelled_key(key)
    {
        assert_eq!(respelled_key(&written).as_ref(), Some(&written));
    }
});
