//! Command lines as words, and what of them is more than a value.

use std::collections::BTreeSet;

/// Splits a command line as a shell does: blanks part words, both kinds of quotes hold them together.
///
/// # Errors
/// A quote that does not end.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.extend(word.take()),
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some(end) if end == character => break,
                        Some(inside) => text.push(inside),
                        None => return Err(format!("a quote that does not end: {line}")),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Groups of commands, whose next word is a command as well.
const GROUPS: [&str; 3] = ["image", "system", "manifest"];

/// Flags whose value is a word of its own.
const WITH_VALUE: [&str; 14] = [
    "-f",
    "--filter",
    "--format",
    "--type",
    "-i",
    "--input",
    "-o",
    "--output",
    "-u",
    "--username",
    "-p",
    "--password",
    "--platform",
    "--log-level",
];

/// A command line without its values: the command, the flags as spelled, a filter's key, a template's actions without
/// literals, and how many operands there are. Lines of one shape differ only in a value.
pub fn shape(words: &[String]) -> String {
    let mut path = Vec::new();
    let mut rest = words.iter().map(String::as_str).peekable();
    while let Some(word) = rest.next_if(|word| !word.starts_with('-')) {
        path.push(word.to_owned());
        if path.len() > 1 && !GROUPS.contains(&word) {
            break;
        }
    }
    let verb = path.last().cloned().unwrap_or_default();
    let mut flags = BTreeSet::new();
    let mut operands = 0;
    while let Some(word) = rest.next() {
        if !word.starts_with('-') || word == "-" {
            operands += 1;
            continue;
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if word.starts_with("--") => (format!("{flag}="), Some(value)),
            _ if WITH_VALUE.contains(&word) && !(word == "-f" && verb.starts_with('r')) => {
                (word.to_owned(), rest.next())
            }
            _ => (word.to_owned(), None),
        };
        flags.insert(format!("{flag}{}", value.map(|value| kept(&flag, value)).unwrap_or_default()));
    }
    format!("{} {} {operands}", path.join(" "), Vec::from_iter(flags).join(" "))
}

/// What of a flag's value is more than a value.
fn kept(flag: &str, value: &str) -> String {
    if value.contains("{{") {
        return format!(" {}", without_literals(value));
    }
    let is_filter = flag.trim_end_matches('=') == "--filter" || flag == "-f";
    match value.split_once('=') {
        Some((key, _)) if is_filter => format!(" {key}"),
        _ => String::new(),
    }
}

/// The actions of a template; literals inside and text outside are values.
fn without_literals(template: &str) -> String {
    let actions = template.split("{{").skip(1).filter_map(|part| part.split("}}").next());
    let mut kept = String::new();
    for action in actions {
        let mut quoted = None;
        kept.push('{');
        for character in action.chars() {
            match quoted {
                Some(quote) if character == quote => quoted = None,
                Some(_) => {}
                None if matches!(character, '"' | '`' | '\'') => quoted = Some(character),
                None if !character.is_ascii_digit() && character != ' ' => kept.push(character),
                None => {}
            }
        }
        kept.push('}');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(split("docker  a 'b c' \"\" d\"e f\"").expect("words"), ["docker", "a", "b c", "", "de f"]);
        assert!(split("docker 'a").is_err());
    }

    #[test]
    fn values_do_not_count() {
        #[track_caller]
        fn same(one: &str, other: &str, expected: bool) {
            let [one, other] = [one, other].map(|line| shape(&split(line).expect("words")));
            assert_eq!(one == other, expected, "{one} / {other}");
        }
        same("docker rmi web:1", "docker rmi nope", true);
        same("docker rmi -f web:1", "docker rmi web:1 tool", false);
        same("docker images -f label=a", "docker images -f label=b=c", true);
        same("docker images -f label=a", "docker images -f dangling=true", false);
        same("docker images --format '{{truncate .ID 3}}'", "docker images --format 'x {{truncate .ID 5}}'", true);
        same("docker images --format '{{.ID}}'", "docker images --format '{{.Tag}}'", false);
        same("docker image ls", "docker images", false);
        same("docker save -o a web", "docker save -o b web", true);
    }
}
