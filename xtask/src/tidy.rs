//! House rules that no other tool checks.

use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace;

/// Longest source file in lines, without its inline tests.
const FILE_LINES_MAX: usize = 600;

/// Longest function in lines.
const FUNCTION_LINES_MAX: usize = 110;

/// Longest architecture page in lines: a map that is longer is not read.
const MAP_LINES_MAX: usize = 300;

/// Everything that is wrong, one sentence each.
pub(crate) fn problems() -> Result<Vec<String>> {
    let mut problems = map()?;
    for file in workspace::tracked_files()? {
        // Files that are not text have no lines to judge.
        if let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) {
            problems.extend(lines(&file, &text));
            if file.extension().is_some_and(|extension| extension == "rs") {
                problems.extend(lengths(&file, &text));
            }
        }
    }
    Ok(problems)
}

/// The map names every crate and stays short.
fn map() -> Result<Vec<String>> {
    let map =
        std::fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).context("cannot read ARCHITECTURE.md")?;
    let mut problems = Vec::new();
    for package in workspace::packages()? {
        let name = package.name.strip_prefix("dhow-").unwrap_or(&package.name);
        if !map.contains(&format!("`{name}`")) {
            problems.push(format!("ARCHITECTURE.md does not name `{name}`"));
        }
    }
    if map.lines().count() > MAP_LINES_MAX {
        problems.push(format!("ARCHITECTURE.md is longer than {MAP_LINES_MAX} lines"));
    }
    Ok(problems)
}

fn lines(file: &Path, text: &str) -> Vec<String> {
    // In Rust files rustfmt takes care of it, and what is left is inside of literals that repeat docker's tables.
    let exempt = file.extension().is_some_and(|extension| extension == "snap" || extension == "rs") || is_golden(file);
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut complain = |what: &str| problems.push(format!("{}:{}: {what}", file.display(), index + 1));
        if line.ends_with([' ', '\t']) && !exempt {
            complain("trailing white space");
        }
        if names_a_machine_path(line) {
            complain("names a folder of one machine");
        }
        if unfinished(line) {
            complain("a TODO needs the number of its issue: `TODO(#12)`");
        }
    }
    problems
}

/// Files that repeat another program's output byte for byte.
fn is_golden(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "golden" || part.as_os_str() == "snapshots")
}

fn names_a_machine_path(line: &str) -> bool {
    // Put together here so that this file does not name one itself.
    let folder = concat!("/wo", "rk/");
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '.'))
}

fn unfinished(line: &str) -> bool {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    marks.iter().any(|mark| {
        line.match_indices(mark).any(|(at, _)| {
            let after = &line[at + mark.len()..];
            after.starts_with(':') || (after.starts_with('(') && !after.starts_with("(#"))
        })
    })
}

/// Files and functions that are too long. Relies on rustfmt's indentation instead of a parser.
fn lengths(file: &Path, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    let length = code.lines().count();
    if length > FILE_LINES_MAX {
        problems.push(format!("{}: {length} lines, at most {FILE_LINES_MAX}: split it by meaning", file.display()));
    }
    let all: Vec<&str> = code.lines().collect();
    for (start, line) in all.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indentation}}}");
        let length = all[start..].iter().position(|line| *line == end).map_or(0, |lines| lines + 1);
        if length > FUNCTION_LINES_MAX {
            let at = format!("{}:{}", file.display(), start + 1);
            problems.push(format!("{at}: `{name}` has {length} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }
    problems
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    // A whole function on one line, or one without a body, has no length.
    if line.ends_with('}') || line.ends_with(';') {
        return None;
    }
    name.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_named() {
        let body = "        work();\n".repeat(FUNCTION_LINES_MAX);
        let text = format!("impl X {{\n    pub(crate) async fn long(&self) {{\n{body}    }}\n}}\n");
        let problems = lengths(Path::new("x.rs"), &text);
        assert_eq!(problems, ["x.rs:2: `long` has 112 lines, at most 110"]);
    }

    #[test]
    fn inline_tests_do_not_count() {
        let tests = "    // one line of a test\n".repeat(FILE_LINES_MAX);
        let text = format!("fn short() {{}}\n\n#[cfg(test)]\nmod tests {{\n{tests}}}\n");
        assert_eq!(lengths(Path::new("x.rs"), &text), Vec::<String>::new());
    }

    #[test]
    fn machine_paths_are_found_and_words_are_not() {
        assert!(names_a_machine_path(concat!("see /wo", "rk/main")));
        assert!(!names_a_machine_path(concat!("frame/wo", "rk/")));
        assert!(!names_a_machine_path(concat!("../wo", "rk/")));
    }

    #[test]
    fn notes_without_an_issue_are_found() {
        assert!(unfinished(concat!("// TO", "DO: later")));
        assert!(unfinished(concat!("// FIX", "ME(me) later")));
        assert!(!unfinished(concat!("// TO", "DO(#7): when the server does")));
    }
}
