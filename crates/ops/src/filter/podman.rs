//! Filters as podman reads them (containers/common `libimage/filters.go`): the same names and a few more, all of them with
//! `!=` too, and other words for mistakes.

use dhow_base::{Error, Kind, Result};

use super::{Filter, Term};
use crate::naming::Naming;
use crate::strconv::parse_bool;

/// Filters whose value is a yes or no.
const BOOLEAN: [&str; 5] = ["containers", "dangling", "intermediate", "manifest", "readonly"];

/// Reads filters. A term whose name ends with `!` must not hold.
pub(super) fn parse(terms: &[Term]) -> Result<Filter> {
    let mut plain: Vec<Term> = Vec::with_capacity(terms.len());
    let mut not: Vec<Filter> = Vec::new();
    for (name, value) in terms {
        match name.strip_suffix('!') {
            // This one has a negation of its own.
            None | Some("label") => plain.extend(term(name, value)?),
            Some(name) => not.push(one(term(name, value)?)?),
        }
    }
    let filter = Filter::parse(&plain)?;
    Ok(Filter { naming: Naming::Podman, not, ..filter })
}

fn one(term: Option<Term>) -> Result<Filter> {
    let filter = Filter::parse(&Vec::from_iter(term))?;
    Ok(Filter { naming: Naming::Podman, ..filter })
}

/// A term under the name that it has here; none for what holds of every image here.
fn term(name: &str, value: &str) -> Result<Option<Term>> {
    let value = if BOOLEAN.contains(&name) { boolean(name, value)?.to_string() } else { value.to_owned() };
    let name = match name {
        "after" => "since",
        // There are no images between others, and lists are kept apart from images.
        "intermediate" | "manifest" => return Ok((value == "true").then(nothing)),
        "before" | "containers" | "digest" | "dangling" | "id" | "label" | "label!" | "readonly" | "reference"
        | "since" | "until" | "unused-for" => name,
        _ => return Err(Error::new(Kind::Invalid, format!("unsupported image filter {name:?}"))),
    };
    Ok(Some((name.to_owned(), value)))
}

/// What no image fulfils: an ID that is none.
fn nothing() -> Term {
    ("id".to_owned(), "-".to_owned())
}

/// Podman names the filter and its value in this order.
fn boolean(name: &str, value: &str) -> Result<bool> {
    parse_bool(value)
        .map_err(|why| Error::new(Kind::Invalid, format!("non-boolean value {name:?} for {value} filter: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, value: &str) -> String {
        parse(&[(name.to_owned(), value.to_owned())]).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn refuses_in_podman_s_words() {
        assert_eq!(refusal("foo", "bar"), "unsupported image filter \"foo\"");
        let words = "non-boolean value \"dangling\" for x filter: strconv.ParseBool: parsing \"x\": invalid syntax";
        assert_eq!(refusal("dangling", "x"), words);
        assert_eq!(refusal("dangling!", "T"), "");
        assert_eq!(refusal("after", "web"), "");
        assert_eq!(refusal("manifest", "true"), "");
    }
}
