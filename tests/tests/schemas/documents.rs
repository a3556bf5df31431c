//! What the program wrote, by verb.

#![allow(clippy::disallowed_methods, reason = "writes examples when asked")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use dhow_tests::scene::Scene;
use serde_json::Value;

use super::schema;

/// Set to take what is written now for the examples of verbs that have none yet.
const UPDATE_VARIABLE: &str = "DHOW_UPDATE_EXAMPLES";

/// All documents of all verbs.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    by_verb: BTreeMap<String, Vec<(Value, String)>>,
}

impl Documents {
    /// The verbs that wrote something.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = &str> {
        self.by_verb.keys().map(String::as_str)
    }

    /// What a verb wrote.
    pub(crate) fn of<'d>(&'d self, verb: &str) -> impl Iterator<Item = &'d Value> {
        self.by_verb.get(verb).into_iter().flatten().map(|(document, _)| document)
    }

    /// Runs a verb with `--format json` and keeps what it writes; returns it. `words` says which verb it is, then come its
    /// other arguments.
    #[track_caller]
    pub(crate) fn run(&mut self, scene: &Scene, words: &str, arguments: &[&str], code: i32) -> Vec<Value> {
        let mut command = scene.command(&words.split(' ').chain(["--format", "json"]).collect::<Vec<_>>());
        self.run_command(scene, words, command.args(arguments), code)
    }

    /// As [`Documents::run`], with a command of one's own.
    #[track_caller]
    pub(crate) fn run_command(&mut self, scene: &Scene, words: &str, command: &mut Command, code: i32) -> Vec<Value> {
        let output: Output = command.output().expect("start dhow");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words}: {stdout}{stderr}");
        assert!(code != 0 || !stdout.is_empty(), "{words} wrote nothing: {stderr}");
        stdout.lines().map(|line| self.keep(scene, words, line)).collect()
    }

    /// Keeps a line that a verb wrote.
    #[track_caller]
    pub(crate) fn keep(&mut self, scene: &Scene, words: &str, line: &str) -> Value {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{words}: {error}: {line}"));
        let example = scene.shown_paths(line);
        self.by_verb.entry(words.replace(' ', "-")).or_default().push((document.clone(), example));
        document
    }

    /// Makes an example of each kind of document that the verb wrote, when asked to, and unless it has some.
    pub(crate) fn write_example(&self, verb: &str) {
        let path = schema::example_path(verb);
        if std::env::var_os(UPDATE_VARIABLE).is_none() || path.exists() {
            return;
        }
        let mut shapes = Vec::new();
        let mut text = String::new();
        for (document, example) in self.by_verb.get(verb).into_iter().flatten() {
            let shape = super::shape::of_all([document]);
            if !shapes.contains(&shape) {
                shapes.push(shape);
                text.push_str(example);
                text.push('\n');
            }
        }
        std::fs::write(&path, text).expect("write the example");
    }
}
