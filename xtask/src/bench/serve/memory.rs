//! What the server takes of memory: doing nothing, and with many uploads at once.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result};
use dhow_testkit::images::sha256;

use super::http::Client;
use super::process_memory;
use super::push::{self, Image};
use super::servers::Server;
use crate::bench::Plan;
use crate::bench::disk::Disk;
use crate::bench::lab::Lab;
use crate::bench::report::Report;

/// Uploads at the same time, and bytes of each.
const UPLOADS: usize = 64;
const UPLOAD_BYTES: usize = 16 << 20;

const IDLE_BYTES_MAX: u64 = 20 << 20;
const BUSY_BYTES_MAX: u64 = 150 << 20;

/// Runs the scenario.
pub(super) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    if !plan.measures("dhow") {
        return Ok(());
    }
    let disk = Disk::fresh()?;
    let (server, _) = Server::start_dhow(lab, &disk.path().join("content"))?;
    let id = server.process_id().context("no process")?;
    // It has served somebody, and is idle again.
    Image::new(0).push(&mut Client::connect(server.address())?, "bench/app", "latest")?;
    std::thread::sleep(Duration::from_secs(1));
    report.memory("serve, idle", process_memory(id, "VmRSS")?, IDLE_BYTES_MAX);

    let together = Barrier::new(UPLOADS);
    let upload = |number: usize| -> Result<()> {
        let mut bytes = vec![0_u8; UPLOAD_BYTES];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let digest = sha256(&bytes);
        let client = Client::connect(server.address());
        together.wait();
        let mut client = client?;
        push::blob(&mut client, &format!("bench/upload-{}", number % 4), &bytes)
            .with_context(|| format!("upload of {digest}"))
    };
    std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..UPLOADS).map(|number| scope.spawn(move || upload(number))).collect();
        uploads.into_iter().try_for_each(|upload| upload.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    report.memory("serve, 64 uploads at once", process_memory(id, "VmHWM")?, BUSY_BYTES_MAX);
    Ok(())
}
