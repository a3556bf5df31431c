//! `unpack` beside umoci, podman and docker: the same image gives the same files, entry by entry.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

#[path = "interop_unpack/application.rs"]
mod application;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_testkit::images::{Compression, Format, Layout, Recipe};
use dhow_testkit::peers::{self, Docker, Podman, available};
use dhow_testkit::{debian, peers::is_root};
use dhow_tests::interop::{Bench, Sample, must};

/// Lists a tree: path, and all that there is to know of it, with nothing of dhow involved.
const LIST: &str = r#"
import os, stat, sys, hashlib
root = os.fsencode(sys.argv[1])
first = {}
rows = []
def visit(path, shown):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    what = {stat.S_IFREG: 'file', stat.S_IFDIR: 'dir', stat.S_IFLNK: 'link', stat.S_IFIFO: 'pipe', stat.S_IFCHR: 'char',
            stat.S_IFBLK: 'block'}.get(kind, 'other')
    content = ''
    if kind == stat.S_IFREG:
        content = hashlib.sha256(open(path, 'rb').read()).hexdigest()[:16]
    elif kind == stat.S_IFLNK:
        content = os.readlink(path).hex()
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        content = '%d:%d' % (os.major(s.st_rdev), os.minor(s.st_rdev))
    xattrs = []
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if not name.startswith(('security.selinux', 'trusted.overlay.', 'user.overlay.')):
            xattrs.append(name + '=' + os.getxattr(path, name, follow_symlinks=False).hex())
    group = ''
    if kind != stat.S_IFDIR and s.st_nlink > 1:
        group = first.setdefault((s.st_dev, s.st_ino), shown.hex())
    rows.append([shown.hex(), what, '%o' % (s.st_mode & 0o7777), '%d:%d' % (s.st_uid, s.st_gid), str(s.st_mtime_ns), content,
                 ','.join(xattrs), group])
    if kind == stat.S_IFDIR:
        for name in sorted(os.listdir(path)):
            visit(path + b'/' + name, shown + b'/' + name)
visit(root, b'')
for row in rows:
    print('\t'.join(row))
"#;

/// What the image is called in dhow and docker.
const NAME: &str = "registry.example/acme/odd:1";

/// The files of a tree by their paths.
type Listing = BTreeMap<String, Vec<String>>;

/// What two tools may say differently.
#[derive(Clone, Copy, Default)]
struct Except {
    /// Times have whole seconds only.
    fractions: bool,
    /// Everything belongs to one user, and there are no devices.
    owners: bool,
    /// A container's own files, and the directories that they are in.
    container: bool,
    /// The root directory itself.
    root: bool,
    /// Attributes of users: docker exports none, and podman's storage keeps those of a directory that a layer above says
    /// anew without them, where overlayfs, umoci and dhow do not.
    user_xattrs: bool,
    /// What docker and podman do on their way: files inherit the default ACL of a directory that is already there, and a
    /// directory that a layer only implies gets the time of now, where dhow and umoci keep what the layer below said.
    habits: bool,
}

fn listing(root: &Path, except: Except) -> Listing {
    listing_by(Command::new("python3"), root, except)
}

fn listing_by(mut python: Command, root: &Path, except: Except) -> Listing {
    let output = python.args(["-c", LIST]).arg(root).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    listed(&String::from_utf8(output.stdout).expect("text"), except)
}

