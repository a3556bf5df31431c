//! What is in a tree of files, told by Python: nothing of dhow is involved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Lists a tree: path, and all that there is to know of it, with nothing of dhow involved.
pub(crate) const LIST: &str = r#"
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

/// The files of a tree by their paths.
pub(crate) type Listing = BTreeMap<String, Vec<String>>;

/// What two tools may say differently.
#[derive(Clone, Copy, Default)]
pub(crate) struct Except {
    /// Times have whole seconds only.
    pub(crate) fractions: bool,
    /// Everything belongs to one user, and there are no devices.
    pub(crate) owners: bool,
    /// A container's own files, and the directories that they are in.
    pub(crate) container: bool,
    /// The root directory itself.
    pub(crate) root: bool,
    /// Attributes of users: docker exports none, and podman's storage keeps those of a directory that a layer above says
    /// anew without them, where overlayfs, umoci and dhow do not.
    pub(crate) user_xattrs: bool,
    /// What docker and podman do on their way: files inherit the default ACL of a directory that is already there, and a
    /// directory that a layer only implies gets the time of now, where dhow and umoci keep what the layer below said.
    pub(crate) habits: bool,
}

pub(crate) fn listing(root: &Path, except: Except) -> Listing {
    listing_by(Command::new("python3"), root, except)
}

pub(crate) fn listing_by(mut python: Command, root: &Path, except: Except) -> Listing {
    let output = python.args(["-c", LIST]).arg(root).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    listed(&String::from_utf8(output.stdout).expect("text"), except)
}

/// Reads what [`LIST`] prints.
pub(crate) fn listed(text: &str, except: Except) -> Listing {
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
pub(crate) fn assert_same(ours: &Path, theirs: &Path, except: Except, what: &str) {
    assert_equal(&listing(ours, except), &listing(theirs, except), what);
}

#[track_caller]
pub(crate) fn assert_equal(ours: &Listing, theirs: &Listing, what: &str) {
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differ: Vec<String> = paths
        .into_iter()
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .map(|path| format!("{path}\n  dhow {:?}\n  peer {:?}", ours.get(path), theirs.get(path)))
        .collect();
    assert!(differ.is_empty(), "{what}: {} of {} differ:\n{}", differ.len(), ours.len(), differ.join("\n"));
    assert!(ours.len() > 10, "{what}: only {} files", ours.len());
}

/// What a listing says, to the last blank.
pub(crate) fn told(mut command: Command) -> String {
    let output = command.output().expect("a listing");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
