//! Templates do what Go's do, byte for byte: outputs and messages.
//!
//! `cases.txt` has the templates, `expected.txt` what Go answered. With Go installed, both are asked again, and generated
//! templates beside them; `DHOW_TEMPLATE_RECORD=1` writes the answers down.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot ask its oracle has failed"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_template::{Field, Options, Template, Type, Value};
use serde_json::json;

mod generate;

/// A template and what it runs over.
#[derive(Clone, Debug)]
struct Case {
    data: String,
    is_strict: bool,
    template: String,
}

/// Output in hexadecimal, and the message.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    output: String,
    error: String,
}

fn document() -> serde_json::Value {
    json!({
        "s": "hello", "h": "<a href=\"x\">'&'</a> =\u{1}é\u{200b}", "n": 42, "f": 2.5, "t": true, "nil": null, "empty": [],
        "l": ["one", "two", 3],
        "m": {"b": {"c": "deep"}, "a": "first", "nil": null},
        "objs": [{"k": 1}, {"k": null}],
    })
}

fn typed() -> Value {
    let inner = |env: Option<&[&str]>, labels, ports| {
        vec![
            Field::new("Env", Value::texts(env)),
            Field::new("Labels", Value::map(Type::Text, labels)),
            Field::new("User", Value::from("")),
            Field::new("Ports", Value::map(Type::Empty, ports)),
        ]
    };
    let labels = vec![("b", Value::from("<x>")), ("a", Value::from("y"))];
    let config = inner(Some(&["A=1", "B=2"]), Some(labels), Some(vec![("80/tcp", Value::empty())]));
    Value::structure(
        "main.Outer",
        vec![
            Field { name: "ID", key: "Id", omits_empty: false, value: Value::from("sha256:1") },
            Field::new("Tags", Value::texts(Some(&["a:1", "b:2"]))),
            Field::new("Config", Value::pointer("main.Inner", config)),
            Field::new("Absent", Value::Null { name: "*main.Inner", fields: &["Env", "Labels", "User", "Ports"] }),
            Field::new("Size", Value::Int64(42)),
            Field::new("Score", Value::Float(2.5)),
            Field::new("On", Value::Bool(true)),
            Field::optional("Note", Value::from("")),
        ],
    )
}

fn data(name: &str) -> Value {
    let texts = |texts: [&'static str; 3]| ["ID", "Name", "Size"].into_iter().zip(texts.map(Value::from)).collect();
    match name {
        "typed" => typed(),
        "row" => Value::context("main.Row", texts(["abc123", "al<p>ine", "7.8MB"])),
        "header" => Value::map(Type::Text, Some(texts(["IMAGE ID", "NAME", "SIZE"]))),
        _ => Value::from(&document()),
    }
}

impl Case {
    fn ours(&self) -> Answer {
        let template = match Template::parse(&self.template) {
            Ok(template) => template,
            Err(error) => return Answer { output: String::new(), error: error.to_string() },
        };
        let mut output = Vec::new();
        let options = Options { missing_key_is_error: self.is_strict, is_header: self.data == "header" };
        let result = template.execute(&data(&self.data), options, &mut output);
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        Answer { output: hexadecimal(&output), error }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn table() -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join("cases.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (data, template) = line.split_once('\t').unwrap();
            Case {
                is_strict: data.ends_with("+strict"),
                data: data.trim_end_matches("+strict").to_owned(),
                template: serde_json::from_str(template).unwrap(),
            }
        })
        .collect()
}

/// Go's answers, or `None` without Go.
fn ask_go(cases: &[Case]) -> Option<Vec<Answer>> {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("skipped: go is not installed");
        return None;
    }
    let built = tempfile::tempdir().unwrap();
    let program = built.path().join("oracle");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(folder().join("oracle/main.go"))
        .env("GOFLAGS", "-mod=mod")
        .env("GOTOOLCHAIN", "local")
        .status()
        .unwrap();
    assert!(status.success(), "the oracle does not build");
    let mut oracle =
        Command::new(program).arg(document().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = oracle.stdin.take().unwrap();
    let requests: String = cases
        .iter()
        .map(|case| {
            let header = case.data == "header";
            json!({"template": case.template, "data": case.data, "strict": case.is_strict, "header": header})
                .to_string()
                + "\n"
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(requests.as_bytes()));
    let output = oracle.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers: Vec<Answer> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| answer[name].as_str().unwrap().to_owned();
            Answer { output: text("output"), error: text("error") }
        })
        .collect();
    assert_eq!(answers.len(), cases.len(), "the oracle did not answer everything");
    Some(answers)
}

/// Compares all, and shows all that differs at once.
fn compare(cases: &[Case], expected: &[Answer]) {
    assert_eq!(cases.len(), expected.len(), "record the answers again");
    let mut report = String::new();
    for (case, expected) in cases.iter().zip(expected) {
        let ours = case.ours();
        if ours != *expected {
            let shown = |answer: &Answer| format!("{:?} {}", readable(&answer.output), answer.error);
            writeln!(
                report,
                "{} {:?}\n  go:   {}\n  ours: {}",
                case.data,
                case.template,
                shown(expected),
                shown(&ours)
            )
            .unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn readable(hexadecimal: &str) -> String {
    let bytes = hexadecimal.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    String::from_utf8_lossy(&bytes.collect::<Result<Vec<u8>, _>>().unwrap()).into_owned()
}

fn recorded() -> Vec<Answer> {
    let text = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    text.lines()
        .map(|line| {
            let (output, error) = line.split_once('\t').unwrap();
            Answer { output: output.to_owned(), error: serde_json::from_str(error).unwrap() }
        })
        .collect()
}

#[test]
fn the_table_is_what_go_answered() {
    let cases = table();
    let answers = ask_go(&cases);
    if std::env::var_os("DHOW_TEMPLATE_RECORD").is_some() {
        let answers = answers.as_deref().expect("Go answers");
        let lines = answers.iter().map(|answer| format!("{}\t{}\n", answer.output, json!(answer.error)));
        std::fs::write(folder().join("expected.txt"), lines.collect::<String>()).unwrap();
    }
    compare(&cases, &recorded());
    if let Some(answers) = answers {
        assert_eq!(answers, recorded(), "Go answers something else by now");
    }
}

#[test]
fn generated_templates_do_what_go_s_do() {
    let seed = std::env::var("DHOW_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_125);
    println!("DHOW_TEST_SEED={seed}");
    let mut generator = generate::Generator::new(seed);
    let cases: Vec<Case> = (0..1500)
        .map(|turn| Case {
            data: if turn % 3 == 0 { "typed" } else { "any" }.to_owned(),
            is_strict: turn % 5 == 0,
            template: generator.template(turn % 3 == 0),
        })
        .collect();
    if let Some(answers) = ask_go(&cases) {
        compare(&cases, &answers);
    }
}
