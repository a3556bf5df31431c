//! A reference that parses is read back the same from both its canonical and its familiar form.
#![no_main]

use dhow_spec::{Reference, Repository};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(reference) = Reference::parse(text) else { return };
    assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
    assert_eq!(Reference::parse(&reference.familiar()).as_ref(), Ok(&reference));
    let repository = reference.repository();
    assert_eq!(Repository::parse(&repository.familiar()).as_ref(), Ok(repository));
    assert!(!repository.path().split('/').any(|component| matches!(component, "" | "." | "..")));
});
