//! `--format json`: what the real program writes for every verb, against the schemas in `docs/schemas` and against examples
//! of what it once wrote. A field may be added; none may go away.

mod documents;
mod runs;
mod schema;
mod shape;

use std::collections::BTreeSet;

use dhow_tests::scene::Scene;
use documents::Documents;
use schema::Schema;

/// Verbs without documents, and why.
const WITHOUT: [(&str, &str); 39] = [
    ("blob", "writes the bytes of a blob"),
    ("cat", "writes what is in the files"),
    ("commit", "prints the ID of the image and nothing else"),
    ("completion", "writes a script for a shell"),
    ("container exists", "prints nothing: its exit code is the answer"),
    ("container inspect", "prints docker's document of a container"),
    ("container prune", "prints docker's text"),
    ("copy", "has skopeo's `--format`, for manifests; `--digestfile` writes the digest into a file"),
    ("create", "prints the ID of the container and nothing else"),
    ("export", "writes an archive"),
    ("help", "writes a text for people"),
    ("image exists", "prints nothing: its exit code is the answer"),
    ("import", "prints the ID of the image and nothing else"),
    ("manifest annotate", "prints nothing"),
    ("manifest exists", "prints nothing: its exit code is the answer"),
    ("manifest rm", "prints nothing"),
    ("mount", "has podman's rows, as `json`"),
    ("ps", "has docker's rows: `json`, or a template over them"),
    ("rename", "prints nothing"),
    ("rm", "prints names, one a line"),
    ("run", "prints what the program prints"),
    ("start", "prints what the program prints"),
    ("sync", "has skopeo's `--format`, for manifests; `--quiet` prints the names of what was copied, one a line"),
    ("system sync-view", "prints nothing"),
    ("tag", "prints nothing"),
    ("unmount", "prints names, one a line"),
    ("unpack", "prints nothing"),
    ("unshare", "prints what the command prints"),
    ("untag", "prints nothing"),
    ("volume create", "prints the name of the volume and nothing else"),
    ("volume exists", "prints nothing: its exit code is the answer"),
    ("volume export", "writes an archive"),
    ("volume import", "prints nothing"),
    ("volume inspect", "prints docker's document of a volume"),
    ("volume ls", "has docker's rows: `json`, or a template over them"),
    ("volume mount", "prints where the files are and nothing else"),
    ("volume prune", "prints docker's text"),
    ("volume rm", "prints names, one a line"),
    ("volume unmount", "prints the name of the volume and nothing else"),
];

/// Verbs whose `--format` is about what they make, or over docker's own documents of containers and volumes.
const OTHER_FORMAT: [&str; 7] = ["container inspect", "copy", "mount", "ps", "sync", "volume inspect", "volume ls"];

/// Every way to say a verb, as words.
fn verbs(command: &clap::Command, words: &mut Vec<String>, found: &mut Vec<(String, bool)>) {
    let mut is_verb = true;
    for below in command.get_subcommands() {
        is_verb = false;
        // What is hidden refuses, or is for dhow itself.
        if below.is_hide_set() && below.get_name() != "help" {
            continue;
        }
        words.push(below.get_name().to_owned());
        verbs(below, words, found);
        words.pop();
    }
    // A verb may have others below it (`serve`); a group has no options of its own.
    if is_verb || command.get_arguments().any(|argument| !argument.is_global_set()) && !words.is_empty() {
        found.push((words.join(" "), command.get_arguments().any(|argument| argument.get_long() == Some("format"))));
    }
}

/// The name by which a verb is documented: that of its shortest way.
fn canonical(words: &str) -> &str {
    match words {
        "container inspect" | "container prune" | "container exists" => words,
        "container ls" => "ps",
        _ if words.starts_with("container ") => &words["container ".len()..],
        "image ls" => "images",
        "image rm" => "rmi",
        "system info" => "info",
        "image prune" | "image exists" | "image tree" | "image mount" | "image unmount" => words,
        _ => words.strip_prefix("image ").unwrap_or(words),
    }
}

#[test]
fn every_verb_has_a_schema_or_a_reason_to_have_none() {
    let mut found = Vec::new();
    verbs(&dhow_cli::command(), &mut Vec::new(), &mut found);
    assert!(found.len() > 30, "{found:?}");
    let schemas: BTreeSet<String> = schema::names();
    let page = schema::page();
    for (words, has_format) in &found {
        let verb = canonical(words);
        let has_format = *has_format && !OTHER_FORMAT.contains(&verb);
        let has_schema = schemas.contains(&verb.replace(' ', "-"));
        let reason = WITHOUT.iter().find(|(without, _)| *without == verb);
        assert!(
            has_schema == has_format && has_schema == reason.is_none(),
            "{words}: takes --format: {has_format}, has a schema: {has_schema}, reason to have none: {reason:?}"
        );
        if let Some((_, reason)) = reason {
            let row = format!("| `{verb}` | {reason} |");
            assert!(verb == "help" || page.contains(&row), "docs/reference/json.md lacks the row {row}");
        } else {
            let link = format!("(../schemas/{}.json)", verb.replace(' ', "-"));
            assert!(page.contains(&link), "docs/reference/json.md does not link {link}");
        }
    }
    let known: BTreeSet<String> = found.iter().map(|(words, _)| canonical(words).replace(' ', "-")).collect();
    let orphans: Vec<&String> = schemas.iter().filter(|name| *name != "failed" && !known.contains(*name)).collect();
    assert!(orphans.is_empty(), "schemas of no verb: {orphans:?}");
}

/// What the program writes now has all that it wrote when the examples were taken, and nothing that no schema knows.
#[test]
fn the_program_keeps_to_the_schemas_and_to_its_examples() {
    let mut documents = Documents::default();
    runs::all(&mut documents);
    let schemas = schema::names();
    let written: BTreeSet<String> = documents.verbs().map(str::to_owned).collect();
    let expected: BTreeSet<String> = schemas.iter().filter(|name| *name != "failed").cloned().collect();
    assert_eq!(written, expected, "every verb with a schema is run");
    for verb in &written {
        let (open, closed, past) = (Schema::open(verb), Schema::closed(verb), Schema::past(verb));
        for document in documents.of(verb) {
            open.check(document, "the schema");
            closed.check(document, "the schema without room for more fields");
        }
        documents.write_example(verb);
        let examples = schema::examples(verb);
        assert!(!examples.is_empty(), "docs/schemas/examples/{verb}.jsonl is empty");
        let now = shape::of_all(documents.of(verb));
        for example in &examples {
            past.check(example, "the schema has lost or changed something that was written once: it");
            shape::check_kept(verb, &shape::of_all([example]), &now);
        }
    }
}

#[test]
fn failures_before_anything_is_done_are_told_on_standard_error_only() {
    let scene = Scene::new();
    for arguments in [
        &["pull", "--format", "oci-archive", "x"][..],
        &["push", "--format", "{{.digest", "x"],
        &["system", "check", "--format", "yaml"],
    ] {
        let output = scene.dhow(arguments);
        assert_eq!((output.code, output.stdout.as_str()), (125, ""), "{arguments:?}: {output}");
        assert!(output.stderr.starts_with("invalid argument "), "{arguments:?}: {output}");
    }
}
