//! When a request is made again, and how long to wait before.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often and how patiently failed requests are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. 1 means: never again.
    pub attempts: u32,
    /// Pause before the second attempt; it doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause, however many attempts failed.
    pub longest_pause: Duration,
    /// Longest `Retry-After` that is waited for. A server that asks for more gets an error to the user instead.
    pub longest_retry_after: Duration,
    /// Whether pauses are neither spread by chance nor doubled.
    pub fixed: bool,
    /// Whether a host that never answered is tried again too: by default its name or port is taken to be wrong.
    pub trusts_names: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(15),
            longest_retry_after: Duration::from_secs(60),
            fixed: false,
            trusts_names: false,
        }
    }
}

impl RetryPolicy {
    /// So many attempts after the first, each after the same pause where one is given, as podman's `--retry` and
    /// `--retry-delay` say. Whoever asks for that means a registry that is still to come up as well.
    #[must_use]
    pub fn as_asked(self, retries: u32, pause: Option<Duration>) -> Self {
        let asked = Self { attempts: retries.saturating_add(1), trusts_names: true, ..self };
        match pause {
            None => asked,
            Some(pause) => Self { first_pause: pause, longest_pause: pause, fixed: true, ..asked },
        }
    }

    /// The pause after the `failed`-th failed attempt in a row (counted from 1), or `None` to give up.
    ///
    /// A `Retry-After` of the server wins over the exponential pause.
    pub(crate) fn pause(&self, failed: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        if let Some(asked) = retry_after {
            return (asked <= self.longest_retry_after).then_some(asked);
        }
        if self.fixed {
            return Some(self.first_pause);
        }
        let doubled = self.first_pause.saturating_mul(1 << failed.saturating_sub(1).min(20));
        Some(jittered(doubled.min(self.longest_pause)))
    }
}

/// Between half and the whole of `pause`: clients that failed together must not come back together.
fn jittered(pause: Duration) -> Duration {
    // Every RandomState has its own random keys, so hashing nothing yields a random number without another crate.
    let random = RandomState::new().hash_one(0_u8);
    pause / 2 + pause.mul_f64((random % 1024) as f64 / 2048.0)
}

/// Whether a status says that the same request may succeed later.
///
/// The list is that of go-containerregistry (`pkg/v1/remote/transport`), with 429; 499 and 522 come from proxies.
pub(crate) fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// Whether a status says that the host has too much to do.
pub(crate) fn is_overload(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// How long the server asks to wait: `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn pauses_double_with_jitter_and_end() {
        let policy = RetryPolicy::default();
        for (failed, longest) in [(1, 500), (2, 1000), (3, 2000), (4, 4000)] {
            let pause = policy.pause(failed, None).unwrap().as_millis();
            assert!((longest / 2..=longest).contains(&pause), "{failed}: {pause} ms");
        }
        assert_eq!(policy.pause(5, None), None);
        assert!(RetryPolicy { attempts: 99, ..policy }.pause(60, None).unwrap() <= policy.longest_pause);
    }

    #[test]
    fn what_the_user_asks_for() {
        let policy = RetryPolicy::default().as_asked(2, Some(Duration::from_secs(7)));
        assert_eq!(policy.pause(1, None), Some(Duration::from_secs(7)));
        assert_eq!(policy.pause(2, None), Some(Duration::from_secs(7)));
        assert_eq!(policy.pause(3, None), None);
        assert_eq!(RetryPolicy::default().as_asked(0, None).pause(1, None), None);
    }

    #[test]
    fn retry_after_wins_unless_it_is_too_long() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(1, Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(policy.pause(1, Some(Duration::from_secs(3600))), None);
    }

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        let future = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
        assert!((28..=30).contains(&retry_after(&headers(&future)).unwrap().as_secs()));
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
