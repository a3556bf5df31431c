//! Finding containers.

use dhow_base::{Error, Kind, Result};

use super::Record;
use super::leftovers::recover;
use crate::context::Context;

/// All containers, the newest first. Those whose process is gone without a word are recorded as ended first.
///
/// # Errors
/// Those of the store.
pub fn list(context: &Context) -> Result<Vec<Record>> {
    let store = context.store()?;
    recover(store)?;
    store.containers()
}

/// Finds a container by its ID, its name, or the beginning of its ID.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when nothing matches or several do.
pub fn find(context: &Context, text: &str) -> Result<Record> {
    let store = context.store()?;
    recover(store)?;
    find_among(&store.containers()?, text).cloned()
}

/// As [`find`], among containers that were read already.
pub(crate) fn find_among<'a>(records: &'a [Record], text: &str) -> Result<&'a Record> {
    let name = text.strip_prefix('/').unwrap_or(text);
    let unknown = || Error::new(Kind::NotFound, format!("No such container: {text}"));
    if name.is_empty() {
        return Err(Error::new(Kind::Invalid, "invalid container name or ID: value is empty"));
    }
    let is = |record: &Record| record.container.id == name || record.container.name.as_deref() == Some(name);
    if let Some(found) = records.iter().find(|record| is(record)) {
        return Ok(found);
    }
    let mut matches = records.iter().filter(|record| record.container.id.starts_with(name));
    match (matches.next(), matches.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => {
            Err(Error::new(Kind::NotFound, format!("multiple IDs found with provided prefix: {name}")))
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use dhow_spec::Digest;

    use super::super::{Container, State};
    use super::*;

    fn record(id: &str, name: &str) -> Record {
        Record {
            container: Container { id: id.to_owned(), name: Some(name.to_owned()), state: State::Created },
            image_id: Digest::sha256(b"x"),
            created: 0,
            started: None,
            finished: None,
            exit_code: None,
            volumes: 0,
            configuration: "{}".to_owned(),
        }
    }

    #[test]
    fn containers_are_found_as_docker_finds_them() {
        let check = |text: &str, expected: &str| {
            let records = vec![record("abc1", "one"), record("abd2", "abc"), record("ffff", "two")];
            let found = match find_among(&records, text) {
                Ok(record) => record.container.id.clone(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("one", "abc1");
        check("/two", "ffff");
        check("abc", "abd2");
        check("ab", "multiple IDs found with provided prefix: ab");
        check("abd", "abd2");
        check("nope", "No such container: nope");
        check("", "invalid container name or ID: value is empty");
    }
}
