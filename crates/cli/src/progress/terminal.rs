//! Progress on a terminal: one line per layer, drawn again and again.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dhow_base::progress::{Event, Observer};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bar;
use super::state::{Direction, State, States};
use crate::format::text::without_controls;

/// How often the numbers of one layer change at most.
const REDRAW: Duration = Duration::from_millis(50);

/// Draws `43c4264eed91: Downloading [==>  ]  36.86kB/3.624MB` and its like.
#[derive(Debug)]
pub(crate) struct Terminal {
    screen: Mutex<Screen>,
}

#[derive(Debug)]
struct Screen {
    states: States,
    lines: MultiProgress,
    layers: HashMap<String, Layer>,
    /// Whether standard error is the screen, not standard output.
    is_on_error: bool,
}

#[derive(Debug)]
struct Layer {
    line: ProgressBar,
    /// What is done with the bytes.
    work: String,
    /// When the first bytes were told of, and how many there were then.
    started: Option<(Instant, u64)>,
    drawn: Option<Instant>,
}

impl Terminal {
    /// Draws on standard output, or on standard error.
    pub(crate) fn new(direction: Direction, is_on_error: bool) -> Self {
        let target = if is_on_error { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        let (states, lines) = (States::new(direction), MultiProgress::with_draw_target(target));
        Self { screen: Mutex::new(Screen { states, lines, layers: HashMap::new(), is_on_error }) }
    }

    /// Shows the layers that were only announced.
    pub(super) fn announce(&self) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        for state in screen.states.announced() {
            screen.show(&state);
        }
    }
}

impl Observer for Terminal {
    fn event(&self, event: Event<'_>) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        for state in screen.states.changes(event) {
            screen.show(&state);
        }
    }
}

impl Screen {
    fn show(&mut self, state: &State) {
        let lines = &self.lines;
        let layer = self.layers.entry(state.id.clone()).or_insert_with(|| Layer {
            line: lines.add(ProgressBar::new_spinner().with_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            )),
            work: String::new(),
            started: None,
            drawn: None,
        });
        let numbers = match state.bytes {
            None => String::new(),
            Some((done, total)) => {
                let now = Instant::now();
                if done < total && layer.drawn.is_some_and(|drawn| now - drawn < REDRAW) {
                    return;
                }
                layer.drawn = Some(now);
                if layer.work != state.text {
                    layer.work.clone_from(&state.text);
                    layer.started = None;
                }
                let (since, found) = *layer.started.get_or_insert((now, done));
                let pace = bar::Pace { found, elapsed: now - since };
                format!(" {}", bar::render(done, total, columns(self.is_on_error), pace))
            }
        };
        layer.line.set_message(format!("{}: {}{numbers}", state.id, without_controls(&state.text)));
        layer.line.tick();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The last state of every layer stays on the screen above whatever is printed next.
        for layer in self.layers.values() {
            layer.line.abandon();
        }
        if !self.layers.is_empty() {
            // indicatif pads the last line so that the next character wraps, which terminals of unknown size do not do.
            // A line feed at the edge of the screen is no second wrap. A terminal that is gone needs neither.
            let _ = if self.is_on_error {
                io::stderr().write_all(b"\n")
            } else {
                io::stdout().write_all(b"\n").and_then(|()| io::stdout().flush())
            };
        }
    }
}

fn columns(is_on_error: bool) -> usize {
    let size = if is_on_error {
        rustix::termios::tcgetwinsize(io::stderr())
    } else {
        rustix::termios::tcgetwinsize(io::stdout())
    };
    size.map_or(80, |size| usize::from(size.ws_col))
}
