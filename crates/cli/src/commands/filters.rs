//! The value of `--filter`, for every verb that has it.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let is = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
        assert_eq!(parse(" Label =a=b "), is("label", "a=b"));
        assert_eq!(parse("label!=keep"), is("label!", "keep"));
        assert_eq!(parse("="), is("", ""));
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("foo").unwrap_err(), "bad format of filter (expected name=value)");
    }
}
