//! What a store of many images costs: lists, inspection and removals, beside docker and podman on the same five hundred.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dhow_testkit::images::{Blob, Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers::{Docker, Podman};
use serde_json::json;

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::Lab;
use super::measure::{Sample, percentile, timed, wall};
use super::race::{self, Contestant};
use super::report::Report;
use super::transfers::store;
use crate::shell;

/// Images of the large store, and the tags that each has at last.
const MANY: usize = 10_000;
const TAGS_PER_IMAGE: usize = 3;

/// Images that every tool gets.
const FEW: usize = 500;

/// The repository that all of them are in.
const REPOSITORY: &str = "registry.example/bench/app";

const LIST_LIMIT: Duration = Duration::from_millis(20);
const LONG_LIST_LIMIT: Duration = Duration::from_millis(60);
const LABEL_LIMIT: Duration = Duration::from_millis(40);
const INSPECT_LIMIT: Duration = Duration::from_millis(5);
const USAGE_LIMIT: Duration = Duration::from_millis(100);
const REMOVAL_LIMIT: Duration = Duration::from_millis(15);
const PRUNE_LIMIT: Duration = Duration::from_secs(2);

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    type Scenario = fn(&Lab, &Plan, &mut Report<'_>) -> Result<()>;
    for (name, scenario) in [("local-10000", ten_thousand as Scenario), ("local-500", beside_peers)] {
        if plan.runs(name) {
            scenario(lab, plan, report).unwrap_or_else(|error| report.failed(name, &error));
        }
    }
}

/// Images in a layout, each with a layer that all have, one of its own, and a label that every tenth has.
struct Many {
    _folder: tempfile::TempDir,
    layout: Layout,
    manifests: Vec<Blob>,
}

impl Many {
    fn make(images: usize) -> Result<Self> {
        let folder = tempfile::tempdir_in(memory())?;
        let layout = Layout::create(&folder.path().join("layout"))?;
        let layer = |path, content: &[u8]| {
            let tar = tar_of(&[Entry { path, mode: 0o644, content }])?;
            layout.layer(&*tar, Format::Oci, Compression::Gzip)
        };
        let base = layer("etc/motd", b"hello")?;
        let mut manifests = Vec::with_capacity(images);
        for number in 0..images {
            let own = layer("srv/number", number.to_string().as_bytes())?;
            let mut recipe = Recipe::default();
            let tier = if number % 10 == 0 { "front" } else { "back" };
            recipe.config_extra.insert("config".to_owned(), json!({ "Labels": { "tier": tier } }));
            manifests.push(layout.image(&[base.clone(), own], &recipe)?);
        }
        Ok(Self { _folder: folder, layout, manifests })
    }

    /// Loads all of them into a store, under one more tag each.
    fn load(&mut self, lab: &Lab, store: &Path, tag: usize) -> Result<()> {
        let name = |number: usize| match tag {
            0 => format!("{REPOSITORY}:v{number}"),
            tag => format!("{REPOSITORY}:v{number}-{tag}"),
        };
        let names: Vec<String> = (0..self.manifests.len()).map(name).collect();
        self.layout.name_images(self.manifests.iter().zip(names.iter().map(String::as_str)))?;
        shell::output(lab.dhow(store).args(["load", "--quiet", "--input"]).arg(self.layout.root()))?;
        Ok(())
    }
}

fn expect_rows(lab: &Lab, store: &Path, rows: usize) -> Result<()> {
    let listed = shell::output(lab.dhow(store).args(["images", "-q"]))?.lines().count();
    if listed != rows {
        bail!("`images` shows {listed} rows, expected {rows}");
    }
    Ok(())
}

/// Median and largest peak of some runs of one command.
struct Runs<'r, 'l> {
    lab: &'r Lab,
    report: &'r mut Report<'l>,
    store: PathBuf,
    runs: usize,
}

impl Runs<'_, '_> {
    /// A command that changes nothing, again and again; its time without the program around it that tells the peak of memory.
    fn reads(&mut self, what: &str, arguments: &[&str], limit: Duration) -> Result<()> {
        let dhow = || {
            let mut command = self.lab.dhow(&self.store);
            command.args(arguments);
            command
        };
        let times = (0..self.runs).map(|_| wall(&mut dhow())).collect::<Result<Vec<_>>>()?;
        let peak = timed(&dhow(), || Ok(()))?.peak_bytes;
        self.report.latency(what, percentile(&times, 50), Some(limit));
        self.report.peak(what, peak);
        Ok(())
    }

    fn tell(&mut self, what: &str, samples: &[Sample], limit: Duration) {
        let times: Vec<Duration> = samples.iter().map(|sample| sample.wall).collect();
        let peak = samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or(0);
        self.report.latency(what, percentile(&times, 50), Some(limit));
        self.report.peak(what, peak);
    }
}

