//! Being root among one's own: a user namespace for who is not root.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_base::error::words;
use dhow_base::fs::read_limited;
use dhow_base::{Error, Kind, Result};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use serde::{Deserialize, Serialize};

use crate::container::{JustEnded, KnownProcess, keep_capabilities, unshare};

/// Longest `/etc/subuid` that is read, in bytes.
const RANGES_BYTES_MAX: u64 = 16 << 20;

/// The word that makes this program the one that maps users for another: the number of a process and two lists follow.
pub const MAP_USERS: &str = "__map-users";

/// A range of users or groups that somebody may give to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first of them.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// The numbers of a caller who is not root in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeptIds {
    /// As a user.
    pub uid: u32,
    /// Of its group.
    pub gid: u32,
}

impl KeptIds {
    /// Those of this process.
    pub fn own() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }
}

/// Who the users of a namespace are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// Root is the caller, others are from ranges that belong to the caller.
    Many {
        /// Of users.
        users: Range,
        /// Of groups.
        groups: Range,
    },
    /// As many, but the caller has these numbers, and root is one of the ranges, as the others are.
    Kept {
        /// Of users.
        users: Range,
        /// Of groups.
        groups: Range,
        /// The caller's numbers.
        as_whom: KeptIds,
    },
    /// Root is the caller, and there is nobody else.
    One,
}

impl Users {
    /// The same with the caller under these numbers; nothing where the ranges have nobody for all who come before.
    pub fn keeping(self, as_whom: KeptIds) -> Option<Self> {
        match self {
            Self::Many { users, groups } if users.count >= as_whom.uid && groups.count >= as_whom.gid => {
                Some(Self::Kept { users, groups, as_whom })
            }
            _ => None,
        }
    }
}

/// The words of newuidmap(1) that make the caller root, and who comes from a range the others.
fn as_root(own: u32, range: Range) -> String {
    format!("0 {own} 1 1 {} {}", range.first, range.count)
}

/// The words of newuidmap(1) by which the caller has a number of its own, and who comes from a range are the others, root among them.
fn as_number(number: u32, own: u32, range: Range) -> String {
    let after = range.count.saturating_sub(number);
    let parts = [(0, range.first, number), (number, own, 1), (number + 1, range.first.saturating_add(number), after)];
    let parts = parts.into_iter().filter(|(_, _, count)| *count > 0);
    parts.map(|(inside, outside, count)| format!("{inside} {outside} {count}")).collect::<Vec<_>>().join(" ")
}

/// Finds out whom the caller may be: by `/etc/subuid` and `/etc/subgid` (subuid(5)), if the programs that map users are there.
pub fn users_of(uid: u32, name: Option<&str>, search_path: &OsStr) -> Users {
    let range = |path: &str| {
        let bytes = read_limited(Path::new(path), RANGES_BYTES_MAX).ok()?;
        range_in(&String::from_utf8_lossy(&bytes), uid, name)
    };
    let programs = ["newuidmap", "newgidmap"].map(|program| find(program, search_path));
    match (range("/etc/subuid"), range("/etc/subgid"), programs) {
        (Some(users), Some(groups), [Some(_), Some(_)]) => Users::Many { users, groups },
        _ => Users::One,
    }
}

/// Whether there are other users than root in the user namespace that this process was started in; nothing where that is the machine's own,
/// or cannot be told. Who is root in a container without the machine's rights (LXC's, or a rootless engine's) is in such a namespace.
pub fn around() -> Option<bool> {
    let map = read_limited(Path::new("/proc/self/uid_map"), RANGES_BYTES_MAX).ok()?;
    has_users(&String::from_utf8_lossy(&map))
}

/// As [`around`], by a map (user_namespaces(7), "User and group ID mappings").
fn has_users(map: &str) -> Option<bool> {
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    let count: u64 = counts.sum();
    (1..u64::from(u32::MAX)).contains(&count).then_some(count > 1)
}

fn range_in(text: &str, uid: u32, name: Option<&str>) -> Option<Range> {
    let uid = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        ((Some(owner) == name || owner == uid) && count > 0).then_some(Range { first, count })
    })
}

