//! `completion`: what the scripts complete in the shells they are for.

#![allow(clippy::disallowed_methods, reason = "writes scripts for shells into a scratch folder")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_testkit::peers::{available, find};
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

/// The script for a shell and a program of that name, in a file.
fn script(scene: &Scene, program: &str, shell: &str) -> PathBuf {
    let path = scene.path(&format!("{program}.{shell}"));
    let written = scene.command_as(program, &["completion", shell]).output().expect("a script");
    std::fs::write(&path, written.stdout).expect("a script");
    path
}

/// A place with an image, a container and a volume, where shells find the program under its names.
fn stage() -> Scene {
    let scene = Scene::new();
    scene.load("a", "acme/web:1");
    scene.must(&["create", "--name", "box", "acme/web:1", "true"]);
    scene.must(&["volume", "create", "data"]);
    for program in ["docker", "podman"] {
        let status = scene.command_as(program, &["--version"]).output().expect("an answer").status;
        assert!(status.success(), "{program}");
    }
    scene
}

/// What a shell says, which has half a minute.
fn said(scene: &Scene, shell: &Path, arguments: &[&str]) -> String {
    let search = format!("{}:{}", scene.path("").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "30"]).arg(shell).args(arguments);
    command.env("PATH", search).env("DHOW_ROOT", scene.path("store")).current_dir(scene.path(""));
    let output = command.output().expect("an answer");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Command lines, and what their last word becomes. A switch takes no value: what follows it is another word.
const COMPLETED: &[(&str, &str)] = &[
    ("dhow hist", "history"),
    ("dhow image pru", "prune"),
    ("dhow help syst", "system"),
    ("dhow image prune --dry", "--dry-run"),
    ("dhow images --no-trunc --noh", "--noheading"),
    ("dhow -D --root /x images -q --dig", "--digests"),
    ("dhow pull --platform linux/ppc", "linux/ppc64le"),
    ("dhow pull --platform=linux/ppc", "--platform=linux/ppc64le"),
    ("dhow rmi acme/w", "acme/web:1"),
    ("dhow tag acme/web:", "acme/web:1"),
    ("dhow push docker.io/ac", "docker.io/acme/web:1"),
    ("dhow run --rm -e A=b ac", "acme/web:1"),
    ("dhow rm -f b", "box"),
    ("dhow inspect bo", "box"),
    ("dhow volume rm d", "data"),
    ("docker image rm -f acme/web:", "acme/web:1"),
    ("podman rmi docker.io/acme/w", "docker.io/acme/web:1"),
];

/// The words of a line as readline cuts them.
fn cut(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        words.extend(word.split_inclusive([':', '=']).flat_map(|part| {
            let (text, sign) = part.strip_suffix([':', '=']).map_or((part, ""), |text| (text, &part[text.len()..]));
            [text, sign].into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        }));
    }
    words
}

#[test]
fn bash_completes() {
    let scene = stage();
    for program in ["dhow", "docker", "podman"] {
        let script = script(&scene, program, "bash");
        for (line, expected) in COMPLETED.iter().filter(|(line, _)| line.starts_with(program)) {
            let words = cut(line);
            let asked = format!(
                "source {}; COMP_LINE='{line}'; COMP_WORDBREAKS=$' \\t\\n=:'; COMP_WORDS=({}); \
                 COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _{program} {program}; echo \"${{COMPREPLY[*]}}\"",
                script.display(),
                words.join(" ")
            );
            let word = line.rsplit(' ').next().unwrap_or_default();
            let before = word.rfind([':', '=']).map_or(0, |at| at + 1);
            let answer = said(&scene, Path::new("bash"), &["--norc", "-c", &asked]);
            assert_eq!(answer, format!("{}\n", &expected[before..]), "{line}");
        }
    }
}

#[test]
fn fish_completes() {
    let Some(fish) = available(find("fish")) else { return };
    let scene = stage();
    for program in ["dhow", "docker", "podman"] {
        let script = script(&scene, program, "fish");
        for (line, expected) in COMPLETED.iter().filter(|(line, _)| line.starts_with(program)) {
            let asked = format!("source {}; complete -C '{line}'", script.display());
            let answer = said(&scene, &fish, &["--no-config", "-c", &asked]);
            let words: Vec<&str> = answer.lines().filter_map(|line| line.split('\t').next()).collect();
            assert_eq!(words, [*expected], "{line}");
        }
    }
}

/// In a terminal, with the key that people press.
#[test]
fn zsh_completes() {
    let Some(zsh) = available(find("zsh")) else { return };
    let scene = stage();
    let sources: String = ["dhow", "docker", "podman"]
        .iter()
        .map(|program| format!("source {}; ", script(&scene, program, "zsh").display()))
        .collect();
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
         zpty -w shell \"PS1=; autoload -U compinit; compinit -u -D; {sources}print LOA''DED\"\n\
         zpty -r shell text '*LOADED*'\n{}zpty -d shell\n",
        zsh.display(),
        typed.concat()
    );
    let path = scene.path("asking.zsh");
    std::fs::write(&path, asking).expect("a script");
    let expected: String = COMPLETED.iter().map(|(_, expected)| format!("{expected}\n")).collect();
    assert_eq!(said(&scene, &zsh, &["-f", &path.to_string_lossy()]), expected);
}

/// The protocol, which scripts made for docker and podman speak as well.
#[test]
fn candidates_for_any_shell() {
    let scene = stage();
    for (line, expected) in [
        ("__completeNoDesc volume e", "exists\nexport\n:4\n"),
        ("__complete image unm", "unmount\tUnmount images\n:4\n"),
        ("__completeNoDesc rmi -f --no-such", ":4\n"),
        ("__completeNoDesc images --format js", ":4\n"),
        ("__completeNoDesc save -o ", ":0\n"),
        ("__completeNoDesc run acme/web:1 --r", ":0\n"),
        ("__completeNoDesc rmi -- acme", "acme/web:1\n:4\n"),
        ("__completeNoDesc export ", "acme/web:1\nbox\n:4\n"),
        ("__completeNoDesc inspect ", "acme/web:1\nbox\ndata\n:4\n"),
    ] {
        assert_eq!(scene.must(&line.split(' ').collect::<Vec<_>>()), expected, "{line}");
    }
    let empty = Scene::new();
    assert_eq!(empty.must(&["__complete", "rmi", ""]), ":4\n");
    assert!(!empty.path("store").exists(), "asking makes no store");
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
