//! The files of an image into a folder, beside umoci, and beside docker's load of the same layers, which unpacks them.

use std::process::Command;

use anyhow::Result;
use dhow_testkit::peers::{self, Docker};

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::Lab;
use super::measure::{Sample, timed};
use super::race::{self, Contestant};
use super::report::{Report, Target};
use crate::shell;

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    if plan.runs("unpack") {
        unpack(lab, plan, report).unwrap_or_else(|error| report.failed("unpack", &error));
    }
    if plan.runs("export") {
        export(lab, plan, report).unwrap_or_else(|error| report.failed("export", &error));
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
    report.race("unpack to a folder", &outcomes, &targets, None);
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
    let contestants = vec![
        Contestant::new("dhow", || {
            let file = output.path().join("dhow.tar");
            timed(lab.dhow(&store).args(["export", "--output"]).arg(file).arg(lab.reference()), || disk.sync())
        }),
        Contestant::new("docker", || {
            let file = output.path().join("docker.tar");
            timed(docker.command().args(["export", "--output"]).arg(file).arg(container.trim()), || disk.sync())
        }),
    ];
    let outcomes = race::run("export", contestants, plan, plan.transfers);
    report.race("export", &outcomes, &[Target { peer: "docker", factor: 0.4 }], None);
    Ok(())
}