fn find(program: &str, search_path: &OsStr) -> Option<PathBuf> {
    let system = ["/usr/bin", "/bin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(search_path).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Becomes root in a namespace of users, and this program anew with these arguments and variables. The process has one thread, and
/// has opened nothing that matters.
///
/// # Errors
/// [`Kind::Unsupported`] where users may not make namespaces; this program goes on as it was or fails as a whole.
pub fn enter(
    arguments: &[OsString],
    variables: &[(&str, OsString)],
    users_are: &Users,
    search_path: &OsStr,
) -> Result<std::convert::Infallible> {
    let unsupported = |error: io::Error| {
        let message = format!("cannot make a user namespace: {}", words(&error));
        Error::new(Kind::Unsupported, message).with_hint(
            "containers without root take kernel.unprivileged_userns_clone=1 and user.max_user_namespaces above 0",
        )
    };
    let program = this_program();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match users_are {
        Users::One => {
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(unsupported)?;
            map_one(uid, gid).map_err(unsupported)?;
        }
        Users::Many { users, groups } | Users::Kept { users, groups, .. } => {
            let process = std::process::id().to_string();
            let lists = match users_are {
                Users::Kept { as_whom, .. } => {
                    [as_number(as_whom.uid, uid, *users), as_number(as_whom.gid, gid, *groups)]
                }
                _ => [as_root(uid, *users), as_root(gid, *groups)],
            };
            let mut helper = Command::new("/proc/self/exe");
            helper.args([MAP_USERS, &process]).args(lists).env("PATH", search_path);
            let mut helper = helper.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(unsupported)?;
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(unsupported)?;
            // Its end of input tells it that the namespace is there.
            drop(helper.stdin.take());
            let output = helper.wait_with_output().map_err(unsupported)?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(unsupported(io::Error::other(said)));
            }
        }
    }
    start_anew(program, arguments, variables).map_err(unsupported)
}

/// As [`enter`], in the user namespace that a process is in: that of a container of one's own. `variables` are told whether there are several
/// users in it.
///
/// # Errors
/// [`JustEnded`]; [`Kind::Denied`] when it is somebody else's.
pub fn join(
    process: &KnownProcess,
    arguments: &[OsString],
    variables: impl Fn(bool) -> Vec<(&'static str, OsString)>,
) -> Result<std::convert::Infallible> {
    let denied = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => JustEnded.into(),
        _ => Error::new(Kind::Denied, format!("cannot enter the user namespace of the container: {}", words(&error))),
    };
    let directory = PathBuf::from(format!("/proc/{}", process.id()));
    let namespace = std::fs::File::open(directory.join("ns/user")).map_err(denied)?;
    let map = read_limited(&directory.join("uid_map"), RANGES_BYTES_MAX)?;
    if !process.is_there() {
        return Err(denied(io::ErrorKind::NotFound.into()));
    }
    let program = this_program();
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))
        .map_err(|error| denied(error.into()))?;
    // Root of that namespace makes views of files only where mounts belong to it.
    unshare(UnshareFlags::NEWNS).map_err(denied)?;
    let has_users = String::from_utf8_lossy(&map).lines().count() > 1;
    start_anew(program, arguments, &variables(has_users)).map_err(denied)
}

/// The name of this program. By its name it is started anew, and so through the mounts of the new namespace, which it may look after.
/// It is asked for before: seen from there, the file is on a mount that is nowhere, and its name begins there.
fn this_program() -> PathBuf {
    std::fs::read_link("/proc/self/exe").unwrap_or_else(|_| PathBuf::from("/proc/self/exe"))
}

/// Becomes this program anew. Who is not root in the namespace has root's rights in it nevertheless.
fn start_anew(
    program: PathBuf,
    arguments: &[OsString],
    variables: &[(&str, OsString)],
) -> io::Result<std::convert::Infallible> {
    if !rustix::process::geteuid().is_root() {
        keep_capabilities()?;
    }
    let mut command = Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    for (name, value) in variables {
        command.env(name, value);
    }
    dhow_base::descriptors::restore();
    Err(command.exec())
}

/// Without help from outside a process may map itself alone, once it renounces groups (user_namespaces(7)).
fn map_one(uid: u32, gid: u32) -> io::Result<()> {
    let write = |name: &str, text: String| {
        std::fs::OpenOptions::new().write(true).open(Path::new("/proc/self").join(name))?.write_all(text.as_bytes())
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Maps the users of a process that waits for it; returns the exit code.
pub fn map_users(arguments: &[impl AsRef<OsStr>], search_path: &OsStr) -> i32 {
    let text = |number: usize| arguments.get(number).and_then(|text| text.as_ref().to_str()).unwrap_or_default();
    let _ = io::stdin().read_to_end(&mut Vec::new());
    for (program, list) in [("newuidmap", text(1)), ("newgidmap", text(2))] {
        let Some(path) = find(program, search_path) else { return 127 };
        let status = Command::new(path).arg(text(0)).args(list.split(' ')).status();
        match status {
            Ok(status) if status.success() => {}
            _ => return 1,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_tells_whose_namespace_it_is() {
        assert_eq!(has_users("         0          0 4294967295\n"), None);
        assert_eq!(has_users("0 1000 1\n"), Some(false));
        assert_eq!(has_users("0 100000 65536\n"), Some(true));
        assert_eq!(has_users("0 1000 1\n1 100000 65536\n"), Some(true));
        // A namespace without users, and no map at all.
        assert_eq!(has_users(""), None);
    }

    #[test]
    fn the_caller_is_root_or_stays_who_it_is() {
        let range = |count| Range { first: 100_000, count };
        assert_eq!(as_root(1000, range(65536)), "0 1000 1 1 100000 65536");
        assert_eq!(as_number(1000, 1000, range(65536)), "0 100000 1000 1000 1000 1 1001 101000 64536");
        assert_eq!(as_number(5, 1000, range(65536)), "0 100000 5 5 1000 1 6 100005 65531");
        assert_eq!(as_number(1000, 1000, range(1000)), "0 100000 1000 1000 1000 1");
        assert_eq!(as_number(0, 1000, range(10)), "0 1000 1 1 100000 10");
        let many = |count| Users::Many { users: range(count), groups: range(count) };
        let as_whom = KeptIds { uid: 1000, gid: 1000 };
        assert_eq!(many(999).keeping(as_whom), None);
        assert!(matches!(many(1000).keeping(as_whom), Some(Users::Kept { .. })));
        assert_eq!(Users::One.keeping(as_whom), None);
    }

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "alice:100000:65536\n1001:200000:10\nbad:x:1\ncarol:5:0\n";
        let check = |uid, name, expected: Option<(u32, u32)>| {
            let found = range_in(text, uid, name).map(|range| (range.first, range.count));
            assert_eq!(found, expected);
        };
        check(1000, Some("alice"), Some((100_000, 65536)));
        check(1001, Some("bob"), Some((200_000, 10)));
        check(1, Some("bad"), None);
        check(1, Some("carol"), None);
        check(1, None, None);
    }
}
