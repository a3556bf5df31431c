//! Whole transfers: pull, push, save and load, beside the peers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dhow_testkit::peers::{self, Docker, Podman, Registry};

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::{Lab, expect_digest};
use super::limits::Work;
use super::measure::{Sample, timed};
use super::race::{self, Contestant};
use super::report::{PEAK_BYTES_MAX_OF_FILES, Report, Target};
use crate::shell;

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let (stored, unpacked) = (lab.images.main.compressed_bytes, lab.images.main.unpacked_bytes);
    let keep = Work { hashed_bytes: stored, written_bytes: stored };
    let prove = Work { hashed_bytes: stored + unpacked, written_bytes: stored };
    let copy = Work { hashed_bytes: 0, written_bytes: stored };
    if plan.runs("pull-stored") {
        let contestants = vec![
            Contestant::new("dhow", || pull_dhow(lab, &["--stored"])),
            Contestant::new("skopeo", || pull_skopeo(lab)),
        ];
        let outcomes = race::run("pull-stored", contestants, plan, plan.transfers);
        report.race("pull --stored", &outcomes, &[Target { peer: "skopeo", factor: 0.6 }], Some(keep));
    }
    if plan.runs("pull") {
        let contestants = vec![
            Contestant::new("dhow", || pull_dhow(lab, &[])),
            Contestant::new("docker", || pull_docker(lab)),
            Contestant::new("podman", || pull_podman(lab)),
        ];
        let outcomes = race::run("pull", contestants, plan, plan.transfers);
        let targets = [Target { peer: "docker", factor: 0.5 }, Target { peer: "podman", factor: 0.15 }];
        report.race("pull", &outcomes, &targets, Some(prove));
    }
    if plan.runs("pull-unpack") {
        let contestants = vec![
            Contestant::new("dhow", || pull_dhow(lab, &["--unpack"])),
            Contestant::new("docker", || pull_docker(lab)),
            Contestant::new("podman", || pull_podman(lab)),
        ];
        let outcomes = race::run("pull-unpack", contestants, plan, plan.transfers);
        let targets = [Target { peer: "docker", factor: 0.5 }, Target { peer: "podman", factor: 0.15 }];
        let ready = Work { hashed_bytes: stored + unpacked, written_bytes: stored + unpacked };
        report.race("pull --unpack, ready to mount", &outcomes, &targets, Some(ready));
    }
    if plan.runs("pull-tree") {
        let contestants = vec![
            Contestant::new("dhow", || pull_dhow(lab, &["--unpack=tree"])),
            Contestant::new("docker", || pull_docker(lab)),
            Contestant::new("podman", || pull_podman(lab)),
        ];
        let outcomes = race::run("pull-tree", contestants, plan, plan.transfers);
        let targets = [Target { peer: "docker", factor: 0.8 }, Target { peer: "podman", factor: 0.25 }];
        let ready = Work { hashed_bytes: stored + unpacked, written_bytes: stored + unpacked };
        report.race_within(PEAK_BYTES_MAX_OF_FILES, "pull --unpack=tree", &outcomes, &targets, Some(ready));
    }
    if plan.runs("push") {
        push(lab, plan, report, keep).unwrap_or_else(|error| report.failed("push", &error));
    }
    if plan.runs("save") {
        save(lab, plan, report, copy).unwrap_or_else(|error| report.failed("save", &error));
    }
    if plan.runs("load") {
        load(lab, plan, report, prove).unwrap_or_else(|error| report.failed("load", &error));
    }
    Ok(())
}

fn pull_dhow(lab: &Lab, flags: &[&str]) -> Result<Sample> {
    let disk = Disk::fresh()?;
    timed(lab.dhow(&disk.path().join("store")).arg("pull").args(flags).arg(lab.reference()), || disk.sync())
}

fn pull_skopeo(lab: &Lab) -> Result<Sample> {
    let disk = Disk::fresh()?;
    timed(&skopeo_pull(lab, disk.path())?, || disk.sync())
}

