//! Pages of `docs/reference` that the program itself writes. `cargo xtask docs` writes them anew.

#![allow(clippy::disallowed_methods, reason = "reads and writes pages of the checkout")]

use std::fmt::Write as _;
use std::path::Path;

/// The page is as the program would write it now.
#[test]
fn the_command_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let page = page();
    if std::env::var_os("DHOW_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).expect("write the page");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/reference/cli.md is not what the program says: run `cargo xtask docs`");
}

fn page() -> String {
    let mut page = String::from(
        "# Commands\n\nWhat `--help` prints, for every command. This page is written by `cargo xtask docs`; a test compares it.\n",
    );
    let command = dhow_cli::command();
    section(&mut page, &command, &mut Vec::new());
    page
}

fn section(page: &mut String, command: &clap::Command, words: &mut Vec<String>) {
    let title = std::iter::once("dhow").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let help = dhow_cli::help(&words.iter().map(String::as_str).collect::<Vec<_>>());
    // Nothing of a machine belongs into a page: help texts name no paths that depend on one.
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    write!(page, "\n## `{title}`\n\n```text\n{}\n```\n", help.trim()).expect("a String takes everything");
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        words.push(below.get_name().to_owned());
        section(page, below, words);
        words.pop();
    }
}
