//! Filters that `config.json` adds to every prune.

use super::Term;

/// The user's filters, and those of `pruneFilters` that do not contradict them (docker/cli `command.PruneFilters`).
pub(crate) fn with_configured(given: &[Term], configured: &[String]) -> Vec<Term> {
    let mut terms = given.to_vec();
    for (name, value) in configured.iter().filter_map(|text| text.split_once('=')) {
        let opposite = match name {
            "label" => "label!",
            "label!" => "label",
            _ => "",
        };
        let contradicts = |(other, wanted): &Term| other == opposite && wanted == value;
        let term = (name.to_owned(), value.to_owned());
        if !given.iter().any(contradicts) && !terms.contains(&term) {
            terms.push(term);
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_says_wins() {
        let term = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let configured = ["label!=keep", "label=a=b", "until=24h", "nonsense"].map(str::to_owned);
        assert_eq!(
            with_configured(&[term("label", "keep")], &configured),
            [term("label", "keep"), term("label", "a=b"), term("until", "24h")]
        );
        assert_eq!(
            with_configured(&[term("label!", "a=b"), term("until", "24h")], &configured),
            [term("label!", "a=b"), term("until", "24h"), term("label!", "keep")]
        );
    }
}
