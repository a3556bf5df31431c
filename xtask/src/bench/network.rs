//! Transfers over a long way: 50 ms there and back, 200 Mbit/s; and to a registry that holds each connection to a rate.
//!
//! The way is `testkit`'s line, a relay between the tools and the registry that models the round trips, slow start and the
//! rates: `tc netem` is not in every kernel. All tools go through it, on this machine, so that all find plain HTTP there. Where
//! large layers are moved, it is at an address that is not the loopback's, since dhow asks near registries for no parts.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use dhow_testkit::images::{Compression, Entry, Format, Layer, Layout, Recipe, pseudo_random, tar_of};
use dhow_testkit::line::{Faults, Line, Shape};
use dhow_testkit::peers::{self, Docker, Registry};

use super::Plan;
use super::disk::Disk;
use super::lab::Lab;
use super::measure::{Sample, timed};
use super::race::{self, Contestant};
use super::report::{Report, Target};
use super::transfers::store;
use crate::{shell, workspace};

/// 50 ms there and back, 200 Mbit/s.
const LONG: Shape =
    Shape { delay: Duration::from_millis(25), bytes_per_second: LONG_RATE, bytes_per_second_of_one: u64::MAX };
const LONG_RATE: u64 = 25_000_000;

/// A connection's rate where single connections are held to one.
const CAPPED_RATE: u64 = 20_000_000;

/// Layers of the image of many small ones, and the bytes of each.
const SMALL_LAYERS: usize = 40;
const SMALL_BYTES: usize = 256 << 10;

/// Layers of the large image, and the bytes of each: 400 MB.
const IMAGE_LAYERS: usize = 8;
const IMAGE_BYTES: usize = 50_000_000;

/// The bytes of the one large layer.
const LARGE_BYTES: u64 = 2_000_000_000;

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    type Scenario = fn(&Lab, &Plan, &mut Report<'_>) -> Result<()>;
    let scenarios: [(&str, Scenario); 5] = [
        ("far-small-pull", small_pull),
        ("far-small-push", small_push),
        ("far-image", image),
        ("capped-layer", capped_layer),
        ("copy-memory", copy_memory),
    ];
    for (name, scenario) in scenarios {
        if plan.runs(name) {
            scenario(lab, plan, report).unwrap_or_else(|error| report.failed(name, &error));
        }
    }
}

/// A registry with one image in it, and the layout that it came from.
struct Far {
    registry: Registry,
    layout: PathBuf,
    // Dropped last.
    _folder: tempfile::TempDir,
}

impl Far {
    /// Fills a registry with the layers that `make` makes.
    fn with(make: impl FnOnce(&Layout) -> Result<Vec<Layer>>) -> Result<Self> {
        let folder = tempfile::tempdir_in(workspace::target())?;
        let layout_path = folder.path().join("oci");
        let mut layout = Layout::create(&layout_path)?;
        let layers = make(&layout)?;
        let manifest = layout.image(&layers, &Recipe::default())?;
        layout.name(&manifest, &["main"])?;
        let registry = Registry::start(&folder.path().join("registry"))?;
        let far = Self { registry, layout: layout_path, _folder: folder };
        let target = format!("docker://{}", far.registry.name("bench/far:latest"));
        shell::output(
            peers::skopeo()?.args(["copy", "--quiet", "--dest-tls-verify=false", &far.source()]).arg(target),
        )?;
        Ok(far)
    }

    /// Where skopeo finds the image.
    fn source(&self) -> String {
        format!("oci:{}:main", self.layout.display())
    }

    fn line(&self, shape: Shape) -> Line {
        Line::start(self.registry.address(), shape, Faults::default(), 0)
    }

    /// A line at an address that counts as distant. The loopback's count as near, where one connection is as fast as several.
    fn distant_line(&self, shape: Shape) -> Result<Line> {
        let at = SocketAddr::new(far_address()?, 0);
        Ok(Line::start_at(at, self.registry.address(), shape, Faults::default(), 0))
    }
}

