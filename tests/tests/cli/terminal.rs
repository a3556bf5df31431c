//! What is different on a terminal. `script` of util-linux makes one.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use dhow_testkit::peers;
use dhow_tests::scene::{Scene, Transcript};

/// Runs `dhow` on a terminal of 80 columns. Each of `answers` is a question to wait for and what is then typed. Both output
/// streams come out as one.
fn on_terminal(scene: &Scene, arguments: &str, answers: &[(&str, &str)]) -> Option<Transcript> {
    let script = peers::available(peers::find("script"))?;
    let program = scene.command(&[]);
    let line = format!("stty cols 80; {} {arguments}", program.get_program().to_string_lossy());
    let mut command = Command::new(script);
    command.args(["-qec", &line, "/dev/null"]).current_dir(scene.path("home"));
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("TERM", "xterm").env("SHELL", "/bin/sh");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start script");
    let (mut keyboard, mut screen) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
    let mut seen = Vec::new();
    for (question, answer) in answers {
        let mut byte = [0];
        while !seen.ends_with(question.as_bytes()) && screen.read(&mut byte).expect("the screen") == 1 {
            seen.extend(byte);
        }
        keyboard.write_all(answer.as_bytes()).expect("type");
    }
    screen.read_to_end(&mut seen).expect("the screen");
    let status = child.wait().expect("its end");
    Some(scene.transcript(&Output { status, stdout: seen, stderr: Vec::new() }))
}

#[test]
fn archives_do_not_go_to_or_come_from_terminals() {
    let scene = Scene::new();
    let Some(saved) = on_terminal(&scene, "save alpine", &[]) else { return };
    assert_eq!(saved.stdout, "cowardly refusing to save to a terminal. Use the -o flag or redirect\r\n");
    assert_eq!(saved.code, 1);
    let Some(loaded) = on_terminal(&scene, "load", &[]) else { return };
    assert_eq!(loaded.stdout, "requested load from stdin, but stdin is empty\r\n");
    assert_eq!(loaded.code, 1);
}

#[test]
fn a_pull_draws_its_layers() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    scene.must(&["image", "prune", "-a", "-f"]);
    let Some(pulled) = on_terminal(&scene, &format!("pull {name}"), &[]) else { return };
    assert_eq!(pulled.code, 0, "{pulled}");
    assert!(pulled.stdout.starts_with("v1: Pulling from acme/web\r\n"), "{pulled}");
    for layer in ["lower-------", "upper-a-----"] {
        assert!(pulled.stdout.contains(&format!("{layer}: Pull complete")), "{pulled}");
    }
    assert!(pulled.stdout.contains('\u{1b}'), "{pulled}");
    let end = "\r\nDigest: sha256:<manifest-a>\r\nStatus: Downloaded newer image for [REGISTRY]/acme/web:v1\r\n\
               [REGISTRY]/acme/web:v1\r\n";
    assert!(pulled.stdout.ends_with(end), "{pulled}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a scratch file")]
fn hints_are_for_people() {
    let scene = Scene::new();
    std::fs::write(scene.path("home/x.tar"), "this is no archive").expect("a file");
    let archive = scene.path("home/x.tar");
    let arguments = ["load", "-i", archive.to_str().expect("a path")];
    let Some(seen) = on_terminal(&scene, &arguments.join(" "), &[]) else { return };
    assert_eq!(seen.stdout, "unrecognized image format\r\nhint: the input is no tar archive\r\n");
    assert_eq!(scene.dhow(&arguments).stderr, "unrecognized image format\n");
}

#[test]
fn a_password_is_not_shown() {
    let scene = Scene::new();
    let server = scene.serve();
    let Some(login) = on_terminal(
        &scene,
        &format!("login {}", server.address()),
        &[("Username: ", "bob\n"), ("Password: ", "hunter2\n")],
    ) else {
        return;
    };
    assert_eq!(login.code, 0, "{login}");
    assert!(login.stdout.contains("Username: bob\r\nPassword: \r\n"), "{login}");
    assert!(!login.stdout.contains("hunter2"), "{login}");
    assert!(login.stdout.ends_with("Login Succeeded\r\n"), "{login}");
}

#[test]
fn an_interrupted_prompt_leaves_the_terminal_as_it_was() {
    let scene = Scene::new();
    let Some(login) = on_terminal(&scene, "login -u bob reg.invalid; echo $?; stty -a", &[("Password: ", "\u{3}")])
    else {
        return;
    };
    assert!(login.stdout.contains("Password: \r\n"), "{login}");
    assert!(login.stdout.contains("\n130\r\n"), "{login}");
    assert!(login.stdout.contains(" echo ") && login.stdout.contains(" icanon "), "{login}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
fn a_terminated_prompt_leaves_the_terminal_as_it_was() {
    let scene = Scene::new();
    // The shell that becomes the program is ended as soon as the terminal is silent.
    let script = "p=$$; (until stty -a </dev/tty | grep -q -e ' -echo '; do :; done; kill -TERM $p) & exec \"$@\"";
    std::fs::write(scene.path("home/login.sh"), script).expect("a script");
    let program = scene.path("dhow").display().to_string();
    let line = format!("version >/dev/null; sh ./login.sh {program} login -u bob reg.invalid; echo $?; stty -a");
    let Some(login) = on_terminal(&scene, &line, &[]) else { return };
    assert!(login.stdout.contains("\n143\r\n"), "{login}");
    assert!(login.stdout.contains(" echo ") && login.stdout.contains(" icanon "), "{login}");
}
