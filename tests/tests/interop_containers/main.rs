//! Containers beside the real docker: the same commands leave the same files, which come out as the same archive.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

mod chosen;
mod images;
mod inspected;
mod mounts;
mod moved;
mod options;
mod privileged;
mod together;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dhow_testkit::peers::{self, Docker, Podman};
use dhow_tests::crash::Dhow;
use dhow_tests::interop::{Bench, must};

/// Makes a root file system of busybox and of everything odd that an archive can hold.
const ROOT: &str = r#"
set -e
umask 022
mkdir -p bin etc root tmp data/deep usr/share dev proc sys
cp /bin/busybox bin/busybox
for name in sh cat ln mkdir rm touch chmod chown mkfifo sleep true id dd mv; do ln -s busybox bin/$name; done
printf 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh\n' > etc/passwd
printf 'root:x:0:\nusers:x:100:\n' > etc/group
chmod 700 root; chmod 1777 tmp; chmod 2750 data
echo seed > data/seed; ln data/seed data/deep/again
echo tool > usr/share/setuid; chown 7:8 usr/share/setuid; chmod 4755 usr/share/setuid
ln -s /data/nowhere data/dangling; ln -s ../etc etcetera
mkfifo data/pipe; mknod data/null c 1 3; mknod data/block b 7 200
truncate -s 3M data/sparse; printf end | dd of=data/sparse bs=1 seek=2000000 conv=notrunc 2>/dev/null
echo able > usr/share/able; ln usr/share/able usr/share/able-too
name=$(printf 'n%.0s' $(seq 1 120)); mkdir -p "usr/share/$name"; echo long > "usr/share/$name/$name"
printf 'unicode' > 'usr/share/grüße'
mkdir -p usr/made/anew; echo lost > usr/made/anew/lost; echo old > usr/made/again; ln -s made usr/link
find . -exec touch -h -d '2023-11-14 22:13:20.5' {} +
"#;

/// What containers of both do. Times are set, since they do not run at the same moment.
const SCRIPT: &str = "echo new > /new; rm /data/seed; echo more >> /etc/group; mkdir -p /dir/sub; ln -s /new /dir/link; ln /new /dir/hard; \
                      mkfifo /dir/pipe; chown 7:8 /dir/sub; chmod 4711 /new; rm -r /usr/share/n*; mkdir /tmp/opaque; \
                      mv /data/deep /data/moved; mknod /dir/zero c 1 5; \
                      dd if=/usr/share/able of=/dir/holes bs=1 seek=1000000 2>/dev/null; ln /usr/share/able /dir/able; \
                      rm -r /usr/made /usr/link; mkdir /usr/made /usr/link; echo new > /usr/made/again; echo new > /usr/link/again; touch -h -d @1700000001 /dir/link; \
                      touch -d @1700000001 /dir/zero /dir/holes /new /etc/group /dir/sub /dir/pipe /tmp/opaque /data/moved /data /usr/share /tmp /dir /etc \
                      /usr/made/again /usr/made /usr/link/again /usr/link /usr /";

