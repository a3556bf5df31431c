//! Attacks on clients of registries that others fell for, replayed against the real `dhow` at its most talkative.
//!
//! Each test has the name of what it replays. [`CASES`] says which case is replayed where; that it is complete, and that it
//! names no test that is not there, is a test of its own.

mod bytes;
mod credentials;
mod documents;
mod hosts;
mod provenance;

use std::collections::BTreeSet;
use std::process::Command;

/// A case: its number in the list of attacks, the names that it is known by, the tests that replay it.
type Case = (u8, &'static str, &'static [&'static str]);

/// Cases 1 to 18: what a client of registries meets. Later numbers are about unpacking, building and signing.
const CASES: [Case; 18] = [
    (1, "CVE-2020-15157", &["hosts::cve_2020_15157_foreign_urls"]),
    (
        2,
        "CVE-2026-48978, CVE-2026-33540",
        &["hosts::cve_2026_48978_token_realms", "hosts::cve_2026_33540_redirected_token_services"],
    ),
    (
        3,
        "GHSA-vh4v-2xq2-g5cg, CVE-2026-49349",
        &["hosts::ghsa_vh4v_2xq2_g5cg_redirected_blobs", "hosts::cve_2026_49349_leaving_https"],
    ),
    (4, "CVE-2026-50151", &["hosts::cve_2026_50151_upload_locations"]),
    (5, "google/go-containerregistry #2349, #2360", &["hosts::ggcr_2349_tokens_after_redirects"]),
    (6, "CVE-2019-10214", &["hosts::cve_2019_10214_token_service_without_proof"]),
    (7, "CVE-2021-41092", &["credentials::cve_2021_41092_broken_helpers"]),
    (8, "GO-2026-6225", &["credentials::go_2026_6225_unanchored_names"]),
    (9, "CVE-2020-5260, CVE-2024-50349", &["credentials::cve_2020_5260_lines_for_helpers"]),
    (
        10,
        "CVE-2025-0495, CVE-2025-48374, CVE-2019-13509",
        &["credentials::cve_2019_13509_secrets_in_logs", "credentials::cve_2025_48374_secrets_in_errors"],
    ),
    (11, "GHSA-qv35-3gw6-8q4j", &["documents::ghsa_qv35_3gw6_8q4j_pinned_digests"]),
    (12, "CVE-2024-3727", &["documents::cve_2024_3727_digests_that_are_paths"]),
    (
        13,
        "CVE-2021-41190, GHSA-mc8v-mgrf-8f4m, GHSA-5j5w-g665-5m35, GHSA-qq97-vm5h-rrhg",
        &["documents::cve_2021_41190_two_readings"],
    ),
    (14, "duplicate keys, case, byte order marks, trailing data, depth", &["documents::json_with_two_readings"]),
    (
        15,
        "platform confusion, nested and endless indexes",
        &["documents::platform_confusion", "documents::indexes_that_explode"],
    ),
    (
        16,
        "CVE-2024-24557",
        &[
            "documents::cve_2024_24557_no_cache_to_poison",
            "provenance::cve_2024_24557_claims_are_no_keys",
            "provenance::cve_2024_24557_claims_without_a_proof",
        ],
    ),
    (
        17,
        "CVE-2023-25153, CVE-2017-11468, CVE-2023-2253",
        &[
            "bytes::cve_2023_25153_endless_bodies",
            "bytes::sizes_that_lie",
            "bytes::cve_2023_2253_requests_without_measure",
        ],
    ),
    (
        18,
        "digests substituted by mirrors and proxies, spliced downloads",
        &["bytes::a_mirror_substitutes", "bytes::a_spliced_download"],
    ),
];

/// The tests of this very program.
fn tests() -> BTreeSet<String> {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(["--list", "--format", "terse"]).output().expect("the list of tests");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[test]
fn every_case_is_replayed() {
    let own = "every_case_is_replayed";
    let there = tests();
    assert!(there.contains(own), "{there:?}");
    for (index, (number, name, replays)) in CASES.iter().enumerate() {
        assert_eq!(usize::from(*number), index + 1, "{name}");
        assert!(!replays.is_empty(), "case {number}, {name}, is replayed by no test");
        for replay in *replays {
            assert!(there.contains(*replay), "case {number}, {name}: there is no test {replay}");
        }
    }
    let named: BTreeSet<String> =
        CASES.iter().flat_map(|(_, _, replays)| *replays).map(|name| (*name).to_owned()).collect();
    let others: Vec<&String> = there.difference(&named).filter(|name| *name != own).collect();
    assert!(others.is_empty(), "no case has {others:?}");
}
