//! `image mount` and `image unmount`.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dhow_testkit::peers;
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

use crate::files::load;

/// A scene whose mounts go before its folder does.
struct Mounting(Scene);

impl Drop for Mounting {
    fn drop(&mut self) {
        self.0.dhow(&["image", "unmount", "--all", "--force"]);
    }
}

fn may_mount() -> io::Result<()> {
    let is_there = |name: &str| fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains(name));
    match (peers::is_root(), is_there("erofs") && is_there("overlay")) {
        (true, true) => Ok(()),
        (false, _) => Err(io::Error::other("mounting takes root")),
        (true, false) => Err(io::Error::other("this kernel has no EROFS or no overlayfs")),
    }
}

/// Podman calls an image by its name, however it was asked for, and writes one list in JSON.
#[test]
fn podman_s_rows_have_names() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    let path = scene.podman(&["image", "mount", "docker.io/acme/files:v1"]).stdout.trim_end().to_owned();
    let row = format!("docker.io/acme/files:v1  {path}\n");
    for arguments in [&["image", "mount"][..], &["image", "mount", "--all"]] {
        assert_eq!(scene.podman(arguments).stdout, row, "{arguments:?}");
    }
    let shown = scene.podman(&["image", "mount", "--format", "json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown[0]["mountpoint"], path);
    assert_eq!(shown[0]["Repositories"][0], "docker.io/acme/files:v1");
    let refused = scene.podman(&["image", "mount", "--format", "odd"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (125, "Error: unknown --format argument: \"odd\"\n"));
}

#[test]
fn an_image_is_mounted_counted_listed_and_unmounted() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    assert_eq!(scene.must(&["image", "mount"]), "");
    // What this leaves of the layers is nothing that can be mounted.
    scene.must(&["ls", "-R", "acme/files:v1:/"]);
    let path = PathBuf::from(scene.command(&["image", "mount", "acme/files:v1"]).output().map_or_else(
        |error| panic!("{error}"),
        |output| String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
    ));
    assert_eq!(fs::read_to_string(path.join("etc/passwd")).expect("a file"), "root:x:0:0\nuser:x:1:1\n");
    assert_eq!(fs::read_to_string(path.join("lib/y")).expect("a file"), "library");
    let writable = fs::OpenOptions::new().write(true).open(path.join("etc/passwd"));
    assert!(!path.join("etc/old").exists() && writable.is_err());
    let mode = Command::new("stat").args(["-c", "%a %A"]).arg(path.join("tmp")).output().expect("stat");
    assert_eq!(String::from_utf8_lossy(&mode.stdout), "1777 drwxrwxrwt\n");
    assert_eq!(scene.must(&["image", "mount"]).split_whitespace().next(), Some("docker.io/acme/files:v1"));
    // As often as it was mounted.
    scene.must(&["image", "mount", "acme/files:v1"]);
    scene.must(&["image", "unmount", "acme/files:v1"]);
    assert!(path.join("etc/passwd").exists());
    scene.must(&["image", "umount", "acme/files:v1"]);
    assert!(!path.exists());
    assert_eq!(scene.must(&["image", "unmount", "acme/files:v1"]), "", "what is not mounted is left alone");
    assert_eq!(scene.must(&["image", "unmount", "--force", "acme/files:v1", "acme/files:v1"]), "");
    assert_eq!(scene.dhow(&["image", "unmount", "acme/nothing"]).code, 1, "what is not here is a failure");
}

#[test]
fn a_layer_that_went_or_was_cut_is_unpacked_again_by_the_next_mount() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    let mounted = || {
        let output = scene.command(&["image", "mount", "acme/files:v1"]).output().expect("dhow");
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
        let files = ["etc/passwd", "lib/y"].map(|name| fs::read_to_string(path.join(name)).expect("a file"));
        scene.must(&["image", "unmount", "acme/files:v1"]);
        files
    };
    let files = mounted();
    assert_eq!(mounted(), files);
    let layers: Vec<PathBuf> = {
        let entries = fs::read_dir(scene.path("store/layers/v1")).expect("unpacked layers").flatten();
        let is_layer = |path: &PathBuf| path.to_string_lossy().ends_with(".erofs");
        entries.map(|entry| entry.path()).filter(is_layer).collect()
    };
    assert!(layers.len() >= 2, "{layers:?}");
    for layer in &layers {
        fs::remove_file(layer).expect("remove");
        assert_eq!(mounted(), files, "without {layer:?}");
        fs::OpenOptions::new().write(true).open(layer).and_then(|file| file.set_len(4096)).expect("cut");
        assert_eq!(mounted(), files, "{layer:?} was cut");
    }
}

