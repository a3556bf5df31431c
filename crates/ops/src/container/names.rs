//! Names and IDs of containers and volumes: which names there can be, those of containers that nobody named (an adjective and a seafarer),
//! and IDs by chance.

use std::fs::File;
use std::io::Read;

use dhow_base::{Error, Kind, Result};

use crate::naming::Naming;

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

/// As [`check_volume_name`], of a volume that a container is to use.
pub(crate) fn check_named(name: &str) -> Result<()> {
    check_volume_name(name).map_err(|error| error.context(format_args!("create {name}")))
}

/// Refuses what is no name of a volume, in docker's words.
///
/// # Errors
/// [`Kind::Invalid`].
pub(crate) fn check_volume_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    if name.len() == 1 {
        return Err(too_short());
    }
    let rule =
        "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path";
    Err(Error::new(Kind::Invalid, format!("{name:?} includes invalid characters for a local volume name, {rule}")))
}

/// Refuses a volume's name of one character where docker's rules count; podman takes it.
///
/// # Errors
/// [`Kind::Invalid`].
pub(super) fn check_length(naming: Naming, name: &str) -> Result<()> {
    if name.len() == 1 && naming == Naming::Docker { Err(too_short()) } else { Ok(()) }
}

fn too_short() -> Error {
    let message = "volume name is too short, names should be at least two alphanumeric characters";
    Error::new(Kind::Invalid, message)
}

/// Which characters names of containers and volumes have.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What of an ID is shown in lists: its first twelve characters. A damaged database may have any text for one.
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// 64 hexadecimal characters by chance, of which the first twelve are no number: docker's IDs.
pub(crate) fn new_id() -> Result<String> {
    loop {
        let id: String = random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        if !id[..12].bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Error::io("cannot read /dev/urandom", error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_has_a_short_form() {
        let check = |id: &str, expected: &str| assert_eq!(short_id(id), expected, "{id:?}");
        check(&"0123456789abcdef".repeat(4), "0123456789ab");
        check("0123", "0123");
        check("", "");
        check("0123456789aéb", "0123456789aéb");
    }
}
