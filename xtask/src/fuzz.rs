//! `cargo xtask fuzz`: the fuzz targets, each for a while, with the compiler that builds everything else.
//!
//! libFuzzer needs to know where the program has been. The counters for that are LLVM's, and stable Rust can ask for them; only the
//! sanitizers, which look for what unsafe code does wrong, want a nightly compiler and cargo-fuzz.

mod seeds;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{shell, workspace};

/// Counts each branch and tells libFuzzer what is compared with what; overflow and `debug_assert!` are findings too.
const INSTRUMENTED: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];

/// An input that takes longer, in seconds, or more memory, in MiB, is a finding.
const LONGEST: &str = "-timeout=30";
const LARGEST: &str = "-rss_limit_mb=2048";

/// How many of the last lines of a failed run are shown.
const LINES_OF_FAILURE: usize = 40;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Names of targets; all of them by default
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    seconds: u32,
}

/// Builds the targets and runs them one after the other. What is found lies in `fuzz/artifacts/`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let directory = workspace::root().join("fuzz");
    let targets = chosen(&directory, &options.targets)?;
    let programs = shell::step("build the fuzz targets", || build(&directory))?;
    shell::step("seeds", || seeds::write(&directory.join("corpus")))?;
    let mut failed = Vec::new();
    for target in &targets {
        println!("── {target}");
        match fuzz(&directory, &programs, target, options.seconds) {
            Ok(summary) => println!("   {summary}"),
            Err(error) => {
                println!("   {error:#}");
                failed.push(target.as_str());
            }
        }
    }
    ensure!(failed.is_empty(), "found something in {}", failed.join(", "));
    Ok(())
}

/// The targets that were asked for, or all.
fn chosen(directory: &Path, asked: &[String]) -> Result<Vec<String>> {
    let path = directory.join("Cargo.toml");
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(&path)?).with_context(|| format!("{path:?}"))?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array).context("fuzz/Cargo.toml has no targets")?;
    let mut all: Vec<String> =
        programs.iter().filter_map(|program| program.get("name")?.as_str().map(str::to_owned)).collect();
    all.sort();
    if let Some(unknown) = asked.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {unknown}; there are {}", all.join(", "));
    }
    Ok(if asked.is_empty() { all } else { asked.to_vec() })
}

/// Builds all targets; returns where the programs are.
fn build(directory: &Path) -> Result<PathBuf> {
    // Named, so that build scripts and macros are not instrumented.
    let host = shell::output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let host = host.trim();
    let target_directory = workspace::target().join("fuzz");
    let mut cargo = shell::cargo(&["build", "--quiet", "--release", "--bins", "--target", host]);
    cargo.current_dir(directory).env("RUSTFLAGS", INSTRUMENTED.join(" ")).env("CARGO_TARGET_DIR", &target_directory);
    shell::run(&mut cargo)?;
    Ok(target_directory.join(host).join("release"))
}

/// Runs one target. The corpus it goes on from, and adds to, is the one cargo-fuzz uses.
fn fuzz(directory: &Path, programs: &Path, target: &str, seconds: u32) -> Result<String> {
    let (corpus, artifacts) = (directory.join("corpus").join(target), directory.join("artifacts").join(target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let scratch = tempfile::tempdir()?;
    let log = workspace::target().join("fuzz").join(format!("{target}.log"));
    let output = File::create(&log).with_context(|| format!("cannot write {log:?}"))?;
    let status = Command::new(programs.join(target))
        .arg(&corpus)
        .args([LONGEST, LARGEST, "-max_len=65536", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .current_dir(directory)
        .env("TMPDIR", scratch.path())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .with_context(|| format!("cannot run {target}"))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if !status.success() {
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES_OF_FAILURE)..].join("\n   ");
        bail!("{status}; the input is in {artifacts:?}\n   {last}");
    }
    Ok(summary(&text))
}

/// The last line in which libFuzzer says how far it came: runs, places reached, inputs kept.
fn summary(log: &str) -> String {
    let is_report = |line: &&str| line.starts_with('#') && line.contains(" cov: ");
    log.lines().rev().find(is_report).unwrap_or("nothing was run").split_whitespace().collect::<Vec<_>>().join(" ")
}
