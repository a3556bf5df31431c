//! The files of an image: into a folder, into an archive, one of them, and away; beside umoci, docker and GNU tar.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use dhow_testkit::images::{Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers::{self, Docker};

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::Lab;
use super::limits::Work;
use super::measure::{Sample, median, timed, wall};
use super::race::{self, Contestant};
use super::report::{PEAK_BYTES_MAX_OF_FILES, Report, Target};
use super::transfers::{Stocked, stocked_dhow, store};
use crate::shell;

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    if plan.runs("unpack") {
        unpack(lab, plan, report).unwrap_or_else(|error| report.failed("unpack", &error));
    }
    if plan.runs("export") {
        export(lab, plan, report).unwrap_or_else(|error| report.failed("export", &error));
    }
    if plan.runs("cat") {
        cat(lab, plan, report).unwrap_or_else(|error| report.failed("cat", &error));
    }
    if plan.runs("rmi-40000") {
        rmi(lab, plan, report).unwrap_or_else(|error| report.failed("rmi-40000", &error));
    }
}

/// What the image is read from lies in memory for everybody.
fn unpack(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let folder = tempfile::tempdir_in(memory())?;
    let (store, layout, archive) =
        (folder.path().join("store"), folder.path().join("oci"), folder.path().join("a.tar"));
    shell::output(lab.dhow(&store).args(["pull", "--quiet"]).arg(lab.reference()))?;
    shell::output(lab.dhow(&store).args(["save", "--output"]).arg(&archive).arg(lab.reference()))?;
    let source = format!("{}:latest", layout.display());
    let mut skopeo = peers::skopeo()?;
    skopeo.args(["copy", "--quiet", "--src-tls-verify=false"]).arg(format!("docker://{}", lab.reference()));
    shell::output(skopeo.arg(format!("oci:{source}")))?;
    let contestants = vec![
        Contestant::new("dhow", || {
            let disk = Disk::fresh()?;
            let target = disk.path().join("files");
            timed(lab.dhow(&store).args(["unpack", "--quiet"]).arg(lab.reference()).arg(target), || disk.sync())
        }),
        Contestant::new("umoci", || {
            let disk = Disk::fresh()?;
            let mut umoci = Command::new(peers::find("umoci")?);
            timed(umoci.args(["unpack", "--image", &source]).arg(disk.path().join("bundle")), || disk.sync())
        }),
        Contestant::new("docker", || docker_load(&archive)),
    ];
    let outcomes = race::run("unpack", contestants, plan, plan.transfers);
    let targets = [Target { peer: "umoci", factor: 0.2 }, Target { peer: "docker", factor: 0.7 }];
    let unpacked = lab.images.main.unpacked_bytes;
    let work = Work { hashed_bytes: unpacked, written_bytes: unpacked };
    report.race_within(PEAK_BYTES_MAX_OF_FILES, "unpack to a folder", &outcomes, &targets, Some(work));
    Ok(())
}

fn docker_load(archive: &std::path::Path) -> Result<Sample> {
    let disk = Disk::fresh()?;
    let docker = Docker::start(&disk.path().join("docker"))?;
    disk.sync()?;
    timed(docker.command().args(["load", "--quiet", "--input"]).arg(archive), || disk.sync())
}

fn export(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let disk = Disk::fresh()?;
    let store = disk.path().join("store");
    shell::output(lab.dhow(&store).args(["pull", "--quiet"]).arg(lab.reference()))?;
    let docker = Docker::start(&disk.path().join("docker"))?;
    shell::output(docker.command().args(["pull", "--quiet"]).arg(lab.reference()))?;
    let container = shell::output(docker.command().args(["create"]).arg(lab.reference()).arg("/bin/sh"))?;
    let output = tempfile::tempdir_in(memory())?;
    // Files that GNU tar reads are on the same disk, and in memory as well.
    let tree = disk.path().join("tree");
    shell::output(lab.dhow(&store).args(["unpack", "--quiet"]).arg(lab.reference()).arg(&tree))?;
    let contestants = vec![
        Contestant::new("dhow", || {
            let file = output.path().join("dhow.tar");
            timed(lab.dhow(&store).args(["export", "--output"]).arg(file).arg(lab.reference()), || disk.sync())
        }),
        Contestant::new("docker", || {
            let file = output.path().join("docker.tar");
            timed(docker.command().args(["export", "--output"]).arg(file).arg(container.trim()), || disk.sync())
        }),
        Contestant::new("tar", || {
            let mut tar = Command::new("tar");
            tar.args(["--create", "--file"]).arg(output.path().join("tar.tar")).arg("--directory").arg(&tree).arg(".");
            timed(&tar, || disk.sync())
        }),
    ];
    let outcomes = race::run("export", contestants, plan, plan.transfers);
    // At least 80 % of its rate.
    let targets = [Target { peer: "docker", factor: 0.4 }, Target { peer: "tar", factor: 1.25 }];
    let work = Work { hashed_bytes: 0, written_bytes: lab.images.main.unpacked_bytes };
    report.race("export", &outcomes, &targets, Some(work));
    Ok(())
}

