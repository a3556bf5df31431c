//! A platform that parses is read back as it is written, fits itself, and is normalised once and for all.
#![no_main]

use dhow_spec::Platform;
use dhow_spec::platform::Matcher;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(platform) = Platform::parse(text) else { return };
    let normal = platform.normalized();
    assert_eq!(normal.normalized(), normal);
    assert_eq!(Matcher::ordered(&platform).rank(&platform), Some(0));
    assert_eq!(Matcher::strict(&platform).rank(&normal), Some(0));
    let again = Platform::parse(&platform.to_string()).expect("what is written can be read");
    assert_eq!(again.to_string(), platform.to_string());
});
