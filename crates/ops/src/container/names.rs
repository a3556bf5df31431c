//! Names for containers that nobody named: an adjective and a seafarer.

use dhow_base::Result;

use super::random;

const ADJECTIVES: [&str; 64] = [
    "able", "amber", "apt", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "clear", "clever",
    "coastal", "crisp", "daring", "deft", "eager", "early", "earnest", "easy", "fair", "fleet", "fond", "frank",
    "gentle", "glad", "golden", "grand", "hardy", "hearty", "honest", "jolly", "keen", "kind", "lively", "loyal",
    "lucid", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "placid", "plucky", "prompt", "proud",
    "quick", "quiet", "ready", "salty", "serene", "sharp", "smart", "steady", "stout", "sunny", "swift", "tidy",
    "trusty", "vivid", "warm", "wise",
];

const SEAFARERS: [&str; 64] = [
    "amundsen",
    "andree",
    "baffin",
    "banks",
    "baret",
    "barents",
    "bellingshausen",
    "bering",
    "bougainville",
    "cabot",
    "cabral",
    "cartier",
    "chichester",
    "columbus",
    "cook",
    "cousteau",
    "dampier",
    "dias",
    "drake",
    "elcano",
    "erikson",
    "flinders",
    "franklin",
    "frobisher",
    "gama",
    "hanno",
    "heyerdahl",
    "houtman",
    "hudson",
    "humboldt",
    "jeanne",
    "johnson",
    "joshua",
    "krusenstern",
    "laperouse",
    "lindblad",
    "magellan",
    "majid",
    "mawson",
    "mercator",
    "nansen",
    "nares",
    "niebuhr",
    "nordenskiold",
    "parry",
    "pytheas",
    "ross",
    "scoresby",
    "scott",
    "shackleton",
    "slocum",
    "smith",
    "spencer",
    "strait",
    "sturt",
    "tabarly",
    "tasman",
    "torres",
    "vancouver",
    "vespucci",
    "wallis",
    "weddell",
    "wilkes",
    "zheng",
];

/// A name by chance.
///
/// # Errors
/// When the machine has no random numbers.
pub(crate) fn by_chance() -> Result<String> {
    let [adjective, seafarer, number, large] = random::<4>()?;
    let pick = |words: &[&'static str; 64], byte: u8| words[usize::from(byte % 64)];
    let name = format!("{}_{}", pick(&ADJECTIVES, adjective), pick(&SEAFARERS, seafarer));
    // A number makes a conflict rare where there are many containers.
    Ok(if large < 128 { name } else { format!("{name}{}", number % 100) })
}
