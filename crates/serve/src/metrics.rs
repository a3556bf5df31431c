//! Numbers for Prometheus (text format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;

/// Upper ends of the classes that answers are counted in by the time they took, in milliseconds.
const BUCKETS_MILLISECONDS: [u64; 8] = [1, 5, 25, 100, 500, 2_500, 10_000, 60_000];

/// What a server has done since its start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By route, method and status, of which there is a bounded number.
    requests: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
    durations: [AtomicU64; BUCKETS_MILLISECONDS.len()],
    duration_microseconds: AtomicU64,
    answered: AtomicU64,
    sent_bytes: AtomicU64,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) reloads_failed: AtomicU64,
}

/// A number of things under way.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

/// Counts as one thing under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Gauge);

impl Gauge {
    pub(crate) fn count(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Notes an answer. `bytes` is the length of its body.
    pub(crate) fn note(&self, route: &'static str, method: &Method, status: u16, bytes: u64, took: Duration) {
        let key = (route, known(method), status);
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        let milliseconds = took.as_millis();
        for (count, end) in self.durations.iter().zip(BUCKETS_MILLISECONDS) {
            if milliseconds < u128::from(end) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.duration_microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Everything as text. `uploads` is the number of upload sessions this process knows.
    pub(crate) fn text(&self, uploads: usize) -> String {
        let mut text = Text(String::with_capacity(4096));
        text.head("dhow_http_requests_total", "counter", "Requests that were answered.");
        for ((route, method, status), count) in self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = format!("{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
            text.line("dhow_http_requests_total", &labels, count);
        }
        let name = "dhow_http_request_duration_seconds";
        text.head(name, "histogram", "Time from a request's head to the head of its answer.");
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (count, end) in self.durations.iter().zip(BUCKETS_MILLISECONDS) {
            text.line(&format!("{name}_bucket"), &format!("{{le=\"{}\"}}", seconds(end * 1000)), of(count));
        }
        let answered = of(&self.answered);
        text.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", answered);
        text.line(&format!("{name}_sum"), "", seconds(of(&self.duration_microseconds)));
        text.line(&format!("{name}_count"), "", answered);
        for (name, kind, help, value) in [
            ("dhow_http_response_bytes_total", "counter", "Length of the bodies of all answers.", of(&self.sent_bytes)),
            ("dhow_http_requests_in_flight", "gauge", "Requests without an answer yet.", self.in_flight.value()),
            ("dhow_connections", "gauge", "Open connections.", self.connections.value()),
            ("dhow_upload_sessions", "gauge", "Uploads under way.", uploads as u64),
            (
                "dhow_configuration_reloads_failed_total",
                "counter",
                "Changes of the configuration that could not be taken over.",
                of(&self.reloads_failed),
            ),
        ] {
            text.head(name, kind, help);
            text.line(name, "", value);
        }
        text.0
    }
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A client may call its method anything; there must not be a counter for each.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Microseconds as seconds, exactly.
fn seconds(microseconds: u64) -> String {
    let text = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.note("manifest", &Method::GET, 200, 10, Duration::from_millis(3));
        metrics.note("manifest", &Method::GET, 200, 5, Duration::from_secs(70));
        metrics.note("blob", &Method::from_bytes(b"BREW").expect("a method"), 405, 0, Duration::ZERO);
        let _one = metrics.in_flight.count();
        let text = metrics.text(7);
        for line in [
            "dhow_http_requests_total{route=\"manifest\",method=\"GET\",status=\"200\"} 2",
            "dhow_http_requests_total{route=\"blob\",method=\"other\",status=\"405\"} 1",
            "dhow_http_request_duration_seconds_bucket{le=\"0.001\"} 1",
            "dhow_http_request_duration_seconds_bucket{le=\"0.005\"} 2",
            "dhow_http_request_duration_seconds_bucket{le=\"60\"} 2",
            "dhow_http_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "dhow_http_request_duration_seconds_sum 70.003",
            "dhow_http_request_duration_seconds_count 3",
            "dhow_http_response_bytes_total 15",
            "dhow_http_requests_in_flight 1",
            "dhow_upload_sessions 7",
            "# TYPE dhow_connections gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn seconds_are_exact() {
        for (microseconds, expected) in
            [(0, "0"), (1, "0.000001"), (1_000, "0.001"), (60_000_000, "60"), (2_500_000, "2.5")]
        {
            assert_eq!(seconds(microseconds), expected);
        }
    }
}
