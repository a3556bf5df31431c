//! Files of images.

use std::collections::BTreeMap;

use dhow_ops::ls::FileEntry;
use dhow_ops::{cp, diff, mount};
use dhow_spec::Digest;
use serde::Serialize;

/// `ls`: one file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    size_bytes: u64,
    links: u32,
    modified: Option<String>,
    target: Option<String>,
    device: Option<Device>,
    xattrs: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Device {
    major: u32,
    minor: u32,
}

/// `diff`: one file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    change: &'static str,
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size_before_bytes: Option<u64>,
    size_after_bytes: Option<u64>,
}

/// `cp`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Copied<'a> {
    source: &'a str,
    destination: &'a str,
    files: u64,
    archive_bytes: u64,
    warnings: &'a [String],
}

impl<'a> Copied<'a> {
    /// What was copied from where to where, as they were given.
    pub(crate) fn new(copied: &'a cp::Copied, source: &'a str, destination: &'a str) -> Self {
        Self { source, destination, files: copied.files, archive_bytes: copied.bytes, warnings: &copied.notes }
    }
}

/// `image mount`: one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mounted<'a> {
    image_id: &'a Digest,
    references: Vec<String>,
    path: String,
}

impl<'a> Mounted<'a> {
    /// What was mounted, and the full names that it has.
    pub(crate) fn new(mounted: &'a mount::Mounted, references: Vec<String>) -> Self {
        Self { image_id: &mounted.id, references, path: mounted.path.display().to_string() }
    }
}

/// `image unmount`: one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unmounted<'a> {
    pub(crate) image_id: &'a Digest,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

impl From<&FileEntry> for File {
    fn from(entry: &FileEntry) -> Self {
        let (seconds, nanoseconds) = entry.modified;
        let modified = i32::try_from(nanoseconds).ok().and_then(|rest| jiff::Timestamp::new(seconds, rest).ok());
        Self {
            path: text(&entry.path),
            kind: entry.kind.word,
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            size_bytes: entry.size,
            links: entry.links,
            modified: modified.map(|time| time.to_string()),
            target: entry.target.as_deref().map(text),
            device: entry.device.map(|(major, minor)| Device { major, minor }),
            xattrs: entry.xattrs.iter().map(|(name, value)| (text(name), hex(value))).collect(),
        }
    }
}

impl From<&diff::Difference> for Difference {
    fn from(difference: &diff::Difference) -> Self {
        Self {
            change: match difference.change {
                diff::Change::Added => "added",
                diff::Change::Changed => "changed",
                diff::Change::Deleted => "deleted",
            },
            path: text(&difference.path),
            kind: difference.kind.word,
            size_before_bytes: difference.size_before,
            size_after_bytes: difference.size_after,
        }
    }
}