/// Reads what [`LIST`] prints.
fn listed(text: &str, except: Except) -> Listing {
    let mut found = Listing::new();
    for line in text.lines() {
        let mut cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let hex = cells.remove(0);
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
        let path = String::from_utf8_lossy(&bytes).into_owned();
        if except.fractions {
            let seconds = cells[3].len().saturating_sub(9);
            cells[3].truncate(seconds);
        }
        if except.user_xattrs {
            let kept: Vec<&str> = cells[5].split(',').filter(|xattr| !xattr.starts_with("user.")).collect();
            cells[5] = kept.join(",");
        }
        if except.habits {
            if cells[0] == "file" {
                let kept: Vec<&str> =
                    cells[5].split(',').filter(|xattr| !xattr.starts_with("system.posix_acl_access=")).collect();
                cells[5] = kept.join(",");
            }
            if ["/usr", "/lib", "/gone", "/all", "/all/lib"].contains(&path.as_str()) {
                cells[3].clear();
            }
        }
        if except.owners {
            cells[2].clear();
            cells[5].clear();
            if matches!(cells[0].as_str(), "char" | "block") {
                continue;
            }
        }
        let own =
            ["/.dockerenv", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"];
        if except.container {
            if own.iter().any(|own| path == *own || path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'))) {
                continue;
            }
            if path.is_empty() || path == "/etc" {
                cells[3].clear();
            }
        }
        if path.is_empty() && except.root {
            continue;
        }
        found.insert(path, cells);
    }
    found
}

#[track_caller]
fn assert_same(ours: &Path, theirs: &Path, except: Except, what: &str) {
    assert_equal(&listing(ours, except), &listing(theirs, except), what);
}

#[track_caller]
fn assert_equal(ours: &Listing, theirs: &Listing, what: &str) {
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differ: Vec<String> = paths
        .into_iter()
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .map(|path| format!("{path}\n  dhow {:?}\n  peer {:?}", ours.get(path), theirs.get(path)))
        .collect();
    assert!(differ.is_empty(), "{what}: {} of {} differ:\n{}", differ.len(), ours.len(), differ.join("\n"));
    assert!(ours.len() > 10, "{what}: only {} files", ours.len());
}

/// Runs a script of the shell in a directory.
fn shell(directory: &Path, script: &str) {
    let output = Command::new("sh").arg("-euc").arg(script).current_dir(directory).output().expect("sh");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn layer(layout: &Layout, tree: &Path, format: &str, members: &[&str]) -> dhow_testkit::images::Layer {
    let mut tar = Command::new("tar")
        .current_dir(tree)
        .args(["--sort=name", "--numeric-owner", "--create", "--file=-", "--sparse"])
        .args(if format == "posix" { &["--xattrs", "--xattrs-include=*"][..] } else { &[] })
        .arg(format!("--format={format}"))
        .args(members)
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar");
    let layer = layout.layer(tar.stdout.take().expect("its output"), Format::Oci, Compression::Gzip).expect("a layer");
    assert!(tar.wait().expect("tar").success());
    layer
}

/// An image with an entry of every type and everything that layers do to each other.
fn odd_image(bench: &Bench) -> Sample {
    let lower = bench.path("lower");
    fs::create_dir(&lower).expect("a folder");
    shell(
        &lower,
        r#"
        mkdir -p etc usr/bin var/empty opaque/deep gone modes 'name with spaces' kept
        echo one > etc/one; echo two > etc/two; ln etc/one usr/bin/one; ln etc/one usr/bin/uno
        ln -s ../etc/one usr/bin/soft; ln -s /nowhere usr/bin/dangling; ln -s usr/bin bin
        mkfifo pipe; mknod char c 1 3; mknod block b 7 0; chmod 620 char
        echo hidden > opaque/deep/file; echo hidden > opaque/file; echo x > gone/x; echo y > kept/y
        for mode in 0000 0400 0755 1777 2755 4755 6711; do echo $mode > modes/$mode; chmod $mode modes/$mode; done
        mkdir modes/sticky modes/closed; chmod 1777 modes/sticky; chmod 0500 modes/closed
        echo caps > usr/bin/ping
        python3 -c '
import os, struct
os.setxattr("usr/bin/ping", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
os.setxattr("etc/two", "user.note", b"a\0b")
os.setxattr("kept", "user.note", b"directory")
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in [(1, 7, 0xffffffff), (2, 5, 1000), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 5, 0xffffffff)])
os.setxattr("kept", "system.posix_acl_default", acl)
os.setxattr("kept", "system.posix_acl_access", acl)
with open("sparse", "wb") as f:
    f.truncate(10 << 20); f.seek(5 << 20); f.write(b"middle")
os.makedirs("d" * 100 + "/" + "e" * 100); open("d" * 100 + "/" + "e" * 100 + "/f", "w").write("long")
open(b"not-utf8-\xff", "w").write("x")
'
        chown 12:34 etc/two; chown -h 56:78 usr/bin/soft; chown 3000000:3000001 etc/one; chmod 4755 etc/one
        touch -d '2001-02-03 04:05:06.789' etc/two; touch -h -d '1999-01-01 00:00:00.5' usr/bin/soft
        find . -newermt 2020-01-01 -exec touch -h -d '2020-02-02 02:02:02.25' {} +
        "#,
    );
    let upper = bench.path("upper");
    fs::create_dir(&upper).expect("a folder");
    shell(
        &upper,
        r#"
        mkdir -p etc opaque usr/bin kept replaced 'd'
        echo new > etc/three; touch etc/.wh.two; touch .wh.gone; touch opaque/.wh..wh..opq; echo new > opaque/new
        echo changed > usr/bin/uno; echo z > kept/z; ln etc/three etc/four; chmod 0711 opaque; chown 9:9 kept
        find . -exec touch -h -d '2021-03-03 03:03:03.125' {} +
        "#,
    );
    let mut layout = Layout::create(&bench.path("layout")).expect("a layout");
    let layers = [layer(&layout, &lower, "posix", &["."]), layer(&layout, &upper, "posix", &["."])];
    let recipe = Recipe { entrypoint: vec!["/bin/sh".to_owned()], ..Recipe::default() };
    let manifest = layout.image(&layers, &recipe).expect("an image");
    layout.name(&manifest, &["it"]).expect("its name");
    Sample { layout, manifest }
}

/// An image whose upper layer has entries below names that are links or files in the lower one.
fn links_image(bench: &Bench) -> Sample {
    let lower = bench.path("lower");
    fs::create_dir(&lower).expect("a folder");
    let make =
        "mkdir -p usr/lib/a usr/lib/b etc dev proc sys; echo x > usr/lib/x; ln -s usr/lib lib; ln -s nowhere gone
                ln -s usr all; echo f > f; touch etc/hosts etc/hostname etc/resolv.conf; ln -s /proc/mounts etc/mtab
                find . -exec touch -h -d '2020-02-02 02:02:02' {} +";
    shell(&lower, make);
    let upper = bench.path("upper");
    fs::create_dir(&upper).expect("a folder");
    let make = "mkdir -p lib gone f/g all/lib; echo y > lib/y; echo y > gone/y; echo y > f/g/y; echo y > all/lib/y
                find . -exec touch -h -d '2020-02-02 02:02:02' {} +";
    shell(&upper, make);
    let mut layout = Layout::create(&bench.path("layout")).expect("a layout");
    let layers = [
        layer(&layout, &lower, "posix", &["."]),
        layer(&layout, &upper, "posix", &["lib/y", "gone/y", "f", "all/lib/y"]),
    ];
    let recipe = Recipe { entrypoint: vec!["/bin/sh".to_owned()], ..Recipe::default() };
    let manifest = layout.image(&layers, &recipe).expect("an image");
    layout.name(&manifest, &["it"]).expect("its name");
    Sample { layout, manifest }
}

/// Loads the image and unpacks it with dhow.
fn by_dhow(bench: &Bench, image: &Sample) -> PathBuf {
    let dhow = bench.dhow("store");
    dhow.must(&["load", "--input", image.layout.root().to_str().expect("a path")]);
    dhow.must(&["tag", &image.id(), NAME]);
    let target = bench.path("by-dhow");
    let said = dhow.run(&["unpack", NAME, target.to_str().expect("a path")]);
    assert!(said.is_acknowledged() && said.stderr.is_empty() && said.stdout.is_empty(), "{}", said.told());
    target
}

fn against_umoci(bench: &Bench, image: &Sample, ours: &Path) {
    let Some(umoci) = available(peers::find("umoci")) else { return };
    let bundle = bench.path("by-umoci");
    let source = format!("{}:it", image.layout.root().display());
    must(Command::new(umoci).args(["unpack", "--image", &source]).arg(&bundle));
    assert_same(ours, &bundle.join("rootfs"), Except { root: true, ..Except::default() }, "umoci");
}

fn against_podman(bench: &Bench, image: &Sample, ours: &Path) {
    let Some(podman) = available(Podman::open(&bench.path("podman"))) else { return };
    // podman makes a name of a layout's path, which has capitals here.
    let archive = bench.path("for-podman.tar");
    let mut skopeo = peers::skopeo().expect("skopeo");
    skopeo.arg("copy").arg(format!("oci:{}:it", image.layout.root().display()));
    must(skopeo.arg(format!("docker-archive:{}:localhost/it:1", archive.display())));
    must(podman.command().args(["load", "--quiet", "--input"]).arg(&archive));
    let id = must(podman.command().args(["images", "--quiet", "--no-trunc"]));
    let mounted = must(podman.command().args(["image", "mount", id.trim()]));
    let result = std::panic::catch_unwind(|| {
        let except = Except { root: true, user_xattrs: true, habits: true, ..Except::default() };
        assert_same(ours, Path::new(mounted.trim()), except, "podman");
    });
    must(podman.command().args(["image", "unmount", id.trim()]));
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn against_docker(bench: &Bench, ours: &Path) {
    let Some(docker) = available(Docker::start(&bench.path("docker"))) else { return };
    let archive = bench.path("archive.tar");
    bench.dhow("store").must(&["save", "--output", archive.to_str().expect("a path"), NAME]);
    must(docker.command().args(["load", "--quiet", "--input"]).arg(&archive));
    let container = must(docker.command().args(["create", NAME, "/bin/sh"]));
    let exported = bench.path("exported.tar");
    must(docker.command().args(["export", "--output"]).arg(&exported).arg(container.trim()));
    let target = bench.path("by-docker");
    fs::create_dir(&target).expect("a folder");
    must(
        Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"])
            .arg(&exported)
            .arg("-C")
            .arg(&target),
    );
    let except = Except { fractions: true, container: true, user_xattrs: true, habits: true, ..Except::default() };
    assert_same(ours, &target, except, "docker");
    // What dhow exports of the image unpacks to the same, and is the same archive whoever unpacked it.
    let (export, again) = (bench.path("by-dhow.tar"), bench.path("again.tar"));
    for path in [&export, &again] {
        bench.dhow("store").must(&["export", "--output", path.to_str().expect("a path"), NAME]);
    }
    assert!(fs::read(&export).expect("an archive") == fs::read(&again).expect("an archive"));
    let extracted = bench.path("extracted");
    fs::create_dir(&extracted).expect("a folder");
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]).arg(&export).arg("-C").arg(&extracted);
    must(&mut tar);
    assert_same(ours, &extracted, Except { root: true, ..Except::default() }, "export");
}

