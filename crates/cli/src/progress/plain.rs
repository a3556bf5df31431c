//! Progress where nobody watches: one line for each change of state, none for bytes.

use std::sync::{Mutex, PoisonError};

use dhow_base::progress::{Event, Observer};

use super::state::{Direction, State, States};
use crate::console::Console;

/// Writes `43c4264eed91: Pull complete` and its like.
#[derive(Debug)]
pub(crate) struct Plain<'a> {
    console: &'a Console,
    states: Mutex<States>,
}

impl<'a> Plain<'a> {
    /// Writes to `console`.
    pub(crate) fn new(console: &'a Console, direction: Direction) -> Self {
        Self { console, states: Mutex::new(States::new(direction)) }
    }

    /// Shows the layers that were only announced.
    pub(super) fn announce(&self) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(&states.announced());
    }

    fn show(&self, changes: &[State]) {
        let mut lines = changes.iter().filter(|state| state.bytes.is_none()).peekable();
        if lines.peek().is_none() {
            return;
        }
        lines.for_each(|state| self.console.aside(format!("{}: {}\n", state.id, state.text)));
        self.console.flush();
    }
}

impl Observer for Plain<'_> {
    fn event(&self, event: Event<'_>) {
        // The lock is held while writing, so that lines come in the order of the events.
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(&states.changes(event));
    }
}
