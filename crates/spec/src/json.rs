//! Strict JSON: one text, one meaning.
//!
//! JSON parsers disagree about duplicate keys, byte order marks and what follows the value; Go's also takes `Layers` for
//! `layers`. Each of these lets one digest mean two images, so all of them are errors here (CVE-2021-41190 and its kind).

use std::cell::{Cell, RefCell};
use std::fmt;

use dhow_base::limits::JSON_DEPTH_MAX;
use dhow_base::{Error, Kind};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Most values (of any kind, at any depth) one text may hold. An index of 10,000 descriptors has a tenth of that; a text
/// of eight million zeros would take a hundred times its length in memory.
pub(crate) const VALUES_MAX: usize = 1_000_000;

/// Why a text is not acceptable JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text begins with U+FEFF, which RFC 8259 forbids to write and some parsers skip.
    #[error("JSON begins with a byte order mark")]
    ByteOrderMark,
    /// An object has a key twice, perhaps in different case.
    #[error("JSON has the key {0:?} twice in one object")]
    DuplicateKey(String),
    /// A key differs from one that has a meaning only by case.
    #[error("JSON has the key {found:?}, which some programs read as {known:?}")]
    CaseVariant {
        /// The key as written.
        found: String,
        /// The key that has a meaning.
        known: &'static str,
    },
    /// Objects and arrays nest deeper than [`JSON_DEPTH_MAX`].
    #[error("JSON nests deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// There are more than a million values.
    #[error("JSON has more than {VALUES_MAX} values")]
    TooManyValues,
    /// Something follows the value.
    #[error("JSON is followed by other data")]
    TrailingData,
    /// Not JSON at all.
    #[error("not valid JSON: {0}")]
    Syntax(#[source] serde_json::Error),
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        let kind = match error {
            JsonError::TooDeep | JsonError::TooManyValues => Kind::LimitExceeded,
            _ => Kind::Corrupt,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

/// Parses a text that holds exactly one JSON value, in which no object has a key twice.
pub fn parse_strict(bytes: &[u8]) -> Result<Value, JsonError> {
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return Err(JsonError::ByteOrderMark);
    }
    let limits = Limits { values_left: Cell::new(VALUES_MAX), broken: RefCell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = StrictValue { depth_left: JSON_DEPTH_MAX, limits: &limits }
        .deserialize(&mut deserializer)
        .map_err(|error| limits.broken.take().unwrap_or(JsonError::Syntax(error)))?;
    deserializer.end().map_err(|_| JsonError::TrailingData)?;
    Ok(value)
}

/// Refuses keys that differ from one of `known` only by case.
pub(crate) fn refuse_case_variants(object: &Map<String, Value>, known: &[&'static str]) -> Result<(), JsonError> {
    match object.keys().find_map(|key| case_variant_of(key, known).map(|known| (key, known))) {
        Some((found, known)) => Err(JsonError::CaseVariant { found: found.clone(), known }),
        None => Ok(()),
    }
}

/// Renames keys that differ from one of `known` only by case, which is how Go reads them; two of them are an error.
pub(crate) fn rename_case_variants(object: &mut Map<String, Value>, known: &[&'static str]) -> Result<(), JsonError> {
    if !object.keys().any(|key| case_variant_of(key, known).is_some()) {
        return Ok(());
    }
    for (key, value) in std::mem::take(object) {
        let key = case_variant_of(&key, known).map_or(key, str::to_owned);
        if object.contains_key(&key) {
            return Err(JsonError::DuplicateKey(key));
        }
        object.insert(key, value);
    }
    Ok(())
}

fn case_variant_of(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if known.contains(&key) {
        return None;
    }
    known.iter().copied().find(|known| known.chars().map(fold).eq(key.chars().map(fold)))
}

/// Folds a character as Go's `encoding/json` does: ASCII case, and the two other characters that Unicode folds to ASCII.
fn fold(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// What one parse may still use up, and which rule it broke: serde's errors carry only text.
struct Limits {
    values_left: Cell<usize>,
    broken: RefCell<Option<JsonError>>,
}

impl Limits {
    fn refuse<E: serde::de::Error>(&self, error: JsonError) -> E {
        let text = E::custom(&error);
        self.broken.replace(Some(error));
        text
    }
}

/// Reads one value, `depth_left` levels of nesting above the limit.
#[derive(Clone, Copy)]
struct StrictValue<'a> {
    depth_left: usize,
    limits: &'a Limits,
}

impl StrictValue<'_> {
    fn nested<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.limits.refuse(JsonError::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.limits.values_left.get().checked_sub(1) {
            Some(left) => self.limits.values_left.set(left),
            None => return Err(self.limits.refuse(JsonError::TooManyValues)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let nested = self.nested()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(nested)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let nested = self.nested()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(self.limits.refuse(JsonError::DuplicateKey(key)));
            }
            let value = entries.next_value_seed(nested)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests;