#[test]
fn what_was_unmounted_by_others_is_forgotten_and_what_a_crash_left_is_taken_away() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    let mount = || {
        let output = scene.command(&["image", "mount", "acme/files:v1"]).output().expect("dhow runs");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    };
    let path = mount();
    assert!(Command::new("umount").arg(&path).status().expect("umount").success());
    assert_eq!(scene.must(&["image", "mount"]), "");
    assert_eq!(mount(), path);
    // Mounted, and killed before that was noted.
    let record = path.parent().expect("a parent").join("mount.json");
    assert!(Command::new("rm").arg(&record).status().expect("rm").success());
    assert_eq!(scene.must(&["image", "mount"]), "");
    assert_eq!(mount(), path);
    assert_eq!(
        fs::read_to_string("/proc/self/mountinfo").expect("a table").matches(&*path.to_string_lossy()).count(),
        1
    );
}

/// After the machine was started anew nothing is mounted, whatever was noted before; what was unpacked instead is still there.
#[test]
fn a_mount_ends_with_the_machine_s_run() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    for (way, listed) in [("kernel", 0), ("tree", 1)] {
        let mount = || {
            let output = scene.command(&["image", "mount", "acme/files:v1"]).env("DHOW_MOUNT_BY", way).output();
            PathBuf::from(String::from_utf8_lossy(&output.expect("dhow runs").stdout).trim_end())
        };
        let path = mount();
        let record = path.parent().expect("a parent").join("mount.json");
        let text = fs::read_to_string(&record).expect("a record");
        let boot = text.split("\"boot\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boot");
        if way == "kernel" {
            assert!(Command::new("umount").arg(&path).status().expect("umount").success());
        }
        fs::write(&record, text.replace(boot, "another")).expect("a record");
        assert_eq!(scene.must(&["image", "mount"]).lines().count(), listed, "{way}");
        assert_eq!(mount(), path);
        assert_eq!(fs::read_to_string(path.join("lib/y")).expect("a file"), "library");
        scene.must(&["image", "unmount", "--force", "acme/files:v1"]);
        assert!(!path.exists());
    }
}

#[test]
fn arguments_are_podman_s() {
    let scene = Scene::new();
    assert_snapshot!(scene.dhow(&["image", "mount", "--all", "x"]).stderr, @"when using the --all switch, you may not pass any image names or IDs");
    assert_snapshot!(scene.dhow(&["image", "unmount"]).stderr, @"image name or ID must be specified");
}

/// Whose rights a mount is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The kernel does it.
    Root,
    /// A process of root's does it.
    RootOverFuse,
    /// A process of an ordinary user does it.
    User,
}

impl Who {
    /// A command line for them.
    fn command(self, scene: &Scene, program: &mut Command) -> Command {
        program.current_dir(scene.path(""));
        match self {
            Who::User if peers::is_root() => {
                let mut user = Command::new("setpriv");
                user.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program.get_program());
                user.args(program.get_args()).env_clear().current_dir(scene.path(""));
                user.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
                user
            }
            Who::RootOverFuse => {
                let mut fuse = Command::new(program.get_program());
                fuse.args(program.get_args()).env_clear().current_dir(scene.path("")).env("DHOW_MOUNT_BY", "fuse");
                fuse.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
                fuse
            }
            Who::Root | Who::User => {
                let mut same = Command::new(program.get_program());
                same.args(program.get_args()).env_clear().current_dir(scene.path(""));
                same.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
                same
            }
        }
    }

    /// Runs dhow.
    fn dhow(self, scene: &Scene, arguments: &[&str]) -> dhow_tests::scene::Transcript {
        scene.run(&mut self.command(scene, &mut scene.command(arguments)))
    }

    fn may_mount(self) -> io::Result<()> {
        match self {
            Who::Root => may_mount(),
            Who::RootOverFuse if !peers::is_root() => Err(io::Error::other("mounting for root takes root")),
            Who::RootOverFuse | Who::User => {
                peers::find("fusermount3")?;
                fs::metadata("/dev/fuse").map(drop)
            }
        }
    }

    /// Mounts the image and says where.
    fn mount(self, scene: &Scene) -> PathBuf {
        let mut command = self.command(scene, &mut scene.command(&["image", "mount", "acme/files:v1"]));
        let output = command.output().expect("dhow runs");
        assert!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    }

    /// Reads a file as they see it.
    fn read(self, scene: &Scene, path: &Path) -> Option<String> {
        let output = self.command(scene, Command::new("/bin/cat").arg(path)).output().expect("cat runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A scene with an image in it, in which they may do what they want.
fn scene_of(who: Who) -> Option<Mounting> {
    peers::available(who.may_mount())?;
    let mounting = Mounting(Scene::new());
    load(&mounting.0, "docker.io/acme/files:v1");
    // The link to the program.
    mounting.0.command(&[]);
    if who == Who::User && peers::is_root() {
        let owner = Command::new("chown").args(["-Rh", "65534:65534"]).arg(mounting.0.path("")).status();
        assert!(owner.expect("chown").success());
    }
    Some(mounting)
}

/// The process that serves a mount.
fn server_of(path: &Path) -> Option<u32> {
    fs::read_dir("/proc").expect("proc").flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0).skip_while(|word| *word != b"mount-server");
        let is_it = words.nth(1) == Some(path.as_os_str().as_encoded_bytes());
        is_it.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    })
}

