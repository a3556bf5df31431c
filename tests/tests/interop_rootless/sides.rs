//! The two who are compared, as one ordinary user.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dhow_testkit::peers::{self, available};
use dhow_tests::interop::{Bench, must};
use dhow_tests::ordinary::{Ids, user};

/// Longest time that a command may take.
const PATIENCE_SECONDS: &str = "60";

/// Makes a root file system of busybox, with files of several users.
const ROOT: &str = r"
umask 022
mkdir -p bin etc root tmp run data/deep usr/share home/bob dev proc sys var/tmp
cp /bin/busybox bin/busybox
for name in $(/bin/busybox --list); do [ -e bin/$name ] || ln -s busybox bin/$name; done
printf 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh\n' > etc/passwd
printf 'root:x:0:\nusers:x:100:\nmore:x:200:bob\n' > etc/group
chown 1000:100 home/bob
chmod 700 root; chmod 1777 tmp var/tmp; chmod 2750 data; chgrp 200 data
echo seed > data/seed; ln data/seed data/deep/again; ln -s seed data/link
echo tool > usr/share/setuid; chown 7:8 usr/share/setuid; chmod 4755 usr/share/setuid
find . -exec touch -h -d '2023-11-14 22:13:20' {} +
tar -cf ../box.tar .
";

/// A profile of system calls.
const CALLS: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "includes": {"minKernel": "3.0"}},
        {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 1, "value": 2048, "valueTwo": 2048, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ERRNO", "errno": "EXDEV", "errnoRet": 18},
        {"names": ["chroot"], "action": "SCMP_ACT_KILL_PROCESS", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
    ]
}"#;

/// What a command said and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Told {
    /// Lines that one has and the other has not.
    pub(crate) fn difference(what: &str, theirs: &str, ours: &str) -> String {
        let only = |sign: &str, a: &str, b: &str| -> String {
            let other: Vec<&str> = b.lines().collect();
            a.lines().filter(|line| !other.contains(line)).map(|line| format!("  {sign} {line}\n")).collect()
        };
        format!("== {what}\n{}{}", only("podman:", theirs, ours), only("dhow:  ", ours, theirs))
    }
}

/// Podman and dhow with the image `box`, each in a folder of its own.
pub(crate) struct Pair<'b> {
    bench: &'b Bench,
    home: PathBuf,
    ids: Ids,
}

impl<'b> Pair<'b> {
    pub(crate) fn new(bench: &'b Bench, ids: Ids) -> Option<Self> {
        available(peers::find("podman"))?;
        let home = bench.path("home");
        for folder in ["run", "root", "podman/out", "dhow/out", "podman/given/a", "dhow/given/a"] {
            fs::create_dir_all(home.join(folder)).expect("a folder");
        }
        fs::copy(dhow_tests::binary::path(), home.join("dhow/podman")).expect("the program");
        for side in ["podman", "dhow"] {
            fs::write(home.join(side).join("given/a/file"), "").expect("a file");
            std::os::unix::fs::symlink("file", home.join(side).join("given/a/link")).expect("a link");
        }
        must(Command::new("sh").args(["-euc", ROOT]).current_dir(home.join("root")));
        fs::write(home.join("calls.json"), CALLS).expect("a profile");
        must(Command::new("chown").args(["-R", "65534:65534"]).arg(&home));
        must(Command::new("chmod").arg("a+x").arg(home.parent().expect("the bench")));
        let pair = Self { bench, home, ids };
        for side in ["podman", "dhow"] {
            let told = pair.told(side, &["import", "-q", "box.tar", "localhost/box"].map(str::to_owned));
            assert!(told.code == 0, "{side}: {told:?}");
        }
        Some(pair)
    }

    /// The home of the user, which is the working directory of all commands.
    pub(crate) fn home(&self) -> &str {
        self.home.to_str().expect("a path")
    }

    /// The folder of one of both.
    pub(crate) fn folder(&self, side: &str) -> PathBuf {
        self.home.join(side)
    }