/// dhow alone on ten thousand images.
fn ten_thousand(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    if !plan.measures("dhow") {
        return Ok(());
    }
    let disk = Disk::fresh()?;
    Many::make(MANY)?.load(lab, &store(&disk), 0)?;
    expect_rows(lab, &store(&disk), MANY)?;
    let mut runs = Runs { lab, report, store: store(&disk), runs: plan.short_runs.min(50) };
    runs.reads("images, 10,000 rows", &["images"], LIST_LIMIT)?;
    runs.reads("images -q -f label=, 10,000 images", &["images", "-q", "-f", "label=tier=front"], LABEL_LIMIT)?;
    runs.reads("inspect of one of 10,000", &["inspect", &format!("{REPOSITORY}:v5000")], INSPECT_LIMIT)?;
    runs.reads("system df, 10,000 images", &["system", "df"], USAGE_LIMIT)?;
    let removals = (0..runs.runs)
        .map(|number| timed(lab.dhow(&runs.store).arg("rmi").arg(format!("{REPOSITORY}:v{number}")), || Ok(())))
        .collect::<Result<Vec<_>>>()?;
    runs.tell("rmi of one of 10,000", &removals, REMOVAL_LIMIT);
    for tag in 0..TAGS_PER_IMAGE {
        // A layout of its own for each tag: one would name more than a layout may.
        Many::make(MANY)?.load(lab, &runs.store, tag)?;
    }
    expect_rows(lab, &runs.store, MANY * TAGS_PER_IMAGE)?;
    runs.reads("images, 30,000 rows", &["images"], LONG_LIST_LIMIT)?;
    disk.sync()?;
    let pruned = timed(lab.dhow(&runs.store).args(["image", "prune", "-a", "-f"]), || Ok(()))?;
    runs.tell("image prune -a of 10,000", &[pruned], PRUNE_LIMIT);
    expect_rows(lab, &store(&disk), 0)
}

/// A tool with five hundred images, and how its command lines begin.
struct Tool<'t> {
    name: &'static str,
    command: Box<dyn Fn() -> Command + 't>,
}

/// The same five hundred images in every tool's store, and the same commands on them.
fn beside_peers(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let disk = Disk::fresh()?;
    Many::make(FEW)?.load(lab, &store(&disk), 0)?;
    expect_rows(lab, &store(&disk), FEW)?;
    let archive = disk.path().join("archive.tar");
    shell::output(lab.dhow(&store(&disk)).arg("save").arg("--output").arg(&archive).arg(REPOSITORY))?;
    let peers = Disk::fresh()?;
    let docker = plan.measures("docker").then(|| Docker::start(&peers.path().join("docker"))).transpose()?;
    let podman = plan.measures("podman").then(|| Podman::open(&peers.path().join("podman"))).transpose()?;
    let mut tools = Vec::new();
    if plan.measures("dhow") {
        tools.push(Tool { name: "dhow", command: Box::new(|| lab.dhow(&store(&disk))) });
    }
    if let Some(docker) = &docker {
        tools.push(Tool { name: "docker", command: Box::new(|| docker.command()) });
    }
    if let Some(podman) = &podman {
        tools.push(Tool { name: "podman", command: Box::new(|| podman.command()) });
    }
    for tool in tools.iter().filter(|tool| tool.name != "dhow") {
        let mut load = (tool.command)();
        shell::output(load.args(["load", "--quiet", "--input"]).arg(&archive))
            .with_context(|| format!("{} cannot load the images", tool.name))?;
    }
    peers.sync()?;
    let one = format!("{REPOSITORY}:v250");
    for (what, arguments) in [
        ("images, 500", &["images"][..]),
        ("images -q -f label=, 500", &["images", "-q", "-f", "label=tier=front"]),
        ("inspect of one of 500", &["inspect", &one]),
        ("system df, 500", &["system", "df"]),
    ] {
        let contestants =
            tools.iter().map(|tool| Contestant::new(tool.name, || timed((tool.command)().args(arguments), || Ok(()))));
        let outcomes = race::run(what, contestants.collect(), plan, plan.short_runs.min(10));
        report.race(what, &outcomes, &[], None);
    }
    let removals = tools.iter().map(|tool| {
        let mut number = 0;
        Contestant::new(tool.name, move || {
            number += 1;
            timed((tool.command)().arg("rmi").arg(format!("{REPOSITORY}:v{number}")), || Ok(()))
        })
    });
    let outcomes = race::run("rmi of one of 500", removals.collect(), plan, plan.short_runs.min(10));
    report.race("rmi of one of 500", &outcomes, &[], None);
    let prunes = tools.iter().map(|tool| {
        Contestant::new(tool.name, || timed((tool.command)().args(["image", "prune", "-a", "-f"]), || Ok(())))
    });
    let outcomes = race::run("prune -a, 490", prunes.collect(), plan, 1);
    report.race("image prune -a of 490", &outcomes, &[], None);
    Ok(())
}