/// Lists an archive: a line for each member but the root, with nothing of dhow involved.
const LIST: &str = r#"
import sys, tarfile, hashlib
archive = tarfile.open(sys.argv[1])
own = {'.dockerenv', 'dev', 'dev/console', 'dev/pts', 'dev/shm', 'etc', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/mtab', 'proc', 'sys'}
rows, links = [], {}
for member in archive:
    name = member.name.removeprefix('./').rstrip('/')
    if name in ('', '.'):
        continue
    if member.islnk():
        links.setdefault(member.linkname.removeprefix('./'), []).append(name)
        continue
    content = hashlib.sha256(archive.extractfile(member).read()).hexdigest()[:16] if member.isreg() else ''
    xattrs = sorted((key, value) for key, value in member.pax_headers.items() if key.startswith('SCHILY.xattr.'))
    # What the runs themselves touched has their time.
    when = 'now' if name in own or member.mtime > 1_750_000_000 else int(member.mtime)
    rows.append((name, member.type.decode(), '%o' % (member.mode & 0o7777), member.uid, member.gid, member.size, member.linkname,
                 member.devmajor, member.devminor, content, xattrs, when))
groups = {name: sorted([name] + others) for name, others in links.items()}
for row in rows:
    # Whichever name of a file comes first has its content: all of them are one member here.
    names = groups.get(row[0], [row[0]])
    print(sorted(names), *row[1:])
"#;

struct Pair {
    docker: Docker,
    dhow: Dhow,
}

impl Pair {
    fn docker(&self, arguments: &[&str]) -> Output {
        self.docker.command().args(arguments).output().expect("docker")
    }

    fn dhow(&self, arguments: &[&str]) -> Output {
        self.dhow.command(&[&["--compat", "docker"], arguments].concat()).output().expect("dhow")
    }

    /// Both do the same, with the same exit code and, but for where docker's daemon is older than its client, the same words.
    #[track_caller]
    fn both(&self, arguments: &[&str]) -> [Output; 2] {
        let outputs = [self.docker(arguments), self.dhow(arguments)];
        // Docker's client logs, besides, that it gave up reading what it does not send.
        let said = |output: &Output| -> String {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.lines().filter(|line| !line.starts_with("time=")).collect::<Vec<_>>().join("\n")
        };
        let told = |output: &Output| (output.status.code(), said(output));
        assert_eq!(told(&outputs[0]), told(&outputs[1]), "{arguments:?}");
        outputs
    }

    #[track_caller]
    fn say_the_same(&self, arguments: &[&str]) {
        let [docker, dhow] = self.both(arguments);
        // Docker's order is that of its walk.
        let lines = |output: &Output| {
            let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&docker), lines(&dhow), "{arguments:?}");
    }
}

#[track_caller]
fn listing(archive: &Path) -> Vec<String> {
    let mut rows: Vec<String> =
        must(Command::new("python3").args(["-c", LIST]).arg(archive)).lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

#[track_caller]
fn assert_equal_archives(docker: &Path, dhow: &Path) {
    let (theirs, ours) = (listing(docker), listing(dhow));
    let only =
        |a: &[String], b: &[String]| a.iter().filter(|row| !b.contains(row)).cloned().collect::<Vec<_>>().join("\n");
    assert!(theirs == ours, "docker alone:\n{}\ndhow alone:\n{}", only(&theirs, &ours), only(&ours, &theirs));
    assert!(ours.len() > 20, "{} members", ours.len());
}

/// Podman, if it is here, and dhow, each with an image of such an archive called `box`.
fn podman_and_dhow(bench: &Bench) -> Option<(Podman, Dhow)> {
    let podman = peers::available(Podman::open(&bench.path("podman")))?;
    let dhow = bench.dhow("store");
    let archive = root_archive(bench);
    must(podman.command().args(["import", "-q"]).arg(&archive).arg("box"));
    dhow.must(&["--compat", "podman", "import", "-q", &archive.to_string_lossy(), "box"]);
    Some((podman, dhow))
}

/// An archive with files of many kinds and busybox.
fn root_archive(bench: &Bench) -> PathBuf {
    let (root, archive) = (bench.path("root"), bench.path("root.tar"));
    fs::create_dir(&root).expect("a folder");
    must(Command::new("sh").args(["-c", ROOT]).current_dir(&root));
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--sparse", "--format=pax", "-cf"]).arg(&archive).arg("-C").arg(&root).arg(".");
    must(&mut tar);
    archive
}

fn pair(bench: &Bench) -> Option<Pair> {
    let docker = peers::available(Docker::start(&bench.path("docker")))?;
    root_archive(bench);
    Some(Pair { docker, dhow: bench.dhow("store") })
}

/// `import` of one archive gives the same layer; what containers do to it comes out of `diff`, `export` and `import` the same.
#[test]
fn a_container_s_files_are_docker_s() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    let path = |name: &str| bench.path(name).to_string_lossy().into_owned();
    let same_layers = |name: &str| {
        let arguments = ["image", "inspect", "--format", "{{json .RootFS.Layers}}", name];
        pair.say_the_same(&arguments);
    };
    pair.both(&["import", &path("root.tar"), "box"]);
    same_layers("box");
    pair.both(&["run", "--name", "work", "--network", "none", "box", "/bin/sh", "-c", SCRIPT]);
    pair.say_the_same(&["diff", "work"]);
    let (theirs, ours) = (bench.path("docker.tar"), bench.path("dhow.tar"));
    must(pair.docker.command().args(["export", "-o"]).arg(&theirs).arg("work"));
    pair.dhow.must(&["export", "-o", &path("dhow.tar"), "work"]);
    assert_equal_archives(&theirs, &ours);
    // Each other's export, back again.
    for archive in ["docker.tar", "dhow.tar"] {
        pair.both(&["import", &path(archive), "again"]);
        same_layers("again");
    }
    // A container that was only made, of what was committed.
    pair.both(&["commit", "--change", "ENV A=b", "work", "made"]);
    pair.both(&["create", "--name", "idle", "--network", "none", "made", "/bin/true"]);
    pair.say_the_same(&["diff", "idle"]);
    must(pair.docker.command().args(["export", "-o"]).arg(&theirs).arg("idle"));
    pair.dhow.must(&["export", "-o", &path("dhow.tar"), "idle"]);
    assert_equal_archives(&theirs, &ours);
    // Volumes that nobody named are wanted by what is committed, too; names have two characters.
    pair.both(&[
        "create",
        "--name",
        "full",
        "--network",
        "none",
        "-v",
        "/anon",
        "-v",
        "kept:/data",
        "box",
        "/bin/true",
    ]);
    pair.both(&["commit", "full", "voluminous"]);
    pair.say_the_same(&["image", "inspect", "--format", "{{json .Config.Volumes}}", "voluminous"]);
    pair.both(&["volume", "create", "v"]);
    pair.both(&["create", "--mount", "source=v,target=/x", "box", "/bin/true"]);
    pair.both(&["create", "--name", "n", "box", "/bin/true"]);
}

