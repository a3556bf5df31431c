//! `cargo xtask bench`: dhow beside docker, podman and skopeo, in one run on one machine.
//!
//! Fair means here: every repetition has a fresh, journaled file system for each tool; every tool's time includes
//! flushing that file system (`sync -f`), because dhow's result is durable and theirs would not be; all tools talk to the
//! same registry on loopback; and tools take turns, so that a slow minute of the machine hits all of them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use dhow_testkit::peers;

use crate::{provision, shell};

mod disk;
mod image;
mod lab;
mod latency;
mod limits;
mod local;
mod measure;
mod mount;
mod network;
mod race;
mod report;
mod run;
mod serve;
mod transfers;
mod unpack;

use lab::Lab;
use report::Report;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One repetition instead of five, fewer short runs
    #[arg(long)]
    quick: bool,
    /// Repetitions of each transfer; the median counts
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Move an image of more than 1 GB in more than 40,000 files instead of the usual one
    #[arg(long)]
    large: bool,
    /// Measure only this tool (several times: these)
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// Measure this build of dhow instead of a fresh release build
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Scenarios by name; all without any
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
}

/// How often what is repeated, and what is left out.
pub(crate) struct Plan {
    /// Repetitions of whole transfers.
    pub(crate) transfers: usize,
    /// Repetitions of commands that take milliseconds.
    pub(crate) short_runs: usize,
    tools: Vec<String>,
    scenarios: Vec<String>,
}

impl Plan {
    /// Whether a tool is measured.
    pub(crate) fn measures(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|wanted| wanted == tool)
    }

    /// Whether a scenario is measured.
    pub(crate) fn runs(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|wanted| wanted == scenario)
    }
}

/// Every scenario's name, in the order they are run and reported.
const SCENARIOS: &[&str] = &[
    "pull-stored",
    "pull",
    "pull-unpack",
    "pull-tree",
    "up-to-date",
    "push",
    "save",
    "load",
    "images-during-pulls",
    "images-10000",
    "version",
    "local-10000",
    "local-500",
    "far-small-pull",
    "far-small-push",
    "far-image",
    "capped-layer",
    "copy-memory",
    "unpack",
    "export",
    "mount",
    "run",
    "cat",
    "rmi-40000",
    "serve-manifest",
    "serve-blob",
    "serve-push",
    "serve-million",
    "serve-memory",
];

/// Measures and prints the table; fails when a target is missed.
pub(crate) fn run(options: Options) -> Result<()> {
    if let Some(unknown) = options.scenarios.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
        bail!("there is no scenario {unknown:?}; there are {}", SCENARIOS.join(", "));
    }
    if !peers::is_root() {
        bail!("the benchmark needs root: it mounts a fresh file system for every repetition and starts dockerd");
    }
    shell::step("what the benchmark needs", provision::install)?;
    let plan = Plan {
        transfers: if options.quick { 1 } else { options.repetitions.max(1) },
        short_runs: if options.quick { 50 } else { 300 },
        tools: options.tools,
        scenarios: options.scenarios,
    };
    if plan.measures("dhow") && options.program.is_none() {
        shell::step("release build", || {
            shell::run(&mut shell::cargo(&["build", "--quiet", "--release", "--package", "dhow-cli"]))
        })?;
    }
    let lab = shell::step("image and registry", || {
        Lab::open(options.program, options.large).context("cannot prepare the benchmark")
    })?;
    let mut report = Report::new(&lab);
    println!("{}", report.heading());
    transfers::run(&lab, &plan, &mut report)?;
    latency::run(&lab, &plan, &mut report)?;
    local::run(&lab, &plan, &mut report);
    network::run(&lab, &plan, &mut report);
    unpack::run(&lab, &plan, &mut report);
    mount::run(&lab, &plan, &mut report);
    run::run(&lab, &plan, &mut report);
    serve::run(&lab, &plan, &mut report);
    println!("\n{}", report.table());
    report.verdict()
}
