//! What the fuzz targets reach into. Not part of the interface.

use crate::container::find_user;

/// Looks a user up in an image's files of users and groups: its number, its first group, all its groups and its home.
pub fn user(passwd: &[u8], group: &[u8], user: &str, groups: &[String]) -> Option<(u32, u32, Vec<u32>, String)> {
    let found = find_user(&String::from_utf8_lossy(passwd), &String::from_utf8_lossy(group), user, groups).ok()?;
    Some((found.uid, found.gid, found.groups, found.home))
}
