//! Commands that take milliseconds: listing, pulling what is there already, starting.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use dhow_testkit::images::{Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers;
use serde_json::json;

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::Lab;
use super::measure::{percentile, short, wall};
use super::race::{self, Contestant};
use super::report::{Report, Target};
use super::transfers::{Stocked, stocked_dhow, stocked_docker, store};
use crate::shell;

const LIST_LIMIT: Duration = Duration::from_millis(20);
const UP_TO_DATE_LIMIT: Duration = Duration::from_millis(10);
const VERSION_LIMIT: Duration = Duration::from_millis(5);

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    type Scenario = fn(&Lab, &Plan, &mut Report<'_>) -> Result<()>;
    let scenarios: [(&str, Scenario); 4] = [
        ("up-to-date", up_to_date),
        ("images-during-pulls", images_during_pulls),
        ("images-10000", images_of_ten_thousand),
        ("version", version),
    ];
    for (name, scenario) in scenarios {
        if plan.runs(name) {
            scenario(lab, plan, report).unwrap_or_else(|error| report.failed(name, &error));
        }
    }
    Ok(())
}

/// Pulling again what is there. Nothing is written, so there is nothing to flush. What is asked for in milliseconds is
/// measured without the program around it that tells the peak of memory.
fn up_to_date(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let dhow = plan.measures("dhow").then(|| stocked_dhow(lab)).transpose()?;
    let docker = plan.measures("docker").then(|| stocked_docker(lab)).transpose()?;
    let again = |mut command: Command| {
        command.args(["pull", &lab.reference()]);
        command
    };
    let mut contestants = Vec::new();
    if let Some(Stocked { disk, .. }) = &dhow {
        contestants.push(Contestant::new("dhow", short(move || again(lab.dhow(&store(disk))), || Ok(()))?));
    }
    if let Some(Stocked { tool, .. }) = &docker {
        contestants.push(Contestant::new("docker", short(move || again(tool.command()), || Ok(()))?));
    }
    let outcomes = race::run("up-to-date", contestants, plan, plan.short_runs.min(50));
    report.race("pull, up to date", &outcomes, &[Target { peer: "docker", factor: 0.3 }], None);
    if let Some(outcome) = outcomes.iter().find(|outcome| outcome.tool == "dhow") {
        let times: Vec<Duration> = outcome.samples.iter().map(|sample| sample.wall).collect();
        report.latency("pull, up to date: median", percentile(&times, 50), Some(UP_TO_DATE_LIMIT));
    }
    Ok(())
}

/// Listing while four pulls of different blobs fill the same store.
fn images_during_pulls(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    if !plan.measures("dhow") {
        return Ok(());
    }
    let mut times = Vec::new();
    while times.len() < plan.short_runs {
        let disk = Disk::fresh()?;
        // The store exists before anybody is timed.
        shell::output(lab.dhow(&store(&disk)).arg("images"))?;
        let mut pulls = (0..lab.images.variants.len())
            .map(|number| {
                let mut pull = lab.dhow(&store(&disk));
                pull.args(["pull", "--quiet", &lab.variant_reference(number)]).stdout(Stdio::null()).spawn()
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        while pulls.iter_mut().any(|pull| matches!(pull.try_wait(), Ok(None))) {
            times.push(wall(lab.dhow(&store(&disk)).arg("images"))?);
        }
        for mut pull in pulls {
            if !pull.wait()?.success() {
                bail!("a concurrent pull failed");
            }
        }
    }
    let what = format!("images during four pulls: 99th percentile of {}", times.len());
    report.latency(&what, percentile(&times, 99), Some(LIST_LIMIT));
    Ok(())
}

/// Listing a thousand images under ten tags each.
fn images_of_ten_thousand(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    const IMAGES: usize = 1_000;
    const TAGS_PER_IMAGE: usize = 10;
    if !plan.measures("dhow") {
        return Ok(());
    }
    let folder = tempfile::tempdir_in(memory())?;
    let mut layout = Layout::create(&folder.path().join("layout"))?;
    let tar = tar_of(&[Entry { path: "etc/motd", mode: 0o644, content: b"hello" }])?;
    let layer = layout.layer(&*tar, Format::Oci, Compression::Gzip)?;
    let mut named = Vec::with_capacity(IMAGES * TAGS_PER_IMAGE);
    for number in 0..IMAGES {
        let mut recipe = Recipe::default();
        recipe.config_extra.insert("author".to_owned(), json!(format!("author {number}")));
        let manifest = layout.image(std::slice::from_ref(&layer), &recipe)?;
        for tag in 0..TAGS_PER_IMAGE {
            named.push((manifest.clone(), format!("registry.example/team-{}/app-{number}:v{tag}", number % 20)));
        }
    }
    layout.name_images(named.iter().map(|(manifest, name)| (manifest, name.as_str())))?;
    let archive = folder.path().join("archive.tar");
    layout.archive(&archive)?;
    let disk = Disk::fresh()?;
    shell::output(lab.dhow(&store(&disk)).args(["load", "--quiet", "--input"]).arg(&archive))?;
    let listed = shell::output(lab.dhow(&store(&disk)).arg("images"))?.lines().count();
    if listed != IMAGES * TAGS_PER_IMAGE + 1 {
        bail!("`images` shows {listed} lines, expected {} and a heading", IMAGES * TAGS_PER_IMAGE);
    }
    let times =
        (0..plan.short_runs).map(|_| wall(lab.dhow(&store(&disk)).arg("images"))).collect::<Result<Vec<_>>>()?;
    report.latency("images, 10,000 tags: median", percentile(&times, 50), Some(LIST_LIMIT));
    report.latency("images, 10,000 tags: 99th percentile", percentile(&times, 99), None);
    Ok(())
}

fn version(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let mut programs = Vec::new();
    if plan.measures("dhow") {
        programs.push(("dhow", lab.dhow_program().to_owned(), Some(VERSION_LIMIT)));
    }
    for peer in ["docker", "podman", "skopeo"] {
        if plan.measures(peer) {
            programs.push((peer, peers::find(peer)?, None));
        }
    }
    for (name, program, limit) in programs {
        let times = (0..plan.short_runs.min(100))
            .map(|_| wall(Command::new(&program).arg("--version")))
            .collect::<Result<Vec<_>>>()?;
        report.latency(&format!("{name} --version: median"), percentile(&times, 50), limit);
    }
    Ok(())
}
