//! The order of names with numbers in them that docker's client lists volumes in: `v2` before `v10`.

use std::cmp::Ordering;

/// Compares names; runs of digits by their numbers (fvbommel/sortorder, `NaturalLess`).
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let is_shared = |(a, b): &(&u8, &u8)| a == b && !a.is_ascii_digit();
        let shared = a.iter().zip(b).take_while(is_shared).count();
        (a, b) = (&a[shared..], &b[shared..]);
        match (number(a), number(b)) {
            (Some((first, a_digits)), Some((second, b_digits))) => {
                if first != second {
                    return first.cmp(&second);
                }
                // What is written in two ways, such as 01 and 1, is told apart where nothing else comes.
                if a_digits == a.len() || b_digits == b.len() {
                    return a.cmp(b);
                }
                (a, b) = (&a[a_digits..], &b[b_digits..]);
            }
            _ => return a.cmp(b),
        }
    }
}

/// The number that a text begins with, and how many digits it has.
fn number(text: &[u8]) -> Option<(u64, usize)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((number, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_such() {
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_by(|a, b| order(a, b));
            names
        };
        let names = vec!["", "01", "1", "2", "10", "a", "v", "v1-foo", "v02", "v2", "v2a", "v2b", "v10", "v10-x", "w"];
        let mut backwards = names.clone();
        backwards.reverse();
        assert_eq!(sorted(backwards), names);
        let long = vec!["99999999999999999999999", "9a"];
        assert_eq!(sorted(long.clone()), long);
    }
}
