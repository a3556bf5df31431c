//! A registry with very many blobs: how long it takes to start, and what marking needs of memory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dhow_testkit::images::sha256;

use super::push::MANIFEST;
use super::servers::Server;
use crate::bench::Plan;
use crate::bench::disk::Disk;
use crate::bench::lab::Lab;
use crate::bench::measure::timed;
use crate::bench::report::Report;

/// Blobs, and how many of them one image has.
const BLOBS: usize = 1_000_000;
const BLOBS_PER_IMAGE: usize = 20;
const IMAGES_PER_REPOSITORY: usize = 500;

const START_LIMIT: Duration = Duration::from_secs(1);
const MARK_BYTES_MAX: u64 = 256 << 20;

/// Runs the scenario.
pub(super) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    if !plan.measures("dhow") {
        return Ok(());
    }
    let disk = Disk::of_many_files()?;
    let root = disk.path().join("content");
    fs::create_dir(&root)?;
    drop(Server::start_dhow(lab, &root)?);
    fill(&root).context("cannot fill the registry")?;
    disk.sync()?;

    let mut starts = Vec::new();
    for _ in 0..plan.transfers {
        starts.push(Server::start_dhow(lab, &root)?.1);
    }
    report.latency("start of serve on 1,000,000 blobs", crate::bench::measure::median(&starts), Some(START_LIMIT));

    let mut mark = lab.dhow(&disk.path().join("store"));
    let mark = timed(mark.args(["serve", "gc", "--dry-run", "--grace", "0s", "--root-dir"]).arg(&root), || Ok(()))?;
    report.latency("mark of 1,000,000 blobs", mark.wall, None);
    report.memory("mark of 1,000,000 blobs", mark.peak_bytes, MARK_BYTES_MAX);
    Ok(())
}

/// Writes images by hand, in the format of `docs/formats/registry.md`: to push them would take hours. Blobs are a byte
/// long, since nothing reads them.
fn fill(root: &Path) -> Result<()> {
    let contents = root.join("blobs/sha256");
    for image in 0..BLOBS / BLOBS_PER_IMAGE {
        let repository = root.join(format!("repositories/bench/app-{}", image / IMAGES_PER_REPOSITORY));
        let [blobs, manifests, tags] =
            ["_blobs/sha256", "_manifests/sha256", "_tags"].map(|name| repository.join(name));
        if image % IMAGES_PER_REPOSITORY == 0 {
            [&blobs, &manifests, &tags].into_iter().try_for_each(fs::create_dir_all)?;
        }
        let mut descriptors = Vec::new();
        for number in 0..BLOBS_PER_IMAGE {
            let digest = sha256(format!("{image}/{number}").as_bytes());
            let hex = digest.strip_prefix("sha256:").context("not SHA-256")?;
            fs::write(contents.join(hex), b"x")?;
            fs::write(blobs.join(hex), b"")?;
            descriptors.push(format!(
                "{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"{digest}\",\"size\":1}}"
            ));
        }
        let config = descriptors.pop().context("an image without blobs")?;
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{},\"layers\":[{}]}}",
            config.replace("layer.v1.tar", "config.v1+json"),
            descriptors.join(",")
        );
        let digest = sha256(manifest.as_bytes());
        let hex = digest.strip_prefix("sha256:").context("not SHA-256")?;
        fs::write(contents.join(hex), &manifest)?;
        fs::write(manifests.join(hex), MANIFEST)?;
        fs::write(tags.join(format!("v{image}")), &digest)?;
    }
    let written = fs::read_dir(&contents)?.count();
    if written != BLOBS + BLOBS / BLOBS_PER_IMAGE {
        bail!("{written} blobs were written");
    }
    Ok(())
}
