//! What a filter `name` of containers and volumes means.

use regex_lite::Regex;

/// What names are to match: a regular expression that fits anywhere in them (moby `filters.Args.Match`, podman
/// `util.StringMatchRegexSlice`). One that cannot be read fits itself alone, as with docker.
#[derive(Clone, Debug)]
pub struct NamePattern {
    text: String,
    expression: Option<Regex>,
}

impl NamePattern {
    /// Reads it; nothing is wrong with any text.
    pub fn parse(text: &str) -> Self {
        Self { text: text.to_owned(), expression: Regex::new(text).ok() }
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        self.text == name || self.expression.as_ref().is_some_and(|expression| expression.is_match(name))
    }

    /// Whether the name of a container fits. To docker it begins with a slash, and also not.
    pub fn fits_container(&self, name: &str) -> bool {
        self.fits(name) || self.fits(&format!("/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_regular_expressions() {
        let fits = |pattern: &str, name: &str| NamePattern::parse(pattern).fits_container(name);
        for pattern in ["c1", "^c1$", "^/c1$", "^/?c1$", "/c1", "^c", "1$", "c[0-9]", "^(c1|d)$", r"^c\d$", "", "."] {
            assert!(fits(pattern, "c1"), "{pattern}");
        }
        for pattern in ["c2", "^1", "c$", "^/1", "C1", "(c1", "c1/"] {
            assert!(!fits(pattern, "c1"), "{pattern}");
        }
        assert!(!fits("^c1$", "c12"));
        assert!(NamePattern::parse("a[").fits("a["), "what is no expression is a name");
        assert!(!NamePattern::parse("^/v").fits("v"), "volumes have no slash");
    }
}
