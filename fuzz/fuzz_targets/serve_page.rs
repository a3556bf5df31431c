//! Whatever a manifest and a config hold, the page of the image holds no other markup than the pages are made of; and an
//! address that is read is read back from the link to it.
#![no_main]

use dhow_serve::page::{Address, preview};
use dhow_serve::route::Route;
use libfuzzer_sys::fuzz_target;

const NAMES: &str = "!doctype html head body header main footer meta title link nav a span form label input button \
                     h1 h2 h3 p section dl dt dd div ol ul li code pre details summary svg rect time";

fuzz_target!(|input: (&str, &[u8], &[u8])| {
    let (path, document, config) = input;
    if let Ok(address) = Address::parse(path) {
        assert!(Address::is_below(path));
        assert_eq!(Route::parse(path), Ok(Route::Page(address)));
    }
    let Some(html) = preview(document, config) else { return };
    for tag in html.split('<').skip(1) {
        let name = tag.trim_start_matches('/').split([' ', '>']).next().unwrap_or_default();
        assert!(NAMES.split_whitespace().any(|known| known == name), "<{tag}");
    }
    assert_eq!(html.matches('<').count(), html.matches('>').count());
});
