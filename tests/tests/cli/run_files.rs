//! `cp`, `diff`, `commit` and `export` of containers that run and that do not, limits, and runs without root.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dhow_base::beneath::Dir;
use dhow_tests::scene::{Scene, Transcript};

use super::nobody::Nobody;
use super::run::{import, is_running, says, scene, wait};

/// A container that runs a script, in the background of the test.
fn begin(scene: &Scene, arguments: &[&str]) -> Child {
    let mut command = scene.command(&[&["run"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start dhow")
}

/// What it wrote until it ended.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("its end");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[track_caller]
fn fails(transcript: &Transcript, words: &str) {
    assert_eq!((transcript.code, transcript.stderr.trim_end()), (1, words), "{transcript}");
}

/// Fractions count, and what is not attached is not seen; files without a name are none.
#[test]
fn sizes_streams_and_empty_names_are_docker_s() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "half", "-m", "0.5g", "--shm-size", "10.5m", "--cidfile=", "box"]);
    let shown = "{{.HostConfig.Memory}} {{.HostConfig.ShmSize}}";
    assert_eq!(scene.must(&["inspect", "--format", shown, "half"]), "536870912 11010048\n");
    let heard = |streams: &[&str]| {
        let says = ["box", "sh", "-c", "echo out; echo err >&2"];
        let ran = scene.docker(&[&["run", "--rm"], streams, &says].concat());
        (ran.code, ran.stdout, ran.stderr)
    };
    let both = |out: &str, err: &str| (0, out.to_owned(), err.to_owned());
    assert_eq!(heard(&["-a", "stdout"]), both("out\n", ""));
    assert_eq!(heard(&["-a", "STDERR"]), both("", "err\n"));
    assert_eq!(heard(&["-a", "stdin", "-a", "stdout", "-a", "stderr"]), both("out\n", "err\n"));
    assert_eq!(heard(&["-a", "stdin"]), both("", ""));
    let quiet = scene.docker(&["run", "-q", "--rm", "localhost:1/none", "true"]);
    assert!(quiet.code == 125 && !quiet.stderr.contains("Unable to find image"), "{quiet}");
}

/// What docker refuses before it copies anything, and the names that archives and errors have behind links.
#[test]
fn copies_are_refused_and_named_as_docker_does() {
    let Some(scene) = scene() else { return };
    let made = "mkdir /d; echo x > /d/f; ln -s d/f /lf; ln -s none /dang";
    scene.must(&["run", "--name", "work", "box", "sh", "-c", made]);
    let first = |arguments: &[&str]| {
        let output = scene.command(arguments).output().expect("dhow");
        let mut archive = tar::Archive::new(&output.stdout[..]);
        let first = archive.entries().expect("entries").next().expect("an entry").expect("an entry");
        String::from_utf8_lossy(&first.path_bytes()).into_owned()
    };
    assert_eq!(first(&["cp", "work:/d/.", "-"]), "./");
    assert_eq!(first(&["cp", "work:/lf", "-"]), "lf");
    assert_eq!(first(&["cp", "-L", "work:/lf", "-"]), "f");
    assert_eq!(first(&["--compat", "podman", "cp", "work:/lf", "-"]), "f");
    assert_eq!(first(&["--compat", "podman", "cp", "work:/d/.", "-"]), "f");
    let refused = |arguments: &[&str], words: &str| fails(&scene.dhow(arguments), words);
    refused(&["cp", "-L", "work:/dang", "x"], "Could not find the file /none in container work");
    refused(&["cp", "work:", "x"], "bad parameter: pathcannot be empty");
    let shown = "[FOLDER]/no";
    refused(&["cp", "nope:/d", "no/x"], &format!("invalid output path: directory {shown:?} does not exist"));
    // A device stays what it is.
    let made = Command::new("mknod").arg(scene.path("null")).args(["c", "1", "3"]).status().expect("mknod");
    assert!(made.success());
    let shown = "[FOLDER]/null";
    let words = format!("invalid output path: {shown:?} must be a directory or a regular file: got a device");
    refused(&["cp", "work:/d/f", "null"], &words);
    let said = scene.podman(&["cp", "work:/d/f", "null"]);
    let words = format!("Error: invalid destination: {shown:?} must be a directory or a regular file\n");
    assert_eq!((said.code, said.stderr), (125, words));
}

