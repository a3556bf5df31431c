//! JSON as YAML, as `info` shows it: in blocks, keys in order.

use serde_json::Value;

/// A value on lines of its own, each with its line break.
pub(super) fn block(value: &Value) -> String {
    let mut lines = Vec::new();
    add(&mut lines, value, 0);
    lines.into_iter().map(|line| line + "\n").collect()
}

fn add(lines: &mut Vec<String>, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in members {
                let key = scalar(key);
                let below = match value {
                    Value::Object(inner) if !inner.is_empty() => depth + 1,
                    Value::Array(items) if !items.is_empty() => depth,
                    other => {
                        lines.push(format!("{indent}{key}: {}", inline(other)));
                        continue;
                    }
                };
                lines.push(format!("{indent}{key}:"));
                add(lines, value, below);
            }
        }
        Value::Array(items) => lines.extend(items.iter().map(|item| format!("{indent}- {}", inline(item)))),
        other => lines.push(format!("{indent}{}", inline(other))),
    }
}

/// What fits on the line of its key. JSON is YAML, too: what is deeper than a list of texts is written so.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text, in quotes where it would not be read as one, or not as it is.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let has_plain = text.chars().all(|character| character.is_alphanumeric() || " /._-+()".contains(character));
    let begins = text.starts_with(|character: char| character.is_alphanumeric() || character == '/');
    let is_text = text.parse::<f64>().is_err() && !words.contains(&text.to_lowercase().as_str());
    if has_plain && begins && is_text && !text.ends_with(' ') { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_read_as_podman_s() {
        let value = serde_json::json!({
            "store": {"graphOptions": {}, "number": 3, "none": null, "list": ["a", "b: c"], "empty": []},
            "host": {"version": "12", "name": "x y", "quoted": "", "is": true, "cgroupVersion": "v2", "up": "8h 16m 5.00s"},
            "version": {"Version": "5.1.2", "path": "/usr/bin/x", "odd": "-a", "word": "no"},
        });
        let expected = "host:\n  cgroupVersion: v2\n  is: true\n  name: x y\n  quoted: \"\"\n  up: 8h 16m 5.00s\n  version: \"12\"\n\
                        store:\n  empty: []\n  graphOptions: {}\n  list:\n  - a\n  - \"b: c\"\n  none: null\n  number: 3\n\
                        version:\n  Version: 5.1.2\n  odd: \"-a\"\n  path: /usr/bin/x\n  word: \"no\"\n";
        assert_eq!(block(&value), expected);
    }
}
