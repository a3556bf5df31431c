//! Names for what differs from run to run. The same rules serve both sides and the expectations in the case files.

use std::fmt;

/// What is replaced, by explicit rules; nothing else may differ.
#[derive(Clone, Debug, Default)]
pub struct Names {
    texts: Vec<(String, String)>,
    digests: Vec<(String, String)>,
}

impl Names {
    /// Shows `text` as `name`.
    pub fn call(&mut self, text: impl Into<String>, name: impl Into<String>) {
        self.texts.push((text.into(), name.into()));
    }

    /// Shows a digest's hexadecimal digits as `<name>`, and their first twelve as `name` filled up to as many characters.
    ///
    /// # Panics
    /// When the digest already has another name.
    pub fn call_digest(&mut self, digest: &str, name: impl fmt::Display) {
        let hex = digest.trim_start_matches("sha256:").to_owned();
        let name = name.to_string();
        match self.digests.iter().find(|(known, _)| *known == hex) {
            Some((_, known)) => assert_eq!(*known, name, "one digest, two names"),
            None => self.digests.push((hex, name)),
        }
    }

    /// As [`Names::call_digest`], for what has other digits each time it is made.
    pub fn call_again(&mut self, hex: &str, name: &str) {
        self.digests.retain(|(_, known)| known != name);
        self.digests.push((hex.to_owned(), name.to_owned()));
    }

    /// A command line of a case file as it is run: `<name>` becomes the digest's digits, `<name:4>` its first four,
    /// `[NAME]` the text of that name.
    pub fn filled(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (hex, name) in &self.digests {
            line = line.replace(&format!("<{name}>"), hex);
            for length in [1, 4, 12, 20] {
                line = line.replace(&format!("<{name}:{length}>"), &hex[..length]);
            }
        }
        self.texts
            .iter()
            .filter(|(_, name)| name.starts_with('['))
            .fold(line, |line, (text, name)| line.replace(name, text))
    }

    /// What a program said, with names.
    pub fn shown(&self, bytes: &[u8]) -> String {
        // An archive on standard output: what is in it is for other tests.
        if bytes.contains(&0) {
            return "[an archive]\n".to_owned();
        }
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for (from, to) in &self.texts {
            text = text.replace(from, to);
        }
        for (hex, name) in &self.digests {
            text = text.replace(hex, &format!("<{name}>")).replace(&hex[..12], &format!("{name:-<12}"));
        }
        let text = masked(&text, "\"LastTagTime\": \"", '"');
        let text = masked(&text, "\"LastTagTime\":\"", '"');
        masked(&text, "docker-import-", '/')
    }
}

/// Replaces what stands between each `before` and the next `after` by `[…]`: times of day and random names.
fn masked(text: &str, before: &str, after: char) -> String {
    let mut parts = text.split(before);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str(before);
        match part.find(after) {
            Some(end) => {
                shown.push_str("[…]");
                shown.push_str(&part[end..]);
            }
            None => shown.push_str(part),
        }
    }
    shown
}

/// Progress of a layer without what docker prints or leaves out depending on its timing, layers in the order of their IDs.
pub(super) fn without_timing(text: &str) -> String {
    const PASSING: [&str; 5] = ["Waiting", "Verifying Checksum", "Download complete", "Preparing", "Pulling fs layer"];
    let mut lines: Vec<&str> = Vec::new();
    let mut layers: Vec<&str> = Vec::new();
    for line in text.lines() {
        match line.split_once(": ") {
            // Podman's line for a blob.
            None if line.starts_with("Copying blob sha256:") => layers.push(line),
            Some((id, state)) if id.len() == 12 && !state.is_empty() && state.starts_with(char::is_uppercase) => {
                if !PASSING.contains(&state) {
                    layers.push(line);
                }
            }
            _ => {
                layers.sort_unstable();
                lines.append(&mut layers);
                lines.push(line);
            }
        }
    }
    layers.sort_unstable();
    lines.append(&mut layers);
    let mut shown = lines.join("\n");
    if text.ends_with('\n') {
        shown.push('\n');
    }
    shown
}

/// JSON without what podman says of its storage driver, whose directories nobody else has.
pub(super) fn without_graph_driver(text: &str) -> String {
    const MEMBER: &str = "\"GraphDriver\": {";
    let mut shown = String::with_capacity(text.len());
    let mut closing: Option<String> = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        match &closing {
            Some(end) if bare.trim_end_matches(',') == end => closing = None,
            Some(_) => {}
            None if bare.trim_start() == MEMBER => {
                let indent = &line[..line.len() - line.trim_start().len()];
                shown.push_str(indent);
                shown.push_str("\"GraphDriver\": […],\n");
                closing = Some(format!("{indent}}}"));
            }
            None => shown.push_str(line),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storage_driver_is_taken_out() {
        let text = "[\n  {\n    \"GraphDriver\": {\n      \"Data\": {\n        \"a\": 1\n      }\n    },\n    \"b\": 2\n  }\n]\n";
        let expected = "[\n  {\n    \"GraphDriver\": […],\n    \"b\": 2\n  }\n]\n";
        assert_eq!(without_graph_driver(text), expected);
        assert_eq!(without_graph_driver("no JSON"), "no JSON");
    }

    #[test]
    fn names_go_both_ways() {
        let mut names = Names::default();
        let digest = format!("sha256:{}", "ab".repeat(32));
        names.call_digest(&digest, "web");
        names.call("127.0.0.1:4711", "[REGISTRY]");
        assert_eq!(
            names.filled("rmi <web:4> [REGISTRY]/x sha256:<web>"),
            format!("rmi abab 127.0.0.1:4711/x {digest}")
        );
        assert_eq!(names.shown(digest.as_bytes()), "sha256:<web>");
        assert_eq!(names.shown(b"abababababab 127.0.0.1:4711/x"), "web--------- [REGISTRY]/x");
        assert_eq!(names.shown(b"/docker-import-123/repositories"), "/docker-import-[…]/repositories");
    }

    #[test]
    fn timing_is_taken_out() {
        let text = "latest: Pulling from x\nbbbbbbbbbbbb: Pulling fs layer\nbbbbbbbbbbbb: Pull complete\n\
                    aaaaaaaaaaaa: Waiting\naaaaaaaaaaaa: Pull complete\nDigest: x\n";
        let expected = "latest: Pulling from x\naaaaaaaaaaaa: Pull complete\nbbbbbbbbbbbb: Pull complete\nDigest: x\n";
        assert_eq!(without_timing(text), expected);
    }
}
