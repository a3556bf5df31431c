//! The table, and whether every target was met.

use std::time::Duration;

use anyhow::{Result, bail};

use super::lab::Lab;
use super::limits::Work;
use super::race::Outcome;
use crate::shell;

/// At most this times the peer's time.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) peer: &'static str,
    pub(crate) factor: f64,
}

/// Most memory that any transfer may take, in bytes, whatever the image's size.
const PEAK_BYTES_MAX: u64 = 64 << 20;

/// The same of what makes the files of an image one by one: a part of the next layer is there as well.
pub(crate) const PEAK_BYTES_MAX_OF_FILES: u64 = 96 << 20;

/// Collects rows.
pub(crate) struct Report<'a> {
    lab: &'a Lab,
    ratios: Vec<String>,
    latencies: Vec<String>,
    rates: Vec<String>,
    missed: Vec<String>,
}

impl<'a> Report<'a> {
    /// Starts an empty one.
    pub(crate) fn new(lab: &'a Lab) -> Self {
        Self { lab, ratios: Vec::new(), latencies: Vec::new(), rates: Vec::new(), missed: Vec::new() }
    }

    /// What is measured, on what, with what.
    pub(crate) fn heading(&self) -> String {
        let image = &self.lab.images.main;
        let mebibytes = |bytes: u64| bytes / (1 << 20);
        let layers: Vec<String> = image.layer_bytes.iter().map(|bytes| mebibytes(*bytes).to_string()).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        format!(
            "\nimage: {} MiB unpacked, {} MiB stored in {} gzip layers ({} MiB)\nmachine: {cores} cores, SHA-256 \
             {:.2} GB/s on all of them, copy to the store's disk {:.2} GB/s\npeers: {}\n",
            mebibytes(image.unpacked_bytes),
            mebibytes(image.compressed_bytes),
            layers.len(),
            layers.join(", "),
            self.lab.limits.hash_rate / 1e9,
            self.lab.limits.copy_rate / 1e9,
            versions().join(", "),
        )
    }

    /// Adds a race: one row for each peer.
    pub(crate) fn race(&mut self, scenario: &str, outcomes: &[Outcome], targets: &[Target], work: Option<Work>) {
        self.race_within(PEAK_BYTES_MAX, scenario, outcomes, targets, work);
    }

    /// As [`Report::race`], with a limit of its own for dhow's memory.
    pub(crate) fn race_within(
        &mut self,
        peak_bytes_max: u64,
        scenario: &str,
        outcomes: &[Outcome],
        targets: &[Target],
        work: Option<Work>,
    ) {
        let Some(dhow) = outcomes.iter().find(|outcome| outcome.tool == "dhow") else { return };
        if let Some(failure) = &dhow.failure {
            self.missed.push(format!("{scenario}: dhow failed: {failure}"));
        }
        let Some(time) = dhow.median() else { return };
        let peak = dhow.peak_bytes();
        if peak > peak_bytes_max {
            self.missed.push(format!("{scenario}: dhow took {} MiB of memory", peak >> 20));
        }
        let share = work.map_or_else(
            || "–".to_owned(),
            |work| format!("{:.0} %", 100.0 * self.lab.limits.shortest(work).as_secs_f64() / time.as_secs_f64()),
        );
        for peer in outcomes.iter().filter(|outcome| outcome.tool != "dhow") {
            let target = targets.iter().find(|target| target.peer == peer.tool);
            let (ratio, verdict) = match (peer.median(), target) {
                (None, _) => ("–".to_owned(), "peer failed"),
                (Some(theirs), target) => {
                    let ratio = time.as_secs_f64() / theirs.as_secs_f64();
                    let met = target.is_none_or(|target| ratio <= target.factor);
                    if !met {
                        self.missed.push(format!("{scenario}: {ratio:.2} × {}", peer.tool));
                    }
                    let verdict = target.map_or("–", |_| if met { "met" } else { "NOT MET" });
                    (format!("{ratio:.2} ×"), verdict)
                }
            };
            self.ratios.push(format!(
                "| {scenario} | {} | {} | {} | {ratio} | {} | {verdict} | {:.0} MiB | {share} |",
                seconds(Some(time)),
                peer.tool,
                seconds(peer.median()),
                target.map_or_else(|| "–".to_owned(), |target| format!("≤ {} ×", target.factor)),
                peak as f64 / f64::from(1 << 20),
            ));
        }
    }