#[test]
fn an_image_with_everything_in_it() {
    if !is_root() {
        eprintln!("skipped: an image with devices needs root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = by_dhow(&bench, &image);
    against_umoci(&bench, &image, &ours);
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
}

/// Engines that unpack every layer apart, as all do on overlayfs, make directories there; umoci and engines without overlayfs
/// follow the links.
#[test]
fn an_entry_hides_a_link_of_a_lower_layer() {
    if !is_root() {
        eprintln!("skipped: podman and docker with overlayfs need root");
        return;
    }
    let bench = Bench::new();
    let image = links_image(&bench);
    let ours = by_dhow(&bench, &image);
    assert!(ours.join("lib/y").is_file() && !ours.join("lib/x").exists() && !ours.join("usr/lib/y").exists());
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
}

/// Debian in two layers, and what `unpack` makes of it; nothing where it cannot be had.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
fn distribution() -> Option<(Bench, Sample, PathBuf)> {
    let test = std::env::current_exe().expect("the test's own path");
    let tree = test.ancestors().nth(3).expect("target/<profile>/deps/<test>").join("demo-cache/rootfs");
    if let Err(error) = debian::tree(&tree, "") {
        eprintln!("skipped: {error}");
        return None;
    }
    let bench = Bench::new();
    let image = application::debian(&bench, &tree);
    let ours = by_dhow(&bench, &image);
    Some((bench, image, ours))
}

#[test]
fn a_real_distribution_is_the_same_as_others_unpack_it() {
    let Some((bench, image, ours)) = distribution() else { return };
    against_umoci(&bench, &image, &ours);
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
}

#[test]
fn an_application_of_forty_layers() {
    let test = std::env::current_exe().expect("the test's own path");
    let cache = test.ancestors().nth(3).expect("target/<profile>/deps/<test>").join("demo-cache");
    let tree = cache.join("rootfs");
    let packages = debian::tree(&tree, "")
        .and_then(|()| debian::packages(&tree, &["python3", "nginx-light"], &cache.join("packages")));
    let packages = match packages {
        Ok(packages) => packages,
        // A mirror that does not answer is nothing that this machine could install, and no failure of dhow's.
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let bench = Bench::new();
    let image = application::image(&bench, &tree, &packages);
    let ours = by_dhow(&bench, &image);
    assert!(ours.join("usr/bin/python3").symlink_metadata().is_ok() && ours.join("usr/sbin/nginx").is_file());
    against_umoci(&bench, &image, &ours);
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
}

/// Runs what is added without any rights.
fn ordinary_user() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
}

/// Without root's rights everything but owners and devices is the same, and a note says what is not.
#[test]
fn an_ordinary_user_gets_the_same_files() {
    if !is_root() {
        eprintln!("skipped: the image that is unpacked is made by root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = by_dhow(&bench, &image);
    let folder = bench.path("of-a-user");
    fs::create_dir(&folder).expect("a folder");
    must(Command::new("chown").arg("65534:65534").arg(&folder));
    must(Command::new("chmod").args(["-R", "a+rX"]).arg(image.layout.root()));
    let user = |arguments: &[&str]| {
        let mut command = ordinary_user();
        command.arg(dhow_tests::binary::path()).args(arguments);
        command.current_dir(&folder).env("DHOW_ROOT", folder.join("store")).env("HOME", &folder);
        command
    };
    // The scratch folder is for its owner only.
    must(Command::new("chmod").arg("a+x").arg(folder.parent().expect("the bench")));
    must(&mut user(&["load", "--input", image.layout.root().to_str().expect("a path")]));
    let output = user(&["unpack", &image.id(), "files"]).output().expect("dhow");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("left out devices"), "{said}");
    assert!(said.contains("left out extended attributes (security.*: Operation not permitted"), "{said}");
    let except = Except { owners: true, ..Except::default() };
    assert_same(&folder.join("files"), &ours, except, "an ordinary user");
}

/// Runs what is added as an ordinary user with four million users of its own (subuid(5)), in a mount namespace where that is so.
fn user_of_many(folder: &Path, words: &[&str]) -> Command {
    let script = "mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
        exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"";
    fs::write(folder.join("ranges"), "65534:300000:4000000\n").expect("the ranges");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", script, "sh"]).args(words).current_dir(folder);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", folder);
    command.env("DHOW_ROOT", folder.join("store")).env("XDG_RUNTIME_DIR", folder.join("run"));
    command
}

/// What a listing says, to the last blank.
fn told(mut command: Command) -> String {
    let output = command.output().expect("a listing");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What only root of the machine can make, and whose times lie on the way to it.
fn without_privileges(mut tree: Listing) -> Listing {
    tree.retain(|path, cells| !path.is_empty() && !matches!(cells[0].as_str(), "char" | "block"));
    for cells in tree.values_mut() {
        let shown: Vec<&str> = cells[5].split(',').filter(|xattr| xattr.starts_with("system.posix_acl")).collect();
        cells[5] = shown.join(",");
    }
    tree
}

/// An ordinary user with users of its own gets what root gets, owners too, and what podman makes of it for such a user; without,
/// what umoci makes of it.
#[test]
fn an_ordinary_user_beside_podman_and_umoci() {
    if !is_root() {
        eprintln!("skipped: the image that is unpacked is made by root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = listing(&by_dhow(&bench, &image), Except::default());
    let folder = bench.path("of-a-user");
    fs::create_dir_all(folder.join("run")).expect("a folder");
    fs::copy(dhow_tests::binary::path(), folder.join("dhow")).expect("the program");
    let layout = folder.join("layout");
    must(Command::new("cp").arg("-r").arg(image.layout.root()).arg(&layout));
    must(Command::new("chown").args(["-R", "65534:65534"]).arg(&folder));
    must(Command::new("chmod").arg("a+x").arg(folder.parent().expect("the bench")));
    must(&mut user_of_many(&folder, &["./dhow", "load", "-q", "-i", "layout"]));
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "./dhow", "unpack", &image.id(), "files"]));
    let list = |by: &[&str], path: &str| {
        let words = [by, &["python3", "-c", LIST, path]].concat();
        listed(&told(user_of_many(&folder, &words)), Except::default())
    };
    let many = list(&["./dhow", "unshare"], "files");
    assert_equal(&without_privileges(many.clone()), &without_privileges(ours), "root");
    if available(peers::find("umoci")).is_some() {
        must(&mut user_of_many(&folder, &["./dhow", "unpack", "--owners", "caller", &image.id(), "alone"]));
        must(&mut user_of_many(&folder, &["umoci", "unpack", "--rootless", "--image", "layout:it", "bundle"]));
        let except = Except { owners: true, root: true, ..Except::default() };
        let mine = listing(&folder.join("alone"), except);
        let theirs = listing(&folder.join("bundle/rootfs"), except);
        // Where a device would be, umoci leaves an empty file.
        let theirs = theirs.into_iter().filter(|(path, _)| !["/block", "/char"].contains(&path.as_str())).collect();
        assert_equal(&mine, &theirs, "umoci");
    }
    if available(peers::find("podman")).is_some() {
        let podman = ["podman", "--root", "podman", "--runroot", "podman-run", "--storage-driver", "vfs"];
        let archive = "docker-archive:image.tar:localhost/it:1";
        must(&mut user_of_many(&folder, &["skopeo", "copy", "-q", "oci:layout:it", archive]));
        must(&mut user_of_many(&folder, &[&podman[..], &["load", "-q", "-i", "image.tar"]].concat()));
        let mounted = [&podman[..], &["unshare"], &podman[..], &["image", "mount", "localhost/it:1"]].concat();
        let mounted = must(&mut user_of_many(&folder, &mounted));
        let except = Except { user_xattrs: true, habits: true, ..Except::default() };
        let words = [&podman[..], &["unshare", "python3", "-c", LIST, mounted.trim()]].concat();
        let theirs = listed(&told(user_of_many(&folder, &words)), except);
        let words = ["./dhow", "unshare", "python3", "-c", LIST, "files"];
        let mine = listed(&told(user_of_many(&folder, &words)), except);
        assert_equal(&without_privileges(mine), &without_privileges(theirs), "podman");
    }
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "sh", "-c", "rm -rf files podman"]));
}

