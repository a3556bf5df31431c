//! The cases of `tests/parity` for the real docker and podman, and for dhow; `tests/parity/README.md` says how they are
//! written.

#![allow(clippy::print_stdout, reason = "says what was compared with what, and how it went")]
#![allow(clippy::disallowed_methods, reason = "reads the cases; a run can be narrowed by its environment")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use dhow_testkit::peers::{self, Docker};
use dhow_tests::parity::{
    Case, Files, Gallery, Group, Peer, Recording, Report, Side, Step, client_version, docker_side, judge, parse,
    podman_side, shape, split,
};
use jiff::Timestamp;

/// The suites are worth little when they are smaller. Lines that differ only in a value count once.
const DOCKER_SHAPES_MIN: usize = 200;
const PODMAN_SHAPES_MIN: usize = 80;

/// The client whose words are the standard; the daemon may be older.
const CLIENT_MAJOR_MIN: u32 = 28;

#[test]
fn dhow_says_what_docker_says() {
    let bench = peers::scratch().expect("a scratch folder");
    let gallery = Gallery::make(&bench.path().join("layout"), Timestamp::now(), Files::Sparse);
    let [theirs, ours] = folders(bench.path());
    let daemon = daemon(&bench.path().join("daemon"));
    let docker = daemon
        .as_ref()
        .map(|daemon| docker_side(daemon.folder().join("docker.sock"), &theirs, &gallery).expect("a client"));
    compare(Peer::Docker, docker, &ours, &gallery, "parity", DOCKER_SHAPES_MIN);
}

#[test]
fn dhow_says_what_podman_says() {
    let bench = peers::scratch().expect("a scratch folder");
    let gallery = Gallery::make(&bench.path().join("layout"), Timestamp::now(), Files::Dense);
    let [theirs, ours] = folders(bench.path());
    let podman = peers::available(podman_side(&theirs, &gallery));
    match &podman {
        Some(_) => println!("parity: {}", podman_version()),
        None => println!("parity: no podman, its recorded answers stand in"),
    }
    compare(Peer::Podman, podman, &ours, &gallery, "parity/podman", PODMAN_SHAPES_MIN);
}

fn folders(bench: &Path) -> [PathBuf; 2] {
    let folders = ["theirs", "ours"].map(|name| bench.join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
    folders
}

/// Runs all cases below a folder for the peer, or what was recorded of it, and for dhow.
fn compare(peer: Peer, mut live: Option<Side>, ours: &Path, gallery: &Gallery, home: &str, shapes_min: usize) {
    let mut dhow = Side::dhow(peer, ours, gallery);
    let listed = listed_differences();
    let mut report = Report::default();
    let narrowed = std::env::var("DHOW_PARITY_CASES").ok();
    for file in case_files(home, narrowed.as_deref()) {
        let text = fs::read_to_string(&file).expect("a case file");
        let groups = parse(&file, &text).unwrap_or_else(|problem| panic!("{problem}"));
        let recording = if live.is_some() { Ok(Recording::new(&file)) } else { Recording::read(&file) };
        let recording = recording.unwrap_or_else(|problem| panic!("{problem}"));
        let mut run = Run { live: live.as_mut(), dhow: &mut dhow, recording, gallery, listed: &listed };
        groups.iter().for_each(|group| run.group(group, &mut report));
        if run.live.is_some() && std::env::var_os("DHOW_PARITY_RECORD").is_some_and(|value| value == "1") {
            run.recording.write();
        }
    }
    println!("parity with {}: {report}", peer.word());
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert!(narrowed.is_some() || report.shapes.len() >= shapes_min, "only {} shapes", report.shapes.len());
}

/// A daemon of one's own, where there is one, and a client that is new enough; the reason why not is printed.
fn daemon(folder: &Path) -> Option<Docker> {
    let version = peers::available(client_version())?;
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < CLIENT_MAJOR_MIN {
        println!(
            "parity: the docker client is {version}, older than {CLIENT_MAJOR_MIN}: its recorded answers stand in"
        );
        return None;
    }
    let Some(daemon) = peers::available(Docker::start(folder)) else {
        println!("parity: no docker daemon, its recorded answers stand in");
        return None;
    };
    println!("parity: docker client {version}, daemon {}", daemon_version(&daemon));
    Some(daemon)
}

/// Both sides, and what one case file needs besides.
struct Run<'a> {
    /// `None` where recorded answers stand in.
    live: Option<&'a mut Side>,
    dhow: &'a mut Side,
    recording: Recording,
    gallery: &'a Gallery,
    listed: &'a [String],
}

impl Run<'_> {
    fn sides(&mut self) -> impl Iterator<Item = &mut Side> {
        self.live.as_deref_mut().into_iter().chain([&mut *self.dhow])
    }

    /// Runs a group's steps on both sides and judges them. What differs is run once more from the group's start: on a busy machine
    /// a daemon now and then tells things in another order, or says that it was too slow.
    fn group(&mut self, group: &Group, report: &mut Report) {
        let failures = report.failures.len();
        let before = (report.clone(), self.recording.clone());
        self.group_once(group, report);
        if report.failures.len() > failures && self.live.is_some() {
            println!("run again, it differed:\n{}", report.failures[failures..].join("\n"));
            (*report, self.recording) = before;
            self.sides().for_each(Side::leave);
            self.group_once(group, report);
        }
    }

    fn group_once(&mut self, group: &Group, report: &mut Report) {
        let state = Gallery::state(&group.state).unwrap_or_else(|problem| panic!("{problem}"));
        let gallery = self.gallery;
        self.sides().for_each(|side| side.enter(&group.state, state, gallery));
        for step in &group.steps {
            match step {
                Step::Prepare(line) => self.sides().for_each(|side| side.prepare(line)),
                Step::Configure(json) => self.sides().for_each(|side| side.configure(json)),
                Step::Compare(case) => self.case(case, report),
            }
        }
        if !group.reads {
            self.sides().for_each(Side::leave);
        }
    }

    fn case(&mut self, case: &Case, report: &mut Report) {
        report.shapes.insert(shape(&split(&case.line).expect("words")));
        let theirs = match &self.live {
            Some(live) => live.run(case),
            None => self.recording.next(case).unwrap_or_else(|problem| panic!("{problem}")),
        };
        self.recording.add(case, &theirs);
        let listed = self.listed;
        judge(report, case, &theirs, &self.dhow.run(case), |entry| listed.iter().any(|known| known == entry));
    }
}

/// The case files in the order of their names; `DHOW_PARITY_CASES` is a part of the name of those to run.
fn case_files(home: &str, narrowed: Option<&str>) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(home).join("cases");
    let files = fs::read_dir(folder).expect("the cases");
    let mut files: Vec<PathBuf> =
        files.collect::<io::Result<Vec<_>>>().expect("names").iter().map(|file| file.path()).collect();
    files.retain(|file| narrowed.is_none_or(|part| file.to_string_lossy().contains(part)));
    files.sort();
    files
}

/// The entries of `docs/compatibility.md`: the first cell of each row of its tables.
fn listed_differences() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let page = fs::read_to_string(page).expect("docs/compatibility.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.map(str::to_owned).collect()
}

fn daemon_version(daemon: &Docker) -> String {
    let mut command: Command = daemon.command();
    peers::stdout_of(command.args(["version", "--format", "{{.Server.Version}}"])).expect("the daemon's version")
}

fn podman_version() -> String {
    peers::stdout_of(Command::new(peers::find("podman").expect("podman")).arg("--version")).expect("its version")
}
