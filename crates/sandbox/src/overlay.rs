//! Directories laid over each other by overlayfs, the way that a kernel takes.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, open_tree, unmount,
};

/// What mounts show as their source.
const SOURCE: &str = "dhow";

/// Most bytes of options that mount(2) takes: a page, without its end.
const OPTIONS_BYTES_MAX: usize = 4095;

/// What overlayfs is not to do, whatever its module's parameters say: keep hard links in an index, which finds fault with layers that are mounted
/// anew. Docker has it off too.
const PLAIN: &[(&str, &str)] = &[("index", "off")];

/// As well: note of a directory that is renamed where it was, and of a file what is new about it, instead of copying them. Who reads the upper
/// directory alone would miss what is in them. Where overlayfs keeps notes as a user may, it does neither, and takes no word about the former.
const COMPLETE: &[(&str, &str)] = &[("redirect_dir", "off"), ("metacopy", "off")];

/// What overlayfs is to lay over each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overlay<'a> {
    /// Directories that are only read, the lowest first.
    pub(crate) lower: &'a [&'a Path],
    /// Where changes go, and an empty directory on the same file system; nothing for a mount that can only be read.
    pub(crate) upper: Option<(&'a Path, &'a Path)>,
    /// Whether overlayfs keeps its notes where a user namespace may write them.
    pub(crate) user_xattr: bool,
}

impl Overlay<'_> {
    /// Mounts it, attached nowhere yet. `place` is a directory that an old kernel needs on the way; nobody else may look into it.
    pub(crate) fn mount(&self, place: &Path) -> Result<OwnedFd, Errno> {
        match self.by_context() {
            // Before Linux 6.7 it does not know `lowerdir+`, and a context takes no word of more than 255 bytes.
            Err(Errno::INVAL) => self.by_page(place),
            mounted => mounted,
        }
    }

    fn by_context(&self) -> Result<OwnedFd, Errno> {
        let context = context()?;
        for layer in self.lower.iter().rev() {
            fsconfig_set_string(context.as_fd(), "lowerdir+", *layer)?;
        }
        if let Some((upper, work)) = self.upper {
            fsconfig_set_string(context.as_fd(), "upperdir", upper)?;
            fsconfig_set_string(context.as_fd(), "workdir", work)?;
        }
        for (name, value) in self.habits() {
            fsconfig_set_string(context.as_fd(), *name, *value)?;
        }
        if self.user_xattr {
            fsconfig_set_flag(context.as_fd(), "userxattr")?;
        }
        finish(&context, self.upper.is_none())
    }

    /// By mount(2), whose options are one page: directories are named by descriptors, which are short and have no commas or colons.
    fn by_page(&self, place: &Path) -> Result<OwnedFd, Errno> {
        let open = |path: &Path| openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let lower = self.lower.iter().rev().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let upper = self.upper.map(|(upper, work)| Ok::<_, Errno>((open(upper)?, open(work)?))).transpose()?;
        let options = self.options(&lower, upper.as_ref());
        if options.as_bytes().len() > OPTIONS_BYTES_MAX {
            return Err(Errno::TOOBIG);
        }
        let flags = if upper.is_none() { MountFlags::RDONLY } else { MountFlags::empty() };
        mount(SOURCE, place, "overlay", flags, options.as_c_str())?;
        let taken = open_tree(CWD, place, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC);
        unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
        taken
    }

    fn options(&self, lower: &[OwnedFd], upper: Option<&(OwnedFd, OwnedFd)>) -> CString {
        let name = |directory: &OwnedFd| format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mut options = format!("lowerdir={}", lower.iter().map(name).collect::<Vec<_>>().join(":"));
        if let Some((upper, work)) = upper {
            options.extend([",upperdir=", &name(upper), ",workdir=", &name(work)]);
        }
        for (name, value) in self.habits() {
            options.extend([",", name, "=", value]);
        }
        if self.user_xattr {
            options.push_str(",userxattr");
        }
        CString::new(options).unwrap_or_default()
    }

    fn habits(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let complete = if self.user_xattr { &[][..] } else { COMPLETE };
        PLAIN.iter().chain(complete)
    }
}

/// Overlayfs over mounts that are nowhere, the lowest first, which can only be read, and a directory below them. It takes Linux 6.15.
pub(crate) fn overlay_of_mounts(mounts: &[OwnedFd], bottom: &Path) -> Result<OwnedFd, Errno> {
    let context = context()?;
    for mount in mounts.iter().rev() {
        fsconfig_set_fd(context.as_fd(), "lowerdir+", mount.as_fd())?;
    }
    fsconfig_set_string(context.as_fd(), "lowerdir+", bottom)?;
    finish(&context, true)
}

fn context() -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", SOURCE)?;
    Ok(context)
}

