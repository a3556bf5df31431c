//! Any files of users and groups of an image: whoever is found there has numbers that the kernel takes as they are, is root only by a
//! row or a number that says so, and is in its own group.

#![no_main]

use dhow_sandbox::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &str, &str)| {
    let (passwd, group, user, more) = input;
    let more: Vec<String> = more.split_whitespace().map(str::to_owned).collect();
    let Some((uid, gid, groups, home)) = fuzzing::user(passwd, group, user, &more) else { return };
    assert!(!home.is_empty());
    assert!(groups.contains(&gid) && groups.is_sorted());
    assert!(groups.iter().chain([&uid]).all(|number| *number <= i32::MAX as u32));
    // What docker takes for root because a number is too large (CVE-2024-40635) is nobody here.
    let name = user.split(':').next().unwrap_or_default();
    let has_rows = !passwd.is_empty();
    assert!(has_rows || name.is_empty() && uid == 0 || name.parse() == Ok(uid));
});