/// Mounts the image, looks at it, and unmounts it whatever was seen.
fn mounted(dhow: impl Fn(&[&str]) -> Command, what: &str, look: impl FnOnce(&Path)) {
    let path = must(&mut dhow(&["image", "mount", NAME]));
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(Path::new(path.trim()))));
    must(&mut dhow(&["image", "unmount", NAME]));
    assert!(!Path::new(path.trim()).exists(), "{what}: {path} stays");
    if let Err(panic) = seen {
        std::panic::resume_unwind(panic);
    }
}

/// However it is mounted, the image is what is unpacked: by the kernel, over FUSE by root and by an ordinary user, and where
/// nothing can be mounted.
fn every_mount_is_what_is_unpacked(bench: &Bench, image: &Sample, ours: &Path) {
    let ours = listing(ours, Except::default());
    let dhow = bench.dhow("store");
    for way in ["kernel", "loop", "fuse", "tree"] {
        let dhow = |arguments: &[&str]| {
            let mut command = dhow.command(arguments);
            command.env("DHOW_MOUNT_BY", way);
            command
        };
        mounted(dhow, way, |path| assert_equal(&ours, &listing(path, Except::default()), way));
    }
    let folder = bench.path("of-a-user");
    fs::create_dir(&folder).expect("a folder");
    must(Command::new("chown").arg("65534:65534").arg(&folder));
    must(Command::new("chmod").args(["-R", "a+rX"]).arg(image.layout.root()));
    must(Command::new("chmod").arg("a+x").arg(folder.parent().expect("the bench")));
    let user = |arguments: &[&str]| {
        let mut command = ordinary_user();
        command.arg(dhow_tests::binary::path()).args(arguments);
        command.current_dir(&folder).env("DHOW_ROOT", folder.join("store")).env("HOME", &folder);
        command
    };
    must(&mut user(&["load", "--input", image.layout.root().to_str().expect("a path")]));
    must(&mut user(&["tag", &image.id(), NAME]));
    mounted(user, "an ordinary user", |path| {
        let mut python = ordinary_user();
        // Other versions may be in root's home.
        python.arg("python3").env("PATH", "/usr/bin:/bin");
        let seen = listing_by(python, path, Except::default());
        // Only root is shown these.
        let mut ours = ours;
        for cells in ours.values_mut() {
            let shown: Vec<&str> = cells[5].split(',').filter(|xattr| !xattr.starts_with("trusted.")).collect();
            cells[5] = shown.join(",");
        }
        assert_equal(&ours, &seen, "an ordinary user");
    });
}

#[test]
fn a_mount_of_everything_is_what_is_unpacked() {
    if !is_root() {
        eprintln!("skipped: an image with devices needs root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = by_dhow(&bench, &image);
    every_mount_is_what_is_unpacked(&bench, &image, &ours);
}

#[test]
fn a_mount_of_a_real_distribution_is_what_is_unpacked() {
    let Some((bench, image, ours)) = distribution() else { return };
    every_mount_is_what_is_unpacked(&bench, &image, &ours);
}