fn finish(context: &OwnedFd, read_only: bool) -> Result<OwnedFd, Errno> {
    let mut attributes = MountAttrFlags::empty();
    if read_only {
        fsconfig_set_flag(context.as_fd(), "ro")?;
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::thread;

    use dhow_testkit::peers;
    use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
    use rustix::thread::UnshareFlags;

    use super::*;
    use crate::container::unshare;

    /// More layers, and longer names, than a word of a context holds.
    #[test]
    fn both_ways_show_the_same() {
        if !peers::is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let [upper, work, place] = ["up,per:\\", "work", "place"].map(|name| folder.path().join(name));
        for path in [&upper, &work, &place] {
            fs::create_dir(path).expect("a folder");
        }
        let layers: Vec<_> = (0..100)
            .map(|number| {
                let layer = folder.path().join(format!("{number}:a,b\\{}", "x".repeat(100)));
                fs::create_dir(&layer).expect("a layer");
                fs::write(layer.join("top"), number.to_string()).expect("a file");
                fs::write(layer.join(number.to_string()), "").expect("a file");
                layer
            })
            .collect();
        let lower: Vec<&Path> = layers.iter().map(AsRef::as_ref).collect();
        let seen = |mounted: OwnedFd| {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(mounted.as_fd(), "", CWD, &place, flags).expect("a place");
            let seen =
                (fs::read_dir(&place).expect("files").count(), fs::read_to_string(place.join("top")).expect("top"));
            let writable = fs::write(place.join("new"), "").is_ok();
            unmount(&place, UnmountFlags::DETACH).expect("no mount");
            (seen.0, seen.1, writable)
        };
        // In a tree of mounts of its own, where nothing is left of it.
        thread::scope(|scope| {
            scope.spawn(|| {
                unshare(UnshareFlags::NEWNS).expect("a namespace");
                mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("privacy");
                for upper in [None, Some((upper.as_path(), work.as_path()))] {
                    let overlay = Overlay { lower: &lower, upper, user_xattr: false };
                    let expected = (101, "99".to_owned(), upper.is_some());
                    assert_eq!(seen(overlay.by_page(&place).expect("a mount")), expected);
                    // Where the kernel knows that way.
                    if let Ok(mounted) = overlay.by_context() {
                        let again = 101 + usize::from(upper.is_some());
                        assert_eq!(seen(mounted), (again, expected.1, expected.2));
                    }
                }
            });
        });
    }

    /// What a kernel was told to do by default, put back in the end.
    struct Parameter(PathBuf, String);

    impl Parameter {
        fn set(name: &str) -> Option<Self> {
            let path = Path::new("/sys/module/overlay/parameters").join(name);
            let before = fs::read_to_string(&path).ok()?;
            fs::write(&path, "Y").ok()?;
            Some(Self(path, before))
        }
    }

    impl Drop for Parameter {
        fn drop(&mut self) {
            let _ = fs::write(&self.0, &self.1);
        }
    }

    /// Where the kernel's defaults are others: a directory that is renamed would be a note of where it was.
    #[test]
    fn changes_are_all_in_the_upper_directory() {
        if !peers::is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let [lower, upper, work, place] = ["lower", "upper", "work", "place"].map(|name| folder.path().join(name));
        for path in [&lower, &upper, &work, &place, &lower.join("old")] {
            fs::create_dir(path).expect("a folder");
        }
        fs::write(lower.join("file"), "content").expect("a file");
        let overlay = Overlay { lower: &[&lower], upper: Some((&upper, &work)), user_xattr: false };
        thread::scope(|scope| {
            scope.spawn(|| {
                unshare(UnshareFlags::NEWNS).expect("a namespace");
                mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("privacy");
                for by_page in [true, false] {
                    let defaults = ["redirect_dir", "metacopy", "index"].map(Parameter::set);
                    let mounted = if by_page { overlay.by_page(&place) } else { overlay.by_context() };
                    drop(defaults);
                    let mounted = match mounted {
                        // A way that this kernel does not know.
                        Err(Errno::INVAL) if !by_page => continue,
                        mounted => mounted.expect("a mount"),
                    };
                    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                    move_mount(mounted.as_fd(), "", CWD, &place, flags).expect("a place");
                    let renamed = fs::rename(place.join("old"), place.join("new")).expect_err("a reference");
                    assert_eq!(renamed.kind(), std::io::ErrorKind::CrossesDevices);
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                    fs::set_permissions(place.join("file"), mode).expect("another mode");
                    assert_eq!(fs::read_to_string(upper.join("file")).expect("a copy"), "content");
                    assert!(!work.join("index").exists());
                    fs::remove_file(upper.join("file")).expect("the way it was");
                    unmount(&place, UnmountFlags::DETACH).expect("no mount");
                }
            });
        });
    }
}
