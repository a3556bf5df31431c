//! What could not be made, without being a failure.

use std::sync::{Arc, Mutex};

use crate::tar::RelativePath;

/// Something that was left out, how often, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What, such as `devices`.
    pub what: &'static str,
    /// Why.
    pub why: String,
    /// How many times.
    pub count: u64,
    /// The first entry it happened at.
    pub first: RelativePath,
}

/// Notes of all threads.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<Note>>>);

impl Notes {
    pub(super) fn add(&self, what: &'static str, why: impl ToString, path: &RelativePath) {
        let Ok(mut notes) = self.0.lock() else { return };
        let why = why.to_string();
        match notes.iter_mut().find(|note| note.what == what && note.why == why) {
            Some(note) => note.count += 1,
            None => notes.push(Note { what, why, count: 1, first: path.clone() }),
        }
    }

    pub(super) fn take(&self) -> Vec<Note> {
        self.0.lock().map(|mut notes| std::mem::take(&mut *notes)).unwrap_or_default()
    }
}
