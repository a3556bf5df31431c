//! Patterns for repositories and tags.

/// Whether a name matches a pattern: `*` stands for any text without `/`, `**` for any text, everything else for itself.
///
/// Takes time in the order of the product of both lengths, whatever the pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let name = name.as_bytes();
    // What of the name may be matched so far, for each of its beginnings.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut rest = pattern.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'*' {
            let crosses = rest.first() == Some(&b'*');
            if crosses {
                rest = &rest[1..];
            }
            for end in 1..=name.len() {
                reached[end] |= reached[end - 1] && (crosses || name[end - 1] != b'/');
            }
        } else {
            for end in (1..=name.len()).rev() {
                reached[end] = reached[end - 1] && name[end - 1] == byte;
            }
            reached[0] = false;
        }
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_within_and_across_components() {
        for (pattern, name, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/*", "a", false),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("**", "a/b/c", true),
            ("*", "a/b", false),
            ("**/app", "x/y/app", true),
            ("**/app", "app", false),
            ("v*.*", "v1.2", true),
            ("v*.*", "latest", false),
            ("", "", true),
            ("", "a", false),
            ("***", "a/b", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_a_star_in_place_of_any_part(name in "[a-c/]{0,12}", from in 0_usize..12, length in 0_usize..6) {
            prop_assert!(matches(&name, &name));
            let (from, to) = (from.min(name.len()), (from + length).min(name.len()));
            let pattern = format!("{}**{}", &name[..from], &name[to..]);
            prop_assert!(matches(&pattern, &name));
        }

        #[test]
        fn without_stars_only_the_name_itself_matches(pattern in "[a-c/]{0,6}", name in "[a-c/]{0,6}") {
            prop_assert_eq!(matches(&pattern, &name), pattern == name);
        }
    }
}
