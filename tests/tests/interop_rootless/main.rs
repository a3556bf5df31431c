//! Containers of an ordinary user: dhow, called as podman, beside the real podman without root. The same commands on the same image say
//! the same, end the same, and leave the same files with the same owners.

mod cases;
mod sides;

use std::io;
use std::process::Command;
use std::time::Duration;

use dhow_testkit::peers::{available, is_root};
use dhow_tests::interop::{Bench, must};
use dhow_tests::ordinary::Ids;

use cases::{IN_ONE_ID, LIFE, RUNS, Run};
use sides::{Pair, Told};

fn pair<'b>(bench: &'b Bench, ids: Ids) -> Option<Pair<'b>> {
    let needed = if is_root() { Ok(()) } else { Err(io::Error::other("becoming an ordinary user takes root")) };
    available(needed)?;
    Pair::new(bench, ids)
}

/// The differences of some runs; all are told at once.
fn differences(pair: &Pair<'_>, runs: &[Run]) -> Vec<String> {
    let words = |run: &Run| {
        let options = run.options.split_whitespace().map(str::to_owned);
        let start = ["run", "--rm", "--network", "none", "-h", "host"].map(str::to_owned).into_iter();
        let program = ["box", "/bin/sh", "-c", run.script].map(str::to_owned);
        start.chain(options).chain(program).collect::<Vec<_>>()
    };
    runs.iter().filter_map(|run| pair.difference(&words(run))).collect()
}

#[track_caller]
fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn programs_find_what_they_find_with_podman() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench, Ids::Many) else { return };
    assert_none(&differences(&pair, &RUNS));
}

#[test]
fn programs_find_what_they_find_with_podman_where_there_is_one_user() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench, Ids::One) else { return };
    assert_none(&differences(&pair, &IN_ONE_ID));
}

/// A container's life: made, started, looked into, copied from and to, committed, exported, removed.
#[test]
fn containers_live_as_with_podman() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench, Ids::Many) else { return };
    let said = LIFE.iter().filter_map(|line| {
        let words: Vec<String> = line.split('\t').map(str::to_owned).collect();
        pair.difference(&words)
    });
    let mut differences: Vec<String> = said.collect();
    // What each exported, and copied out of its container, with the owners that this machine sees.
    let list = |side: &str| {
        let script = "tar -tvf export.tar --numeric-owner | grep -v -E ' (\\./)?(dev|etc|proc|run|sys|\\.dockerenv)' | \
                      awk '{ print $1, $2, $6, $7, $8 }' | sed 's, \\./, ,' | sort; find out -printf '%P %m %U:%G %y %l\\n' | sort";
        must(Command::new("sh").args(["-euc", script]).current_dir(pair.folder(side)))
    };
    let (theirs, ours) = (list("podman"), list("dhow"));
    assert!(theirs.lines().count() > 300, "{theirs}");
    if theirs != ours {
        differences.push(Told::difference("export and cp", &theirs, &ours));
    }
    assert_none(&differences);
}

/// The caller's own folder, in which root of the container and another user write: as whom this machine knows them.
#[test]
fn files_have_podman_s_owners_outside() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench, Ids::Many) else { return };
    for (options, bob) in [(&[][..], "300999:300099"), (&["--userns", "keep-id", "-u", "0"], "301000:300100")] {
        let listed = ["podman", "dhow"].map(|side| listed_outside(&pair, side, options));
        assert!(listed[0].contains(bob), "{}", listed[0]);
        assert_eq!(listed[0], listed[1]);
    }
}

/// What a container writes in a folder of the caller's, as it sees it and as this machine does.
fn listed_outside(pair: &Pair<'_>, side: &str, options: &[&str]) -> String {
    let script = "umask 0; mkdir /v/deep; echo a > /v/root; chown 5:6 /v/root; echo b > /v/own; chmod 777 /v; \
                  su bob -s /bin/sh -c 'echo c > /v/bob; ln -s bob /v/link'; chmod 4755 /v/own; ls -lan /v | tail -n +4 | cut -c1-40";
    let shared = pair.folder(side).join("out");
    must(Command::new("sh").args(["-euc", "rm -rf out/*; chmod 755 out"]).current_dir(pair.folder(side)));
    let volume = format!("{}:/v", shared.display());
    let start = ["run", "--rm", "--network", "none", "-v", &volume];
    let words = [&start[..], options, &["box", "/bin/sh", "-c", script]].concat();
    let told = pair.told(side, &words.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let outside = must(Command::new("find").arg(&shared).args(["-printf", "%P %m %U:%G %y %s\n"])).lines().count();
    assert!(told.code == 0 && outside == 6, "{told:?} {outside}");
    let script = "find . -printf '%P %m %U:%G %y %l\n' | sort";
    told.output + &must(Command::new("sh").args(["-c", script]).current_dir(&shared))
}

/// What a signal to the command does to the program, and what the command makes of it.
#[test]
fn signals_reach_programs_as_with_podman() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench, Ids::Many) else { return };
    for (trap, signal, code) in
        [("trap 'exit 7' TERM", "TERM", 7), ("trap 'echo hup; exit 3' HUP", "HUP", 3), ("", "INT", 130)]
    {
        let script = format!("{trap}\ntouch /v/ready; while :; do sleep 0.05; done");
        let ours = pair.signalled("dhow", &script, signal, Duration::ZERO);
        // Podman does not always pass on yet what comes as soon as the program runs: it ends with 1 or of the signal.
        let pauses = [0, 500, 2000, 5000].map(Duration::from_millis);
        let attempt = |pause| {
            let told = pair.signalled("podman", &script, signal, pause);
            let passes_on = ![1, -1].contains(&told.code);
            if !passes_on {
                // The program runs on without it.
                pair.told("podman", &["rm", "-f", "-a", "-t", "0"].map(str::to_owned));
            }
            passes_on.then_some(told)
        };
        let theirs = pauses.into_iter().find_map(attempt).expect("podman passes the signal on");
        assert_eq!((&theirs, theirs.code), (&ours, code), "{trap} {signal}");
    }
}
