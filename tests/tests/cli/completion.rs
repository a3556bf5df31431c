//! `completion`: what the scripts complete in the shells they are for.

#![allow(clippy::disallowed_methods, reason = "writes scripts for shells into a scratch folder")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_testkit::peers::{available, find};
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

/// The script for a shell, in a file.
fn script(scene: &Scene, shell: &str) -> PathBuf {
    let path = scene.path(&format!("completion.{shell}"));
    std::fs::write(&path, scene.must(&["completion", shell])).expect("a script");
    path
}

/// What a program says, which has half a minute.
fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new("timeout").args(["-s", "KILL", "30"]).arg(program).args(arguments).output();
    let output = output.expect("an answer");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Command lines, and what their last word becomes. A switch takes no value: what follows it is another word.
const COMPLETED: &[(&str, &str)] = &[
    ("dhow hist", "history"),
    ("dhow image pru", "prune"),
    ("dhow image prune --dry", "--dry-run"),
    ("dhow images --no-trunc --noh", "--noheading"),
    ("dhow -D --root /x images -q --dig", "--digests"),
];

#[test]
fn bash_completes() {
    let scene = Scene::new();
    let script = script(&scene, "bash");
    for (line, expected) in COMPLETED {
        let asked = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _dhow dhow \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\"",
            script.display()
        );
        assert_eq!(said(Path::new("bash"), &["--norc", "-c", &asked]), format!("{expected}\n"), "{line}");
    }
}

#[test]
fn fish_completes() {
    let Some(fish) = available(find("fish")) else { return };
    let scene = Scene::new();
    let script = script(&scene, "fish");
    for (line, expected) in COMPLETED {
        let asked = format!("source {}; complete -C '{line}'", script.display());
        let answer = said(&fish, &["--no-config", "-c", &asked]);
        let words: Vec<&str> = answer.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [*expected], "{line}");
    }
}

/// In a terminal, with the key that people press.
#[test]
fn zsh_completes() {
    let Some(zsh) = available(find("zsh")) else { return };
    let scene = Scene::new();
    let script = script(&scene, "zsh");
    let typed: Vec<String> = COMPLETED
        .iter()
        .map(|(line, expected)| {
            format!(
                "zpty -n -w shell $'\\x15{line}\\t'\nzpty -r shell text '*{expected}*'\nprint -r -- \"{expected}\"\n"
            )
        })
        .collect();
    let asking = format!(
        "zmodload zsh/zpty\nzpty shell {} -f -i\n\
         zpty -w shell \"PS1=; autoload -U compinit; compinit -u -D; source {}; print LOA''DED\"\n\
         zpty -r shell text '*LOADED*'\n{}zpty -d shell\n",
        zsh.display(),
        script.display(),
        typed.concat()
    );
    let path = scene.path("asking.zsh");
    std::fs::write(&path, asking).expect("a script");
    let expected: String = COMPLETED.iter().map(|(_, expected)| format!("{expected}\n")).collect();
    assert_eq!(said(&zsh, &["-f", &path.to_string_lossy()]), expected);
}

#[test]
fn other_shells() {
    let scene = Scene::new();
    let script = scene.must(&["completion", "powershell"]);
    assert!(script.contains("'--no-trunc'") && script.contains("'history'"), "{script}");
    assert_snapshot!(scene.dhow(&["completion", "tcsh"]), @r#"
    exit 1
    [err]
    unknown shell "tcsh": there are bash, zsh, fish and powershell
    "#);
}