/// One small file of an image that was only pulled, and once more.
fn cat(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    const AGAIN: Duration = Duration::from_millis(10);
    let file = format!("{}:/etc/os-release", lab.reference());
    let contestants = vec![
        Contestant::new("dhow", || {
            let Stocked { disk, .. } = stocked_dhow(lab)?;
            timed(lab.dhow(&store(&disk)).args(["cat", &file]), || disk.sync())
        }),
        Contestant::new("unpack", || {
            let Stocked { disk, .. } = stocked_dhow(lab)?;
            let target = disk.path().join("files");
            timed(lab.dhow(&store(&disk)).args(["unpack", "--quiet"]).arg(lab.reference()).arg(target), || disk.sync())
        }),
    ];
    let outcomes = race::run("cat", contestants, plan, plan.transfers);
    let unpacked = lab.images.main.unpacked_bytes;
    let work = Work { hashed_bytes: unpacked, written_bytes: unpacked };
    report.race("cat of a packed image", &outcomes, &[Target { peer: "unpack", factor: 0.5 }], Some(work));
    let Stocked { disk, .. } = stocked_dhow(lab)?;
    shell::output(lab.dhow(&store(&disk)).args(["cat", &file]))?;
    let times = (0..plan.short_runs).map(|_| wall(lab.dhow(&store(&disk)).args(["cat", &file])));
    let times = times.collect::<Result<Vec<_>>>()?;
    report.latency("cat, again", median(&times), Some(AGAIN));
    Ok(())
}

/// An image of 40,000 files, unpacked, and away again.
fn rmi(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    const FILES: usize = 40_000;
    let folder = tempfile::tempdir_in(memory())?;
    let names: Vec<String> = (0..FILES).map(|number| format!("files/{}/{number}", number % 200)).collect();
    let entries: Vec<Entry<'_>> =
        names.iter().map(|name| Entry { path: name, mode: 0o644, content: name.as_bytes() }).collect();
    let mut layout = Layout::create(&folder.path().join("oci"))?;
    let layers = [layout.layer(&*tar_of(&entries)?, Format::Oci, Compression::Gzip)?];
    let manifest = layout.image(&layers, &Recipe::default())?;
    layout.name_images([(&manifest, "docker.io/bench/files:latest")])?;
    let archive = folder.path().join("files.tar");
    layout.archive(&archive)?;
    // Older dockers only load what `docker save` writes, which this is too.
    let (saver, for_docker) = (folder.path().join("saver"), folder.path().join("for-docker.tar"));
    shell::output(lab.dhow(&saver).args(["load", "--quiet", "--input"]).arg(&archive))?;
    shell::output(lab.dhow(&saver).args(["save", "--output"]).arg(&for_docker).arg("bench/files"))?;
    let contestants = vec![
        Contestant::new("dhow", || {
            let disk = Disk::fresh()?;
            let root = store(&disk);
            let dhow = |words: &[&str]| {
                let mut command = lab.dhow(&root);
                command.args(words);
                command
            };
            shell::output(dhow(&["load", "--quiet", "--input"]).arg(&archive))?;
            shell::output(&mut dhow(&["ls", "bench/files:/files/0"]))?;
            disk.sync()?;
            timed(&dhow(&["rmi", "bench/files"]), || disk.sync())
        }),
        Contestant::new("docker", || {
            let disk = Disk::fresh()?;
            let docker = Docker::start(&disk.path().join("docker"))?;
            shell::output(docker.command().args(["load", "--quiet", "--input"]).arg(&for_docker))?;
            disk.sync()?;
            timed(docker.command().args(["rmi", "bench/files"]), || disk.sync())
        }),
    ];
    let outcomes = race::run("rmi-40000", contestants, plan, plan.transfers);
    report.race("remove an image of 40,000 files", &outcomes, &[Target { peer: "docker", factor: 0.05 }], None);
    Ok(())
}