fn end(process: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill");
    assert!(status.success());
    // Files are closed after the memory is gone, and only by the last thread.
    let is_over = |task: &fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with(['Z', 'X']) || rest.is_empty())
    };
    wait_until(|| {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        tasks.into_iter().all(|task| is_over(&task))
    });
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not come to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_mount_outlives_the_command_and_is_ended_by_unmount() {
    for who in [Who::Root, Who::RootOverFuse, Who::User] {
        let Some(mounting) = scene_of(who) else { continue };
        let scene = &mounting.0;
        let path = who.mount(scene);
        let read = |name: &str| who.read(scene, &path.join(name));
        assert_eq!(read("etc/passwd").as_deref(), Some("root:x:0:0\nuser:x:1:1\n"), "{who:?}");
        assert_eq!((read("lib/y").as_deref(), read("etc/old")), (Some("library"), None), "{who:?}");
        let mut touch = who.command(scene, Command::new("/bin/touch").arg(path.join("etc/more")));
        let touched = String::from_utf8_lossy(&touch.output().expect("touch").stderr).into_owned();
        assert!(touched.contains("Read-only file system"), "{who:?}: {touched}");
        let stat =
            who.command(scene, Command::new("/bin/stat").args(["-c", "%a %u:%g %Y"]).arg(path.join("tmp"))).output();
        assert_eq!(String::from_utf8_lossy(&stat.expect("stat").stdout), "1777 0:0 1700000000\n", "{who:?}");
        assert_eq!(server_of(&path).is_some(), who != Who::Root, "{who:?}");
        assert_eq!(who.mount(scene), path);
        let listed = who.dhow(scene, &["image", "mount"]);
        assert_eq!((listed.stdout.lines().count(), listed.stderr.as_str()), (1, ""), "{who:?}: {listed}");
        assert_eq!(who.dhow(scene, &["image", "unmount", "acme/files:v1"]).code, 0);
        assert!(read("etc/passwd").is_some());
        assert_eq!(who.dhow(scene, &["image", "unmount", "acme/files:v1"]).code, 0);
        assert_eq!((read("etc/passwd"), who.dhow(scene, &["image", "mount"]).stdout.as_str()), (None, ""), "{who:?}");
        wait_until(|| server_of(&path).is_none());
    }
}

#[test]
fn a_mount_whose_process_is_dead_is_named_and_taken_away() {
    for who in [Who::RootOverFuse, Who::User] {
        let Some(mounting) = scene_of(who) else { continue };
        let scene = &mounting.0;
        let path = who.mount(scene);
        who.mount(scene);
        end(server_of(&path).expect("a process"), "-KILL");
        let named = who.dhow(scene, &["image", "mount"]);
        assert_eq!((named.code, named.stdout.as_str()), (0, ""), "{who:?}: {named}");
        let says = "WARNING: docker.io/acme/files:v1 was mounted at [FOLDER]/store/mounts/";
        assert!(named.stderr.starts_with(says) && named.stderr.contains("is dead: `dhow image unmount"), "{named}");
        // However often it was mounted.
        let unmounted = who.dhow(scene, &["image", "unmount", "acme/files:v1"]);
        assert_eq!((unmounted.code, unmounted.stderr.as_str()), (0, ""), "{who:?}: {unmounted}");
        assert!(who.dhow(scene, &["image", "mount"]).stderr.is_empty() && !path.exists());
        let again = who.mount(scene);
        end(server_of(&again).expect("a process"), "-KILL");
        assert_eq!(who.mount(scene), path);
        assert_eq!(who.read(scene, &path.join("lib/y")).as_deref(), Some("library"), "{who:?}");
        // A process that is asked to end unmounts.
        end(server_of(&path).expect("a process"), "-TERM");
        let table = fs::read_to_string("/proc/self/mountinfo").expect("a table");
        assert!(!table.contains(&*path.to_string_lossy()), "{who:?}: {table}");
        assert_eq!(who.dhow(scene, &["image", "mount"]).to_string(), "exit 0\n");
    }
}

