//! The value of `--filter`, for every verb that has it.

/// Splits `name=value` as docker's client does; an empty filter is none.
pub(crate) fn parse(text: &str) -> Result<(String, String), String> {
    if text.is_empty() {
        return Ok((String::new(), String::new()));
    }
    let (name, value) = text.split_once('=').ok_or("bad format of filter (expected name=value)")?;
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}

/// The filters that are any.
pub(crate) fn given(filters: &[(String, String)]) -> Vec<(String, String)> {
    filters.iter().filter(|(name, _)| !name.is_empty()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        assert_eq!(parse(" Label =a=b "), Ok(("label".to_owned(), "a=b".to_owned())));
        assert_eq!(parse("label!=keep"), Ok(("label!".to_owned(), "keep".to_owned())));
        assert_eq!(parse(""), Ok((String::new(), String::new())));
        assert_eq!(parse("foo").unwrap_err(), "bad format of filter (expected name=value)");
    }
}
