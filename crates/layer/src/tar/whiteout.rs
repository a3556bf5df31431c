//! Telling whiteouts from files (OCI image spec, layer.md, "Whiteouts"; overlayfs documentation, "whiteouts and opaque
//! directories").

use super::entry::{EntryKind, WhiteoutForm, Xattr};
use super::error::TarCause;
use super::path::RelativePath;

/// What a whiteout's name begins with.
const PREFIX: &[u8] = b".wh.";

/// What AUFS kept for itself.
const META_PREFIX: &[u8] = b".wh..wh.";

/// Marks its directory opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Turns entries that stand for removals into kinds of their own, with the path they are about.
pub(super) fn classify(path: RelativePath, kind: EntryKind) -> Result<(RelativePath, EntryKind), TarCause> {
    let Some((parent, name)) = path.split() else { return Ok((path, kind)) };
    for component in parent.split(|byte| *byte == b'/') {
        if component.starts_with(META_PREFIX) {
            return Ok((path, EntryKind::AufsMetadata));
        }
        if component.starts_with(PREFIX) {
            return Err(TarCause::Whiteout);
        }
    }
    if name == OPAQUE {
        return Ok((path.parent().unwrap_or_default(), EntryKind::Opaque));
    }
    if name.starts_with(META_PREFIX) {
        return Ok((path, EntryKind::AufsMetadata));
    }
    if let Some(hidden) = name.strip_prefix(PREFIX) {
        let parent = path.parent().unwrap_or_default();
        // `.wh.`, `.wh..` and `.wh...` would remove the directory itself or the one above it.
        let hidden = parent.join(hidden).map_err(|_| TarCause::Whiteout)?;
        return Ok((hidden, EntryKind::Whiteout(WhiteoutForm::Oci)));
    }
    match kind {
        EntryKind::CharDevice { major: 0, minor: 0 } => Ok((path, EntryKind::Whiteout(WhiteoutForm::Overlay))),
        kind => Ok((path, kind)),
    }
}

/// Takes overlayfs's attributes out, which must not come alive when the tree is mounted; whether they make the directory
/// opaque.
pub(super) fn take_overlay_xattrs(xattrs: &mut Vec<Xattr>) -> bool {
    let mut opaque = false;
    xattrs.retain(|xattr| {
        let Some(rest) =
            [&b"trusted.overlay."[..], b"user.overlay."].iter().find_map(|prefix| xattr.name.strip_prefix(*prefix))
        else {
            return true;
        };
        opaque |= rest == b"opaque" && xattr.value == b"y";
        false
    });
    opaque
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_remove() {
        let file = || EntryKind::File { size: 0, sparse: None };
        let check = |name: &[u8], expected: Option<(&str, EntryKind)>| {
            let path = RelativePath::parse(name).expect("a path");
            let got = classify(path, file()).ok().map(|(path, kind)| (path.to_string(), kind));
            assert_eq!(got, expected.map(|(path, kind)| (path.to_owned(), kind)), "{}", String::from_utf8_lossy(name));
        };
        check(b"a/b", Some(("a/b", file())));
        check(b"a/.wh.b", Some(("a/b", EntryKind::Whiteout(WhiteoutForm::Oci))));
        check(b".wh.a", Some(("a", EntryKind::Whiteout(WhiteoutForm::Oci))));
        check(b".wh....", Some(("...", EntryKind::Whiteout(WhiteoutForm::Oci))));
        check(b"a/.wh..wh..opq", Some(("a", EntryKind::Opaque)));
        check(b".wh..wh..opq", Some(("", EntryKind::Opaque)));
        check(b".wh..wh.plnk", Some((".wh..wh.plnk", EntryKind::AufsMetadata)));
        check(b".wh..wh.plnk/12", Some((".wh..wh.plnk/12", EntryKind::AufsMetadata)));
        for refused in [&b".wh."[..], b"a/.wh..", b"a/.wh...", b".wh.a/b"] {
            check(refused, None);
        }
        let device = EntryKind::CharDevice { major: 0, minor: 0 };
        let path = RelativePath::parse(b"a").expect("a path");
        assert_eq!(classify(path.clone(), device).ok(), Some((path, EntryKind::Whiteout(WhiteoutForm::Overlay))));
    }
}