#[test]
fn files_go_into_containers_and_out() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("one"), "one\n").expect("a file");
    fs::create_dir_all(scene.path("folder/sub")).expect("folders");
    fs::write(scene.path("folder/sub/file"), "file\n").expect("a file");
    scene.must(&[
        "create",
        "--name",
        "work",
        "-v",
        "kept:/data",
        "box",
        "sh",
        "-c",
        "cat /tmp/one /data/two /fresh/sub/file",
    ]);
    let copied = scene.dhow(&["cp", "one", "work:/tmp"]);
    assert!(copied.code == 0 && copied.stderr.ends_with("kB to work:/tmp\n"), "{copied}");
    scene.must(&["cp", "one", "work:/data/two"]);
    scene.must(&["cp", "folder", "work:fresh"]);
    assert_eq!(scene.must(&["start", "-a", "work"]), "one\none\nfile\n");
    let out = scene.dhow(&["cp", "work:/data/.", "out"]);
    assert_eq!(out.code, 0, "{out}");
    assert_eq!(fs::read_to_string(scene.path("out/two")).expect("a file"), "one\n");
    assert_eq!(fs::read_to_string(scene.path("out/seed")).expect("a file"), "seed\n");
    // Archives both ways, compressed ones into it.
    let tar = scene.command(&["cp", "work:/fresh", "-"]).output().expect("dhow");
    fs::write(scene.path("fresh.tar"), &tar.stdout).expect("an archive");
    let packed = Command::new("gzip").arg("-c").arg(scene.path("fresh.tar")).output().expect("gzip");
    assert_eq!(scene.fed(&["cp", "-", "work:/tmp"], &packed.stdout).code, 0);
    scene.must(&["cp", "work:/tmp/fresh/sub/file", "again"]);
    assert_eq!(fs::read_to_string(scene.path("again")).expect("a file"), "file\n");
    let json = scene.must(&["cp", "--format", "json", "one", "work:/tmp/named"]);
    assert!(json.contains(r#""destination":"work:/tmp/named""#) && json.contains(r#""files":1"#), "{json}");
    // A link is copied as one; podman follows those that it is given.
    symlink("one", scene.path("soft")).expect("a link");
    scene.must(&["cp", "soft", "work:/tmp/soft"]);
    scene.must(&["--compat", "podman", "cp", "soft", "work:/tmp/followed"]);
    for (name, is_link) in [("soft", true), ("followed", false)] {
        scene.must(&["cp", &format!("work:/tmp/{name}"), &format!("{name}-back")]);
        let found = fs::symlink_metadata(scene.path(&format!("{name}-back"))).expect("the copy");
        assert_eq!(found.is_symlink(), is_link, "{name}");
    }
    // Nothing else was changed, and nothing is left of the way.
    let changed = scene.must(&["diff", "work"]);
    assert!(!changed.contains(".dhow-cp"), "{changed}");
    fails(&scene.dhow(&["cp", "one", "work:/nowhere/x"]), "Could not find the file /nowhere in container work");
    fails(&scene.dhow(&["cp", "work:/nope", "x"]), "Could not find the file /nope in container work");
    // As it was named, also by a part of its ID.
    let id = scene.must(&["inspect", "--format", "{{.Id}}", "work"]);
    let (id, short) = (id.trim_end(), &id[..12]);
    fails(
        &scene.dhow(&["cp", &format!("{id}:/nope"), "x"]),
        &format!("Could not find the file /nope in container {id}"),
    );
    fails(
        &scene.dhow(&["cp", "one", &format!("{short}:/no/x")]),
        &format!("Could not find the file /no in container {short}"),
    );
    fails(&scene.dhow(&["cp", "one", "nope:/x"]), "No such container: nope");
    let refused = scene.dhow(&["--compat", "docker", "cp", "work:/x", "work:/y"]);
    fails(&refused, "copying between containers is not supported");
    fails(&scene.dhow(&["cp", "folder", "work:/tmp/one"]), "cannot copy directory");
    fails(&scene.fed(&["cp", "-", "work:/tmp/one"], b""), "destination \"work:/tmp/one\" must be a directory");
    // A link that leads nowhere is followed, as docker follows it: not where a directory is to be there.
    symlink("nowhere", scene.path("link")).expect("a link");
    scene.must(&["cp", "link", "work:/tmp/link"]);
    let words = "cannot overwrite non-directory \"/tmp/link\" with directory \"/tmp\"";
    fails(&scene.dhow(&["cp", "folder", "work:/tmp/link/"]), words);
    let words = format!("Error response from daemon: {words}");
    fails(&scene.docker(&["cp", "folder", "work:/tmp/link/"]), &words);
    fails(&scene.dhow(&["cp", "one", "work:/tmp/link/"]), "no such directory");
    scene.must(&["cp", "folder", "work:/tmp/link"]);
    scene.must(&["cp", "work:/tmp/nowhere/sub/file", "-"]);
    // A container comes before an image of its name.
    scene.must(&["create", "--name", "box", "box"]);
    scene.must(&["cp", "one", "box:/tmp/mark"]);
    scene.must(&["cp", "box:/tmp/mark", "mark"]);
    scene.must(&["rm", "box"]);
    fails(&scene.dhow(&["cp", "box:/tmp/mark", "mark"]), "Could not find the file /tmp/mark in image box");
    // What can only be read.
    scene.must(&["create", "--name", "shut", "--read-only", "-v", "kept:/data:ro", "-v", "open:/open", "box"]);
    fails(&scene.dhow(&["cp", "one", "shut:/tmp"]), "container rootfs is marked read-only");
    scene.must(&["cp", "one", "shut:/open"]);
}

#[test]
fn a_link_in_a_container_leads_nowhere_else() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("victim")).expect("a folder");
    fs::write(scene.path("victim/secret"), "secret\n").expect("a file");
    fs::write(scene.path("one"), "one\n").expect("a file");
    let victim = scene.path("victim").to_string_lossy().into_owned();
    import(
        &scene,
        "bad",
        &[],
        &[
            ("away", &format!("->{victim}")),
            ("up", "->../../../../../../.."),
            ("self", "->/proc/1/root"),
            ("deep", "->no/where"),
        ],
    );
    for (name, options) in [("still", &["create"][..]), ("moving", &["run"])] {
        let arguments = [options, &["--name", name, "bad", "sleep", "1000"]].concat();
        let child = match options {
            ["run"] => Some(scene.command(&arguments).spawn().expect("start dhow")),
            _ => {
                scene.must(&arguments);
                None
            }
        };
        if child.is_some() {
            wait("it runs", || is_running(&scene, name));
        }
        fails(
            &scene.dhow(&["cp", &format!("{name}:/away/secret"), "x"]),
            &format!("Could not find the file /away/secret in container {name}"),
        );
        fails(
            &scene.dhow(&["cp", "-L", &format!("{name}:/away"), "x"]),
            // Docker's client asks for what the link says.
            &format!("Could not find the file [FOLDER]/victim in container {name}"),
        );
        assert_eq!(scene.dhow(&["cp", "one", &format!("{name}:/away/x")]).code, 1);
        assert_eq!(scene.dhow(&["cp", "one", &format!("{name}:/self/x")]).code, 1);
        fails(
            &scene.dhow(&["cp", "one", &format!("{name}:/deep")]),
            &format!("Could not find the file /no in container {name}"),
        );
        scene.must(&["cp", "one", &format!("{name}:/up/landed")]);
        scene.must(&["cp", &format!("{name}:/landed"), "landed"]);
        scene.must(&["rm", "-f", name]);
        if let Some(mut child) = child {
            child.wait().expect("its end");
        }
    }
    let left: Vec<_> = fs::read_dir(&victim).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["secret"]);
    assert!(!scene.path("x").exists() && fs::metadata("/landed").is_err());
}

