//! The value of `--filter`, for every verb that has it.

use std::collections::BTreeMap;

/// One `--filter`; docker's client takes an empty one for none, while one without a name goes to the engine, which refuses it.
pub(crate) type Given = Option<(String, String)>;

/// Splits `name=value` as docker's client does.
pub(crate) fn parse(text: &str) -> Result<Given, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (name, value) = text.split_once('=').ok_or("bad format of filter (expected name=value)")?;
    Ok(Some((name.trim().to_lowercase(), value.trim().to_owned())))
}

/// The filters that are any.
pub(crate) fn given(filters: &[Given]) -> Vec<(String, String)> {
    filters.iter().flatten().cloned().collect()
}

/// The values of each filter, by the filters' names.
pub(crate) fn by_name(terms: &[(String, String)]) -> BTreeMap<&str, Vec<&str>> {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in terms {
        values.entry(name).or_default().push(value);
    }
    values
}

/// Whether labels have what a filter `label` asks for: a name, or `name=value`.
pub(crate) fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

/// As [`has_label`], with podman's `*` in names, which fits a part of one, and an empty value for any.
pub(crate) fn has_podman_s_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    let (name, value) = wanted.split_once('=').unwrap_or((wanted, ""));
    let fits = |label: &str| label == name || (name.contains('*') && matches(&format!("*{name}*"), label));
    labels.iter().any(|(label, found)| (value.is_empty() || found == value) && fits(label))
}

/// Whether a text is what a pattern says whose stars stand for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    let found = middle.iter().try_fold(rest, |rest, part| rest.find(part).map(|at| &rest[at + part.len()..]));
    found.is_some_and(|rest| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_s_labels_have_stars() {
        let labels = BTreeMap::from([("helloworld".to_owned(), "world".to_owned())]);
        let check =
            |wanted: &str, expected: bool| assert_eq!(has_podman_s_label(&labels, wanted), expected, "{wanted}");
        for wanted in ["hello*", "*world", "h*w*d", "*", "helloworld", "helloworld=", "hello*=world", "ell*"] {
            check(wanted, true);
        }
        for wanted in ["hello", "jello*", "hello*=x", "w*h", "helloworld=x"] {
            check(wanted, false);
        }
    }

    #[test]
    fn filters() {
        let is = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
        assert_eq!(parse(" Label =a=b "), is("label", "a=b"));
        assert_eq!(parse("label!=keep"), is("label!", "keep"));
        assert_eq!(parse("="), is("", ""));
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("foo").unwrap_err(), "bad format of filter (expected name=value)");
    }

    #[test]
    fn labels_are_asked_for_by_name_or_with_a_value() {
        let labels = BTreeMap::from([("a".to_owned(), "b=c".to_owned()), ("empty".to_owned(), String::new())]);
        for (wanted, expected) in [("a", true), ("a=b=c", true), ("a=b", false), ("empty=", true), ("b", false)] {
            assert_eq!(has_label(&labels, wanted), expected, "{wanted}");
        }
    }
}
