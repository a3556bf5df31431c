//! Wall time and peak memory of one command.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// One measured run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// From the start of the command to the end of the flush.
    pub(crate) wall: Duration,
    /// Largest resident set of the command (not of a daemon behind it), in bytes.
    pub(crate) peak_bytes: u64,
}

/// Runs a command and then `flush`, and measures both together.
pub(crate) fn timed(command: &Command, flush: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let record = tempfile::NamedTempFile::new()?;
    // GNU time adds one to two milliseconds and is the one way to a child's peak memory without unsafe code.
    let mut wrapped = Command::new("time");
    wrapped.args(["--quiet", "--format=%M", "--output"]).arg(record.path());
    copy_into(command, &mut wrapped);
    let start = Instant::now();
    run(&mut wrapped)?;
    flush()?;
    let wall = start.elapsed();
    let kibibytes: u64 = std::fs::read_to_string(record.path())?.trim().parse().context("time printed no number")?;
    Ok(Sample { wall, peak_bytes: kibibytes * 1024 })
}

/// Runs a command that takes milliseconds, and measures only its wall time.
pub(crate) fn wall(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    run(command)?;
    Ok(start.elapsed())
}

/// Measures a command that takes milliseconds: its memory once, its time without the program around it that tells memory. `undo` takes back
/// what it did, each time.
pub(crate) fn short(
    command: impl Fn() -> Command,
    undo: impl Fn() -> Result<()>,
) -> Result<impl FnMut() -> Result<Sample>> {
    let peak_bytes = timed(&command(), || Ok(()))?.peak_bytes;
    undo()?;
    Ok(move || {
        let wall = wall(&mut command())?;
        undo()?;
        Ok(Sample { wall, peak_bytes })
    })
}

fn run(command: &mut Command) -> Result<()> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let output = child.with_context(|| format!("cannot run {command:?}"))?.wait_with_output()?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn copy_into(command: &Command, target: &mut Command) {
    target.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => target.env(name, value),
            None => target.env_remove(name),
        };
    }
}

/// The middle value; of an even number, the lower of the two.
pub(crate) fn median(times: &[Duration]) -> Duration {
    percentile(times, 50)
}

/// The smallest value that at least `percent` of all values do not exceed.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(median(&times), Duration::from_millis(50));
        assert_eq!(percentile(&times, 99), Duration::from_millis(99));
        assert_eq!(median(&times[..1]), Duration::from_millis(100));
    }

    #[test]
    fn a_failing_command_says_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let error = timed(&command, || Ok(())).expect_err("failed");
        assert!(error.to_string().contains("broken"), "{error}");
    }
}
