//! How bytes are moved in this run: how patiently, and how fast at most.

use std::num::NonZeroU64;
use std::time::Duration;

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::CopyOptions;
use dhow_registry::{RetryPolicy, Traffic};

use crate::filter;

/// What the user says about transfers. Clones share what is learnt of each host, and the limit of bytes per second.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    /// How often what failed is tried again; by default as often as suits.
    pub retries: Option<u32>,
    /// How long to wait before each further attempt; by default longer from time to time.
    pub retry_pause: Option<Duration>,
    /// What all clients of this process share.
    traffic: Traffic,
}

impl Transfers {
    /// As the user says, without a limit of bytes per second.
    pub fn new(retries: Option<u32>, retry_pause: Option<Duration>) -> Self {
        Self { retries, retry_pause, traffic: Traffic::default() }
    }

    /// At most so many bytes per second, over all registries and both directions; 0 is no limit.
    #[must_use]
    pub fn limited_to(self, bytes_per_second: u64) -> Self {
        let traffic = NonZeroU64::new(bytes_per_second).map_or_else(Traffic::default, Traffic::limited_to);
        Self { traffic, ..self }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// When single requests are repeated.
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        let standard = RetryPolicy::default();
        match (self.retries, self.retry_pause) {
            (None, None) => standard,
            (retries, pause) => standard.as_asked(retries.unwrap_or(standard.attempts - 1), pause),
        }
    }

    /// How a graph is copied.
    pub(crate) fn copy_options<'a>(&self, observer: &'a dyn Observer) -> CopyOptions<'a> {
        let standard = CopyOptions::new(observer);
        CopyOptions { retries: self.retries.unwrap_or(standard.retries), retry_pause: self.retry_pause, ..standard }
    }
}

/// Reads a pause as Go reads durations: `2s`, `1m30s`.
///
/// # Errors
/// [`Kind::Invalid`] in podman's words for what is none.
pub fn parse_pause(text: &str) -> Result<Duration> {
    let nanoseconds = filter::parse_duration(text).and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
    let invalid = || Error::new(Kind::Invalid, format!("time: invalid duration {text:?}"));
    nanoseconds.map(Duration::from_nanos).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use dhow_base::progress::Silent;

    use super::*;

    #[test]
    fn pauses_are_go_s() {
        assert_eq!(parse_pause("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_pause("250ms").unwrap(), Duration::from_millis(250));
        for text in ["", "5", "foobar", "-1s"] {
            assert_eq!(parse_pause(text).unwrap_err().to_string(), format!("time: invalid duration {text:?}"));
        }
    }

    #[test]
    fn retries_are_attempts_after_the_first() {
        let asked = Transfers { retries: Some(0), ..Transfers::default() };
        assert_eq!(asked.retry_policy().attempts, 1);
        assert_eq!(asked.copy_options(&Silent).retries, 0);
        let paused = Transfers { retry_pause: Some(Duration::from_secs(2)), ..Transfers::default() };
        assert_eq!(paused.retry_policy().attempts, RetryPolicy::default().attempts);
        assert_eq!(Transfers::default().retry_policy(), RetryPolicy::default());
    }
}
