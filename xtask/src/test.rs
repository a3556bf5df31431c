//! `cargo xtask test`: what continuous integration runs.

use anyhow::{Context, Result};
use dhow_testkit::peers;

use crate::{check, provision, shell};

/// Installs what the tests need, checks, builds the program and runs every test.
pub(crate) fn run() -> Result<()> {
    shell::step("what the tests need", provision::install)?;
    check::run(check::Extent::BesideTests)?;
    // The whole workspace, so that the program has the features it is tested with and nothing is built twice.
    shell::step("build", || shell::run(&mut shell::cargo(&["build", "--quiet", "--workspace", "--all-targets"])))?;
    // Cargo would build it once more for a test that asks for this package alone, with fewer features of its libraries.
    let program = std::env::current_exe().context("where xtask is")?.with_file_name("dhow");
    shell::step("tests", || {
        let mut tests = shell::cargo(&["test", "--workspace", "--no-fail-fast"]);
        tests.env("DHOW_BIN", &program);
        if peers::is_root() {
            // Root can install everything, so nothing has an excuse to be skipped.
            tests.env(peers::REQUIRE_VARIABLE, "1");
        } else {
            println!("   not root: tests that mount or start daemons are skipped, each with its reason");
        }
        shell::run(&mut tests)
    })
}
