//! Extended attributes behind an inode.

use dhow_base::{Error, Kind, Result};

use super::format::{damaged, u16_at};
use super::inode::Xattr;

/// A filter, the number of shared attributes, and a gap.
const HEADER_BYTES: usize = 12;

/// Length of name, index of the prefix, length of value.
const ENTRY_BYTES: usize = 4;

/// Beginnings of names that have a number. Names with none of them keep number 0, which the kernel does not show: Linux has
/// no such attributes.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// The attribute by which overlayfs knows a directory that hides what is below.
pub(super) const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// The attribute by which overlayfs knows a directory that may have whiteouts in it although nothing is merged into it. It lists
/// their names without.
const ORIGIN: &[u8] = b"trusted.overlay.origin";

/// The attribute by which an outline tells of a directory that it only implies. It begins as overlayfs's do so that no layer can bring it.
pub(super) const IMPLIED: &[u8] = b"trusted.overlay.dhow.implied";

/// What overlayfs has to know of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// It hides what is below.
    pub(super) is_opaque: bool,
    /// There are whiteouts in it.
    pub(super) has_whiteouts: bool,
    /// Its attributes are those that it has below: only in outlines.
    pub(super) is_implied: bool,
}

/// Whether overlayfs would act on an attribute. None that comes in a layer is kept: it would decide what the layers below
/// show (CVE-2023-0386 and its like began so).
pub(super) fn is_live(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Writes attributes as they stand behind an inode. Returns the count that the inode has of them: 0 of none.
pub(super) fn encode(xattrs: &[Xattr], marks: Marks) -> Result<(Vec<u8>, u16)> {
    let opaque = Xattr { name: OPAQUE.to_vec(), value: b"y".to_vec() };
    let origin = Xattr { name: ORIGIN.to_vec(), value: Vec::new() };
    let implied = Xattr { name: IMPLIED.to_vec(), value: Vec::new() };
    let mut wanted: Vec<&Xattr> = xattrs.iter().filter(|xattr| !is_live(&xattr.name)).collect();
    wanted.extend(marks.is_opaque.then_some(&opaque));
    wanted.extend(marks.has_whiteouts.then_some(&origin));
    wanted.extend(marks.is_implied.then_some(&implied));
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    if wanted.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut bytes = vec![0; HEADER_BYTES];
    for xattr in wanted {
        let (index, rest) = split(&xattr.name);
        let too_long = |what: &str, most: usize| {
            let name = String::from_utf8_lossy(&xattr.name);
            Error::new(
                Kind::LimitExceeded,
                format!("the {what} of the extended attribute {name:?} is longer than {most} bytes"),
            )
        };
        bytes.push(u8::try_from(rest.len()).map_err(|_| too_long("name", 255))?);
        bytes.push(index);
        let value_length = u16::try_from(xattr.value.len()).map_err(|_| too_long("value", 65_535))?;
        bytes.extend(value_length.to_le_bytes());
        bytes.extend(rest);
        bytes.extend(&xattr.value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let count = u16::try_from((bytes.len() - HEADER_BYTES) / 4 + 1)
        .map_err(|_| Error::new(Kind::LimitExceeded, "a file has more than 262,136 bytes of extended attributes"))?;
    Ok((bytes, count))
}

fn split(name: &[u8]) -> (u8, &[u8]) {
    for (index, prefix) in PREFIXES {
        let is_whole = matches!(index, 2 | 3);
        match name.strip_prefix(prefix) {
            Some(rest) if rest.is_empty() == is_whole => return (index, rest),
            _ => {}
        }
    }
    (0, name)
}

/// Length of what stands behind an inode that counts so.
pub(super) fn area_bytes(count: u16) -> usize {
    if count == 0 { 0 } else { HEADER_BYTES + 4 * (usize::from(count) - 1) }
}

/// Reads what [`encode`] wrote. The marks of a directory are among the attributes.
pub(super) fn decode(area: &[u8]) -> Result<Vec<Xattr>> {
    if area.is_empty() {
        return Ok(Vec::new());
    }
    let cut_off = || damaged("extended attributes are cut off");
    if area.get(4) != Some(&0) {
        return Err(damaged("it shares extended attributes, which layer files do not"));
    }
    let mut rest = area.get(HEADER_BYTES..).ok_or_else(cut_off)?;
    let mut xattrs = Vec::new();
    while rest.len() >= ENTRY_BYTES {
        let (name_length, index) = (usize::from(rest[0]), rest[1]);
        let value_start = ENTRY_BYTES + name_length;
        let end = value_start + usize::from(u16_at(rest, 2));
        let prefix = match (index, PREFIXES.iter().find(|(number, _)| *number == index)) {
            (_, Some((_, prefix))) => *prefix,
            (0, None) => b"",
            _ => return Err(damaged("an extended attribute has an unknown prefix")),
        };
        let name = rest.get(ENTRY_BYTES..value_start).ok_or_else(cut_off)?;
        let value = rest.get(value_start..end).ok_or_else(cut_off)?;
        xattrs.push(Xattr { name: [prefix, name].concat(), value: value.to_vec() });
        rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &[u8]) -> Xattr {
        Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() }
    }

    #[test]
    fn attributes_survive_sorted_and_without_overlayfs_s() {
        let given = [
            xattr("user.b", b"x"),
            xattr("security.capability", &[1, 2, 3, 4, 5]),
            xattr("system.posix_acl_access", &[2, 0, 0, 0]),
            xattr("system.posix_acl_access.not", b""),
            xattr("com.example", b"foreign"),
            xattr("trusted.overlay.redirect", b"/etc"),
            xattr("user.overlay.opaque", b"y"),
        ];
        let (area, count) = encode(&given, Marks::default()).expect("encode");
        assert_eq!(area.len(), area_bytes(count));
        let names = |xattrs: Vec<Xattr>| -> Vec<String> {
            xattrs.into_iter().map(|xattr| String::from_utf8_lossy(&xattr.name).into_owned()).collect()
        };
        let expected =
            ["com.example", "security.capability", "system.posix_acl_access", "system.posix_acl_access.not", "user.b"];
        assert_eq!(names(decode(&area).expect("decode")), expected);
        let (area, _) = encode(&[], Marks { is_opaque: true, has_whiteouts: true, is_implied: false }).expect("encode");
        let marks = [xattr("trusted.overlay.opaque", b"y"), xattr("trusted.overlay.origin", b"")];
        assert_eq!(decode(&area).expect("decode"), marks);
    }

    #[test]
    fn too_long_values_are_refused_by_name() {
        let error = encode(&[xattr("user.big", &vec![0; 65_536])], Marks::default()).expect_err("too long");
        assert!(error.to_string().contains("\"user.big\"") && error.kind() == Kind::LimitExceeded);
    }
}
