//! Chance that can be repeated.

/// `SplitMix64` (Steele, Lea, Flood 2014): the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when that is 0. Near enough to even for tests.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.number() & 1 == 1
    }
}

/// Chance for a test. The seed is printed, and taken from `DHOW_TEST_SEED` when that is set.
///
/// # Panics
/// When `DHOW_TEST_SEED` is no number.
#[allow(clippy::print_stderr, reason = "a test says how it can be repeated")]
#[allow(clippy::disallowed_methods, reason = "a test is told by its environment what to repeat")]
pub fn chance() -> Random {
    let seed = match std::env::var("DHOW_TEST_SEED") {
        Ok(text) => text.parse().expect("DHOW_TEST_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos())),
    };
    eprintln!("seed {seed}: run again with DHOW_TEST_SEED={seed}");
    Random::new(seed)
}
