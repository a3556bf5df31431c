//! From events to docker's words, the same for lines and bars.

use std::collections::{HashMap, HashSet};

use dhow_base::progress::Event;

/// Which way the bytes go: docker has other words for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From a registry.
    Pull,
    /// To a registry.
    Push,
    /// From an archive.
    Load,
    /// Between two places.
    Copy,
}

/// What docker says of layers that are about to be pushed.
const PREPARING: &str = "Preparing";

/// What to show of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Twelve characters of the layer's digest.
    pub(crate) id: String,
    /// Docker's words.
    pub(crate) text: String,
    /// Bytes moved and bytes in all, while they move.
    pub(crate) bytes: Option<(u64, u64)>,
}

/// The digest that an event is about, docker's words for it, and the bytes while they move.
type Words<'e> = (&'e str, String, Option<(u64, u64)>);

/// Follows the layers of one operation and says what changed.
#[derive(Debug)]
pub(crate) struct States {
    direction: Direction,
    /// Layers that are announced but not shown: whether docker says `Pulling fs layer` or `Already exists` is not known
    /// until the first of them moves, and it prepares nothing for a registry that never answered.
    held: Vec<String>,
    /// Layers with nothing left to say.
    settled: HashSet<String>,
    /// What each layer shows.
    shown: HashMap<String, String>,
}

impl States {
    /// No layer yet.
    pub(crate) fn new(direction: Direction) -> Self {
        Self { direction, held: Vec::new(), settled: HashSet::new(), shown: HashMap::new() }
    }

    /// The changes that an event brings, in order; states that are shown already are no change.
    pub(crate) fn changes(&mut self, event: Event<'_>) -> Vec<State> {
        let Some((digest, text, bytes)) = self.words(event) else { return Vec::new() };
        let id = short(digest);
        if self.settled.contains(&id) {
            return Vec::new();
        }
        if matches!(event, Event::Queued { .. }) {
            self.held.push(id);
            return Vec::new();
        }
        let is_present = matches!(event, Event::Present { .. } | Event::Mounted { .. });
        let mut changes = Vec::new();
        if is_present && self.direction == Direction::Pull {
            self.held.retain(|held| *held != id);
        } else {
            changes = self.announced();
        }
        if is_present || matches!(event, Event::Done { .. }) {
            self.settled.insert(id.clone());
        }
        changes.extend(self.change(id, text, bytes));
        changes
    }

    /// Shows the layers that are announced, which are on their way now.
    pub(crate) fn announced(&mut self) -> Vec<State> {
        let text = match self.direction {
            Direction::Push => PREPARING,
            Direction::Pull | Direction::Load | Direction::Copy => "Pulling fs layer",
        };
        let held = std::mem::take(&mut self.held);
        held.into_iter().filter_map(|id| self.change(id, text.to_owned(), None)).collect()
    }

    fn change(&mut self, id: String, text: String, bytes: Option<(u64, u64)>) -> Option<State> {
        if bytes.is_none() && self.shown.get(&id) == Some(&text) {
            return None;
        }
        self.shown.insert(id.clone(), text.clone());
        Some(State { id, text, bytes })
    }

