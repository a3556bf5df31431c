//! `dhow serve` before the official conformance program of the distribution specification.

use std::path::Path;

use dhow_testkit::peers::{self, Go, Seaweed, available};
use dhow_tests::interop::{Bench, Served};

/// The program, at the commit whose verdict counts. A later one may know more of the specification.
const PROGRAM: &str = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111";

/// The versions of the specification that are asked about.
const VERSIONS: [&str; 2] = ["1.1", "dev"];

/// Fewer checks than this mean that the program stopped early, which it does not call a failure.
const CHECKS_MIN: u64 = 800;

#[test]
fn the_official_program_finds_no_failure() {
    let Some(program) = available(Go::install(PROGRAM)) else { return };
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    for version in VERSIONS {
        let folder = Served::start(&dhow, &bench.path(&format!("registry-{version}")));
        check(&program, &bench, &folder, "folder", version);
    }
    let Some(store) = available(Seaweed::start()) else { return };
    // Most of this is waiting: several servers on one bucket take their time for a deletion.
    let (program, bench, dhow, store) = (&program, &bench, &dhow, &store);
    std::thread::scope(|scope| {
        for version in VERSIONS {
            scope.spawn(move || {
                let location = format!("s3://{}/conformance-{version}", Seaweed::BUCKET);
                let bucket = Served::on_bucket(dhow, &location, &store.environment());
                check(program, bench, &bucket, "s3", version);
            });
        }
    });
}

fn check(program: &Go, bench: &Bench, served: &Served, storage: &str, version: &str) {
    let results = bench.path(&format!("results-{storage}-{version}"));
    let mut command = program.command();
    command.env("OCI_REGISTRY", served.address()).env("OCI_TLS", "disabled").env("OCI_VERSION", version);
    // It fails when a check does; which one is in its report.
    let output = peers::run(command.env("OCI_RESULTS_DIR", &results).current_dir(bench.path("")));
    let report = read(&results.join("junit.xml"));
    let count = |attribute| attribute_of_suite(&report, attribute).unwrap_or_else(|| panic!("{output:?}: {report}"));
    let failed = (count("failures"), count("errors"));
    assert_eq!(failed, (0, 0), "{storage}, version {version}: {:#?}", failed_checks(&report));
    assert!(count("tests") >= CHECKS_MIN, "{storage}, version {version}: only {} checks", count("tests"));
    assert!(output.is_ok(), "{storage}, version {version}: {output:?}");
}

#[allow(clippy::disallowed_methods, reason = "reads a scratch file")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the program left no {path:?}: {error}"))
}

/// The number in an attribute of the report's one suite.
fn attribute_of_suite(report: &str, attribute: &str) -> Option<u64> {
    let (_, suite) = report.split_once("<testsuite ")?;
    let (_, value) = suite.split('>').next()?.split_once(&format!(" {attribute}=\""))?;
    value.split('"').next()?.parse().ok()
}

/// The lines of the report that name a check that failed.
fn failed_checks(report: &str) -> Vec<&str> {
    report.lines().filter(|line| line.contains("<testcase ") && !line.contains("\"passed\"")).collect()
}

#[test]
fn reports_are_read_right() {
    let report = "<testsuites failures=\"9\"><testsuite name=\"x\" tests=\"12\" failures=\"3\" errors=\"1\" time=\"1\">\n\
                  <testcase name=\"a\" status=\"passed\">\n<testcase name=\"b\" status=\"failure\">\n";
    assert_eq!(attribute_of_suite(report, "tests"), Some(12));
    assert_eq!((attribute_of_suite(report, "failures"), attribute_of_suite(report, "errors")), (Some(3), Some(1)));
    assert_eq!(failed_checks(report), ["<testcase name=\"b\" status=\"failure\">"]);
}
