//! How much a registry still lets this client have: `ratelimit-limit` and `ratelimit-remaining` of Docker Hub
//! (docs.docker.com, "Docker Hub usage and limits"), and when a limit ends.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use crate::retry::retry_after;

/// One part in so many that is left counts as little.
const LOW_PART: u64 = 10;

/// The registries whose limits were told of in this run.
#[derive(Debug, Default)]
pub(crate) struct RateLimits {
    told: Mutex<HashSet<String>>,
}

/// `100;w=21600`: so many in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    count: u64,
    window: Option<Duration>,
}

impl RateLimits {
    /// Tells once when little is left.
    pub(crate) fn note(&self, domain: &str, headers: &HeaderMap) {
        let Some(line) = low(domain, headers) else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(domain.to_owned()) {
            tracing::warn!("{line}");
        }
    }
}

/// What to tell when little is left.
pub(crate) fn low(domain: &str, headers: &HeaderMap) -> Option<String> {
    let limit = quota(headers, "ratelimit-limit")?;
    let left = quota(headers, "ratelimit-remaining")?;
    if left.count.saturating_mul(LOW_PART) > limit.count {
        return None;
    }
    let window = limit.window.or(left.window).map_or_else(String::new, |window| format!(" within {}", words(window)));
    Some(format!(
        "{domain}: {} of {} pulls are left{window}; an account may have more: dhow login {domain}",
        left.count, limit.count
    ))
}

fn quota(headers: &HeaderMap, name: &str) -> Option<Quota> {
    let mut parts = headers.get(name)?.to_str().ok()?.split(';').map(str::trim);
    let count = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok()).map(Duration::from_secs);
    Some(Quota { count, window })
}

/// When a registry that refuses because of its limit is to be asked again: `Retry-After`, or what others have instead.
pub(crate) fn reset(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers).or_else(|| {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let stated =
            number("x-retry-after").or_else(|| number("x-ratelimit-reset")).or_else(|| number("ratelimit-reset"))?;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        // Docker Hub says a point in time there, others a length of time; no limit is years long.
        let is_time = stated > 1_000_000_000;
        Some(Duration::from_secs(if is_time { stated.saturating_sub(since_epoch) } else { stated }))
    })
}

/// What the refusal says beside the registry's own words: when to come back, or else what the limit is.
pub(crate) fn refusal(headers: &HeaderMap) -> Option<String> {
    if let Some(pause) = reset(headers) {
        let at = SystemTime::now().checked_add(pause).filter(|_| pause < Duration::from_secs(366 * 86_400))?;
        return Some(format!("try again in {}, at {}", words(pause), httpdate::fmt_http_date(at)));
    }
    let limit = quota(headers, "ratelimit-limit")?;
    Some(format!("the limit is {} pulls within {}", limit.count, words(limit.window?)))
}

/// A length of time as a person says it, rounded up.
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn little_that_is_left() {
        let told = |limit: &str, left: &str| {
            low("docker.io", &headers(&[("ratelimit-limit", limit), ("ratelimit-remaining", left)]))
        };
        assert_eq!(
            told("100;w=21600", "10;w=21600").as_deref(),
            Some("docker.io: 10 of 100 pulls are left within 6 hours; an account may have more: dhow login docker.io")
        );
        assert_eq!(told("100;w=21600", "11;w=21600"), None);
        assert!(told("200", "0").unwrap().contains("0 of 200 pulls are left;"));
        for (limit, left) in [("", "1"), ("100", "many"), ("-1", "-1"), ("100;w=x", "50")] {
            assert_eq!(told(limit, left), None, "{limit} {left}");
        }
        assert_eq!(low("docker.io", &HeaderMap::new()), None);
    }

    #[test]
    fn when_to_come_back() {
        let text = |pairs: &[(&'static str, &str)]| refusal(&headers(pairs));
        assert!(text(&[("retry-after", "3600")]).unwrap().starts_with("try again in 60 minutes, at "));
        assert!(text(&[("x-ratelimit-reset", "30")]).unwrap().starts_with("try again in 30 seconds, at "));
        let later = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 18_000;
        assert!(text(&[("x-retry-after", &later.to_string())]).unwrap().starts_with("try again in 5 hours, at "));
        assert_eq!(
            text(&[("ratelimit-limit", "100;w=21600")]).as_deref(),
            Some("the limit is 100 pulls within 6 hours")
        );
        assert_eq!(text(&[("retry-after", "99999999999999999")]), None);
        assert_eq!(text(&[]), None);
    }

    #[test]
    fn lengths_of_time() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (121, "3 minutes"),
            (7199, "120 minutes"),
            (7201, "3 hours"),
        ] {
            assert_eq!(words(Duration::from_secs(seconds)), expected);
        }
    }
}
