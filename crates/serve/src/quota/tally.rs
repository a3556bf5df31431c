//! A count of things of which some are still on their way.

use std::collections::HashMap;
use std::hash::Hash;

/// Things that are there or are coming, and what they come to.
#[derive(Clone, Debug)]
pub(super) struct Tally<K> {
    things: HashMap<K, Thing>,
    total: u64,
}

#[derive(Clone, Copy, Debug)]
struct Thing {
    size: u64,
    /// How many bring it just now: it counts as long as one does.
    coming: u32,
    is_there: bool,
    /// It came while things were being counted anew, which may have missed it.
    is_late: bool,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { things: HashMap::new(), total: 0 }
    }
}

impl<K: Eq + Hash + Clone> Tally<K> {
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.things.contains_key(key)
    }

    /// Counts a thing that is there.
    pub(super) fn found(&mut self, key: K, size: u64) {
        self.thing(key, size).is_there = true;
    }

    /// Counts a thing that somebody brings.
    pub(super) fn expect(&mut self, key: K, size: u64) {
        self.thing(key, size).coming += 1;
    }

    /// Somebody has brought it.
    pub(super) fn arrived(&mut self, key: &K, is_counting: bool) {
        if let Some(thing) = self.things.get_mut(key) {
            thing.coming = thing.coming.saturating_sub(1);
            thing.is_there = true;
            thing.is_late |= is_counting;
        }
    }

    /// Somebody has not brought it after all.
    pub(super) fn failed(&mut self, key: &K) {
        let Some(thing) = self.things.get_mut(key) else { return };
        thing.coming = thing.coming.saturating_sub(1);
        if thing.coming == 0 && !thing.is_there {
            self.total -= thing.size;
            self.things.remove(key);
        }
    }

    /// Adds what an earlier count knows of, and this one cannot: what is on its way, and what came while it was made.
    pub(super) fn take_over(&mut self, earlier: &Self) {
        for (key, before) in earlier.things.iter().filter(|(_, before)| before.coming > 0 || before.is_late) {
            let thing = self.thing(key.clone(), before.size);
            thing.coming += before.coming;
            thing.is_there |= before.is_late;
        }
    }

    fn thing(&mut self, key: K, size: u64) -> &mut Thing {
        let total = &mut self.total;
        self.things.entry(key).or_insert_with(|| {
            *total += size;
            Thing { size, coming: 0, is_there: false, is_late: false }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_counts_once_and_as_long_as_somebody_brings_it() {
        let mut tally = Tally::default();
        tally.expect("a", 10);
        tally.expect("a", 10);
        tally.failed(&"a");
        assert_eq!(tally.total(), 10, "the second is still at it");
        tally.arrived(&"a", false);
        tally.expect("a", 10);
        tally.failed(&"a");
        assert_eq!((tally.total(), tally.contains(&"a")), (10, true), "it was there before");
        tally.expect("b", 5);
        tally.failed(&"b");
        assert_eq!((tally.total(), tally.contains(&"b")), (10, false));
    }

    #[test]
    fn a_new_count_knows_of_what_is_on_its_way() {
        let mut before = Tally::default();
        before.found("deleted", 100);
        before.expect("early", 1);
        before.arrived(&"early", false);
        for (name, size) in [("coming", 2), ("failing", 4), ("late", 8)] {
            before.expect(name, size);
        }
        before.arrived(&"late", true);
        let mut after = Tally::default();
        after.found("early", 1);
        after.take_over(&before);
        assert_eq!(after.total(), 1 + 2 + 4 + 8);
        after.arrived(&"coming", false);
        after.failed(&"failing");
        assert_eq!(after.total(), 1 + 2 + 8);
        // The next count has all that is there.
        let mut next = Tally::default();
        next.found("early", 1);
        next.take_over(&after);
        assert_eq!(next.total(), 1);
    }
}
