//! The query part of a request.

/// Most parameters one query may have.
const PARAMETERS_MAX: usize = 256;

/// The decoded parameters of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// Why a query is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8 (RFC 3986, section 2.1).
    #[error("the query is not valid percent-encoded UTF-8")]
    Encoding,
    /// More parameters than any honest request has.
    #[error("the query has more than {PARAMETERS_MAX} parameters")]
    TooMany,
    /// A parameter that must be there once is there twice, so that two readers could take different values.
    #[error("the query parameter {0:?} is given more than once")]
    Repeated(&'static str),
}

impl Query {
    /// Parses the part behind `?`. A `+` stands for itself: media types hold it, and no value here holds a space.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut parameters = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(QueryError::TooMany);
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((decode(key)?, decode(value)?));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter that may be given at most once.
    pub fn one(&self, key: &'static str) -> Result<Option<&str>, QueryError> {
        let mut values = self.all(key);
        let first = values.next();
        if values.next().is_some() { Err(QueryError::Repeated(key)) } else { Ok(first) }
    }

    /// All values of a parameter that may be repeated.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding.
pub(crate) fn decode(text: &str) -> Result<String, QueryError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(QueryError::Encoding)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| QueryError::Encoding)?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| QueryError::Encoding)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_parameters_are_seen() {
        let query = Query::parse("digest=a&digest=b&tag=1&tag=2&empty").expect("well-formed");
        assert_eq!(query.one("digest"), Err(QueryError::Repeated("digest")));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((query.one("empty"), query.one("none")), (Ok(Some("")), Ok(None)));
    }

    #[test]
    fn encoded_spellings_are_the_same_parameter() {
        let query = Query::parse("digest=sha256%3Aab&%64igest=x").expect("well-formed");
        assert_eq!(query.one("digest"), Err(QueryError::Repeated("digest")));
        assert_eq!(Query::parse("a=tar+gzip").expect("well-formed").one("a"), Ok(Some("tar+gzip")));
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(Query::parse(bad), Err(QueryError::Encoding), "{bad}");
        }
        assert_eq!(Query::parse(&"a&".repeat(257)), Err(QueryError::TooMany));
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(text in ".{0,40}") {
            prop_assert_eq!(decode(&encode(&text)), Ok(text));
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,200}") {
            let _ = Query::parse(&text);
        }
    }
}
