//! What is different on a terminal. `script` of util-linux makes one.

use std::process::Stdio;

use dhow_testkit::peers;
use dhow_tests::scene::{Scene, Transcript};

/// Runs `dhow` on a terminal of 80 columns, with `typed` typed into it; both output streams come out as one.
fn on_terminal(scene: &Scene, arguments: &str, typed: &str) -> Option<Transcript> {
    peers::available(peers::find("script"))?;
    let mut program = scene.command(&[]);
    let line = format!("stty cols 80; {} {arguments}", program.get_program().to_string_lossy());
    program = {
        let mut script = std::process::Command::new("script");
        script.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("TERM", "xterm").env("SHELL", "/bin/sh").current_dir(scene.path("home"));
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        script
    };
    let mut child = program.spawn().expect("start script");
    let mut input = child.stdin.take().expect("its input");
    // Typing ahead would lose the password: turning off echo discards what was typed before.
    for key in typed.split_inclusive(['\n', '\u{3}']) {
        std::thread::sleep(std::time::Duration::from_millis(500));
        std::io::Write::write_all(&mut input, key.as_bytes()).expect("type");
    }
    let output = child.wait_with_output().expect("its output");
    drop(input);
    Some(scene.transcript(&output))
}

#[test]
fn archives_do_not_go_to_or_come_from_terminals() {
    let scene = Scene::new();
    let Some(saved) = on_terminal(&scene, "save alpine", "") else { return };
    assert_eq!(saved.stdout, "cowardly refusing to save to a terminal. Use the -o flag or redirect\r\n");
    assert_eq!(saved.code, 1);
    let Some(loaded) = on_terminal(&scene, "load", "") else { return };
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
    let Some(pulled) = on_terminal(&scene, &format!("pull {name}"), "") else { return };
    assert_eq!(pulled.code, 0, "{pulled}");
    assert!(pulled.stdout.starts_with("v1: Pulling from acme/web\r\n"), "{pulled}");
    for layer in ["lower-------", "upper-a-----"] {
        assert!(pulled.stdout.contains(&format!("{layer}: Pull complete")), "{pulled}");
    }
    assert!(pulled.stdout.contains('\u{1b}'), "{pulled}");
    let end = "Digest: sha256:<manifest-a>\r\nStatus: Downloaded newer image for [REGISTRY]/acme/web:v1\r\n\
               [REGISTRY]/acme/web:v1\r\n";
    assert!(pulled.stdout.ends_with(end), "{pulled}");
}

#[test]
fn hints_are_for_people() {
    let scene = Scene::new();
    let Some(seen) = on_terminal(&scene, "pull 127.0.0.1:1/acme/web:v1", "") else { return };
    let piped = scene.dhow(&["pull", "127.0.0.1:1/acme/web:v1"]);
    assert_eq!(seen.code, 1);
    assert!(!piped.stderr.contains("hint: "), "{piped}");
}

#[test]
fn a_password_is_not_shown() {
    let scene = Scene::new();
    let server = scene.serve();
    let Some(login) = on_terminal(&scene, &format!("login {}", server.address()), "bob\nhunter2\n") else { return };
    assert_eq!(login.code, 0, "{login}");
    assert!(login.stdout.contains("Username: bob\r\nPassword: \r\n"), "{login}");
    assert!(!login.stdout.contains("hunter2"), "{login}");
    assert!(login.stdout.ends_with("Login Succeeded\r\n"), "{login}");
}

#[test]
fn an_interrupted_prompt_leaves_the_terminal_as_it_was() {
    let scene = Scene::new();
    let Some(login) = on_terminal(&scene, "login -u bob reg.invalid; echo $?; stty -a", "\u{3}") else { return };
    assert!(login.stdout.contains("Password: \r\n"), "{login}");
    assert!(login.stdout.contains("\n130\r\n"), "{login}");
    assert!(login.stdout.contains(" echo ") && login.stdout.contains(" icanon "), "{login}");
}