    /// Adds a figure that has a limit of its own.
    pub(crate) fn latency(&mut self, what: &str, time: Duration, limit: Option<Duration>) {
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let met = limit.is_none_or(|limit| time <= limit);
        if !met {
            self.missed.push(format!("{what}: {}", milliseconds(time)));
        }
        let verdict = limit.map_or("–", |_| if met { "met" } else { "NOT MET" });
        let limit = limit.map_or_else(|| "–".to_owned(), |limit| format!("≤ {}", milliseconds(limit)));
        println!("{what}: {} ({limit})", milliseconds(time));
        self.latencies.push(format!("| {what} | {} | {limit} | {verdict} |", milliseconds(time)));
    }

    /// Adds rates that servers reached in turn: one row for each peer. A target is at least that times the peer's rate.
    pub(crate) fn rates(&mut self, what: &str, reached: &[(&'static str, Vec<f64>)], targets: &[Target]) {
        let of = |name: &str| {
            let (_, rates) = reached.iter().find(|(tool, _)| *tool == name)?;
            let mut rates = rates.clone();
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len().checked_sub(1)? / 2).copied()
        };
        let Some(ours) = of("dhow") else {
            if reached.iter().any(|(tool, _)| *tool == "dhow") {
                self.missed.push(format!("{what}: dhow failed"));
            }
            return;
        };
        for (peer, _) in reached.iter().filter(|(tool, _)| *tool != "dhow") {
            let target = targets.iter().find(|target| target.peer == *peer);
            let ratio = of(peer).map(|theirs| ours / theirs);
            let met = target.is_none_or(|target| ratio.is_some_and(|ratio| ratio >= target.factor));
            let shown = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"));
            if !met {
                self.missed.push(format!("{what}: {shown} {peer}"));
            }
            let verdict = target.map_or("–", |_| if met { "met" } else { "NOT MET" });
            let limit = target.map_or_else(|| "–".to_owned(), |target| format!("≥ {} ×", target.factor));
            let theirs = of(peer).map_or_else(|| "–".to_owned(), |theirs| format!("{theirs:.0}"));
            println!("{what}: {ours:.0}, {peer} {theirs}: {shown} ({limit})");
            self.rates.push(format!("| {what} | {ours:.0} | {peer} | {theirs} | {shown} | {limit} | {verdict} |"));
        }
    }

    /// Adds the peak memory of something that has the limit of all transfers.
    pub(crate) fn peak(&mut self, what: &str, bytes: u64) {
        self.memory(&format!("{what}: peak memory"), bytes, PEAK_BYTES_MAX);
    }

    /// Adds memory that has a limit of its own.
    pub(crate) fn memory(&mut self, what: &str, bytes: u64, bytes_max: u64) {
        let met = bytes <= bytes_max;
        if !met {
            self.missed.push(format!("{what}: {} MiB of memory", bytes >> 20));
        }
        let (verdict, limit) = (if met { "met" } else { "NOT MET" }, bytes_max >> 20);
        println!("{what}: {} MiB (≤ {limit} MiB)", bytes >> 20);
        self.latencies.push(format!("| {what} | {} MiB | ≤ {limit} MiB | {verdict} |", bytes >> 20));
    }

    /// Notes that something could not be measured.
    pub(crate) fn failed(&mut self, what: &str, error: &anyhow::Error) {
        println!("{what}: FAILED: {error:#}");
        self.missed.push(format!("{what}: {error:#}"));
    }

    /// Both tables in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        if !self.ratios.is_empty() {
            text.push_str("| scenario | dhow | peer | its time | ratio | target | | dhow's peak memory | of the physical limit |\n");
            text.push_str("|---|---|---|---|---|---|---|---|---|\n");
            text.push_str(&self.ratios.join("\n"));
            text.push_str("\n\n");
        }
        if !self.rates.is_empty() {
            text.push_str("| | dhow | peer | its rate | ratio | target | |\n|---|---|---|---|---|---|---|\n");
            text.push_str(&self.rates.join("\n"));
            text.push_str("\n\n");
        }
        if !self.latencies.is_empty() {
            text.push_str("| | time or memory | target | |\n|---|---|---|---|\n");
            text.push_str(&self.latencies.join("\n"));
            text.push('\n');
        }
        text
    }

    /// An error that lists the targets that were missed.
    pub(crate) fn verdict(&self) -> Result<()> {
        if self.missed.is_empty() {
            println!("every measured target is met");
            return Ok(());
        }
        bail!("not met:\n  {}", self.missed.join("\n  "))
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.3} s", time.as_secs_f64()))
}

fn versions() -> Vec<String> {
    ["dockerd", "podman", "skopeo", "docker-registry"]
        .into_iter()
        .filter_map(|program| {
            let path = dhow_testkit::peers::find(program).ok()?;
            let said = shell::output(std::process::Command::new(path).arg("--version")).ok()?;
            Some(said.lines().next()?.replace(", build", "").trim().to_owned())
        })
        .collect()
}