fn random_layers(layout: &Layout, count: usize, bytes: usize) -> Result<Vec<Layer>> {
    (0..count)
        .map(|number| {
            let (path, content) = (format!("opt/{number}"), pseudo_random(&format!("far {number}"), bytes));
            let tar = tar_of(&[Entry { path: &path, mode: 0o644, content: &content }])?;
            Ok(layout.layer(&*tar, Format::Oci, Compression::None)?)
        })
        .collect()
}

fn name(line: &Line) -> String {
    format!("{}/bench/far:latest", line.authority())
}

fn pull_dhow(lab: &Lab, name: &str) -> Result<Sample> {
    let disk = Disk::fresh()?;
    timed(lab.dhow(&store(&disk)).args(["pull", "--tls-verify=false", name]), || disk.sync())
}

fn pull_skopeo(name: &str) -> Result<Sample> {
    let disk = Disk::fresh()?;
    let mut command = peers::skopeo()?;
    command.args(["copy", "--src-tls-verify=false"]).arg(format!("docker://{name}"));
    timed(command.arg(format!("oci:{}:latest", disk.path().join("oci").display())), || disk.sync())
}

/// The daemon may speak plain HTTP also where the line is no loopback's.
fn pull_docker(line: &Line) -> Result<Sample> {
    let (disk, name) = (Disk::fresh()?, &name(line));
    let docker =
        Docker::start_with(&disk.path().join("docker"), &["--insecure-registry", &line.address().to_string()], &[])?;
    disk.sync()?;
    timed(docker.command().args(["pull", name]), || disk.sync())
}

fn small_pull(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let far = Far::with(|layout| random_layers(layout, SMALL_LAYERS, SMALL_BYTES))?;
    let line = far.line(LONG);
    let name = name(&line);
    let contestants = vec![
        Contestant::new("dhow", || pull_dhow(lab, &name)),
        Contestant::new("skopeo", || pull_skopeo(&name)),
        Contestant::new("docker", || pull_docker(&line)),
    ];
    let outcomes = race::run("far-small-pull", contestants, plan, plan.transfers);
    report.race("pull 40 small, 50 ms", &outcomes, &[Target { peer: "skopeo", factor: 0.5 }], None);
    Ok(())
}

fn small_push(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let far = Far::with(|layout| random_layers(layout, SMALL_LAYERS, SMALL_BYTES))?;
    let here = far.registry.name("bench/far:latest");
    let disk = Disk::fresh()?;
    shell::output(lab.dhow(&store(&disk)).args(["pull", "--quiet", &here]))?;
    // Every push goes to a registry that has nothing yet.
    let empty = || -> Result<(tempfile::TempDir, Registry, Line)> {
        let folder = tempfile::tempdir_in(workspace::target())?;
        let registry = Registry::start(folder.path())?;
        let line = Line::start(registry.address(), LONG, Faults::default(), 0);
        Ok((folder, registry, line))
    };
    // Started with the first push, and kept: only the registry has to be new.
    let docker_disk = Disk::fresh()?;
    let docker = OnceCell::new();
    let contestants = vec![
        Contestant::new("dhow", || {
            let (_folder, _registry, line) = empty()?;
            let target = name(&line);
            shell::output(lab.dhow(&store(&disk)).args(["tag", &here, &target]))?;
            timed(lab.dhow(&store(&disk)).args(["push", &target]), || disk.sync())
        }),
        Contestant::new("skopeo", || {
            let (_folder, _registry, line) = empty()?;
            let mut command = peers::skopeo()?;
            command.args(["copy", "--dest-tls-verify=false", &far.source()]);
            timed(command.arg(format!("docker://{}", name(&line))), || Ok(()))
        }),
        Contestant::new("docker", || {
            let (_folder, _registry, line) = empty()?;
            let target = name(&line);
            if docker.get().is_none() {
                let _ = docker.set(Docker::start(&docker_disk.path().join("docker"))?);
            }
            let docker = docker.get().context("no docker")?;
            shell::output(docker.command().args(["pull", "--quiet", &here]))?;
            shell::output(docker.command().args(["tag", &here, &target]))?;
            timed(docker.command().args(["push", &target]), || Ok(()))
        }),
    ];
    let outcomes = race::run("far-small-push", contestants, plan, plan.transfers);
    report.race("push 40 small, 50 ms", &outcomes, &[Target { peer: "skopeo", factor: 0.5 }], None);
    Ok(())
}