/// Swaps that there are at least: ten thousand a second on a machine that has nothing else to do.
const SWAPS_MIN: u64 = 30_000;

/// Somebody in a container swaps a directory and a link that leads out of it while files are copied in and out (CVE-2018-15664).
#[test]
fn a_link_that_comes_and_goes_leads_nowhere_else() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("victim")).expect("a folder");
    fs::write(scene.path("victim/file"), "secret\n").expect("a file");
    fs::create_dir(scene.path("folder")).expect("a folder");
    fs::write(scene.path("folder/file"), "mine\n").expect("a file");
    let victim = scene.path("victim").to_string_lossy().into_owned();
    let script = format!(
        "mkdir -p /b/swap; echo theirs > /b/swap/file; ln -s {victim} /b/evil; ln -s ../../../../../.. /b/up; sleep 1000"
    );
    let mut child = scene.command(&["run", "--name", "racer", "box", "sh", "-c", &script]).spawn().expect("start dhow");
    wait("it runs", || is_running(&scene, "racer") && scene.must(&["diff", "racer"]).contains("/b/up\n"));
    let process = scene.must(&["inspect", "--format", "{{.State.Pid}}", "racer"]).trim().to_owned();
    // What its processes could do, done from here, since that is faster.
    let above = Dir::open(format!("/proc/{process}/root/b").as_ref()).expect("its files");
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let begin = Instant::now();
    let mut arrived = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for link in ["evil", "up"] {
                    for _ in 0..2 {
                        if above.exchange("swap".as_ref(), link.as_ref()).is_ok() {
                            swaps.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        // A busy machine takes longer for as many swaps.
        let is_enough = |arrived: i32| arrived > 0 && swaps.load(Ordering::Relaxed) >= SWAPS_MIN;
        while begin.elapsed() < Duration::from_secs(3)
            || !is_enough(arrived) && begin.elapsed() < Duration::from_secs(60)
        {
            arrived += i32::from(scene.dhow(&["cp", "folder/file", "racer:/b/swap/file"]).code == 0);
            arrived += i32::from(scene.dhow(&["cp", "folder/.", "racer:/b/swap/"]).code == 0);
            for source in ["racer:/b/swap/file", "racer:/b/swap/.", "racer:/b"] {
                let out = scene.path("out");
                let _ = fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out));
                scene.dhow(&["cp", source, "out"]);
                for found in [out.clone(), out.join("file"), out.join("swap/file")] {
                    let is_link = fs::symlink_metadata(&found).is_ok_and(|found| found.is_symlink());
                    let leads_on = found.ancestors().take(2).any(|path| path.is_symlink());
                    if !is_link
                        && !leads_on
                        && let Ok(content) = fs::read_to_string(&found)
                    {
                        assert_ne!(content, "secret\n", "{source} to {found:?}");
                    }
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let swaps = swaps.load(Ordering::Relaxed);
    assert!(swaps >= SWAPS_MIN && arrived > 0, "{swaps} swaps, {arrived} copies arrived");
    scene.must(&["rm", "-f", "racer"]);
    child.wait().expect("its end");
    let left: Vec<_> = fs::read_dir(&victim).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(fs::read_to_string(scene.path("victim/file")).expect("a file"), "secret\n");
    assert!(fs::metadata("/file").is_err());
}

#[test]
fn containers_that_run_are_looked_into() {
    let Some(scene) = scene() else { return };
    fs::write(scene.path("go"), "gone\n").expect("a file");
    let script = "echo 1 > /mem/in-memory; echo new > /new; rm /root/.x 2>/dev/null; \
                  while ! test -e /go; do sleep 0.02; done; cat /go";
    let child = begin(&scene, &["--name", "work", "--tmpfs", "/mem", "-v", "kept:/data", "box", "sh", "-c", script]);
    wait("it runs", || is_running(&scene, "work") && scene.must(&["diff", "work"]).contains("A /new\n"));
    // What it sees is what is copied: memory and volumes, too.
    scene.must(&["cp", "work:/mem/in-memory", "memory"]);
    assert_eq!(fs::read_to_string(scene.path("memory")).expect("a file"), "1\n");
    scene.must(&["cp", "work:/data/seed", "seed"]);
    // What the kernel shows of the machine stays out.
    fs::create_dir(scene.path("whole")).expect("a folder");
    scene.must(&["cp", "work:/", "whole"]);
    assert!(scene.path("whole/new").is_file());
    for name in ["dev", "proc", "sys"] {
        assert_eq!(fs::read_dir(scene.path("whole").join(name)).expect("a folder").count(), 0, "{name}");
    }
    let archive = scene.command(&["cp", "work:/", "-"]).output().expect("dhow runs");
    assert!(archive.status.success() && !archive.stdout.is_empty());
    scene.must(&["export", "-o", "running.tar", "work"]);
    let names = Command::new("tar").arg("-tf").arg(scene.path("running.tar")).output().expect("tar");
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    assert!(names.lines().any(|name| name == "new") && names.lines().any(|name| name == "bin/busybox"), "{names}");
    assert!(!names.contains("in-memory") && !names.contains("proc/1"), "{names}");
    assert!(scene.must(&["commit", "work", "made"]).starts_with("sha256:"));
    scene.must(&["cp", "go", "work:/go"]);
    assert_eq!(end(child), (Some(0), "gone\n".to_owned()));
    assert_eq!(scene.must(&["run", "--rm", "made", "cat", "/new"]), "new\n");
}

#[test]
fn a_commit_finds_files_that_stand_still() {
    let Some(scene) = scene() else { return };
    let script = "while ! test -e /end; do i=$((i+1)); echo $i > /first; echo $i > /second; done";
    let child = begin(&scene, &["--name", "busy", "box", "sh", "-c", script]);
    wait("it runs", || is_running(&scene, "busy") && scene.must(&["diff", "busy"]).contains("A /second\n"));
    for round in 0..3 {
        scene.must(&["commit", "busy", "made"]);
        let numbers = scene.must(&["run", "--rm", "made", "sh", "-c", "cat /first /second"]);
        // The shell empties a file before it writes to it: at that moment the number is missing.
        let numbers: Vec<i64> = numbers.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(numbers.windows(2).all(|pair| (0..=1).contains(&(pair[0] - pair[1]))), "{round}: {numbers:?}");
    }
    // It goes on.
    fs::write(scene.path("end"), "").expect("a file");
    scene.must(&["cp", "end", "busy:/end"]);
    assert_eq!(end(child).0, Some(0));
    // Whoever knows that nothing is written can do without.
    let child = begin(&scene, &["--name", "idle", "box", "sh", "-c", "while ! test -e /end; do sleep 1; done"]);
    wait("it runs", || is_running(&scene, "idle"));
    scene.must(&["commit", "--pause=false", "idle", "made"]);
    scene.must(&["cp", "end", "idle:/end"]);
    assert_eq!(end(child).0, Some(0));
}

#[test]
fn limits_are_those_of_a_control_group() {
    let Some(scene) = scene() else { return };
    let limits = ["--memory", "32m", "--cpus", "0.5", "--pids-limit", "4"];
    let mut command =
        scene.command(&[&["run", "--rm", "--name", "small"], &limits[..], &["box", "sleep", "1000"]].concat());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("start dhow");
    wait("it runs", || is_running(&scene, "small"));
    let process = scene.must(&["inspect", "--format", "{{.State.Pid}}", "small"]).trim().to_owned();
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("groups");
    let shown = scene.must(&[
        "inspect",
        "--format",
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}",
        "small",
    ]);
    assert_eq!(shown, "33554432 500000000 4\n");
    let id = scene.must(&["inspect", "--format", "{{.Id}}", "small"]).trim().to_owned();
    let is_limited = groups.contains(&id);
    let crowd =
        ["run", "--rm", "--pids-limit", "4", "box", "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 5 & done; kill 0"];
    let crowded = scene.dhow(&crowd);
    match is_limited {
        true => assert!(crowded.stderr.contains("can't fork"), "{crowded}"),
        // Said once, and not failing.
        false => assert!(
            crowded.stderr.starts_with("WARNING: the container goes without a limit of processes: "),
            "{crowded}"
        ),
    }
    scene.must(&["rm", "-f", "small"]);
    child.wait().expect("its end");
    // Nothing is left of the groups.
    let left = Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("*{id}*")]).output().expect("find");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    for (flag, value, words) in [
        ("--memory", "1m", "Minimum memory limit allowed is 6MB"),
        ("--memory", "x", "invalid size: 'x'"),
        ("--cpus", "1000", "range of CPUs is from 0.01 to "),
        ("--cpus", "x", "failed to parse x as a rational number"),
    ] {
        let refused = scene.dhow(&["run", "--rm", flag, value, "box", "true"]);
        assert!(refused.code == 125 && refused.stderr.contains(words), "{refused}");
    }
    says(&scene, &["--pids-limit", "-1", "--network", "private"], "ls /sys/class/net", "lo\n");
}

