//! The test programs, as many at once as there are cores: most of their time many of them wait, for a daemon, a timeout, a disk.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell;

/// Those that take longest come first, so that none of them runs on alone at the end.
const LONGEST: [&str; 11] = [
    "store",
    "power_cut",
    "parity",
    "cli",
    "conformance",
    "attacks",
    "interop_unpack",
    "page_chromium",
    "kill",
    "replicas",
    "contention",
];

/// A test program.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    path: PathBuf,
    /// Where its package is: programs look there for their data.
    directory: PathBuf,
    /// What the harness told of its failures.
    failures: String,
}

impl Program {
    /// The examples in the documentation, which cargo runs itself.
    pub(super) fn documentation() -> Self {
        Self {
            name: "documentation".to_owned(),
            path: PathBuf::new(),
            directory: PathBuf::new(),
            failures: "an example in the documentation failed (above)".to_owned(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn failures(&self) -> &str {
        &self.failures
    }

    /// A line of cargo's that is about a test program.
    fn parse(line: &str) -> Option<Self> {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
        let path = message["executable"].as_str().filter(|_| is_test)?;
        Some(Self {
            name: message["target"]["name"].as_str()?.to_owned(),
            path: path.into(),
            directory: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
            failures: String::new(),
        })
    }
}

/// All test programs, built.
pub(super) fn of_the_workspace() -> Result<Vec<Program>> {
    let mut cargo = shell::cargo(&["test", "--workspace", "--no-run", "--quiet", "--message-format=json"]);
    let built = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !built.status.success() {
        bail!("the tests do not build: {}", built.status);
    }
    let mut programs: Vec<Program> =
        String::from_utf8_lossy(&built.stdout).lines().filter_map(Program::parse).collect();
    programs.sort_by_key(|program| LONGEST.iter().position(|name| *name == program.name).unwrap_or(LONGEST.len()));
    Ok(programs)
}

/// Runs the programs; the output of each comes whole, when it is done. Returns those that failed.
pub(super) fn run(programs: Vec<Program>, with_environment: &(impl Fn(&mut Command) + Sync)) -> Result<Vec<Program>> {
    if programs.is_empty() {
        bail!("there is no test program");
    }
    let left = Mutex::new(VecDeque::from(programs));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || -> Result<Vec<Program>> {
        let mut failed = Vec::new();
        while let Some(program) = next() {
            failed.extend(run_one(program, with_environment)?);
        }
        Ok(failed)
    };
    let lanes = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|_| scope.spawn(work)).collect();
        let mut failed = Vec::new();
        for lane in running {
            failed.extend(lane.join().unwrap_or_else(|_| bail!("a thread that runs tests panicked"))?);
        }
        Ok(failed)
    })
}

/// The program again if a test of it failed.
fn run_one(mut program: Program, with_environment: &impl Fn(&mut Command)) -> Result<Option<Program>> {
    // One stream, so that what a test prints stands where it was printed.
    let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = Command::new(&program.path);
    command.current_dir(&program.directory).stdin(Stdio::null());
    command.stdout(writer.try_clone().context("cannot share a pipe")?).stderr(writer);
    with_environment(&mut command);
    // Whoever waits sees what hangs.
    println!("   {} …", program.name);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.path.display()))?;
    // Its ends of the pipe are the child's alone from here on.
    drop(command);
    let mut output = Vec::new();
    reader.read_to_end(&mut output).context("read what the tests print")?;
    // Tests print what programs print, which need not be text.
    let output = String::from_utf8_lossy(&output);
    let status = child.wait().context("wait for a test program")?;
    print!("     Running {} ({})\n{output}", program.name, program.path.display());
    if status.success() {
        return Ok(None);
    }
    program.failures = failures_in(&output).unwrap_or_else(|| format!("{} ended with {status}\n", program.name));
    Ok(Some(program))
}

/// What the test harness tells of failures: the lines from the first "failures:" to its result.
fn failures_in(output: &str) -> Option<String> {
    let mut is_inside = false;
    let mut text = String::new();
    for line in output.lines() {
        is_inside |= line.trim_end() == "failures:";
        if is_inside {
            text += line;
            text.push('\n');
            is_inside = !line.starts_with("test result: ");
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::{Program, failures_in};

    #[test]
    fn failures_are_gathered_and_nothing_else() {
        let output = "running 2 tests\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\nwhy\n\nfailures:\n    a\n\ntest \
                      result: FAILED. 1 passed\n";
        let text = failures_in(output).expect("failures");
        assert!(text.contains("why") && text.ends_with("FAILED. 1 passed\n"), "{text}");
        assert!(!text.contains("running"), "{text}");
        assert_eq!(failures_in("running 1 test\ntest b ... ok\ntest result: ok. 1 passed\n"), None);
    }

    #[test]
    fn programs_are_those_that_cargo_built_for_tests() {
        let line = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{{"name":"a"}},"profile":{{"test":{test}}},"executable":"/w/t/a-1"}}"#
            )
        };
        let program = Program::parse(&line(true)).expect("a program");
        assert_eq!((program.name(), program.directory.to_str()), ("a", Some("/w/crates/a")));
        assert!(Program::parse(&line(false)).is_none() && Program::parse("no JSON").is_none());
    }
}