/// 400 MB: no tool is faster than the line.
fn image(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let far = Far::with(|layout| random_layers(layout, IMAGE_LAYERS, IMAGE_BYTES))?;
    let line = far.distant_line(LONG)?;
    let name = name(&line);
    let contestants = vec![
        Contestant::new("dhow", || pull_dhow(lab, &name)),
        Contestant::new("skopeo", || pull_skopeo(&name)),
        Contestant::new("docker", || pull_docker(&line)),
    ];
    let outcomes = race::run("far-image", contestants, plan, plan.transfers.min(3));
    report.race("pull 400 MB, 50 ms", &outcomes, &[], None);
    let shortest = (IMAGE_LAYERS * IMAGE_BYTES) as f64 / LONG_RATE as f64;
    if let Some(time) = median_of_dhow(&outcomes) {
        report.latency("pull 400 MB, 50 ms, 200 Mbit/s", time, Some(Duration::from_secs_f64(1.1 * shortest)));
    }
    Ok(())
}

fn median_of_dhow(outcomes: &[race::Outcome]) -> Option<Duration> {
    outcomes.iter().find(|outcome| outcome.tool == "dhow").and_then(race::Outcome::median)
}

/// One layer of 2 GB from a registry that gives each connection 20 MB/s.
fn capped_layer(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let far = Far::with(|layout| Ok(vec![large_layer(layout)?]))?;
    let shape = Shape { delay: Duration::from_millis(10), bytes_per_second_of_one: CAPPED_RATE, ..Shape::default() };
    let line = far.distant_line(shape)?;
    let name = name(&line);
    let contestants = vec![Contestant::new("dhow", || {
        let disk = Disk::fresh()?;
        timed(lab.dhow(&store(&disk)).args(["pull", "--tls-verify=false", &name]), || disk.sync())
    })];
    let outcomes = race::run("capped-layer", contestants, plan, plan.transfers.min(3));
    let single = LARGE_BYTES as f64 / CAPPED_RATE as f64;
    if let Some(time) = median_of_dhow(&outcomes) {
        report.latency("pull 2 GB, 20 MB/s per connection", time, Some(Duration::from_secs_f64(single / 6.0)));
    }
    Ok(())
}

fn large_layer(layout: &Layout) -> Result<Layer> {
    let folder = tempfile::tempdir_in(workspace::target())?;
    let file = std::fs::File::create(folder.path().join("large"))?;
    // Repeated noise: as long as nothing is compressed, every byte is moved.
    let noise = pseudo_random("large", 50_000_000);
    for _ in 0..LARGE_BYTES / noise.len() as u64 {
        std::io::Write::write_all(&mut &file, &noise)?;
    }
    let mut tar = Command::new("tar");
    tar.current_dir(folder.path()).args(["--create", "--file=-", "large"]);
    let mut child = tar.stdout(Stdio::piped()).spawn().context("cannot run tar")?;
    let stream = child.stdout.take().context("tar has no output")?;
    let layer = layout.layer(stream, Format::Oci, Compression::None)?;
    anyhow::ensure!(child.wait()?.success(), "tar failed");
    Ok(layer)
}

/// An address of this machine that is not the loopback's.
fn far_address() -> Result<IpAddr> {
    // Connecting a datagram socket sends nothing; it only picks the way out.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("198.51.100.1:9").context("this machine has no address but the loopback's")?;
    Ok(socket.local_addr()?.ip())
}

/// The memory of a copy between two registries.
fn copy_memory(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    if !plan.measures("dhow") {
        return Ok(());
    }
    let far = Far::with(|layout| random_layers(layout, IMAGE_LAYERS, IMAGE_BYTES))?;
    let folder = tempfile::tempdir_in(workspace::target())?;
    let target = Registry::start(folder.path())?;
    let from = format!("docker://{}", far.registry.name("bench/far:latest"));
    let to = format!("docker://{}", target.name("bench/far:latest"));
    let mut command = lab.dhow(Path::new("/nonexistent"));
    let sample = timed(command.args(["copy", "--quiet", &from, &to]), || Ok(()))?;
    report.peak("copy of 400 MB between registries", sample.peak_bytes);
    Ok(())
}
