//! A container that does nothing and is gone again, beside docker and podman.

use std::process::Command;

use anyhow::Result;
use dhow_testkit::images::{Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers::{self, Docker, Podman};

use super::Plan;
use super::disk::{Disk, memory};
use super::lab::Lab;
use super::measure::timed;
use super::race::{self, Contestant};
use super::report::{Report, Target};
use super::transfers::store;
use crate::shell;

const IMAGE: &str = "registry.example/bench/box:latest";

/// Whoever owns nothing, for runs without root.
const NOBODY: u32 = 65534;

/// Runs the scenario if the plan names it.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    if plan.runs("run") {
        measure(lab, plan, report).unwrap_or_else(|error| report.failed("run", &error));
    }
}

/// A tool, and how its command lines begin.
type Way<'w> = (&'static str, Box<dyn Fn() -> Command + 'w>);

/// All have the image, and have run it once: what is made of it then is there. Each run is on the disk when it ends.
fn measure(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let disk = Disk::fresh()?;
    let archive = disk.path().join("archive.tar");
    make(lab, &archive)?;
    let (store, own) = (store(&disk), disk.path().join("own"));
    shell::output(lab.dhow(&store).args(["load", "--quiet", "--input"]).arg(&archive))?;
    let program = disk.path().join("dhow");
    let user = || {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]).arg(&program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &own).env("DHOW_ROOT", own.join("store"));
        command.current_dir(&own);
        command
    };
    shell::output(Command::new("cp").arg(lab.dhow(&store).get_program()).arg(&program))?;
    shell::output(Command::new("install").args(["-d", "-o", "nobody", "-g", "nogroup"]).arg(&own))?;
    shell::output(Command::new("chmod").arg("a+rx").arg(disk.path()).arg(&program))?;
    shell::output(Command::new("chmod").arg("a+r").arg(&archive))?;
    shell::output(user().args(["load", "--quiet", "--input"]).arg(&archive))?;
    let docker = plan.measures("docker").then(|| Docker::start(&disk.path().join("docker"))).transpose()?;
    let podman = plan.measures("podman").then(|| Podman::open(&disk.path().join("podman"))).transpose()?;
    let mut ways: Vec<Way<'_>> = vec![("dhow", Box::new(|| lab.dhow(&store))), ("dhow-user", Box::new(user))];
    if let Some(docker) = &docker {
        shell::output(docker.command().args(["load", "--quiet", "--input"]).arg(&archive))?;
        ways.push(("docker", Box::new(|| docker.command())));
    }
    if let Some(podman) = &podman {
        shell::output(podman.command().args(["load", "--quiet", "--input"]).arg(&archive))?;
        ways.push(("podman", Box::new(|| podman.command())));
    }
    let mut contestants = Vec::new();
    let disk = &disk;
    for (tool, command) in ways {
        // All have the machine's network: to make one is no part of a container that needs none.
        let run = move || {
            let mut command = command();
            command.args(["run", "--rm", "--network", "host"]);
            if tool == "podman" {
                // It raises limits otherwise, which not every machine lets root do.
                command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
            }
            command.args([IMAGE, "true"]);
            command
        };
        if plan.measures(tool) {
            shell::output(&mut run())?;
        }
        contestants.push(Contestant::new(tool, move || timed(&run(), || disk.sync())));
    }
    let outcomes = race::run("run", contestants, plan, plan.short_runs.min(20));
    let targets = [Target { peer: "docker", factor: 0.15 }, Target { peer: "podman", factor: 0.15 }];
    report.race("run --rm IMAGE true", &outcomes, &targets, None);
    Ok(())
}

/// An image with the one program, as dhow saves it: docker 20 reads no OCI archive.
fn make(lab: &Lab, archive: &std::path::Path) -> Result<()> {
    let folder = tempfile::tempdir_in(memory())?;
    let busybox = std::fs::read(peers::find("busybox")?)?;
    let mut layout = Layout::create(&folder.path().join("layout"))?;
    let entries = [Entry { path: "bin/true", mode: 0o755, content: &busybox }];
    let layers = [layout.layer(&*tar_of(&entries)?, Format::Oci, Compression::Gzip)?];
    let manifest = layout.image(&layers, &Recipe::default())?;
    layout.name_images([(&manifest, IMAGE)])?;
    let (laid_out, store) = (folder.path().join("layout.tar"), folder.path().join("store"));
    layout.archive(&laid_out)?;
    shell::output(lab.dhow(&store).args(["load", "--quiet", "--input"]).arg(&laid_out))?;
    shell::output(lab.dhow(&store).args(["save", "--output"]).arg(archive).arg(IMAGE))?;
    Ok(())
}
