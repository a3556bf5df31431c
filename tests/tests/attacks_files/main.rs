//! Attacks on who unpacks, copies and shows files of images: cases 19 to 33 of the list, each by the names it is known by.
//!
//! What is about the layers themselves is replayed in `crates/layer/tests/attacks.rs`; here is what takes the whole program.

mod copying;
mod programs;

use std::fs;
use std::path::Path;

/// A case: its number, the names it is known by, and the files whose tests replay it. Without files: why there is nothing to replay.
type Case = (u8, &'static [&'static str], &'static [&'static str]);

const LAYER: &str = "crates/layer/tests/attacks.rs";
const DECODER: &str = "crates/layer/tests/decoder.rs";
const COPYING: &str = "tests/tests/attacks_files/copying.rs";
const PROGRAMS: &str = "tests/tests/attacks_files/programs.rs";
const RUN: &str = "tests/tests/cli/run.rs";
const ARTIFACT: &str = "tests/tests/cli/artifact.rs";

const CASES: &[Case] = &[
    (
        19,
        &[
            "CVE-2014-6407",
            "CVE-2014-9356",
            "CVE-2014-9358",
            "CVE-2018-15664",
            "RUSTSEC-2018-0002",
            "RUSTSEC-2021-0080",
        ],
        &[LAYER],
    ),
    (20, &["CVE-2021-29136", "CVE-2021-32760", "CVE-2026-33056", "RUSTSEC-2026-0067", "RUSTSEC-2026-0113"], &[LAYER]),
    (
        21,
        &[
            "CVE-2025-62518",
            "RUSTSEC-2025-0110",
            "RUSTSEC-2025-0111",
            "RUSTSEC-2026-0066",
            "RUSTSEC-2026-0068",
            "RUSTSEC-2026-0112",
            "RUSTSEC-2026-0145",
        ],
        &[LAYER],
    ),
    (22, &["CVE-2025-47290"], &[LAYER]),
    // Whiteouts that are paths have no number.
    (23, &["a whiteout through a symbolic link"], &[LAYER]),
    (
        24,
        &["CVE-2017-14992", "CVE-2024-29902", "CVE-2024-29903", "CVE-2021-20291", "RUSTSEC-2024-0400"],
        &[LAYER, DECODER],
    ),
    (25, &["CVE-2024-40635", "CVE-2026-46680"], &[LAYER]),
    (26, &["zstd:chunked"], &[LAYER]),
    (27, &["CVE-2021-21272", "CVE-2026-50162", "CVE-2026-50163"], &[ARTIFACT]),
    (
        28,
        &[
            "CVE-2018-15664",
            "CVE-2019-14271",
            "CVE-2021-41089",
            "CVE-2026-41567",
            "CVE-2026-41568",
            "CVE-2026-42306",
            "CVE-2019-10152",
            "CVE-2019-18466",
        ],
        &[COPYING, PROGRAMS],
    ),
    // BuildKit's caches, stubs of mounts, entitlements and front ends, and buildah's mounts and contexts: there is no build yet.
    // What of them can happen to a container's own mounts is in the tests of `run`.
    (29, &[], &[]),
    (30, &["CVE-2024-1753", "CVE-2026-55686"], &[COPYING]),
    // Contexts from git: there is no build yet.
    (31, &[], &[]),
    (32, &["CVE-2026-53488", "CVE-2026-41579", "CVE-2026-47262"], &[PROGRAMS, RUN, LAYER]),
    (33, &["CVE-2025-15558", "CVE-2021-41091", "CVE-2024-25621"], &[PROGRAMS]),
];

#[test]
fn every_case_is_replayed_by_its_names() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for (index, (number, names, files)) in CASES.iter().enumerate() {
        assert_eq!(usize::from(*number), index + 19);
        let texts: Vec<String> =
            files.iter().map(|file| fs::read_to_string(root.join(file)).expect("a file of tests")).collect();
        for name in *names {
            assert!(texts.iter().any(|text| text.contains(name)), "case {number}: {name} is in none of {files:?}");
        }
    }
}