fn skopeo_pull(lab: &Lab, folder: &Path) -> Result<std::process::Command> {
    let mut command = peers::skopeo()?;
    command.args(["copy", "--src-tls-verify=false"]).arg(format!("docker://{}", lab.reference()));
    command.arg(format!("oci:{}:latest", folder.join("oci").display()));
    Ok(command)
}

fn pull_docker(lab: &Lab) -> Result<Sample> {
    let disk = Disk::fresh()?;
    let docker = Docker::start(&disk.path().join("docker"))?;
    disk.sync()?;
    timed(docker.command().arg("pull").arg(lab.reference()), || disk.sync())
}

fn pull_podman(lab: &Lab) -> Result<Sample> {
    let disk = Disk::fresh()?;
    let podman = Podman::open(&disk.path().join("podman"))?;
    disk.sync()?;
    timed(podman.command().args(["pull", "--tls-verify=false"]).arg(lab.reference()), || disk.sync())
}

/// A tool's store with the image in it, on a disk of its own. Fields are dropped in order: the daemon before its disk.
pub(crate) struct Stocked<T> {
    pub(crate) tool: T,
    pub(crate) disk: Disk,
}

/// Where dhow's store is on a disk.
pub(crate) fn store(disk: &Disk) -> PathBuf {
    disk.path().join("store")
}

pub(crate) fn stocked_dhow(lab: &Lab) -> Result<Stocked<()>> {
    let disk = Disk::fresh()?;
    shell::output(lab.dhow(&store(&disk)).args(["pull", "--quiet"]).arg(lab.reference()))?;
    disk.sync()?;
    Ok(Stocked { tool: (), disk })
}

pub(crate) fn stocked_docker(lab: &Lab) -> Result<Stocked<Docker>> {
    let disk = Disk::fresh()?;
    let tool = Docker::start(&disk.path().join("docker"))?;
    shell::output(tool.command().args(["pull", "--quiet"]).arg(lab.reference()))?;
    disk.sync()?;
    Ok(Stocked { tool, disk })
}

fn push(lab: &Lab, plan: &Plan, report: &mut Report<'_>, work: Work) -> Result<()> {
    let dhow = plan.measures("dhow").then(|| stocked_dhow(lab)).transpose()?;
    let docker = plan.measures("docker").then(|| stocked_docker(lab)).transpose()?;
    let layout = Disk::fresh()?;
    shell::output(&mut skopeo_pull(lab, layout.path())?)?;
    layout.sync()?;
    let mut contestants = Vec::new();
    if let Some(Stocked { disk, .. }) = &dhow {
        contestants.push(Contestant::new("dhow", || {
            let (_folder, registry) = empty_registry()?;
            let target = registry.name("bench/debian:latest");
            shell::output(lab.dhow(&store(disk)).args(["tag", &lab.reference(), &target]))?;
            let sample = timed(lab.dhow(&store(disk)).args(["push", &target]), || disk.sync())?;
            expect_digest(&target, &lab.images.main.digest)?;
            Ok(sample)
        }));
    }
    contestants.push(Contestant::new("skopeo", || {
        let (_folder, registry) = empty_registry()?;
        let mut command = peers::skopeo()?;
        command.args(["copy", "--dest-tls-verify=false"]);
        command.arg(format!("oci:{}:latest", layout.path().join("oci").display()));
        timed(command.arg(format!("docker://{}", registry.name("bench/debian:latest"))), || layout.sync())
    }));
    if let Some(Stocked { tool, disk }) = &docker {
        contestants.push(Contestant::new("docker", || {
            let (_folder, registry) = empty_registry()?;
            let target = registry.name("bench/debian:latest");
            shell::output(tool.command().args(["tag", &lab.reference(), &target]))?;
            timed(tool.command().args(["push", &target]), || disk.sync())
        }));
    }
    let outcomes = race::run("push", contestants, plan, plan.transfers);
    let targets = [Target { peer: "skopeo", factor: 0.75 }, Target { peer: "docker", factor: 0.15 }];
    report.race("push", &outcomes, &targets, Some(work));
    Ok(())
}

