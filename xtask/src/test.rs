//! `cargo xtask test`: what continuous integration runs.

mod programs;

use std::process::Command;

use anyhow::{Context, Result, bail};
use dhow_testkit::peers;

use crate::{check, provision, shell};
use programs::Program;

/// Installs what the tests need, checks, builds the program and runs every test.
pub(crate) fn run() -> Result<()> {
    shell::step("what the tests need", provision::install)?;
    check::run(check::Extent::BesideTests)?;
    // The whole workspace, so that the program has the features it is tested with and nothing is built twice.
    shell::step("build", || shell::run(&mut shell::cargo(&["build", "--quiet", "--workspace", "--all-targets"])))?;
    // Cargo would build it once more for a test that asks for this package alone, with fewer features of its libraries.
    let dhow = std::env::current_exe().context("where xtask is")?.with_file_name("dhow");
    let with_environment = |command: &mut Command| {
        command.env("DHOW_BIN", &dhow);
        if peers::is_root() {
            // Root can install everything, so nothing has an excuse to be skipped.
            command.env(peers::REQUIRE_VARIABLE, "1");
        }
    };
    shell::step("tests", || {
        if !peers::is_root() {
            println!("   not root: tests that mount or start daemons are skipped, each with its reason");
        }
        let all = programs::of_the_workspace()?;
        let mut failed = programs::run(all, &with_environment)?;
        let mut examples = shell::cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
        with_environment(&mut examples);
        if !examples.status().context("cannot run cargo")?.success() {
            failed.push(Program::documentation());
        }
        verdict(&failed)
    })
}

/// Says at the end once more what failed: the output is long, and whoever reads it reads its end.
fn verdict(failed: &[Program]) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    println!("── failures");
    failed.iter().for_each(|program| println!("{}", program.failures()));
    let names: Vec<&str> = failed.iter().map(Program::name).collect();
    bail!("tests failed in {}", names.join(", "))
}
