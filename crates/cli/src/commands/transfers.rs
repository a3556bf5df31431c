//! Options about how bytes are moved, which the verbs that move images share.

use clap::Args;
use dhow_ops::size::parse_size;
use dhow_ops::transfers::{Transfers, parse_pause};

use crate::errors::{Failure, Outcome};

/// How patient to be, as podman's verbs are told.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Retries {
    /// How often a request or transfer that fails in a way that may pass is tried again (default 4 for requests, 5 for
    /// transfers)
    #[arg(long, value_name = "uint", allow_negative_numbers = true)]
    retry: Option<u32>,
    #[command(flatten)]
    pub(super) pace: Pace,
}

/// How long to wait, and how fast to be.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Pace {
    /// Pause before each further attempt, such as "5s" (default half a second, doubled from time to time)
    #[arg(long, value_name = "duration")]
    retry_delay: Option<String>,
    /// Most bytes per second, over all connections and both directions, such as "500k" or "20MB"
    #[arg(long, value_name = "rate")]
    limit_rate: Option<String>,
}

impl Retries {
    /// What the options say.
    pub(crate) fn transfers(&self) -> Outcome<Transfers> {
        self.pace.transfers(self.retry)
    }
}

impl Pace {
    /// What the options say, with the number of further attempts.
    pub(crate) fn transfers(&self, retries: Option<u32>) -> Outcome<Transfers> {
        let retry_pause = self.retry_delay.as_deref().map(parse_pause).transpose();
        let retry_pause = retry_pause.map_err(|error| Failure::Client(error.to_string()))?;
        let transfers = Transfers::new(retries, retry_pause);
        match self.limit_rate.as_deref() {
            None => Ok(transfers),
            Some(rate) => Ok(transfers.limited_to(bytes_per_second(rate)?)),
        }
    }
}

/// Reads a rate: a size, which may end in `/s`. Units are binary, as curl's `--limit-rate` has them.
fn bytes_per_second(text: &str) -> Outcome<u64> {
    let rate = parse_size(text.strip_suffix("/s").unwrap_or(text));
    rate.map_err(|error| Failure::Client(format!("--limit-rate {text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_sizes_per_second() {
        for (text, expected) in [("500k", 512_000), ("20MB/s", 20 << 20), ("1.5g", 3 << 29), ("4096", 4096), ("0", 0)] {
            assert_eq!(bytes_per_second(text).unwrap(), expected, "{text}");
        }
        for text in ["", "fast", "-1", "10x", "1e400"] {
            assert!(bytes_per_second(text).is_err(), "{text}");
        }
    }
}
