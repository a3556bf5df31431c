//! The registry server beside Debian's docker-registry, and where they can be built distribution 3 and zot; files beside
//! nginx.
//!
//! Servers take turns, each on a fresh disk and with the same content, pushed by the same requests. Whoever answers that
//! content is there has not necessarily flushed it, so every push ends with a flush of the file system.

mod http;
mod many;
mod memory;
mod push;
mod servers;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use dhow_testkit::peers;

use super::Plan;
use super::disk::Disk;
use super::lab::Lab;
use super::report::{Report, Target};
use crate::shell;
use http::Client;
use push::Image;
use servers::{Kind, Server};

/// Connections of the load generator, and how long it loads a server each time, in seconds.
const CONNECTIONS: usize = 32;
const LOAD_SECONDS: usize = 5;

/// Length of the blob that is downloaded, in bytes: long enough that the request itself does not count.
const BLOB_BYTES: usize = 64 << 20;

/// Downloads of it at once.
const DOWNLOADS: usize = 4;

/// Runs the scenarios that the plan names.
pub(crate) fn run(lab: &Lab, plan: &Plan, report: &mut Report<'_>) {
    type Scenario = fn(&Lab, &Plan, &mut Report<'_>) -> Result<()>;
    for (name, scenario) in [
        ("serve-manifest", manifests as Scenario),
        ("serve-blob", blobs),
        ("serve-push", pushes),
        ("serve-million", many::run),
        ("serve-memory", memory::run),
    ] {
        if plan.runs(name) {
            scenario(lab, plan, report).unwrap_or_else(|error| report.failed(name, &error));
        }
    }
}

/// The registries that can be had here; those that cannot are named with the reason.
fn contestants(plan: &Plan) -> Vec<Kind> {
    let wanted = servers::REGISTRIES.into_iter().filter(|(name, _)| plan.measures(name));
    let found = wanted.map(|(name, obtain)| obtain().with_context(|| format!("{name} is left out")));
    found.filter_map(|kind| kind.map_err(|error| println!("{error:#}")).ok()).collect()
}

/// What each server reached, in its own turn each time; nothing for one that failed.
fn take_turns(
    plan: &Plan,
    kinds: &[Kind],
    what: &str,
    mut turn: impl FnMut(&Kind) -> Result<f64>,
) -> Vec<(&'static str, Vec<f64>)> {
    let mut reached: Vec<(&'static str, Vec<f64>)> = kinds.iter().map(|kind| (kind.name(), Vec::new())).collect();
    let mut out = vec![false; kinds.len()];
    for _ in 0..plan.transfers {
        for (index, kind) in kinds.iter().enumerate().filter(|(index, _)| !out[*index]).collect::<Vec<_>>() {
            match turn(kind) {
                Ok(rate) => reached[index].1.push(rate),
                Err(error) => {
                    println!("{what}: {} FAILED: {error:#}", kind.name());
                    out[index] = true;
                }
            }
        }
    }
    for (name, rates) in &reached {
        let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        println!("{what:<14} {name:<16} [{}]", rates.join(" "));
    }
    reached
}

/// GET of a manifest by tag, requests a second.
fn manifests(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let kinds = contestants(plan);
    let reached = take_turns(plan, &kinds, "serve-manifest", |kind| {
        let disk = Disk::fresh()?;
        let server = Server::start(kind, lab, &disk.path().join("content"))?;
        Image::new(0).push(&mut Client::connect(server.address())?, "bench/app", "latest")?;
        disk.sync()?;
        let url = format!("http://{}/v2/bench/app/manifests/latest", server.address());
        Ok(load(&url, CONNECTIONS, LOAD_SECONDS)?.requests_per_second)
    });
    report.rates(
        "GET of a manifest by tag, requests a second",
        &reached,
        &[Target { peer: "docker-registry", factor: 5.0 }],
    );
    Ok(())
}

/// GET of a large blob, bytes a second, beside a server of files that copies nothing.
fn blobs(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let mut kinds = contestants(plan);
    kinds.push(Kind::nginx()?);
    let bytes: Vec<u8> = (0..BLOB_BYTES / 8)
        .flat_map(|number| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    let digest = dhow_testkit::images::sha256(&bytes);
    let reached = take_turns(plan, &kinds, "serve-blob", |kind| {
        let disk = Disk::fresh()?;
        let content = disk.path().join("content");
        let server = Server::start(kind, lab, &content)?;
        let path = match kind.serves_files() {
            true => {
                std::fs::write(content.join("blob"), &bytes)?;
                "/blob".to_owned()
            }
            false => {
                push::blob(&mut Client::connect(server.address())?, "bench/app", &bytes)?;
                format!("/v2/bench/app/blobs/{digest}")
            }
        };
        disk.sync()?;
        Ok(load(&format!("http://{}{path}", server.address()), DOWNLOADS, LOAD_SECONDS)?.bytes_per_second)
    });
    report.rates("GET of a blob of 64 MiB, bytes a second", &reached, &[Target { peer: "nginx", factor: 0.9 }]);
    Ok(())
}

/// Push of small images by several clients, images a second.
fn pushes(lab: &Lab, plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let kinds = contestants(plan);
    let reached = take_turns(plan, &kinds, "serve-push", |kind| {
        let disk = Disk::fresh()?;
        let server = Server::start(kind, lab, &disk.path().join("content"))?;
        push::many(server.address(), || disk.sync())
    });
    let what = format!("push of {} small images, images a second", push::IMAGES);
    report.rates(&what, &reached, &[Target { peer: "docker-registry", factor: 5.0 }]);
    Ok(())
}

/// What the load generator counted.
struct Load {
    requests_per_second: f64,
    bytes_per_second: f64,
}

/// Lets `wrk` ask for one address again and again.
fn load(url: &str, connections: usize, seconds: usize) -> Result<Load> {
    let mut wrk = Command::new(peers::find("wrk")?);
    wrk.args([format!("-c{connections}"), format!("-t{}", connections.min(2)), format!("-d{seconds}s")]);
    wrk.args(["-H", &format!("Accept: {}", push::MANIFEST)]).arg(url);
    let said = shell::output(&mut wrk)?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("not every request to {url} was answered with success: {said}");
    }
    let figure = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        line.and_then(number).with_context(|| format!("wrk printed no {name} {said}"))
    };
    Ok(Load { requests_per_second: figure("Requests/sec:")?, bytes_per_second: figure("Transfer/sec:")? })
}

/// A number as wrk writes it: `12.5`, `1.23KB`, `4.5GB`, in binary units.
fn number(text: &str) -> Option<f64> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let power = match &text[end..] {
        "" | "B" => 0,
        "KB" => 1,
        "MB" => 2,
        "GB" => 3,
        "TB" => 4,
        _ => return None,
    };
    Some(text[..end].parse::<f64>().ok()? * 1024_f64.powi(power))
}

/// Memory of a process in bytes, by its name in `/proc/<id>/status`.
fn process_memory(id: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"))?;
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.and_then(|text| text.parse().ok()).with_context(|| format!("no {name} of {id}"))?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_wrk_writes_them() {
        for (text, expected) in
            [("12.5", Some(12.5)), ("1.50KB", Some(1536.0)), ("2.00GB", Some(2_147_483_648.0)), ("1.2x", None)]
        {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
