//! What is mounted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use dhow_base::Result;
use dhow_base::fs as durable;

/// Longest table that is read: one of 100,000 mounts.
const TABLE_BYTES_MAX: u64 = 32 << 20;

/// One mount, as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// Where it is.
    pub path: PathBuf,
    /// Its type, such as `overlay`.
    pub file_system: String,
}

/// The mounts of this process's namespace, in the order they were made.
///
/// # Errors
/// Those of reading `/proc/self/mountinfo`.
pub fn mount_points() -> Result<Vec<MountPoint>> {
    let table = durable::read_limited("/proc/self/mountinfo".as_ref(), TABLE_BYTES_MAX)?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Whether a process that can be looked at is in a mount namespace, which is named as `/proc/<pid>/ns/mnt` names it.
pub fn is_mount_namespace_in_use(name: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_number =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    let mut namespaces =
        processes.filter(is_number).filter_map(|entry| std::fs::read_link(entry.path().join("ns/mnt")).ok());
    namespaces.any(|namespace| namespace.as_os_str() == name)
}

/// Whether this process counts users as the machine does: in a user namespace, processes of other ones cannot be looked at.
pub fn sees_all_users() -> bool {
    let map = durable::read_limited("/proc/self/uid_map".as_ref(), TABLE_BYTES_MAX).unwrap_or_default();
    let map = String::from_utf8_lossy(&map);
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// A line of mountinfo (proc_pid_mountinfo(5)): the mount point is the fifth field, the type the first behind a dash.
fn parse(line: &[u8]) -> Option<MountPoint> {
    let mut fields = line.split(|byte| *byte == b' ');
    let path = unescaped(fields.nth(4)?);
    let file_system = fields.skip_while(|field| *field != b"-").nth(1)?;
    let file_system = String::from_utf8_lossy(file_system).into_owned();
    Some(MountPoint { path: PathBuf::from(OsString::from_vec(path)), file_system })
}

/// Blanks, tabs, line ends and backslashes stand as a backslash and three octal digits.
pub(crate) fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match digits {
            Some(digits) => {
                bytes.push(digits.iter().fold(0, |value: u8, digit| value << 3 | (digit - b'0')));
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = b"98 23 0:51 / /var/a\\040b\\134c rw,relatime shared:3 - overlay overlay ro,lowerdir=/x";
        let expected = MountPoint { path: PathBuf::from("/var/a b\\c"), file_system: "overlay".to_owned() };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"98 23 0:51 / /x rw"), None);
    }

    #[test]
    fn one_s_own_namespace_is_in_use() {
        let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
        assert!(is_mount_namespace_in_use(&own.to_string_lossy()));
        assert!(!is_mount_namespace_in_use("mnt:[1]"));
    }

    #[test]
    fn the_kernel_s_own_table_parses() {
        let points = mount_points().expect("a table");
        assert!(points.iter().any(|point| point.path.as_os_str() == "/proc" && point.file_system == "proc"));
    }
}