    fn command(&self, side: &str, words: &[String]) -> Command {
        let (root, run) = (format!("{}/podman/root", self.home()), format!("{}/podman/run", self.home()));
        let mut all = vec!["timeout", "-s", "KILL", PATIENCE_SECONDS];
        match side {
            "podman" => all.extend(["podman", "--root", &root, "--runroot", &run, "--events-backend", "none"]),
            _ => all.push("dhow/podman"),
        }
        if side == "podman" && self.ids == Ids::One {
            // What dhow does of its own accord.
            all.extend(["--storage-driver", "vfs", "--storage-opt", "vfs.ignore_chown_errors=true"]);
        }
        all.extend(words.iter().map(String::as_str));
        let mut command = user(&self.home, self.ids, &all);
        command
            .stdin(Stdio::null())
            .env("DHOW_ROOT", self.folder("dhow/root"))
            .env("http_proxy", "http://proxy.example:3128");
        command
    }

    /// Runs a command of one of both.
    pub(crate) fn told(&self, side: &str, words: &[String]) -> Told {
        let filled = |word: &String| word.replace("{home}", self.home()).replace("{side}", side);
        let words: Vec<String> = words.iter().map(filled).collect();
        let output = self.command(side, &words).output().expect("a command");
        self.read(side, &output)
    }

    fn read(&self, side: &str, output: &Output) -> Told {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes)
                .replace(&format!("{}/{side}", self.home()), "{side}")
                .replace(&format!("{side}/"), "{side}/");
            let lines = text.lines().filter(|line| !is_noise(line)).map(without_ids);
            lines.map(|line| line + "\n").collect::<String>()
        };
        Told { code: output.status.code().unwrap_or(-1), output: text(&output.stdout), errors: text(&output.stderr) }
    }

    /// How what both say of the same command differs.
    pub(crate) fn difference(&self, words: &[String]) -> Option<String> {
        let [theirs, ours] = ["podman", "dhow"].map(|side| {
            let Told { code, mut output, errors } = self.told(side, words);
            if let (true, Some(name)) = (side == "podman", words.iter().skip_while(|word| *word != "--replace").nth(2))
            {
                // Podman 4 says whom it removed.
                output = output.trim_start_matches(&format!("{name}\n")).to_owned();
            }
            if words.first().is_some_and(|verb| verb == "diff") {
                // In the order of podman's walk, which is no matter.
                let mut lines: Vec<&str> = output.lines().collect();
                lines.sort_unstable();
                output = lines.join("\n") + "\n";
            }
            format!("exit {code}\n{output}--\n{errors}")
        });
        (theirs != ours).then(|| Told::difference(&words.join(" "), &theirs, &ours))
    }

    /// Runs a script, sends the command a signal a while after `/v/ready` is there, and tells how it ended.
    pub(crate) fn signalled(&self, side: &str, script: &str, signal: &str, pause: Duration) -> Told {
        let shared = self.folder(side).join("out");
        let ready = shared.join("ready");
        let volume = format!("{}:/v", shared.display());
        let words = ["run", "--rm", "--network", "none", "-v", &volume, "box", "/bin/sh", "-c", script];
        let mut command = self.command(side, &words.map(str::to_owned));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a command");
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{side} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::remove_file(&ready).expect("the sign");
        std::thread::sleep(pause);
        // `unshare`, `sh` and `setpriv` became `timeout`, which is to send nothing of its own.
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let program = fs::read_to_string(children).expect("its child");
        must(Command::new("kill").args(["-s", signal, program.trim()]));
        self.read(side, &child.wait_with_output().expect("its end"))
    }
}

impl Drop for Pair<'_> {
    /// Podman leaves a process that keeps its namespaces, and files of users that only these know.
    fn drop(&mut self) {
        if let Ok(process) = fs::read_to_string(self.home.join("run/libpod/tmp/pause.pid")) {
            let _ = Command::new("kill").arg(process.trim()).status();
        }
        let _ = Command::new("umount")
            .args(["-l"])
            .arg(self.home.join("podman/root/overlay"))
            .stderr(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(self.bench.path("home"));
    }
}

/// What podman says of how this machine is set up.
fn is_noise(line: &str) -> bool {
    let of = ["is not a shared mount", "cannot find UID/GID for user", "rootless single mapping", "Additional gid="];
    line.starts_with("time=") && of.iter().any(|part| line.contains(part))
}

/// IDs are chance.
fn without_ids(line: &str) -> String {
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = line.split(' ').map(|word| {
        let bare = word.trim_start_matches("sha256:").trim_end_matches([',', ':', '.', '"']);
        if is_id(bare) { word.replace(bare, "ID") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}
