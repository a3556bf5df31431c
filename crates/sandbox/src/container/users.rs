//! Users and groups as a container's own files name them.

use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::inside::Inside;
use super::spec::{Habits, StartFailure};

/// Longest file of users or groups that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Whom a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    /// Whether the file of users has a line about it.
    pub(crate) is_listed: bool,
}

impl Identity {
    /// Becomes the owner of a directory that is new: empty, and root's.
    pub(crate) fn take_over(&self, directory: &Path) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(directory, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&open)?;
        let is_empty = std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
        if (self.uid, self.gid) == (0, 0) || (stat.st_uid, stat.st_gid) != (0, 0) || !is_empty {
            return Ok(());
        }
        rustix::fs::fchown(&open, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }
}

/// Looks a user up, as docker does: `name`, `uid`, `name:group`, `uid:gid`.
pub(crate) fn look_up(
    inside: &Inside,
    user: &str,
    groups: &[String],
    habits: Habits,
) -> Result<Identity, StartFailure> {
    let mut identity = find(&read(inside, "/etc/passwd"), &read(inside, "/etc/group"), user, groups)?;
    // Root whom nobody named is in no group besides its own with podman.
    if habits == Habits::Podman && user.is_empty() {
        identity.groups.retain(|group| *group != identity.gid);
    }
    Ok(identity)
}

/// A file that is missing, or is none, says nothing.
fn read(inside: &Inside, path: &str) -> String {
    let Ok(file) = inside.open(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) else {
        return String::new();
    };
    let file = std::fs::File::from(file);
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return String::new();
    }
    let mut bytes = Vec::new();
    let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As [`look_up`], in the texts of the two files.
pub(crate) fn find(passwd: &str, group: &str, user: &str, more: &[String]) -> Result<Identity, StartFailure> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = id(name);
    // A name before a number: `1000` may be somebody's name.
    let rows = || passwd.lines().map(fields);
    let numbered = || rows().find(|row| number.is_some() && id(row[2]) == number);
    let row = rows().find(|row| row[0] == name).or_else(numbered);
    let (uid, own_gid, home) = match (&row, number) {
        (Some(row), _) => (id(row[2]).ok_or_else(|| no_user(name))?, id(row[3]).unwrap_or(0), row[5].to_owned()),
        (None, Some(number)) => (number, 0, String::new()),
        (None, None) if is_number(name) => {
            return Err(StartFailure::setup("uids and gids must be in range 0-2147483647"));
        }
        (None, None) => return Err(no_user(name)),
    };
    let login = row.as_ref().map(|row| row[0].to_owned());
    let gid = group_name.map(|wanted| group_id(group, wanted)).transpose()?.unwrap_or(own_gid);
    let mut groups = Vec::new();
    if let (Some(login), None) = (&login, group_name) {
        groups.extend(
            group
                .lines()
                .map(fields)
                .filter(|row| row[3].split(',').any(|member| member == login))
                .filter_map(|row| id(row[2])),
        );
    }
    for wanted in more {
        groups.push(group_id(group, wanted)?);
    }
    // The first group too, or a file could give its members fewer rights than others (CVE-2022-36109).
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = if home.is_empty() { "/".to_owned() } else { home };
    Ok(Identity { uid, gid, groups, home, is_listed: row.is_some() })
}

fn no_user(name: &str) -> StartFailure {
    StartFailure::setup(format!("unable to find user {name}: no matching entries in passwd file"))
}

fn group_id(group: &str, wanted: &str) -> Result<u32, StartFailure> {
    let row = group.lines().map(fields).find(|row| row[0] == wanted);
    if let Some(number) = row.and_then(|row| id(row[2])).or_else(|| id(wanted)) {
        return Ok(number);
    }
    if is_number(wanted) {
        return Err(StartFailure::setup("uids and gids must be in range 0-2147483647"));
    }
    Err(StartFailure::setup(format!("unable to find group {wanted}: no matching entries in group file")))
}

/// A number of a user or group; more than 31 bits are none, as with docker.
fn id(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= i32::MAX as u32)
}

/// Whether a text is a whole number, of whatever size and sign.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The fields of a line; those that are missing are empty.
fn fields(line: &str) -> [&str; 7] {
    let mut fields = [""; 7];
    for (field, text) in fields.iter_mut().zip(line.trim().split(':')) {
        *field = text;
    }
    fields
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh\n1000:x:5:5::/odd:\nbig:x:4294967296:0::/:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nwheel:x:10:root,bob\naudio:x:29:bob\nstaff:x:50:\n";

    fn check(user: &str, groups: &[&str], expected: &str) {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let got = match find(PASSWD, GROUP, user, &groups) {
            Ok(Identity { uid, gid, groups, home, .. }) => format!("{uid} {gid} {groups:?} {home}"),
            Err(failure) => failure.message,
        };
        assert_eq!(got, expected, "{user}");
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        check("", &[], "0 0 [0, 10] /root");
        check("root", &[], "0 0 [0, 10] /root");
        check("bob", &[], "1000 100 [10, 29, 100] /home/bob");
        check("bob:staff", &[], "1000 50 [50] /home/bob");
        check("bob:7", &["audio", "77"], "1000 7 [7, 29, 77] /home/bob");
        check("42", &[], "42 0 [0] /");
        check("42:43", &[], "42 43 [43] /");
        check("nobody", &[], "unable to find user nobody: no matching entries in passwd file");
        check("bob:none", &[], "unable to find group none: no matching entries in group file");
    }

    #[test]
    fn numbers_that_do_not_fit_are_nobody() {
        // CVE-2024-40635: 4294967296 became root.
        for user in ["4294967296", "2147483648", "0:4294967296", "-1", "0:-1"] {
            check(user, &[], "uids and gids must be in range 0-2147483647");
        }
        check("big", &[], "unable to find user big: no matching entries in passwd file");
    }

    proptest! {
        #[test]
        fn whoever_is_found_is_named_by_the_files_or_by_number(
            passwd in "(([a-c]|[0-9]{1,2})?:x?:([0-3]|[0-9]{9,11})?:[0-9]{0,11}::(/[a-z]?)?:?\n?){0,4}",
            group in "([a-c0-9]:x?:([0-3]|[0-9]{9,11})?:([a-c],?){0,3}\n?){0,4}",
            user in "([a-c]|[0-9]{1,2}|[0-9]{9,11}|-1)?(:([a-c]|[0-9]{0,11}))?",
            more in prop::collection::vec("[a-c]|[0-9]{1,11}", 0..3),
        ) {
            let Ok(found) = find(&passwd, &group, &user, &more) else { return Ok(()) };
            let name = user.split(':').next().filter(|name| !name.is_empty()).unwrap_or("0");
            let is_row = |line: &str| {
                let row: Vec<&str> = line.split(':').collect();
                row[0] == name && row.get(2).is_some_and(|uid| uid.parse() == Ok(found.uid))
            };
            prop_assert!(name.parse() == Ok(found.uid) || passwd.lines().any(is_row), "{found:?}");
            prop_assert!(found.groups.contains(&found.gid));
            prop_assert!(found.groups.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
            prop_assert!(found.groups.iter().chain([&found.uid]).all(|number| *number < 1 << 31), "{found:?}");
            // Docker takes whatever stands there; an empty field is the root.
            let is_home = |line: &str| line.trim().split(':').nth(5) == Some(&found.home);
            prop_assert!(found.home == "/" || passwd.lines().any(is_home), "{found:?}");
        }

        #[test]
        fn no_text_is_too_odd(passwd: String, group: String, user: String, more: Vec<String>) {
            let _ = find(&passwd, &group, &user, &more);
        }
    }
}