/// `cp` both ways: the same files, owners, words and exit codes.
#[test]
fn files_are_copied_as_docker_copies_them() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    let path = |name: &str| bench.path(name).to_string_lossy().into_owned();
    pair.both(&["import", "--change", "USER root", &path("root.tar"), "box"]);
    pair.both(&["create", "--name", "work", "--network", "none", "-v", "/data", "box", "/bin/true"]);
    let here = bench.path("here");
    fs::create_dir_all(here.join("folder/sub")).expect("folders");
    fs::write(here.join("folder/sub/file"), "file\n").expect("a file");
    fs::write(here.join("one"), "one\n").expect("a file");
    std::os::unix::fs::symlink("one", here.join("link")).expect("a link");
    std::os::unix::fs::symlink("folder", here.join("to-folder")).expect("a link");
    let script = "chown -R 1234:1235 . && chmod 640 one && find . -exec touch -h -d @1700000000 {} +";
    must(Command::new("sh").args(["-c", script]).current_dir(&here));
    let file = |name: &str| here.join(name).to_string_lossy().into_owned();
    let into: [(&[&str], &str, &str); 20] = [
        (&[], "one", "work:/tmp"),
        (&[], "one", "work:/tmp/renamed"),
        (&["-a"], "one", "work:/tmp/archived"),
        (&[], "one", "work:root/relative"),
        (&[], "folder", "work:/tmp"),
        (&[], "folder", "work:/fresh"),
        (&[], "folder/.", "work:/contents"),
        (&[], "folder/.", "work:/tmp/renamed-folder"),
        (&[], "folder", "work:/etcetera"),
        (&[], "link", "work:/tmp"),
        (&["-L"], "link", "work:/tmp/followed"),
        (&["-L"], "to-folder", "work:/tmp"),
        (&[], "one", "work:/data/in-volume"),
        (&[], "one", "work:/nowhere/x"),
        (&[], "one", "work:/nowhere/"),
        (&[], "one", "work:/no/such/"),
        (&[], "folder", "work:/no/such/"),
        (&[], "folder", "work:/etc/passwd"),
        (&[], "folder/sub", "work:/tmp/one"),
        (&[], "none", "work:/tmp"),
    ];
    for (flags, source, target) in into {
        let source = file(source);
        pair.both(&[&["cp"], flags, &[source.as_str(), target]].concat());
    }
    pair.both(&["cp", &file("one"), "nope:/x"]);
    pair.both(&["cp", "nope:/x", "."]);
    pair.both(&["cp", "work:/nope", &path("x")]);
    pair.both(&["cp", "work:/x", "work:/y"]);
    pair.both(&["cp", "", "work:/y"]);
    // Out again, into folders of each. Docker refuses to make a link that leads out of its folder, and gives
    // everything to who copies even with -a.
    for (folder, is_docker) in [("theirs", true), ("ours", false)] {
        fs::create_dir(bench.path(folder)).expect("a folder");
        for (number, (flags, source)) in [
            (&[][..], "work:/etc"),
            (&[], "work:/tmp/renamed"),
            (&["-L"], "work:/etcetera"),
            (&[], "work:/etcetera/."),
            (&[], "work:/usr"),
            (&[], "work:/data/in-volume"),
        ]
        .into_iter()
        .enumerate()
        {
            let target = bench.path(folder).join(number.to_string()).to_string_lossy().into_owned();
            let arguments = [&["cp"], flags, &[source, target.as_str()]].concat();
            let output = if is_docker { pair.docker(&arguments) } else { pair.dhow(&arguments) };
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let archive = bench.path(&format!("{folder}.tar"));
        must(Command::new("tar").args(["--xattrs", "-cf"]).arg(&archive).arg("-C").arg(bench.path(folder)).arg("."));
    }
    assert_equal_archives(&bench.path("theirs.tar"), &bench.path("ours.tar"));
    let exported = |command: &mut Command, archive: &str| {
        must(command.args(["export", "-o", &path(archive), "work"]));
        // The times of what was copied on the way are those of the copies.
        bench.path(archive)
    };
    let theirs = exported(&mut pair.docker.command(), "docker.tar");
    let ours = exported(&mut pair.dhow.command(&[]), "dhow.tar");
    assert_equal_archives(&theirs, &ours);
}

