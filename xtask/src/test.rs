//! `cargo xtask test`: what continuous integration runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
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
        run_and_gather(&mut tests)
    })
}

/// Runs the tests, passes on what they print, and says at the end once more what failed: the output is long, and whoever reads it
/// reads its end.
fn run_and_gather(tests: &mut Command) -> Result<()> {
    let mut child = tests.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let mut output = BufReader::new(child.stdout.take().context("its output")?);
    let (mut line, mut failures) = (Vec::new(), Failures::default());
    while output.read_until(b'\n', &mut line).context("read what the tests print")? > 0 {
        std::io::stdout().write_all(&line)?;
        failures.see(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait().context("wait for cargo")?;
    if !status.success() {
        println!("── failures\n{}", failures.text);
        bail!("`cargo test` ended with {status}");
    }
    Ok(())
}

/// What the test harness tells of failures: for each program the lines from the first "failures:" to its result.
#[derive(Default)]
struct Failures {
    is_inside: bool,
    text: String,
}

impl Failures {
    fn see(&mut self, line: &str) {
        self.is_inside |= line.trim_end() == "failures:";
        if self.is_inside {
            self.text += line;
            self.is_inside = !line.starts_with("test result: ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failures;

    #[test]
    fn failures_are_gathered_and_nothing_else() {
        let mut failures = Failures::default();
        let output = "running 2 tests\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\nwhy\n\nfailures:\n    a\n\ntest \
                      result: FAILED. 1 passed\nrunning 1 test\ntest b ... ok\ntest result: ok. 1 passed\n";
        output.split_inclusive('\n').for_each(|line| failures.see(line));
        assert!(failures.text.contains("why") && failures.text.ends_with("FAILED. 1 passed\n"), "{}", failures.text);
        assert!(!failures.text.contains("test b"), "{}", failures.text);
    }
}
