//! The arithmetic behind a gate: additive increase while it helps, multiplicative decrease (Chiu and Jain 1989, as in TCP).

use std::time::Duration;

use tokio::time::Instant;

/// Where a host begins. Forty small layers over a long way take two turns; peers begin (and stay) at 3 to 6, browsers at 6
/// connections.
const START: usize = 24;

/// As many as no registry has trouble with that does not say so; HTTP/2 servers usually let 100 streams in.
const MOST: usize = 64;

/// How long a size of the window is tried before it is judged.
const TRIAL: Duration = Duration::from_secs(1);

/// How many trials a size is kept for that was found right, before a larger one is tried again.
const REST_TRIALS: u32 = 10;

/// What a request counts besides its bytes, in bytes: small ones are work too.
const REQUEST_WORTH: u64 = 16 << 10;

/// How many requests may be under way, and what is known about whether more would help.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    /// How often it was halved.
    generation: u64,
    /// Nothing is known yet: every request that ends well lets one more in.
    opening: bool,
    trial: Trial,
    /// The size before the last step and what it brought, in bytes per second.
    before: Option<(usize, f64)>,
    /// Trials until the next step.
    rest: u32,
}

#[derive(Debug)]
struct Trial {
    since: Instant,
    work: u64,
    /// Whether anybody had to wait: if not, the window is not what holds the transfer.
    was_full: bool,
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        let trial = Trial { since: now, work: 0, was_full: false };
        Self { limit: START, generation: 0, opening: true, trial, before: None, rest: 0 }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Somebody found the window full.
    pub(crate) fn wanted(&mut self) {
        self.trial.was_full = true;
    }

    /// Bytes moved.
    pub(crate) fn moved(&mut self, bytes: u64, now: Instant) {
        self.trial.work += bytes;
        self.judge(now);
    }

    /// A request ended well.
    pub(crate) fn finished(&mut self, now: Instant) {
        self.trial.work += REQUEST_WORTH;
        if self.opening && self.trial.was_full {
            self.limit = (self.limit + 1).min(MOST);
        }
        self.judge(now);
    }

    /// The host has too much to do: half as many. Requests that began before the last halving say nothing new.
    pub(crate) fn overloaded(&mut self, generation: u64) -> bool {
        if generation != self.generation {
            return false;
        }
        self.generation += 1;
        self.limit = (self.limit / 2).max(1);
        self.opening = false;
        self.before = None;
        self.rest = REST_TRIALS / 2;
        true
    }

    /// Ends a trial that took long enough, and chooses the size for the next.
    fn judge(&mut self, now: Instant) {
        let length = now.saturating_duration_since(self.trial.since);
        if length < TRIAL {
            return;
        }
        let rate = self.trial.work as f64 / length.as_secs_f64();
        let (was_full, size) = (self.trial.was_full, self.limit);
        match self.before.take() {
            // Whatever the window is, it is not what holds the transfer.
            _ if !was_full => {}
            // A window larger by a quarter should bring at least a twentieth more.
            Some((smaller, brought)) if smaller < size && rate < brought * 1.05 => {
                self.limit = smaller;
                self.opening = false;
                self.rest = REST_TRIALS;
            }
            _ if self.opening => self.before = Some((size, rate)),
            _ if self.rest > 0 => self.rest -= 1,
            _ if self.limit < MOST => {
                self.before = Some((size, rate));
                self.limit = (self.limit + self.limit.div_ceil(4)).min(MOST);
            }
            _ => {}
        }
        self.trial = Trial { since: now, work: 0, was_full: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes, second by second, for a host that serves at most `most` requests at once, each in a second and of a
    /// megabyte; more make it no faster.
    fn settle(most: usize, seconds: u64) -> Vec<usize> {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        (0..seconds)
            .map(|_| {
                for _ in 0..10 {
                    now += Duration::from_millis(100);
                    window.wanted();
                    window.moved(window.limit().min(most) as u64 * 100_000, now);
                }
                for _ in 0..window.limit().min(most) {
                    window.wanted();
                    window.finished(now);
                }
                window.limit()
            })
            .collect()
    }

    #[test]
    fn it_grows_while_that_helps() {
        let sizes = settle(1000, 60);
        assert_eq!(*sizes.last().unwrap(), MOST, "{sizes:?}");
        // More than ten bring nothing: what was tried beyond the beginning is given up, and tried again now and then.
        let sizes = settle(10, 60);
        assert!(sizes[4..].iter().all(|size| *size <= START + START.div_ceil(4)), "{sizes:?}");
        assert!(sizes.iter().filter(|size| **size > START).count() <= 12, "it mostly rests: {sizes:?}");
    }

    #[test]
    fn small_requests_open_it_at_once() {
        let now = Instant::now();
        let mut window = Window::new(now);
        for _ in 0..10 {
            window.finished(now);
        }
        assert_eq!(window.limit(), START, "nobody waited");
        window.wanted();
        for _ in 0..10 {
            window.finished(now);
        }
        assert_eq!(window.limit(), START + 10);
    }

    #[test]
    fn it_halves_once_for_what_happens_at_once() {
        let mut window = Window::new(Instant::now());
        assert!(window.overloaded(0) && !window.overloaded(0));
        assert_eq!(window.limit(), START / 2);
        for generation in 1..20 {
            window.overloaded(generation);
        }
        assert_eq!(window.limit(), 1, "one request is always let through");
    }

    #[test]
    fn it_recovers_from_a_halving() {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        window.overloaded(0);
        let halved = window.limit();
        for _ in 0..40 {
            now += TRIAL;
            window.wanted();
            window.moved(window.limit() as u64 * 1_000_000, now);
        }
        assert!(window.limit() > halved);
    }
}