/// Podman 4.3.1 does not refuse it either.
#[test]
fn a_removed_image_takes_its_mount_along_but_not_what_is_in_use() {
    for (who, removal) in [
        (Who::Root, &["rmi", "acme/files:v1"][..]),
        (Who::RootOverFuse, &["image", "prune", "--all", "--force"]),
        (Who::User, &["--compat", "podman", "rmi", "acme/files:v1"]),
    ] {
        let Some(mounting) = scene_of(who) else { continue };
        let scene = &mounting.0;
        let path = who.mount(scene);
        // Into the mount only with the rights of who may.
        let script = format!("cd {:?}; exec 3< lib/y; cd /; echo; read x; cat <&3", path.to_str().expect("a path"));
        let mut tail = who.command(scene, Command::new("/bin/sh").args(["-c", &script]));
        let mut tail =
            tail.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().expect("a shell");
        let mut output = tail.stdout.take().expect("its output");
        let mut byte = [0];
        output.read_exact(&mut byte).expect("its first line");
        let removed = who.dhow(scene, removal);
        assert_eq!(removed.code, 0, "{who:?}: {removed}");
        assert!(!path.exists(), "{who:?}");
        assert_eq!(who.dhow(scene, &["image", "mount"]).to_string(), "exit 0\n", "{who:?}");
        drop(tail.stdin.take());
        let mut text = String::new();
        output.read_to_string(&mut text).expect("its output");
        assert_eq!(text, "library", "{who:?}");
        tail.wait().expect("its end");
        wait_until(|| server_of(&path).is_none());
    }
}

#[test]
fn where_nothing_can_be_mounted_an_ordinary_user_is_told_what_works() {
    let Some(mounting) = scene_of(Who::User) else { return };
    let scene = &mounting.0;
    let mut command = Who::User.command(scene, &mut scene.command(&["image", "mount", "acme/files:v1"]));
    let refused = scene.run(command.env("FUSERMOUNT_PATH", "/nowhere/fusermount3"));
    assert_snapshot!(refused, @r"
    exit 1
    [err]
    cannot mount image acme/files:v1: nothing can be mounted here (cannot mount the layers: that takes root's rights; cannot mount over FUSE: neither fusermount3 nor fusermount is installed); `dhow ls`, `cat`, `cp`, `export` and `unpack` work without a mount
    ");
    assert_eq!(Who::User.dhow(scene, &["image", "mount"]).to_string(), "exit 0\n");
    let mut command = Who::User.command(scene, &mut scene.command(&["image", "mount", "acme/files:v1"]));
    assert_snapshot!(scene.run(command.env("DHOW_MOUNT_BY", "fuse,magic")), @r#"
    exit 1
    [err]
    invalid value "magic" in DHOW_MOUNT_BY: it takes kernel, loop, fuse and tree
    "#);
}

#[test]
fn where_nothing_can_be_mounted_root_gets_the_files() {
    let unshare = peers::find("unshare").and_then(|_| peers::find("setpriv")).and_then(|_| may_mount());
    if peers::available(unshare).is_none() {
        return;
    }
    let Some(mounting) = scene_of(Who::Root) else { return };
    let scene = &mounting.0;
    let inner = scene.command(&["image", "mount", "acme/files:v1"]);
    let mut poor = Command::new("unshare");
    let script =
        "mount --bind /dev/null /dev/fuse; exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$@\"";
    poor.args(["--mount", "sh", "-euc", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    poor.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(scene.path(""));
    let output = poor.output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    assert_eq!(fs::read_to_string(path.join("etc/passwd")).expect("a file"), "root:x:0:0\nuser:x:1:1\n");
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a table");
    assert!(!table.contains(&*path.to_string_lossy()));
    assert_eq!(scene.must(&["image", "mount"]).lines().count(), 1);
    scene.must(&["image", "unmount", "acme/files:v1"]);
    assert!(!path.exists());
}