    /// What docker says about an event; `None` for what it does not mention.
    fn words<'e>(&self, event: Event<'e>) -> Option<Words<'e>> {
        use Direction::{Copy, Load, Pull, Push};
        let (digest, text) = match (event, self.direction) {
            (Event::Moved { digest, done, total }, direction) => {
                let text = match direction {
                    Pull => "Downloading",
                    Push => "Pushing",
                    Load => "Loading layer",
                    Copy => "Copying",
                };
                return Some((digest, text.to_owned(), Some((done, total))));
            }
            (Event::Compressing { digest, done, total }, Push) => {
                return Some((digest, PREPARING.to_owned(), Some((done, total))));
            }
            // What is shown of it depends on what comes next.
            (Event::Queued { digest, .. }, Pull | Push) => (digest, String::new()),
            (Event::Waiting { digest }, Pull | Push) => (digest, "Waiting".to_owned()),
            (Event::Retrying { digest, seconds }, _) => {
                let unit = if seconds == 1 { "second" } else { "seconds" };
                (digest, format!("Retrying in {seconds} {unit}"))
            }
            (Event::Verifying { digest }, Pull) => (digest, "Verifying Checksum".to_owned()),
            (Event::Fetched { digest }, Pull) => (digest, "Download complete".to_owned()),
            (Event::Done { digest }, Pull) => (digest, "Pull complete".to_owned()),
            (Event::Present { digest }, Pull) => (digest, "Already exists".to_owned()),
            (Event::Fetched { digest } | Event::Done { digest }, Push) => (digest, "Pushed".to_owned()),
            (Event::Present { digest }, Push) => (digest, "Layer already exists".to_owned()),
            (Event::Fetched { digest }, Copy) => (digest, "Copied".to_owned()),
            (Event::Present { digest }, Copy) => (digest, "Already exists".to_owned()),
            (Event::Mounted { digest, from }, Push | Copy) => (digest, format!("Mounted from {from}")),
            _ => return None,
        };
        Some((digest, text, None))
    }
}

/// Twelve characters of a digest, without its algorithm.
pub(crate) fn short(digest: &str) -> String {
    digest.split_once(':').map_or(digest, |(_, hex)| hex).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbb";

    fn lines(direction: Direction, events: &[Event<'_>]) -> Vec<String> {
        let mut states = States::new(direction);
        events
            .iter()
            .flat_map(|&event| states.changes(event))
            .filter(|state| state.bytes.is_none())
            .map(|state| format!("{}: {}", &state.id[..1], state.text))
            .collect()
    }

    #[test]
    fn a_pull_in_docker_s_words() {
        let events = [
            Event::Queued { digest: A, size: 1 },
            Event::Queued { digest: B, size: 2 },
            Event::Present { digest: B },
            Event::Waiting { digest: A },
            Event::Waiting { digest: A },
            Event::Moved { digest: A, done: 1, total: 1 },
            Event::Retrying { digest: A, seconds: 1 },
            Event::Retrying { digest: A, seconds: 5 },
            Event::Verifying { digest: A },
            Event::Fetched { digest: A },
            Event::Done { digest: A },
            Event::Done { digest: B },
        ];
        let expected = [
            "b: Already exists",
            "a: Pulling fs layer",
            "a: Waiting",
            "a: Retrying in 1 second",
            "a: Retrying in 5 seconds",
            "a: Verifying Checksum",
            "a: Download complete",
            "a: Pull complete",
        ];
        assert_eq!(lines(Direction::Pull, &events), expected);
    }

    #[test]
    fn a_push_in_docker_s_words() {
        let events = [
            Event::Queued { digest: A, size: 1 },
            Event::Compressing { digest: A, done: 1, total: 2 },
            Event::Moved { digest: A, done: 1, total: 1 },
            Event::Verifying { digest: A },
            Event::Fetched { digest: A },
            Event::Mounted { digest: B, from: "library/alpine" },
            Event::Present { digest: B },
        ];
        let expected = ["a: Preparing", "a: Pushed", "b: Mounted from library/alpine"];
        assert_eq!(lines(Direction::Push, &events), expected);
        let queued = [Event::Queued { digest: A, size: 0 }, Event::Queued { digest: B, size: 0 }];
        assert_eq!(lines(Direction::Push, &queued), Vec::<String>::new(), "nobody has answered yet");
        let present = [queued[0], queued[1], queued[0], Event::Present { digest: B }];
        assert_eq!(lines(Direction::Push, &present), ["a: Preparing", "b: Preparing", "b: Layer already exists"]);
    }

    #[test]
    fn a_load_shows_only_bars() {
        let events = [Event::Queued { digest: A, size: 1 }, Event::Fetched { digest: A }, Event::Present { digest: B }];
        assert_eq!(lines(Direction::Load, &events), Vec::<String>::new());
    }
}
