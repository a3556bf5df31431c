//! What a user sees while bytes move: docker's state lines, and bars on a terminal.

pub(crate) mod bar;
pub(crate) mod plain;
pub(crate) mod state;
pub(crate) mod terminal;

use dhow_base::progress::{Event, Observer};

use crate::console::Console;
use plain::Plain;
use state::Direction;
use terminal::Terminal;

/// The progress of one operation, on whatever takes what is said beside results.
#[derive(Debug)]
pub(crate) enum Progress<'a> {
    /// Nothing, for `--quiet`.
    Quiet,
    /// A line per change of state.
    Plain(Plain<'a>),
    /// A line per layer, drawn again and again.
    Terminal(Terminal),
}

impl<'a> Progress<'a> {
    /// Chooses by where it is shown. Everything printed so far is on the screen before the first bar.
    pub(crate) fn new(console: &'a Console, direction: Direction, quiet: bool) -> Self {
        console.flush();
        if quiet {
            Progress::Quiet
        } else if console.shows_asides() {
            Progress::Terminal(Terminal::new(direction, console.is_diverted()))
        } else {
            Progress::Plain(Plain::new(console, direction))
        }
    }

    /// Shows the layers that were announced and have not moved: whoever is to take or give them did answer.
    pub(crate) fn announce(&self) {
        match self {
            Progress::Quiet => {}
            Progress::Plain(plain) => plain.announce(),
            Progress::Terminal(terminal) => terminal.announce(),
        }
    }
}

impl Observer for Progress<'_> {
    fn event(&self, event: Event<'_>) {
        match self {
            Progress::Quiet => {}
            Progress::Plain(plain) => plain.event(event),
            Progress::Terminal(terminal) => terminal.event(event),
        }
    }
}