/// A registry with nothing in it. Its folder outlives it.
fn empty_registry() -> Result<(tempfile::TempDir, Registry)> {
    let folder = tempfile::tempdir_in(memory())?;
    let registry = Registry::start(folder.path())?;
    Ok((folder, registry))
}

fn save(lab: &Lab, plan: &Plan, report: &mut Report<'_>, work: Work) -> Result<()> {
    let dhow = plan.measures("dhow").then(|| stocked_dhow(lab)).transpose()?;
    let docker = plan.measures("docker").then(|| stocked_docker(lab)).transpose()?;
    let mut contestants = Vec::new();
    if let Some(Stocked { disk, .. }) = &dhow {
        contestants.push(Contestant::new("dhow", || save_with(&mut lab.dhow(&store(disk)), &lab.reference(), disk)));
    }
    if let Some(Stocked { tool, disk }) = &docker {
        contestants.push(Contestant::new("docker", || save_with(&mut tool.command(), &lab.reference(), disk)));
    }
    let outcomes = race::run("save", contestants, plan, plan.transfers);
    report.race("save", &outcomes, &[Target { peer: "docker", factor: 0.1 }], Some(work));
    Ok(())
}

fn save_with(tool: &mut std::process::Command, reference: &str, disk: &Disk) -> Result<Sample> {
    let archive = disk.path().join("archive.tar");
    let sample = timed(tool.args(["save", "--output"]).arg(&archive).arg(reference), || disk.sync())?;
    std::fs::remove_file(&archive).context("save wrote no archive")?;
    disk.sync()?;
    Ok(sample)
}

fn load(lab: &Lab, plan: &Plan, report: &mut Report<'_>, work: Work) -> Result<()> {
    let folder = tempfile::tempdir_in(memory())?;
    let targets = [Target { peer: "docker", factor: 0.2 }, Target { peer: "podman", factor: 0.08 }];
    for (scenario, archive) in archives(lab, plan, folder.path())? {
        let contestants = vec![
            Contestant::new("dhow", || {
                let disk = Disk::fresh()?;
                timed(lab.dhow(&store(&disk)).args(["load", "--input"]).arg(&archive), || disk.sync())
            }),
            Contestant::new("docker", || {
                let disk = Disk::fresh()?;
                let docker = Docker::start(&disk.path().join("docker"))?;
                disk.sync()?;
                timed(docker.command().args(["load", "--input"]).arg(&archive), || disk.sync())
            }),
            Contestant::new("podman", || {
                let disk = Disk::fresh()?;
                let podman = Podman::open(&disk.path().join("podman"))?;
                disk.sync()?;
                timed(podman.command().args(["load", "--input"]).arg(&archive), || disk.sync())
            }),
        ];
        let outcomes = race::run(scenario, contestants, plan, plan.transfers);
        report.race(scenario, &outcomes, &targets, Some(work));
    }
    Ok(())
}

/// The same image as dhow saves it (layers compressed, as they came) and as docker does (layers unpacked).
fn archives(lab: &Lab, plan: &Plan, folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut archives = Vec::new();
    if plan.measures("dhow") {
        let stocked = stocked_dhow(lab)?;
        let archive = folder.join("dhow.tar");
        shell::output(lab.dhow(&store(&stocked.disk)).args(["save", "--output"]).arg(&archive).arg(lab.reference()))?;
        archives.push(("load", archive));
    }
    let stocked = stocked_docker(lab)?;
    let archive = folder.join("docker.tar");
    shell::output(stocked.tool.command().args(["save", "--output"]).arg(&archive).arg(lab.reference()))?;
    archives.push(("load of docker's", archive));
    Ok(archives)
}
