//! How many requests one host gets at once: as many as help, half as many after every sign that it is too much.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::window::Window;

/// A host's gate, shared by everything that goes there.
#[derive(Debug)]
pub(crate) struct Gate {
    host: String,
    state: Mutex<State>,
    /// Wakes who waits, one at a time, in the order they came.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    window: Window,
    under_way: usize,
    /// Nobody passes before: the host asked for it.
    closed_until: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(host: &str) -> Self {
        let state = State { window: Window::new(Instant::now()), under_way: 0, closed_until: None };
        Self { host: host.to_owned(), state: Mutex::new(state), freed: Notify::new() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn.
    pub(crate) async fn enter(self: &Arc<Self>) -> Permit {
        loop {
            let freed = self.freed.notified();
            match self.try_enter() {
                Ok(permit) => return permit,
                Err(Some(until)) => tokio::time::sleep_until(until).await,
                Err(None) => freed.await,
            }
        }
    }

    /// A permit, or else until when the gate is closed, if that is why.
    fn try_enter(self: &Arc<Self>) -> Result<Permit, Option<Instant>> {
        let mut state = self.state();
        if let Some(until) = state.closed_until {
            if Instant::now() < until {
                return Err(Some(until));
            }
            state.closed_until = None;
        }
        if state.under_way >= state.window.limit() {
            state.window.wanted();
            return Err(None);
        }
        state.under_way += 1;
        let generation = state.window.generation();
        let more = state.under_way < state.window.limit();
        drop(state);
        if more {
            // A window that grew by several lets several pass, each waking the next.
            self.freed.notify_one();
        }
        Ok(Permit { gate: Arc::clone(self), generation, succeeded: false })
    }

    /// How many may pass at once now.
    #[cfg(test)]
    fn limit(&self) -> usize {
        self.state().window.limit()
    }
}

/// The right to one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    /// How often the window was halved before this request.
    generation: u64,
    succeeded: bool,
}

impl Permit {
    /// Notes bytes that moved.
    pub(crate) fn moved(&self, bytes: usize) {
        self.gate.state().window.moved(bytes as u64, Instant::now());
    }

    /// Notes that the host did what was asked of it.
    pub(crate) fn succeeded(&mut self) {
        self.succeeded = true;
    }

    /// Notes that the host has too much to do. With a pause, nobody asks it before that has passed.
    pub(crate) fn overloaded(&self, pause: Option<Duration>) {
        let mut state = self.gate.state();
        if state.window.overloaded(self.generation) {
            tracing::info!(host = self.gate.host, at_once = state.window.limit(), "fewer requests at once");
        }
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            let until = Instant::now() + pause;
            state.closed_until = Some(state.closed_until.map_or(until, |known| known.max(until)));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.under_way -= 1;
        if self.succeeded {
            state.window.finished(Instant::now());
        }
        drop(state);
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new("registry.example"))
    }

    #[tokio::test]
    async fn as_many_pass_as_the_window_lets() {
        let gate = gate();
        let mut permits = Vec::new();
        while let Some(permit) = gate.enter().now_or_never() {
            permits.push(permit);
        }
        assert_eq!(permits.len(), gate.limit());
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        permits.pop();
        drop(waiting.await.unwrap());
        assert_eq!(gate.state().under_way, permits.len());
    }

    #[tokio::test]
    async fn a_turn_that_is_not_taken_is_the_next_one_s() {
        let gate = gate();
        let mut permits: Vec<Permit> = std::iter::from_fn(|| gate.enter().now_or_never()).collect();
        let enter = |gate: &Arc<Gate>| {
            let gate = Arc::clone(gate);
            tokio::spawn(async move { gate.enter().await })
        };
        let (first, second) = (enter(&gate), enter(&gate));
        tokio::task::yield_now().await;
        permits.pop();
        first.abort();
        tokio::time::timeout(Duration::from_secs(1), second).await.expect("somebody passes").unwrap();
    }

    #[tokio::test]
    async fn a_host_that_asks_for_a_pause_gets_it() {
        let gate = gate();
        let permit = gate.enter().await;
        let before = gate.limit();
        permit.overloaded(Some(Duration::from_millis(300)));
        permit.overloaded(None);
        drop(permit);
        assert_eq!(gate.limit(), before / 2, "two signs of the same time count once");
        let start = Instant::now();
        let (one, two) = tokio::join!(gate.enter(), gate.enter());
        assert!(start.elapsed() >= Duration::from_millis(300));
        drop((one, two));
    }
}
