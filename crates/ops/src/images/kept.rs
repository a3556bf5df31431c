//! The rows of the plain list as text, which is kept until a name changes: a list of ten thousand rows takes a third of the time
//! that it takes when they are put together anew.

use std::fmt::Write as _;

use dhow_spec::{Digest, Repository, Tag};
use dhow_store::{NamesVersion, Store};

use super::Row;

/// From so many rows on a list is kept. Shorter ones are made as fast.
const ROWS_MIN: usize = 1000;

/// The last line, without which the list was cut.
const END: &str = "end";

/// The list that is kept of these names.
pub(super) fn read(store: &Store, version: &NamesVersion) -> Option<Vec<Row>> {
    let text = store.kept_rows(version)?;
    let rows = parse(&text);
    if rows.is_none() {
        tracing::debug!("the kept list of images is damaged");
    }
    rows
}

/// Keeps a list that is long enough to be worth it.
pub(super) fn keep(store: &Store, version: &NamesVersion, rows: &[Row]) {
    if rows.len() >= ROWS_MIN {
        store.keep_rows(version, &text_of(rows));
    }
}

/// A line for each row: repository, tag, ID, when it was made, size and containers, behind each a tab. What is absent is empty.
fn text_of(rows: &[Row]) -> String {
    // Longer than most lines are.
    const LINE_BYTES: usize = 160;
    let mut text = String::with_capacity(rows.len() * LINE_BYTES);
    for row in rows {
        text.push_str(row.repository.as_ref().map_or("", Repository::name));
        text.push('\t');
        text.push_str(row.tag.as_ref().map_or("", Tag::as_str));
        text.push('\t');
        text.push_str(row.id.as_str());
        text.push('\t');
        // Writing into a string cannot fail.
        let _ = row.created.map_or(Ok(()), |created| write!(text, "{created}"));
        let _ = writeln!(text, "\t{}\t{}\t", row.size, row.containers);
    }
    text.push_str(END);
    text
}

fn parse(text: &str) -> Option<Vec<Row>> {
    let lines = text.strip_suffix(END)?;
    let mut rows: Vec<Row> = Vec::with_capacity(lines.len() / 100);
    // Neighbours mostly are of one repository, which then is neither checked nor parsed again; so are images.
    let (mut repository, mut repository_text): (Option<Repository>, &str) = (None, "");
    for line in lines.split_terminator('\n') {
        let mut fields = line.strip_suffix('\t')?.split('\t');
        let mut field = || fields.next();
        let (name, tag, id) = (field()?, field()?, field()?);
        if name != repository_text {
            repository = if name.is_empty() { None } else { Some(Repository::parse(name).ok()?) };
            repository_text = name;
        }
        let id = match rows.last() {
            Some(last) if last.id.as_str() == id => last.id.clone(),
            _ => Digest::parse(id).ok()?,
        };
        let created = field()?;
        let row = Row {
            id,
            repository: repository.clone(),
            tag: if tag.is_empty() { None } else { Some(Tag::parse(tag).ok()?) },
            digest: None,
            created: if created.is_empty() { None } else { Some(created.parse().ok()?) },
            size: field()?.parse().ok()?,
            containers: field()?.parse().ok()?,
            last_used: None,
        };
        if fields.next().is_some() {
            return None;
        }
        rows.push(row);
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Row> {
        let created = proptest::option::of(any::<i64>());
        let name = proptest::option::of(("[a-z]{1,3}/[a-z]{1,3}", proptest::option::of("[a-z0-9_][a-z.-]{0,4}")));
        (0_u8..4, name, created, any::<u64>(), 0_u64..3).prop_map(|(id, name, created, size, containers)| Row {
            id: Digest::sha256(&[id]),
            repository: name.as_ref().map(|(repository, _)| Repository::parse(repository).unwrap()),
            tag: name.and_then(|(_, tag)| tag).map(|tag| Tag::parse(&tag).unwrap()),
            digest: None,
            created,
            size,
            containers,
            last_used: None,
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_back(rows in proptest::collection::vec(row(), 0..20)) {
            let text = text_of(&rows);
            prop_assert_eq!(parse(&text), Some(rows));
            // A list that was cut is none.
            for length in 0..text.len() {
                prop_assert_eq!(parse(&text[..length]), None);
            }
        }

        #[test]
        fn any_text_is_a_list_or_none(text in "([a-z/]{0,4}\t){0,8}\n?(end)?") {
            let _ = parse(&text);
        }
    }
}