/// What a command said and how it ended, without what differs from store to store and from moment to moment.
fn told(output: &Output, volumes: &Path) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(&*volumes.to_string_lossy(), "<volumes>");
        let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let lines = text.lines().map(|line| match line.split_once("\"CreatedAt\": ") {
            Some((before, _)) => format!("{before}\"CreatedAt\": <time>"),
            None => {
                let words =
                    line.split(' ').map(|word| if is_id(word.trim_end_matches([':', '.'])) { "<id>" } else { word });
                words.collect::<Vec<_>>().join(" ")
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Command lines of podman about volumes, and mistakes in those about containers, one after the other in one store.
const VOLUMES_AND_MISTAKES: [&[&str]; 116] = [
    &["volume", "ls"],
    &["volume", "create", "alpha"],
    &["volume", "create", "alpha"],
    &["volume", "create", "--label", "a=b", "--label", "c=", "albert"],
    &["volume", "create", "a b"],
    &["volume", "create", "--label", "=x"],
    &["volume", "create", "--driver", "nope", "other"],
    &["volume", "create", "a", "b"],
    &["volume", "create"],
    &["volume", "ls", "--filter", "name=al"],
    &["volume", "ls", "--filter", "name=^alb", "-q"],
    &["volume", "ls", "--filter", "label=a", "--noheading"],
    &["volume", "ls", "--filter", "label=a=x"],
    &["volume", "ls", "--filter", "dangling=x"],
    &["volume", "ls", "--filter", "bad=x"],
    &["volume", "ls", "--filter", "odd"],
    &["volume", "ls", "--filter", "name=al", "--format", "json"],
    &["volume", "ls", "--filter", "name=al", "--format", "{{.Name}} {{.Driver}} {{.Labels}} {{.MountCount}}"],
    &["volume", "ls", "--filter", "name=al", "--format", "table {{.Name}}\\t{{.Driver}}\\t{{.Scope}}"],
    &["volume", "ls", "--format", "{{.Nope}}"],
    &["volume", "inspect", "albert"],
    &["volume", "inspect", "alp"],
    &["volume", "inspect", "al"],
    &["volume", "inspect", "alpha", "nope"],
    &["volume", "inspect", "nope", "none"],
    &["volume", "inspect", "--format", "{{.Name}} {{.Labels}} {{.NeedsCopyUp}}", "alpha", "albert"],
    &["volume", "inspect", "--format", "{{.Nope}}", "alpha"],
    &["volume", "inspect"],
    &["volume", "exists", "alpha"],
    &["volume", "exists", "nope"],
    &["volume", "rm"],
    &["volume", "rm", "nope"],
    &["volume", "rm", "al"],
    &["volume", "rm", "-f", "nope"],
    &["volume", "rm", "-a", "alpha"],
    &["create", "--name", "user", "--network", "none", "-v", "albert:/x", "box", "/true"],
    &["create", "--name", "user", "--network", "none", "box", "/true"],
    &["create", "--name", "a b", "box", "/true"],
    &["create", "-v", "/not/there:/x", "box", "/true"],
    &["create", "-v", "rel/x:/x", "box", "/true"],
    &["create", "-v", "a:b:c:d", "box", "/true"],
    &["create", "-v", "/etc:/x:odd", "box", "/true"],
    &["create", "-v", "/etc:x", "box", "/true"],
    &["create", "--mount", "type=bind,src=/not/there,dst=/x", "box", "/true"],
    &["create", "--mount", "type=odd,dst=/x", "box", "/true"],
    &["create", "--mount", "type=bind", "box", "/true"],
    &["create", "--tmpfs", "/x:odd", "box", "/true"],
    &["create", "--cap-add", "nope", "box", "/true"],
    &["create", "--pull", "never", "absent", "/true"],
    &["create", "--pull", "odd", "box", "/true"],
    &["create", "--pull", "never", "--os", "windows", "box", "/true"],
    &["create", "--pull", "never", "--variant", "v9", "box", "/true"],
    &["pull", "--authfile", "/nope", "localhost:1/x"],
    &["push", "--authfile", "/nope", "box", "localhost:1/x"],
    &["run", "--authfile", "/nope", "--rm", "box", "/true"],
    &["search", "--authfile", "/nope", "localhost:1/x"],
    &["logout", "--authfile", "/nope", "localhost:1"],
    &["login", "--authfile", "/nope", "--get-login", "localhost:1"],
    &["manifest", "push", "--authfile", "/nope", "box", "docker://localhost:1/x"],
    &["manifest", "add", "--authfile", "/nope", "box", "box"],
    &["create", "--platform", "linux/arm64", "--arch", "arm64", "box", "/true"],
    &["run", "--platform", "linux/arm64", "--os", "linux", "box", "/true"],
    &["create", "-e", "=x", "box", "/true"],
    &["volume", "rm", "albert"],
    &["volume", "ls", "--filter", "dangling=false"],
    &["volume", "create", "v"],
    &["create", "--name", "n", "--network", "none", "-v", "w:/x", "box", "/true"],
    &["volume", "ls", "-q", "--filter", "name=^v"],
    &["create", "--ulimit", "nofile=5:4", "box", "/true"],
    &["create", "--memory", "x", "box", "/true"],
    &["create", "--shm-size", "x", "box", "/true"],
    &["create", "--security-opt", "foo", "box", "/true"],
    &["create", "--security-opt", "foo=bar", "box", "/true"],
    &["create", "--device", "/dev/nope", "box", "/true"],
    &["create", "--add-host", "x", "box", "/true"],
    &["create", "--dns", "x", "box", "/true"],
    &["create", "--label", "=", "box", "/true"],
    &["create", "--entrypoint", "", "box"],
    &["create", "--env-file", "/not/there", "box", "/true"],
    &["create", "--network", "none", "--dns", "1.1.1.1", "box", "/true"],
    &["create", "--network", "none", "--dns-search", "x.org", "box", "/true"],
    &["create", "--network", "none", "--dns-option", "a", "box", "/true"],
    &["create", "--isolation", "default", "box", "/true"],
    &["create", "--cpu-count", "1", "box", "/true"],
    &["create", "--cpu-percent", "1", "box", "/true"],
    &["create", "--io-maxbandwidth", "1", "box", "/true"],
    &["create", "--io-maxiops", "1", "box", "/true"],
    &["create", "--link", "a", "box", "/true"],
    &["create", "--link-local-ip", "1.2.3.4", "box", "/true"],
    &["create", "--use-api-socket", "box", "/true"],
    &["create", "--volume-driver", "x", "box", "/true"],
    &["run", "--health-start-interval", "1s", "box", "/true"],
    &["ps", "--filter", "odd=x"],
    &["ps", "--filter", "odd"],
    &["ps", "--filter", "label"],
    &["ps", "--filter", ""],
    &["ps", "-q", "--size"],
    &["ps", "--last", "x"],
    &["rm"],
    &["rm", "-f", "nope"],
    &["rm", "-i", "nope"],
    &["rm", "-a", "nope"],
    &["rm", "--cidfile", "/not/there"],
    &["container", "exists", "nope"],
    &["container", "exists", "user"],
    &["container", "inspect", "nope"],
    &["rm", "nope"],
    &["mount", "nope"],
    &["umount"],
    &["volume", "rm", "-f", "albert"],
    &["volume", "rm", "-f", "w"],
    &["ps", "-aq"],
    &["volume", "prune", "--filter", "odd"],
    &["volume", "prune", "--filter", "bad=x", "-f"],
    &["volume", "prune", "-f"],
    &["volume", "prune"],
];

/// Called as podman, `volume` and mistakes of `create` read as podman's.
#[test]
fn volumes_and_mistakes_are_podman_s() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let dhow = bench.dhow("store");
    let archive = bench.path("empty.tar");
    must(Command::new("tar").arg("-cf").arg(&archive).args(["-C", "/etc", "hostname"]));
    must(podman.command().args(["import", "-q"]).arg(&archive).arg("box"));
    dhow.must(&["--compat", "podman", "import", "-q", &archive.to_string_lossy(), "box"]);
    for arguments in VOLUMES_AND_MISTAKES {
        let theirs = podman.command().args(arguments).output().expect("podman");
        let ours = dhow.command(&[&["--compat", "podman"], arguments].concat()).output().expect("dhow");
        let (mut theirs, mut ours) =
            (told(&theirs, &bench.path("podman/root/volumes")), told(&ours, &bench.path("store/volumes")));
        // Since podman 5, a list of no volumes has its header.
        if ours.1 == "DRIVER      VOLUME NAME" {
            ours.1.clear();
        }
        if arguments.contains(&"prune") {
            // Names by chance are anywhere among the others.
            for (_, said, _) in [&mut theirs, &mut ours] {
                let mut lines: Vec<&str> = said.lines().collect();
                lines.sort_unstable();
                *said = lines.join("\n");
            }
        }
        assert_eq!(ours, theirs, "{arguments:?}");
    }
}

/// Called as podman, `commit` has podman's options.
#[test]
fn commits_are_podman_s() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let dhow = bench.dhow("store");
    let archive = bench.path("empty.tar");
    must(Command::new("tar").arg("-cf").arg(&archive).args(["-C", "/etc", "hostname"]));
    let import = ["import", "-q", "-c", "VOLUME /img", &archive.to_string_lossy(), "box"];
    must(podman.command().args(import));
    dhow.must(&[&["--compat", "podman"], &import[..]].concat());
    let volumes = ["-v", "albert:/data", "--tmpfs", "/tm", "--mount", "type=bind,src=/etc,dst=/bb", "-v", "/anon"];
    let create = [&["create", "--name", "work", "--network", "none"], &volumes[..], &["box", "/true"]].concat();
    must(podman.command().args(&create));
    dhow.must(&[&["--compat", "podman"], &create[..]].concat());
    let change = ["cp", "/etc/hostname", "work:/new"];
    must(podman.command().args(change));
    dhow.must(&[&["--compat", "podman"], &change[..]].concat());
    let id_file = bench.path("id").to_string_lossy().into_owned();
    let shown = "{{.ManifestType}} {{len .RootFS.Layers}} {{json .Config.Volumes}} {{.Author}}";
    let commands: [&[&str]; 14] = [
        &["commit", "-q", "work", "plain"],
        &["image", "inspect", "--format", shown, "plain"],
        &["commit", "-q", "-f", "docker", "-a", "me", "work", "docker"],
        &["image", "inspect", "--format", "{{.Author}} {{.ManifestType}}", "docker"],
        &["commit", "-q", "--squash", "-c", "ENV A=b", "work", "squashed"],
        &["image", "inspect", "--format", "{{.ManifestType}} {{len .RootFS.Layers}}", "squashed"],
        &["commit", "-q", "-s", "--format", "docker", "work", "squashed"],
        &["image", "inspect", "--format", "{{.ManifestType}} {{len .RootFS.Layers}}", "squashed"],
        &["commit", "-q", "--include-volumes", "work", "full"],
        &["image", "inspect", "--format", "{{json .Config.Volumes}}", "full"],
        &["commit", "-q", "--iidfile", &id_file, "work"],
        &["commit", "-q", "-m", "why", "work"],
        &["commit", "-q", "-f", "odd", "work"],
        &["commit", "-q", "nope"],
    ];
    for arguments in commands {
        let theirs = podman.command().args(arguments).output().expect("podman");
        let ours = dhow.command(&[&["--compat", "podman"], arguments].concat()).output().expect("dhow");
        let volumes = Path::new("/volumes");
        assert_eq!(told(&ours, volumes), told(&theirs, volumes), "{arguments:?}");
    }
}
