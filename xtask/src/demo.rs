//! `cargo xtask demo`: dhow at work on real images, without any outside network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dhow_testkit::peers;
use serde_json::Value;

use crate::{shell, workspace};

mod image;
mod stage;

use image::Sample;
use stage::Stage;

/// How to build what is shown.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build dhow with optimisations first (slower to start, honest times)
    #[arg(long)]
    release: bool,
}

/// Makes images, and moves them through every verb; fails when a digest differs anywhere.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = shell::step("build dhow", || build(options.release))?;
    let stage = Stage::set(program.clone())?;
    let samples = shell::step("make images", || image::make(&program, &stage.path("layouts")))?;
    let mut times = Vec::new();
    for sample in &samples {
        times.push((sample.name, show(&stage, sample)?));
    }
    println!("\n── every digest is the same everywhere; the times:\n");
    println!("   {:<14}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "load", "push", "pull", "save", "load");
    for (name, times) in times {
        let columns: String = times.iter().map(|time| format!("{:>8.2} s", time.as_secs_f64())).collect();
        println!("   {name:<14}{columns}");
    }
    Ok(())
}

fn build(release: bool) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--quiet", "--package", "dhow-cli"];
    arguments.extend(release.then_some("--release"));
    shell::run(&mut shell::cargo(&arguments))?;
    Ok(workspace::target().join(if release { "release/dhow" } else { "debug/dhow" }))
}

/// One image through all of it. Returns the times of load, push, pull, save and load.
fn show(stage: &Stage, sample: &Sample) -> Result<[Duration; 5]> {
    println!("\n── {}: {}\n", sample.name, sample.what);
    let (here, there, third) = (stage.store("first"), stage.store("second"), stage.store("third"));
    let local = format!("demo/{}:1.0", sample.name);
    let remote = stage.registry_name(&local);
    let archive = stage.path(&format!("{}.tar", sample.name));

    let loaded = here.show(&["load", "--quiet", "--input", text(&sample.layout)?])?;
    here.show(&["tag", &local, &remote])?;
    let pushed = here.show(&["push", &remote])?;
    let pulled = there.show(&["pull", &remote])?;
    there.show(&["images"])?;
    there.show(&["history", &remote])?;
    let inspected = there.inspect(&remote)?;
    ensure!(inspected["Id"] == sample.id, "the second store has image {}, made was {}", inspected["Id"], sample.id);
    let digests = inspected["RepoDigests"].to_string();
    ensure!(digests.contains(&sample.digest), "the second store knows {digests}, made was {}", sample.digest);

    let saved = there.show(&["save", "--output", text(&archive)?, &remote])?;
    let loaded_again = third.show(&["load", "--quiet", "--input", text(&archive)?])?;
    ensure!(third.inspect(&remote)?["Id"] == sample.id, "the third store has another image");
    let blobs = compare_blobs(sample, there.root())? + compare_blobs(sample, third.root())?;
    println!("   {blobs} blobs compared byte for byte with those the image was made of");
    for store in [&here, &there, &third] {
        store.show(&["system", "check"])?;
    }
    read_with_skopeo(&archive, sample)?;
    std::fs::remove_file(&archive).context("save wrote no archive")?;
    Ok([loaded, pushed, pulled, saved, loaded_again])
}

/// Every blob that the image was made of is in the store, with the same bytes.
fn compare_blobs(sample: &Sample, store: &Path) -> Result<usize> {
    let mut compared = 0;
    for entry in std::fs::read_dir(sample.layout.join("blobs/sha256"))? {
        let made = entry?.path();
        let name = made.file_name().unwrap_or_default();
        let kept = store.join("blobs/sha256").join(name);
        let same =
            std::fs::read(&made)? == std::fs::read(&kept).with_context(|| format!("{} is missing", kept.display()))?;
        ensure!(same, "{} differs", kept.display());
        compared += 1;
    }
    Ok(compared)
}

/// Another tool's word for it, where one is there.
fn read_with_skopeo(archive: &Path, sample: &Sample) -> Result<()> {
    let Ok(mut skopeo) = peers::skopeo() else {
        println!("   (skopeo is not installed: no second opinion on the archive)");
        return Ok(());
    };
    let raw = peers::run(skopeo.args(["inspect", "--raw"]).arg(format!("oci-archive:{}", archive.display())))?;
    let digest = dhow_testkit::images::sha256(&raw.stdout);
    ensure!(digest == sample.digest, "skopeo reads {digest} from the archive, made was {}", sample.digest);
    println!("   skopeo reads the same digest from the archive");
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} cannot be given as an argument", path.display()))
}

/// The only object of what `inspect` printed.
fn only(json: &str) -> Result<Value> {
    let mut objects: Vec<Value> = serde_json::from_str(json).context("inspect printed no JSON")?;
    objects.pop().context("inspect printed nothing")
}
