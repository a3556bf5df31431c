//! The mirrors of one repository: who is asked before the registry itself, and who no longer.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use dhow_base::{Error, Kind};
use dhow_spec::Digest;

use crate::remote::Remote;

/// How many requests for bytes of one digest a mirror may leave unfinished, those under way included: one that breaks off
/// again and again, each time a little further on, is not worth the wait.
const UNFINISHED_MAX: usize = 16;

/// One place that stands in for a registry.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) remote: Remote,
    /// Whether what it says of tags counts.
    resolves: bool,
}

impl Mirror {
    pub(crate) fn new(remote: Remote, resolves: bool) -> Self {
        Self { remote, resolves }
    }
}

/// The mirrors of a repository, in the order they are asked.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    all: Vec<Mirror>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Mirrors that are not asked again: they cannot be reached, or do not want this client.
    gone: HashSet<usize>,
    /// What was asked of whom, and has not come whole yet: bytes of a digest from an offset on. Who asks for them again did
    /// not get them.
    asked: HashMap<(usize, Digest), HashSet<u64>>,
    /// Whose bytes of a digest were wrong.
    distrusted: HashSet<(usize, Digest)>,
    /// Who gave the newest bytes of a digest.
    served: HashMap<Digest, usize>,
    /// The newest failure of each.
    failures: HashMap<usize, String>,
}

impl Mirrors {
    pub(crate) fn new(all: Vec<Mirror>) -> Self {
        Self { all, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self) -> impl Iterator<Item = (usize, &Mirror)> {
        self.all.iter().enumerate().filter(|(index, _)| !self.state().gone.contains(index))
    }

    /// Those that are asked for a manifest; of the meaning of a tag only those that may tell it.
    pub(crate) fn for_manifest(&self, by_digest: bool) -> impl Iterator<Item = (usize, &Remote)> {
        self.usable()
            .filter(move |(_, mirror)| by_digest || mirror.resolves)
            .map(|(index, mirror)| (index, &mirror.remote))
    }

    /// Those that are asked for bytes of a digest from `start` on. To be called before each of them is asked.
    pub(crate) fn for_bytes<'a>(&'a self, digest: &'a Digest, start: u64) -> impl Iterator<Item = (usize, &'a Remote)> {
        let fresh = move |&(index, _): &(usize, &Mirror)| {
            let mut state = self.state();
            let key = (index, digest.clone());
            if state.distrusted.contains(&key) {
                return false;
            }
            let asked = state.asked.entry(key).or_default();
            asked.len() < UNFINISHED_MAX && asked.insert(start)
        };
        self.usable().filter(fresh).map(|(index, mirror)| (index, &mirror.remote))
    }

    /// All of them, also those that are not asked any more.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Remote> {
        self.all.iter().map(|mirror| &mirror.remote)
    }

    /// Who of them gave the newest bytes of a digest.
    pub(crate) fn server(&self, digest: &Digest) -> Option<&Remote> {
        let index = *self.state().served.get(digest)?;
        self.all.get(index).map(|mirror| &mirror.remote)
    }

    /// The first that would be asked for a blob.
    pub(crate) fn first(&self) -> Option<&Remote> {
        self.usable().next().map(|(_, mirror)| &mirror.remote)
    }

    /// Notes who gives the bytes of a digest; `None` is the registry itself.
    pub(crate) fn served(&self, digest: &Digest, by: Option<usize>) {
        if self.all.is_empty() {
            return;
        }
        let mut state = self.state();
        match by {
            Some(index) => state.served.insert(digest.clone(), index),
            None => state.served.remove(digest),
        };
    }

    /// Notes that the bytes from an offset on came whole.
    pub(crate) fn arrived(&self, index: usize, digest: &Digest, start: u64) {
        if let Some(asked) = self.state().asked.get_mut(&(index, digest.clone())) {
            asked.remove(&start);
        }
    }

    /// Notes that the newest bytes of a digest were no good; whether others may come from elsewhere.
    pub(crate) fn distrust(&self, digest: &Digest) -> bool {
        let mut state = self.state();
        let Some(index) = state.served.remove(digest) else { return false };
        state.failures.insert(index, format!("its {digest} is no good"));
        state.distrusted.insert((index, digest.clone()));
        drop(state);
        tracing::warn!("{}: its {digest} is no good; it is fetched from elsewhere", self.name(index));
        true
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, index: usize, error: &Error) {
        tracing::info!(mirror = self.name(index), %error, "asking elsewhere");
        let mut state = self.state();
        let is_final = matches!(
            error.kind(),
            Kind::Unavailable | Kind::Denied | Kind::Unauthorized | Kind::RateLimited | Kind::Unsupported
        );
        if is_final {
            state.gone.insert(index);
        }
        state.failures.insert(index, error.to_string());
    }

    /// The registry's own failure, with those of the mirrors behind it.
    pub(crate) fn told(&self, error: Error) -> Error {
        let state = self.state();
        let mut failures: Vec<(&usize, &String)> = state.failures.iter().collect();
        failures.sort();
        if failures.is_empty() {
            return error;
        }
        let told: Vec<String> = failures.iter().map(|(index, why)| format!("{}: {why}", self.name(**index))).collect();
        let whole = Error::new(error.kind(), format!("{error} (mirrors failed too: {})", told.join("; ")));
        match error.hint() {
            Some(hint) => whole.with_hint(hint.to_owned()),
            None => whole,
        }
    }

    fn name(&self, index: usize) -> &str {
        self.all.get(index).map_or("", |mirror| mirror.remote.endpoint.domain())
    }
}
