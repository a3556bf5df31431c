//! The unified hierarchy as folders and files: what is written where. What the kernel makes of it, `docs/design/containers.md` tells.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use super::*;

/// A tree whose group `own` is this process's; groups that are to be made are there, since files of a kernel's own are in them.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new(own: &str, groups: &[&str]) -> (Self, Trees<'static>) {
        let tree = Self { folder: tempfile::tempdir().expect("a folder") };
        for group in [&["", own], groups].concat() {
            fs::create_dir_all(tree.path(group)).expect("a group");
            for file in ["cgroup.procs", "cgroup.subtree_control", "memory.max", "memory.swap.max", "pids.max"] {
                fs::write(tree.path(group).join(file), "").expect("a file");
            }
            fs::write(tree.path(group).join("cgroup.controllers"), "cpu memory pids\n").expect("a file");
        }
        let (point, own) = (tree.path(""), tree.path(own));
        let hierarchies = vec![Hierarchy { point, own, controllers: Vec::new(), is_unified: true }];
        (tree, trees(hierarchies))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn says(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| error.to_string())
    }
}

fn trees(hierarchies: Vec<Hierarchy>) -> Trees<'static> {
    let record = Box::leak(Box::new(|_: &[PathBuf]| -> Result<()> { Ok(()) }));
    Trees { hierarchies, ask_manager: None, candidates: Vec::new(), record }
}

/// Returns the notes.
fn limited(limits: &Limits, trees: &mut Trees<'_>) -> (Group, Vec<String>) {
    let mut group = Group::default();
    let notes = limits.settings(false).iter().filter_map(|setting| group.set("one", setting, trees)).collect();
    (group, notes)
}

fn memory() -> Limits {
    Limits { memory_bytes: Some(64 << 20), ..Limits::default() }
}

#[test]
fn root_s_are_below_a_group_of_their_own() {
    let (tree, mut trees) = Tree::new("system/shell", &["dhow", "dhow/one"]);
    let (group, notes) = limited(&Limits { processes: Some(5), ..memory() }, &mut trees);
    assert_eq!((group.directories(), notes.len()), (&[tree.path("dhow/one")][..], 0));
    let said = ["memory.max", "memory.swap.max", "pids.max"].map(|file| tree.says(&format!("dhow/one/{file}")));
    assert_eq!(said, ["67108864", "67108864", "5"]);
    assert_eq!(
        (tree.says("cgroup.subtree_control"), tree.says("dhow/cgroup.subtree_control")),
        ("+pids".into(), "+pids".into())
    );
    group.take(7).expect("taken");
    assert_eq!(tree.says("dhow/one/cgroup.procs"), "7");
}

/// What root's group cannot be, since nobody may write above: here a file is in its way.
fn of_user(groups: &[&str]) -> (Tree, Trees<'static>) {
    let (tree, trees) = Tree::new("user/scope", groups);
    fs::write(tree.path(ABOVE), "").expect("a file");
    (tree, trees)
}

#[test]
fn users_are_below_their_own_group() {
    let (tree, mut trees) = of_user(&["user/scope/dhow-one"]);
    let (group, notes) = limited(&memory(), &mut trees);
    assert_eq!((group.directories(), notes.len()), (&[tree.path("user/scope/dhow-one")][..], 0));
    assert_eq!(tree.says("user/scope/cgroup.subtree_control"), "+memory");
    assert!(!tree.path("user/scope/dhow-watch").exists(), "nobody is in the way");
}

#[test]
fn who_is_not_alone_goes_without_and_says_so() {
    let (tree, mut trees) = of_user(&["user/scope/dhow-watch"]);
    fs::write(tree.path("user/scope/cgroup.procs"), "1\n2\n").expect("a file");
    let (group, notes) = limited(&memory(), &mut trees);
    let words = "the container goes without a limit of memory: others are in the control group of this process, which has to be alone there";
    assert_eq!((group.directories().len(), notes), (0, vec![words.to_owned()]));
    assert_eq!(tree.says("user/scope/dhow-watch/cgroup.procs"), std::process::id().to_string());
    assert_eq!(tree.says("user/scope/cgroup.subtree_control"), "", "no controller before");
    // A service manager that moves nobody is asked once.
    trees.ask_manager = Some(|| false);
    assert_eq!(limited(&memory(), &mut trees).1.len(), 1);
    assert!(trees.ask_manager.is_none());
}

#[test]
fn what_there_is_no_controller_for_is_said() {
    let (_tree, mut trees) = Tree::new("shell", &["dhow", "dhow/one"]);
    let limits = Limits { cpus: "0".to_owned(), oom_kill_disabled: true, ..memory() };
    let notes = limited(&limits, &mut trees).1;
    assert_eq!(
        notes,
        [
            "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
            "the container goes without a choice of processors and memory: this machine has no control groups for it",
        ]
    );
    trees.hierarchies.clear();
    assert_eq!(limited(&memory(), &mut trees).1.len(), 1, "nobody asked for a limit of swap space");
}

#[test]
fn a_group_that_gathers_is_made_without_limits_and_without_asking() {
    let (tree, mut trees) = Tree::new("system/shell", &["dhow", "dhow/one"]);
    trees.ask_manager = Some(|| panic!("nobody asked for a limit"));
    let make = |trees: &mut Trees<'_>| {
        let mut group = Group::default();
        let notes = Limits::default().settings(true).iter().filter_map(|one| group.set("one", one, trees)).count();
        (group.directories, notes)
    };
    assert_eq!(make(&mut trees), (vec![tree.path("dhow/one")], 0));
    assert_eq!(tree.says("dhow/one/pids.max"), "max");
    trees.hierarchies.iter_mut().for_each(|one| one.point = tree.path("nowhere"));
    assert_eq!(make(&mut trees), (Vec::new(), 0));
}

#[test]
fn what_is_in_a_group_ends_with_what_is_in_those_below() {
    let (tree, _) = Tree::new("dhow/one", &["dhow/one/below"]);
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("a process");
    assert_eq!((end_group(&tree.path("dhow/one")), end_group(&tree.path("dhow/gone"))), (0, 0));
    fs::write(tree.path("dhow/one/below/cgroup.procs"), format!("0\n{}\n", child.id())).expect("a file");
    assert_eq!(end_group(&tree.path("dhow/one")), 1);
    assert!(!child.wait().expect("its end").success());
}

/// Whoever is killed before it is known where a group was made leaves it where others look.
#[test]
fn where_a_group_may_be_is_told_before_one_is_made() {
    let (tree, Trees { hierarchies, .. }) = Tree::new("user/shell", &[]);
    let mut told = Vec::new();
    let mut record = |candidates: &[PathBuf]| {
        told = candidates.to_vec();
        Ok(())
    };
    let mut trees = Trees { hierarchies, ask_manager: None, candidates: Vec::new(), record: &mut record };
    trees.record_candidates("one").expect("a record");
    // A service manager moves this process.
    trees.hierarchies[0].own = tree.path("user/scope");
    trees.record_candidates("one").expect("a record");
    assert_eq!(told, ["dhow/one", "user/shell/dhow-one", "user/scope/dhow-one"].map(|group| tree.path(group)));
    assert!(!tree.path("dhow").exists());
}

#[test]
fn kills_for_want_of_memory_are_counted() {
    assert!(counts_kills("low 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n"));
    assert!(counts_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"));
    assert!(!counts_kills("oom 1\noom_kill 0\n") && !counts_kills("") && !counts_kills("oom_kill_disable 1\n"));
}