#[test]
fn who_is_not_root_shares_a_tree_and_looks_into_what_runs() {
    let Some(nobody) = Nobody::new() else { return };
    let (path, must) = (|name: &str| nobody.path(name), |arguments: &[&str]| nobody.must(arguments));
    fs::write(path("go"), "gone\n").expect("a file");
    must(&["import", "-c", "CMD [\"sh\"]", "root.tar", "box"]);
    let trees = || -> Vec<u64> {
        let entries = fs::read_dir(path("store/layers/trees-v1")).expect("trees").flatten();
        entries.map(|entry| entry.metadata().expect("a tree").ino()).collect()
    };
    must(&["run", "--rm", "box", "sh", "-c", "rm -r /data; echo x > /etc/passwd"]);
    let first = trees();
    assert_eq!(first.len(), 1);
    assert_eq!(must(&["run", "--rm", "box", "cat", "/data/seed"]), "seed\n");
    assert_eq!(trees(), first);
    let script = "echo new > /new; while ! test -e /go; do sleep 0.02; done; cat /go";
    let mut running = nobody.command(&["run", "--name", "work", "box", "sh", "-c", script]);
    let child = running.stdout(Stdio::piped()).spawn().expect("start dhow");
    wait("it runs", || !must(&["ps", "-q"]).is_empty() && must(&["diff", "work"]).contains("A /new\n"));
    must(&["cp", "work:/new", "new"]);
    assert_eq!(fs::read_to_string(path("new")).expect("a file"), "new\n");
    must(&["export", "-o", "files.tar", "work"]);
    must(&["commit", "work", "made"]);
    must(&["cp", "go", "work:/go"]);
    assert_eq!(end(child), (Some(0), "gone\n".to_owned()));
    assert_eq!(must(&["run", "--rm", "made", "cat", "/new"]), "new\n");
    must(&["cp", "go", "work:/tmp/later"]);
    must(&["cp", "work:/tmp/later", "later"]);
    assert_eq!(fs::read_to_string(path("later")).expect("a file"), "gone\n");
    must(&["rm", "work"]);
    must(&["rmi", "made", "box"]);
    assert!(trees().is_empty());
}
