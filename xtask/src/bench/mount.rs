//! An unpacked image of forty layers as a directory, beside podman.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use dhow_testkit::images::{Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers::Podman;

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::Lab;
use super::measure::{Sample, median, short};
use super::race::{self, Contestant};
use super::report::{Report, Target};
use super::transfers::store;
use crate::shell;

const LAYERS: usize = 40;

const IMAGE: &str = "registry.example/bench/layers:latest";

const LIMIT: Duration = Duration::from_millis(20);

/// Runs the scenario if the plan names it.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    if plan.runs("mount") {
        mount(lab, plan, report).unwrap_or_else(|error| report.failed("mount", &error));
    }
}

fn mount(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let disk = Disk::fresh()?;
    let archive = disk.path().join("archive.tar");
    make(&archive)?;
    let store = store(&disk);
    let podman = plan.measures("podman").then(|| Podman::open(&disk.path().join("podman"))).transpose()?;
    shell::output(lab.dhow(&store).args(["load", "--quiet", "--input"]).arg(&archive))?;
    if let Some(podman) = &podman {
        shell::output(podman.command().args(["load", "--quiet", "--input"]).arg(&archive))?;
    }
    let by = |way: &'static str| {
        let command = lab.dhow(&store);
        move || {
            let mut command = copy(&command);
            command.env("DHOW_MOUNT_BY", way);
            command
        }
    };
    let (kernel, fuse) = (by("kernel"), by("fuse"));
    let theirs = podman.as_ref().map(|podman| || podman.command());
    // The first one unpacks the layers.
    let mut contestants =
        vec![Contestant::new("dhow", measured(&kernel)?), Contestant::new("dhow-fuse", measured(&fuse)?)];
    if let Some(theirs) = &theirs {
        contestants.push(Contestant::new("podman", measured(theirs)?));
    }
    let outcomes = race::run("mount", contestants, plan, plan.short_runs.min(20));
    report.race("image mount, 40 layers", &outcomes, &[Target { peer: "podman", factor: 0.1 }], None);
    for outcome in outcomes.iter().filter(|outcome| outcome.tool.starts_with("dhow")) {
        let times: Vec<Duration> = outcome.samples.iter().map(|sample| sample.wall).collect();
        let (what, limit) = match outcome.tool {
            "dhow" => ("image mount, 40 layers", Some(LIMIT)),
            _ => ("image mount over FUSE, 40 layers", None),
        };
        report.latency(what, median(&times), limit);
    }
    Ok(())
}

/// Mounts, and takes the time of that; unmounts.
fn measured(command: &impl Fn() -> Command) -> Result<impl FnMut() -> Result<Sample>> {
    let mount = || {
        let mut command = command();
        command.args(["image", "mount", IMAGE]);
        command
    };
    short(mount, || shell::output(command().args(["image", "unmount", IMAGE])).map(drop))
}

fn copy(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy
}

/// An image whose layers each add a directory and change a file of the one below.
fn make(archive: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(memory())?;
    let mut layout = Layout::create(&folder.path().join("layout"))?;
    let layers = (0..LAYERS).map(|number| {
        let own: Vec<String> = (0..20).map(|file| format!("srv/{number}/file-{file}")).collect();
        let content = number.to_string();
        let mut entries: Vec<Entry<'_>> =
            own.iter().map(|path| Entry { path, mode: 0o644, content: content.as_bytes() }).collect();
        entries.push(Entry { path: "etc/layer", mode: 0o644, content: content.as_bytes() });
        layout.layer(&*tar_of(&entries)?, Format::Oci, Compression::Gzip)
    });
    let layers = layers.collect::<std::io::Result<Vec<_>>>()?;
    let manifest = layout.image(&layers, &Recipe::default())?;
    layout.name_images([(&manifest, IMAGE)])?;
    layout.archive(archive)?;
    Ok(())
}
