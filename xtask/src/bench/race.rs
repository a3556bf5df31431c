//! Several tools doing the same thing in turn.

use std::time::Duration;

use anyhow::Result;

use super::Plan;
use super::measure::{Sample, median};

/// One tool's way of doing it, with a fresh state at every call.
pub(crate) struct Contestant<'a> {
    pub(crate) tool: &'static str,
    pub(crate) run: Box<dyn FnMut() -> Result<Sample> + 'a>,
}

impl<'a> Contestant<'a> {
    /// Names a way of doing it.
    pub(crate) fn new(tool: &'static str, run: impl FnMut() -> Result<Sample> + 'a) -> Self {
        Self { tool, run: Box::new(run) }
    }
}

/// What one tool did.
pub(crate) struct Outcome {
    pub(crate) tool: &'static str,
    pub(crate) samples: Vec<Sample>,
    /// Why there are no (more) samples.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    /// Median wall time, if there is any.
    pub(crate) fn median(&self) -> Option<Duration> {
        let times: Vec<Duration> = self.samples.iter().map(|sample| sample.wall).collect();
        (!times.is_empty() && self.failure.is_none()).then(|| median(&times))
    }

    /// The largest of all peaks.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or(0)
    }
}

/// Lets the tools take turns, `repetitions` times; one that fails is out.
pub(crate) fn run(
    scenario: &str,
    mut contestants: Vec<Contestant<'_>>,
    plan: &Plan,
    repetitions: usize,
) -> Vec<Outcome> {
    contestants.retain(|contestant| plan.measures(contestant.tool));
    let mut outcomes: Vec<Outcome> = contestants
        .iter()
        .map(|contestant| Outcome { tool: contestant.tool, samples: Vec::new(), failure: None })
        .collect();
    for _ in 0..repetitions {
        for (contestant, outcome) in contestants.iter_mut().zip(&mut outcomes) {
            if outcome.failure.is_some() {
                continue;
            }
            match (contestant.run)() {
                Ok(sample) => outcome.samples.push(sample),
                Err(error) => outcome.failure = Some(format!("{error:#}")),
            }
        }
    }
    for outcome in &outcomes {
        println!("{}", line(scenario, outcome));
    }
    outcomes
}

fn line(scenario: &str, outcome: &Outcome) -> String {
    if let Some(failure) = &outcome.failure {
        return format!("{scenario:<14} {:<7} FAILED: {failure}", outcome.tool);
    }
    const SHOWN_MAX: usize = 8;
    let seconds: Vec<String> =
        outcome.samples.iter().take(SHOWN_MAX).map(|sample| format!("{:.3}", sample.wall.as_secs_f64())).collect();
    let median = outcome.median().unwrap_or_default().as_secs_f64();
    let peak = outcome.peak_bytes() as f64 / f64::from(1 << 20);
    format!("{scenario:<14} {:<7} {median:>8.3} s   {peak:>6.0} MiB   [{}]", outcome.tool, seconds.join(" "))
}
